"""Some seconds of what ``make fuzz`` does for as long as one likes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_runway.compat import HAS_TABS
from tests.fuzz.targets import APP_TARGETS, TARGETS, Target


@pytest.mark.parametrize(
    "target", [*TARGETS, *(APP_TARGETS if HAS_TABS else ())], ids=lambda target: target.name
)
@given(data=st.data())
def test_whatever_is_read_is_a_value_or_a_documented_error(target: Target, data: st.DataObject) -> None:
    target.check(data.draw(target.draw))
