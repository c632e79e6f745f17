"""An Airflow of their own for the unit tests: a temporary home, nothing of the user's settings."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

# Airflow reads these when it is imported, which the test modules do.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="runway-unit-airflow-")
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

# A shared machine is slow now and then, which is no failure; a folder of examples is not kept.
settings.register_profile("unit", deadline=None, database=None, max_examples=200)
settings.load_profile("unit")
