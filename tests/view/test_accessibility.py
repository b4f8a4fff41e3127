"""Report and explorer under axe-core, light and dark, wide and narrow: no serious finding.

Needs a Chromium and axe-core, which is not shipped: `npm pack axe-core`, unpack it, and AXE_CORE=package/axe.min.js.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.view.conftest import CHROMIUM

from promptcot.analysis.report import render

if TYPE_CHECKING:
    from playwright.sync_api import Browser

AXE = os.environ.get("AXE_CORE", "")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or not AXE,
    reason="NO AXE-CORE OR CHROMIUM: accessibility is untested (AXE_CORE=.../axe.min.js)",
)
VIEWS = [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)]


def findings(browser: Browser, url: str, scheme: str, width: int) -> list[str]:
    """Serious and critical findings of axe-core's default rules, with everything that folds opened."""
    context = browser.new_context(viewport={"width": width, "height": 800}, bypass_csp=True)
    page = context.new_page()
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(url)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    page.add_script_tag(path=AXE)
    found: dict[str, Any] = page.evaluate("axe.run()")
    context.close()
    assert len(found["passes"]) > 10  # it did look
    return [
        f"{v['id']}: {v['help']} ({len(v['nodes'])})"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_the_report_has_no_serious_finding(browser: Browser, tmp_path: Path, scheme: str, width: int) -> None:
    sample = json.loads((Path(__file__).parents[1] / "analysis" / "report_sample.json").read_text())
    file = tmp_path / "report.html"
    file.write_text(render(sample))
    assert findings(browser, file.as_uri(), scheme, width) == []


@pytest.mark.parametrize(("scheme", "width"), VIEWS)
@pytest.mark.parametrize(
    "path", ["", "table/label/problems", "row/problem003/label/problems", "table/nosuch"]
)
def test_the_explorer_has_no_serious_finding(
    browser: Browser,
    address: str,
    path: str,
    scheme: str,
    width: int,
) -> None:
    assert findings(browser, address + path, scheme, width) == []
