"""What a restyled video looks like: as its prompt says, and never as before."""

from __future__ import annotations

import pytest

image = pytest.importorskip("PIL.Image", reason="the extra `simulator` is not installed")
filters = pytest.importorskip("airflow_provider_runway.simulator.rendering.restyle")
STYLES = {
    "sketch": "A charcoal sketch",
    "neon": "Neon at night",
    "duotone": "As in film noir",
    "painting": "In oil",
}


@pytest.mark.parametrize(("style", "prompt"), STYLES.items())
def test_a_word_of_the_prompt_names_the_style(style: str, prompt: str) -> None:
    assert filters.style_of(prompt) == style


def test_any_other_prompt_has_a_style_of_its_own() -> None:
    assert len({filters.style_of(f"Something else {n}") for n in range(100)}) == len(STYLES)


def test_each_style_gives_another_picture_of_the_same_size() -> None:
    source = image.new("RGB", (64, 32))
    source.putdata([(4 * x, 8 * y, 128) for y in range(32) for x in range(64)])
    styled = {style: filters.restyle(source, style) for style in STYLES}
    assert {picture.size for picture in styled.values()} == {(64, 32)}
    assert len({picture.tobytes() for picture in (source, *styled.values())}) == len(styled) + 1
