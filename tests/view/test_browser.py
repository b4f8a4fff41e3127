"""The explorer in a real headless Chromium: the real command, real clicks and keys, no console message.

Skips, loudly, where no Chromium is installed (Debian: apt-get install chromium).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect
from tests.view.conftest import CHROMIUM, HOSTILE, PROBLEMS

from promptcot.analysis import report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

LONGEST_S = 60.0
expect.set_options(timeout=1000 * LONGEST_S)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="NO CHROMIUM: the explorer is untested in a browser"
)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The list of tables, on a page whose console must stay silent."""
    said: list[str] = []
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    yield page
    page.close()
    assert said == []


# The pages' own policy forbids to evaluate text in them, so nothing here does: the browser is asked about them.


def width(page: Page) -> float:
    """Of all that can be scrolled to."""
    found = page.context.new_cdp_session(page).send("Page.getLayoutMetrics")
    return float(found["cssContentSize"]["width"])


def style(page: Page, selector: str, name: str) -> str:
    """A computed property of the first such element."""
    browser = page.context.new_cdp_session(page)
    for domain in ("DOM", "CSS"):
        browser.send(f"{domain}.enable")
    root = browser.send("DOM.getDocument")["root"]["nodeId"]
    node = browser.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
    found = browser.send("CSS.getComputedStyleForNode", {"nodeId": node})["computedStyle"]
    return str({entry["name"]: entry["value"] for entry in found}[name])


def left_of(part: Locator) -> float:
    box = part.bounding_box()
    assert box is not None
    return box["x"]


def rows(page: Page) -> list[str]:
    return page.locator("tbody a.row").all_inner_texts()


@needs_browser
def test_filter_page_and_open_a_row_with_its_lineage(page: Page) -> None:
    count = page.locator("#count")
    page.get_by_role("link", name="label/problems").click()
    expect(count).to_contain_text(f"1–50 of {PROBLEMS} rows")
    page.get_by_role("link", name="next").click()
    expect(count).to_contain_text("51–100")
    page.get_by_label("level").select_option("4")
    page.get_by_label("solve rate from").fill("0.7")
    page.get_by_role("button", name="Filter").click()
    wanted = [n for n in range(PROBLEMS) if n % 4 == 3 and n % 5 >= 3]
    expect(page.locator("tbody tr")).to_have_count(len(wanted))
    expect(page.get_by_label("level")).to_have_value("4")
    page.locator("tbody a.row").first.click()
    expect(page.locator("#lineage h3")).to_have_count(3)
    assert page.locator("h1").inner_text().startswith("label/problems")
    assert page.get_by_text("Think of 3.").count() >= 1
    names = page.locator("#lineage h3").all_inner_texts()
    assert [re.split(r"\s", n)[0] for n in names] == [
        "synthesize/problems",
        "selfplay/rollouts1",
        "selfplay/pairs1",
    ]


@needs_browser
def test_keys_move_open_page_and_go_up(page: Page) -> None:
    page.goto(page.url + "table/label/problems")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/row/problem000/label/problems")
    page.keyboard.press("u")
    page.wait_for_url("**/table/label/problems")
    page.keyboard.press("n")
    page.wait_for_url("**start=50")
    page.keyboard.press("p")
    page.wait_for_url("**start=0")
    page.keyboard.press("/")
    page.keyboard.type("number 42")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=number+42**")
    assert rows(page) == ["problem0"]  # its first eight characters


@needs_browser
def test_text_of_a_model_stays_text(page: Page) -> None:
    page.goto(page.url + "row/problem007/label/problems")
    assert page.get_by_text(HOSTILE).count() >= 1
    assert page.locator("main script").count() == 0


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_in_one_direction_only(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 360, "height": 700})
    home = page.url
    for path in ("", "table/label/problems", "row/problem003/label/problems"):
        page.goto(home + path)
        assert width(page) <= 360
    colour = style(page, "body", "background-color")
    light = sum(map(int, re.findall(r"\d+", colour)[:3])) > 380
    assert light == (scheme == "light")


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_from_disk_on_a_phone_without_a_console_message(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    """A report with every section filled (the sample of tests/analysis), with its figures drawn."""
    sample = json.loads((Path(__file__).parents[1] / "analysis" / "report_sample.json").read_text())
    file = tmp_path / "report.html"
    file.write_text(report.render(sample))
    said: list[str] = []
    page = browser.new_page(viewport={"width": 360, "height": 700})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(file.as_uri())
    assert width(page) <= 360
    assert page.locator("figure svg").first.is_visible()
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href") or "nowhere").count() == 1
    page.close()
    assert said == []


@needs_browser
def test_the_report_is_read_with_the_keyboard_alone(browser: Browser, tmp_path: Path) -> None:
    sample = json.loads((Path(__file__).parents[1] / "analysis" / "report_sample.json").read_text())
    file = tmp_path / "report.html"
    file.write_text(report.render(sample))
    page = browser.new_page(viewport={"width": 360, "height": 700})
    page.goto(file.as_uri())
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the first link of the sections
    page.wait_for_url("**#headline")
    table = page.locator(".wide .scroll").first  # wider than a phone: scrolled by the arrow keys once focused
    table.focus()
    before = left_of(table.locator("table"))
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    ends = time.monotonic() + LONGEST_S
    while left_of(table.locator("table")) >= before:  # it glides
        assert time.monotonic() < ends
        page.wait_for_timeout(50)
    folded = page.locator("#examples details").nth(1)
    assert folded.get_attribute("open") is None
    folded.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(folded).to_have_attribute("open", "")
    page.close()


def fetch(url: str, host: str | None = None) -> tuple[int, bytes]:
    from urllib.error import HTTPError

    try:
        with urlopen(Request(url, headers={"Host": host} if host else {})) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def test_exports_hold_the_filtered_rows(address: str, tmp_path: Path) -> None:
    query = "label/problems?level=2&format="
    status, text = fetch(address + "export/" + query + "jsonl")
    wanted = [f"problem{n:03}" for n in range(PROBLEMS) if n % 4 == 1]
    assert (status, [json.loads(line)["id"] for line in text.splitlines()]) == (200, wanted)
    file = tmp_path / "x.parquet"
    file.write_bytes(fetch(address + "export/" + query + "parquet")[1])
    assert pq.read_table(file)["id"].to_pylist() == wanted


def test_errors_are_pages_and_strangers_are_refused(address: str) -> None:
    status, text = fetch(address + "table/label/problems?where=nosuch")
    assert (status, b"the condition failed" in text) == (400, True)
    assert fetch(address + "table/nosuch")[0] == 400
    assert fetch(address + "table/label/problems?start=-1")[0] == 400
    assert fetch(address, host="evil.example")[0] == 421
