"""The generated pages are those of the code as it is, and every link between pages leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.scripts import script

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", ["cli.md", "recipe.md", "new-domain.md", "errors.md", "corridor.svg"])
def test_a_generated_page_is_not_stale(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == script("build").PAGES[name](), "stale: python docs/build.py"


def test_every_section_of_a_recipe_has_its_keys_on_the_page() -> None:
    text = (ROOT / "docs" / "recipe.md").read_text()
    for line in (
        "| `select` |",
        "| `waves` |",
        "| `base_url` |",
        "| `checkpoint_steps`* |",
        "| `rollouts` |",
    ):
        assert line in text


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", page.read_text())
    for link in re.findall(r"\]\(([\w./:-]+)(?:#[\w-]+)?\)", text):
        assert "://" in link or (page.parent / link).exists(), f"{page.name}: {link}"
