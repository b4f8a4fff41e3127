"""The pages build as a site without a warning: no dead link, no page left out, nothing fetched from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.scripts import script

ROOT = Path(__file__).parents[2]
pytest.importorskip("mkdocs", reason="needs mkdocs: pip install 'promptcot[dev]'")
pytest.importorskip("material", reason="needs mkdocs-material: pip install 'promptcot[dev]'")


def test_the_site_builds_strictly_and_asks_nobody_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= 20
    for page in pages:
        fetched = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?://[^"]+)"', page.read_text())
        assert fetched == [], page


def test_a_link_out_of_the_pages_is_text_and_one_to_nothing_stays() -> None:
    pages = script("pages")
    text = (
        "[log](LOG.md) [plan](docs/scale.md#x) ![r](docs/report.png) [no](docs/none.md) [web](https://a.b/c)"
    )
    shown = pages.LINK.sub(lambda m: pages._link(m, ROOT), text)
    assert shown == "log [plan](scale.md#x) ![r](report.png) [no](docs/none.md) [web](https://a.b/c)"
