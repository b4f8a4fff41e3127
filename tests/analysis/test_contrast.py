"""Colours of the page by WCAG 2: text has a contrast of at least 4.5 to what it stands on, lines and marks at least 3."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import promptcot

CSS = (Path(promptcot.__file__).parent / "analysis" / "report.css").read_text()
THEMES = {
    name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for name, block in zip(("light", "dark"), re.findall(r":root \{(.*?)\}", CSS, re.DOTALL), strict=True)
}
TEXT = ("text", "quiet", "first", "good", "bad")  # links have the colour "first"
MARKS = ("first", "second", "third", "fourth")


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2, definitions)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_by_hand() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
def test_text_and_marks_stand_out(theme: str) -> None:
    colours = THEMES[theme]
    for ground in ("page", "panel"):
        for name in TEXT:
            assert contrast(colours[name], colours[ground]) >= 4.5, (theme, name, ground)
    for name in MARKS:
        assert contrast(colours[name], colours["page"]) >= 3.0, (theme, name)


def test_both_themes_name_the_same_colours() -> None:
    assert set(THEMES["light"]) == set(THEMES["dark"])
