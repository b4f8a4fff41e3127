"""The report page: complete, inert, deterministic, and honest about what is missing."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jinja2 import StrictUndefined

from promptcot.analysis import charts, figures, formats, report

SECTIONS = (
    "headline",
    "funnel",
    "em",
    "concepts",
    "distribution",
    "quality",
    "difficulty",
    "evaluation",
    "examples",
    "cost",
    "provenance",
)
VOID = {"meta", "br", "hr", "img", "link", "input"}
ATTACK = '<script>alert("x")</script> & <img src=http://evil.example/a.png onerror=alert(1)>'


def sample() -> dict[str, Any]:
    """A report with every section filled, as a finished run would write it."""
    content: dict[str, Any] = json.loads(Path(__file__).with_name("report_sample.json").read_text("utf-8"))
    return content


class Page(HTMLParser):
    """Reads a page and records unbalanced tags, ids, headings, references and visible text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not {"style", "title"} & set(self.open):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if matplotlib were not installed."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.fixture(scope="module")
def html() -> str:
    return report.render(sample())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_every_section_is_present_in_reading_order(page: Page) -> None:
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == list(SECTIONS)
    assert "This part was not run" not in page.text


def test_the_template_names_only_fields_that_the_documented_input_has() -> None:
    strict = report.environment(StrictUndefined).get_template("report.html.j2")
    full = sample()
    groups = charts.evaluation_groups(full["evaluation"])
    page = strict.render(report=full, em=full["em"], evaluation=groups, figures={}, figures_missing="")
    assert "3.11.2" in page


@pytest.mark.parametrize(
    "shown",
    [
        "8.71 [8.21, 9.31]",  # NLL of the cold start with its interval
        "−1.09 [−1.38, −0.78]",  # its paired change after two iterations
        "−20.40 [−21.60, −19.20]",  # the joint
        "94.0% [91.5, 96.0]",  # 470 of 500 labels
        "80.0% [78.0, 82.0]",  # 960 of 1,200 problems
        "+8.3 [4.8, 11.8]",  # self-play difference in points
        "412,345",
        "near duplicate",
        "35.0%",  # 539 labels without a majority, of 1,541 problems
    ],
)
def test_numbers_are_shown_with_units_intervals_and_separators(page: Page, shown: str) -> None:
    assert shown in page.text


def test_a_simulated_run_says_so_and_a_real_one_does_not(page: Page) -> None:
    real = Page(report.render(sample() | {"simulated": False})).text
    assert "annotators and the teacher are simulated, and the model is tiny" in page.text
    assert "simulated" not in real


def test_headlines_say_in_words_whether_something_improved(page: Page) -> None:
    assert "Improved Held-out NLL" in page.text
    assert "Worse Self-play, math at level 4" in page.text
    assert "Observed Self-play, code: no change" in page.text


def test_a_difference_is_clear_only_when_its_interval_excludes_zero() -> None:
    assert formats.verdict({"mean": 0.1, "ci95": [0.02, 0.2]}) == "higher"
    assert formats.verdict({"mean": -0.1, "ci95": [-0.2, -0.02]}) == "lower"
    assert formats.verdict({"mean": 0.1, "ci95": [0.0, 0.2]}) == "no clear change"


@pytest.mark.filterwarnings("error")  # matplotlib warns when a label leaves no room to draw
def test_untrusted_text_stays_text_wherever_it_appears() -> None:
    hostile = _with_every_string_replaced(sample(), ATTACK)
    html = report.render(hostile)
    page = Page(html)
    assert {"script", "img"}.isdisjoint(tag for tag, _ in page.tags)
    assert "<script" not in html
    assert page.text.count('<script>alert("x")</script>') > 20
    assert not page.open


def _with_every_string_replaced(value: Any, text: str) -> Any:
    if isinstance(value, dict):
        return {key: _with_every_string_replaced(v, text) for key, v in value.items()}
    if isinstance(value, list):
        return [_with_every_string_replaced(v, text) for v in value]
    return text if isinstance(value, str) else value


def test_the_page_refers_to_nothing_outside_itself(html: str, page: Page) -> None:
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    assert not re.search(r"https?://|@import|url\((?!#)", without_namespaces)
    references = page.values("href") + page.values("xlink:href") + page.values("src")
    assert references
    assert set(references) <= {f"#{identifier}" for identifier in page.values("id")}
    assert "default-src 'none'" in page.values("content")[-1]


def test_elements_are_balanced_and_ids_unique(page: Page) -> None:
    identifiers = page.values("id")
    assert not page.open
    assert len(identifiers) == len(set(identifiers))


def test_headings_descend_one_level_at_a_time(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_figures_tables_and_scrolling_areas_can_be_read_aloud(page: Page) -> None:
    drawings = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(drawings) == 19
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawings)
    count = [tag for tag, _ in page.tags].count
    assert count("figcaption") == count("figure") == len(drawings)
    assert all(attrs["aria-labelledby"] for tag, attrs in page.tags if tag == "table")
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")
    labels = set(page.values("aria-labelledby"))
    assert labels <= set(page.values("id"))


def test_the_same_numbers_give_the_same_bytes(html: str) -> None:
    assert report.render(sample()) == html
    assert len(html.encode()) < 500_000


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    "name",
    [
        "headline",
        "funnel",
        "em",
        "concepts",
        "distribution",
        "labels",
        "difficulty",
        "evaluation",
        "examples",
        "stages",
    ],
)
def test_a_section_that_was_not_run_is_named_as_such(name: str) -> None:
    numbers = sample()
    del numbers[name]
    text = Page(report.render(numbers)).text
    assert text.count("This part was not run") == 1


@pytest.mark.usefixtures("no_figures")
def test_extras_that_were_not_asked_for_say_what_to_type() -> None:
    missing = {"absent": {"seen": "the model is not installed", "do": "pip install 'promptcot[map]'"}}
    numbers = sample() | {"distribution": missing, "difficulty_table": None}
    numbers["em"]["without_estep"] = []
    text = Page(report.render(numbers)).text
    assert "There is no map: the model is not installed." in text
    assert "pip install 'promptcot[map]'" in text
    assert "evaluate: {difficulty:" in text
    assert "em: {without_estep: true}" in text


@pytest.mark.usefixtures("no_figures")
def test_an_example_shows_its_lineage_from_concepts_to_the_pair() -> None:
    text = Page(report.render(sample())).text
    parts = ["Concepts integer division", "Rationale Start with", "Problem Mia has", "Label 14", "14 7", "1 correct exact",
             "Chosen attempt 47", "Rejected attempt 47", "Trace of the teacher"]  # fmt: skip
    places = [text.index(part, text.index("Examples with their lineage")) for part in parts]
    assert places == sorted(places)


@pytest.mark.usefixtures("no_figures")
def test_requests_are_shown_where_servers_were_asked() -> None:
    text = Page(report.render(sample())).text
    assert "4.8 requests to servers" in text
    assert "4,800 12 3 0" in text
    numbers = sample()
    for row in [*numbers["stages"], numbers["total"]]:
        row |= {"requests": 0, "retries": 0, "failed": 0, "unseeded": 0}
    assert "no request went to a server" in Page(report.render(numbers)).text


@pytest.mark.usefixtures("no_figures")
def test_an_empty_section_is_told_apart_from_one_that_was_not_run() -> None:
    text = Page(report.render(sample() | {"funnel": []})).text
    assert "This part ran and left no rows: no funnel to show." in text
    assert "This part was not run" not in text


@pytest.mark.usefixtures("no_figures")
def test_unknown_truth_is_said_where_label_accuracy_would_be() -> None:
    text = Page(report.render(sample() | {"labels": [], "validity": []})).text
    assert text.count("The true answers of these problems are not known") == 2


def test_a_report_with_nothing_but_a_name_is_still_a_page() -> None:
    page = Page(report.render({"run": "pocket"}))
    assert page.text.count("This part was not run") == 13
    assert not page.open


def test_rows_with_missing_numbers_show_dashes_and_no_error() -> None:
    numbers = sample()
    numbers["em"]["iterations"] = [{"iteration": 0}]
    numbers["evaluation"] = [{"regime": "sft", "metric": "avg@8", "before": None}]
    numbers["stages"][0]["wall_s"] = float("nan")
    page = Page(report.render(numbers))
    assert "0 (cold start) – – –" in page.text
    assert not page.open


@pytest.mark.usefixtures("no_figures")
def test_without_matplotlib_the_page_keeps_its_tables_and_says_how_to_get_figures() -> None:
    page = Page(report.render(sample()))
    tags = [tag for tag, _ in page.tags]
    assert "pip install 'promptcot[report]'" in page.text
    assert "svg" not in tags
    assert "figure" not in tags
    assert tags.count("table") == 27
    assert not page.open


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.count(1234567), "1,234,567"),
        (formats.number(-0.001), "0.00"),
        (formats.number(-2.5, 1), "−2.5"),
        (formats.number(None), "–"),
        (formats.number(float("nan")), "–"),
        (formats.number(True), "–"),
        (formats.signed(0.1), "+0.10"),
        (formats.signed(0.0), "0.00"),
        (formats.percent(0.9405), "94.0%"),
        (formats.percent(None), "–"),
        (formats.interval([0.91, 0.96], 1, 100), "[91.0, 96.0]"),
        (formats.interval(None), ""),
        (formats.duration(8.24), "8.2 s"),
        (formats.duration(59.96), "1 min 0 s"),
        (formats.duration(125), "2 min 5 s"),
        (formats.duration(4020), "1 h 7 min"),
    ],
)
def test_values_are_formatted_for_reading(shown: str, expected: str) -> None:
    assert shown == expected


def test_an_estimate_without_a_finite_mean_is_not_drawn() -> None:
    assert figures.estimate(None) is None
    assert figures.estimate(float("nan"), [0, 1]) is None
    assert figures.estimate(0.5) == figures.Estimate(0.5, 0.5, 0.5)
    assert figures.estimate(0.5, [0.25, 0.75], 100) == figures.Estimate(50, 25, 75)


def test_a_figure_takes_text_colours_and_font_from_the_page() -> None:
    svg = figures.columns("x", 'a "label"', ["<1>", "$2$ $x$"], [1, 2], x_label="n", y_label="m")
    assert "currentColor" in svg
    assert "var(--first" in svg
    assert not re.search(r"#000000|font-family|<metadata|<style", svg)
    assert 'aria-label="a &quot;label&quot;"' in svg
    assert "&lt;1&gt;" in svg
    assert ">$2$ $x$<" in svg


def test_drawing_leaves_the_settings_of_matplotlib_as_they_were() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 31.0}):
        svg = figures.columns("x", "label", ["1"], [1], x_label="n", y_label="m")
        assert matplotlib.rcParams["font.size"] == 31.0
        assert "31px" not in svg
    assert dict(matplotlib.rcParams) == before
