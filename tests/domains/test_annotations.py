"""Concept lists and rationales as annotators write them: their LaTeX comes out as written, whatever they took for a list."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcot.domains.annotations import parse_concepts, parse_rationale

WRITTEN = [
    r"Roots $\rho$, angles $\theta$ and $\nu \neq \tau$",
    r"Ratios $\frac{a}{b}$ with $\beta > \alpha$ and $\binom{n}{k}$",
    r"Sets: $A \cup B$, $\{1, 2\}$, $\nabla f \to \vec{v}$, $\underline{x}\,\xi$",
    r"Floors $\left\lfloor x \right\rfloor \bmod n$, $\text{gcd}(a, b)$ and $\times$",
]


def quoted(*texts: str) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"


@pytest.mark.parametrize(
    "reply",
    [
        quoted(*WRITTEN),
        json.dumps(WRITTEN),
        json.dumps(WRITTEN, indent=2),
        repr(WRITTEN),
        "[" + ",\n".join(f"r'{text}'" for text in WRITTEN) + ",]",
        '["""' + '""", """'.join(WRITTEN) + '"""]',
        "[" + ", ".join(f"'''{text}'''" for text in WRITTEN) + "]",
        "Here it is:\n```python\nconcepts = " + quoted(*WRITTEN) + "\nprint(concepts[0])\n```\nIt has [4] of them.",
        "```json\n" + json.dumps({"concepts": WRITTEN, "notes": ["none"]}) + "\n```",
        json.dumps([{"concept": text, "description": "why"} for text in WRITTEN]),
        "[" + ", ".join(f'{{"concept": "{text}"}}' for text in WRITTEN) + "]",
        "[\n" + "".join(f'  "{text}",  # one [of] "four"\n' for text in WRITTEN) + "]",
        'Draft: ["wrong", "too short"].\n\nFinal: ' + quoted(*WRITTEN),
        "```\n" + json.dumps(["draft"]) + "\n```\nBetter:\n~~~\n" + quoted(*WRITTEN) + "\n~~~",
        "The concepts:\n\n" + "\n".join(f"{i}. {text}" for i, text in enumerate(WRITTEN, 1)) + "\n\nThese are they.",
        "\n".join(f"- **{text}**" for text in WRITTEN),
        "```\n" + "\n\n".join(f"* {text}" for text in WRITTEN) + "\n```",
        "\n".join(f"({i}) {text}\n    - a detail\n    - another" for i, text in enumerate(WRITTEN, 1)),
    ],
    ids=str,
)  # fmt: skip
def test_latex_in_a_list_comes_out_as_written(reply: str) -> None:
    assert parse_concepts(reply) == WRITTEN


@pytest.mark.parametrize(
    ("between_quotes", "text"),
    [
        # one letter behind the backslash decides what \n, \t and \r are
        (r"first\nSecond", "first\nSecond"),
        (r"first\n2. second", "first\n2. second"),
        (r"first\nthen", "first\nthen"),
        (r"the angle \nu", r"the angle \nu"),
        (r"\neq and \nmid", r"\neq and \nmid"),
        (r"$\alpha$ and \norm", r"$\alpha$ and \norm"),
        (r"$\alpha$ and \nweird", r"$\alpha$ and \nweird"),  # it begins commands with one backslash
        (r"$\alpha$.\nThen", "$\\alpha$.\nThen"),
        (r"a\t1", "a\t1"),
        (r"a\r\nB", "a\r\nB"),
        (r"\tau \tan \text{x} \to", r"\tau \tan \text{x} \to"),
        # these are never meant as a bell, a backspace, a form feed
        (r"\alpha \beta \forall \vee \boldmath", r"\alpha \beta \forall \vee \boldmath"),
        # two backslashes
        (r"$\\alpha$ and $\\nu$", r"$\alpha$ and $\nu$"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (r"\\begin{pmatrix}1\\\\2\\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (r"$\\theta$ beside $\frac12$", r"$\theta$ beside $\frac12$"),
        # quotes, characters by number, punctuation
        (r"the \"real\" part", 'the "real" part'),
        (r"Euler\'s and M\"obius", "Euler's and M\"obius"),
        (r"d\'Alembert and Poincar\'e", r"d'Alembert and Poincar\'e"),
        (r"\u03b8 \xe9 \N{GREEK SMALL LETTER PI} \ud83d\ude00", "\u03b8 \xe9 \u03c0 \U0001f600"),
        (r"\xi \uparrow \upsilon", r"\xi \uparrow \upsilon"),
        (r"a\/b \(x\) \{1\} 5\% \,", r"a/b \(x\) \{1\} 5\% \,"),
    ],
)
def test_what_a_backslash_is_follows_the_rules(between_quotes: str, text: str) -> None:
    assert parse_concepts(f'["{between_quotes}", "other"]') == [text, "other"]


def test_quotes_of_the_other_kind_and_apostrophes_need_no_backslash() -> None:
    assert parse_concepts("""['Euler's theorem', "Fermat's \\"last\\"", 'M\\"obius', 'it\\'s']""") == [
        "Euler's theorem", 'Fermat\'s "last"', 'M\\"obius', "it's",
    ]  # fmt: skip
    assert parse_concepts("[“Hölder’s inequality”, ‘norms’]") == ["Hölder’s inequality", "norms"]
    assert parse_concepts('["one " "two",\n "three"]') == ["one two", "three"]


# Without line breaks and tabs: \n before "u" is \nu by the rules, whoever wrote it.
PLAIN = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).map(str.strip).filter(bool)


@given(st.lists(PLAIN, min_size=1, max_size=5))
def test_every_list_that_json_or_python_writes_comes_out_as_it_went_in(texts: list[str]) -> None:
    for reply in (
        json.dumps(texts),
        json.dumps(texts, ensure_ascii=False),
        repr(texts),
        json.dumps(texts, indent=1),
    ):
        assert parse_concepts(reply) == texts


LATEX = st.lists(
    st.sampled_from(
        [
            r"\theta", r"\frac{a}{b}", r"\nu", r"\neq", r"\rho", r"\beta", r"\alpha", r"\vec{v}", r"\text{ if }", r"\to",
            r"\forall", r"\underline{x}", r"\xi", r"\(", r"\)", r"\{", r"\}", r"\,", "x", "2", " ", "$", "_", "^{2}", ",", "'",
        ]
    ),
    min_size=1, max_size=12,
).map(" ".join).map(str.strip).filter(lambda text: any(c.isalnum() for c in text))  # fmt: skip


@given(st.lists(LATEX, min_size=1, max_size=4))
def test_latex_comes_out_however_its_backslashes_are_written(texts: list[str]) -> None:
    for reply in (
        quoted(*texts),
        json.dumps(texts),
        repr(texts),
        "[" + ", ".join(f'r"{t}"' for t in texts) + "]",
    ):
        assert parse_concepts(reply) == texts


@pytest.mark.parametrize(
    "reply",
    [
        "no list at all", "[1, 2, 3]", r"\[ x^2 \]", "the interval [0, 1]", '["cut off", "in the mid', "[", '["a" for a in b]',
        "- only one line", "['a', __import__('os')]", "[" * 5000, '["' * 5000, "[{" * 5000, '[{"a":' * 5000, "[\"\\\" " * 3000,
    ],
    ids=lambda reply: reply[:20],
)  # fmt: skip
def test_what_is_no_list_gives_none(reply: str) -> None:
    assert parse_concepts(reply) is None


@pytest.mark.parametrize(
    "marker",
    [
        "Thinking Process:", "**Thinking Process:**", "**Thinking Process**:", "__Thinking Process:__", "*Thinking Process:*",
        "### Thinking Process", "# Thinking Process:", "## **Thinking Process**", "**Thinking Process**", "Thinking process:",
        "THINKING PROCESS:", "> **Thinking Process:**", "`Thinking Process:`", "Thinking Process\uff1a", '"Thinking Process:"',
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "before", ["", "Sure, here it is.\n\n", 'I begin with "Thinking Process:", as asked.\n']
)
def test_a_rationale_follows_its_marker_however_it_is_set(marker: str, before: str) -> None:
    assert parse_rationale(f"{before}{marker}\n\n1. Take **two** numbers.\n") == "1. Take **two** numbers."


def test_a_rationale_needs_a_marker_and_a_text_and_leaves_a_fence_around_it_behind() -> None:
    assert parse_rationale("The thinking process is long.\nIt has no marker.") is None
    assert parse_rationale("What of the **thinking process**\nhere?") is None
    assert parse_rationale("**Thinking Process:**") is None
    assert parse_rationale("```\nThinking Process: Take\n2.\n```") == "Take\n2."
    assert parse_rationale("Thinking Process: Run\n```\nx\n```") == "Run\n```\nx\n```"
    assert parse_rationale("So the Thinking Process: take two.") == "take two."
