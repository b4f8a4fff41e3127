r"""Words in and around an answer: labels, conditions, letters of choices, numbers in words.

All of it works on normalised text (`spelling.normalize`), where words stand apart by one space, in a text command
or not. What changes a value (`units.changes_value`) is never cut away.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from promptcot.verify.spelling import TEXT_COMMANDS
from promptcot.verify.spoken import PARTS, spoken
from promptcot.verify.units import LETTERS, SYMBOLS, changes_value, unit_name

_TEXT = re.compile(TEXT_COMMANDS + r"\{([^{}]*)\}")
_OPEN = rf"(?:{TEXT_COMMANDS}\{{ ?)"
_WORDS = re.compile(r"(?=.*[^\W\d_]{3}|no$)[^\W\d_]+(?:[ '-]+[^\W\d_]+)*", re.IGNORECASE)
_IN_WORDS = {
    "all real numbers": r"\mathbb{R}", "all reals": r"\mathbb{R}", "the empty set": r"\emptyset",
    "empty set": r"\emptyset", "infinity": r"\infty", "negative infinity": r"-\infty", "no solution": r"\emptyset",
    "no solutions": r"\emptyset", "all integers": r"\mathbb{Z}", "integers": r"\mathbb{Z}", "natural numbers": r"\mathbb{N}",
    "all natural numbers": r"\mathbb{N}", "real numbers": r"\mathbb{R}", "the real numbers": r"\mathbb{R}",
}  # fmt: skip
# \text{Total:}60, \text{The answer is}60, Total:60, \Rightarrow 60
_LABEL = re.compile(
    rf"^(?:\\(?:Rightarrow|to|Leftrightarrow) ?|{_OPEN}?(?P<words>[^\W\d_](?:[^\W\d_]|[ '.-])*?)??{_OPEN}?"
    r"(?P<end>:|(?<![^\W\d_])(?: ?is| ?are| ?was| ?were| ?equals?| ?equal to| ?be|[Nn]o\.|[Pp]oint|[Yy]es,|[Aa]nswers?(?! (?:is|are|was|equals?))|[Tt]hus,?|[Ss]o,?|[Hh]ence,?"
    r"|[Tt]herefore,?)(?![\w']))[:,]?\}?[:=]? ?)(?=\S)"
)
_ITEM = (
    r"(?:\\(?:text|mathrm)\{|[\s,()}:]|\\in ?\\mathbb ?\{?[RZQC]\}?|\b(?:all|any|every|each|some|reals?|integers?|numbers?"
    r"|values?|of|is|are|be|being|a|an|arbitrary|constants?|and|fixed|valid|possible)\b|\b[nkmij] ?(?:\\ge|>) ?[0-2]\b|\b[a-zA-Z]\b)"
)
_QUALIFIES = re.compile(
    r"for|where|with|given|when|since|because|in ?\\mathbb|\([nkmij]|\(\\approx| is the answer"
)
# Every whole number k: another letter for it makes no other answer.
_EVERY = re.compile(
    r"(?<=[,;(\s}])\(?([a-zA-Z])(?:\\in ?\\mathbb ?\{?Z\}?|(?:\\text\{)? ?(?:is )?(?:an |any )?integer\}?)\)?$"
    r"|(?:for|where) ?(?:any |every |all )?\}? ?(?:integers? )?([a-zA-Z])(?: is an integer)?\}?$"
)
_REWORDED = re.compile(
    r"mod|\\ne|two|three|four|five|six|seven|eight|nine|real|mathbb|negative|the |[AaPp]\.?[Mm]|\dx| x|[\d}][CP]|to |^[a-z]:|[A-Z]{3}|base|binary|octal|hex|out of|st|nd|rd|th|US|Rs|INR|GBP|EUR|CNY|RMB|JPY|\\#|\)_|than|not|total of|exactly"
    r"|approx|about|roughly|around|only|just|times|plus|minus|divided|over|^\{|\([a-zA-Z\\]"
)
_QUALIFIER = re.compile(
    rf"(?:\([nkmij] ?(?:\\ge|>) ?[0-2]\)|(?:[,;\s(]|\\(?:text|mathrm)\{{ ?)*(?:(?:\b(?:for|where|with|given|when)\b|\\forall ?){_ITEM}+"
    r"|(?<=[,;(])\(?(?:[a-zA-Z](?:,[a-zA-Z])*\\in ?\\mathbb ?\{?Z|[^nkmij](?:,[^nkmij])*\\in ?\\mathbb ?\{?R)\}?\)?"
    rf"|[,;]? ?\(? ?{_OPEN}?,?\(? ?(?:since|because)\b.*|\(\\approx[^()]*\)|{_OPEN}? ?is the answer\}}?))$"
)
_TURNED = re.compile(r"([\[\]])([^\[\]()]+[,;][^\[\]()]+)([\[\]])")
# Three or four letters without a vowel between them, or all large, may be a product of variables.
_LETTERS_ALONE = re.compile(
    r"(?!YES$)[A-Z]{3}|(?!(?:yes|dne|odd|two|six|ten|one|red|two|all|any|not|May|Sun|Mon|Tue)$)[a-z]{3}|[b-df-hj-np-tv-z]{4}"
)
_HALF = re.compile(r"(\d) ?(?:\\(?:text|mathrm)\{)? ?and an? (half|third|quarter|fourth|fifth)\}?")
_CODES = "CHF|SEK|NOK|DKK|PLN|CAD|AUD|NZD|SGD|HKD|BRL|MXN|ZAR|KRW|RUB|TRY|THB|VND|NGN"


def _binomial(m: re.Match[str]) -> str:
    return rf"\binom{{{m[1] or m[3]}}}{{{m[2] or m[4]}}}"


def _arrangements(m: re.Match[str]) -> str:
    n, k = int(m[1] or m[3]), int(m[2] or m[4])
    return rf"\frac{{{n}!}}{{({n - k})!}}" if 0 <= k <= n else m.group()


def _bracketed(m: re.Match[str]) -> str:
    """A unit in a bracket, or a word; but 5(ab) is a product."""
    words = m[1].strip()
    known = all(w in SYMBOLS or w in LETTERS for w in re.findall(r"[a-zA-Z]+", words))
    long = re.fullmatch(r"[a-z]{4,}(?: [a-z]+)*", words) and unit_name(words)
    return rf"\text{{{words}}}" if known or long else m.group()


_RULES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # (3) with an index is 3 with an index
    (r"^\((\d+)\)(_\w|_\{\w+\})$", r"\1\2"),
    *(
        (rf"(?<=[\d)}}])_(?:\{{ ?(?:\\text\{{)? ?{word} ?\}}?\}}|\\text\{{{word}\}})", f"_{{{n}}}")
        for word, n in (
            ("two", 2),
            ("three", 3),
            ("four", 4),
            ("five", 5),
            ("six", 6),
            ("seven", 7),
            ("eight", 8),
            ("nine", 9),
            ("sixteen", 16),
        )
    ),
    (r"(?<=[\dx]) ?x ?(?=10\^)", r"\\times "),
    (r"(?:\{\})?[_^]\{?(\d+)\}? ?C_?\{?(\d+)\}?(?![\w.])|(?<![\w.])(\d+)C(\d+)(?![\w.])", _binomial),
    (r"(?:\{\})?[_^]\{?(\d+)\}? ?P_?\{?(\d+)\}?(?![\w.])|(?<![\w.])(\d+)P(\d+)(?![\w.])", _arrangements),
    (r"\\mathbb\{?R\}?-(?=\\\{)", r"\\mathbb{R}\\setminus "),
    (
        r"^([a-z])\\ne ?(-?\w+(?:,(?:and)?-?\w+)+)$",
        lambda m: ",".join(rf"{m[1]}\ne {v}" for v in re.split(r",(?:and)?", m[2])),
    ),
    (r"\\mathbb ?\{?R\}?(?:\^\{?\+\}?|_\{?(?:\+|>0)\}?)(?!\w)", r"(0,\\infty)"),
    (r"\\mathbb ?\{?R\}?(?:\^\{?-\}?|_\{?(?:-|<0)\}?)(?!\w)", r"(-\\infty,0)"),
    (rf"^{_OPEN}?all real numbers? except ?(?:for )?\}}?:? ?(.+)$", r"\\mathbb{R}\\setminus\\{\1\\}"),
    (rf"^{_OPEN}?(?:minus|negative) ?\}}? ?(?=[\d\\])", "-"),
    (rf"^{_OPEN}?the ?\}}? ?(?=\d)", ""),
    (
        r"(\d{1,2}:\d\d) ?(?:\\text\{)? ?([AaPp])\.?[Mm]\.?\}?$",
        lambda m: rf"{m[1]}\text{{{m[2].lower()}m}}",
    ),
    (rf"(\d) ?{_OPEN}?to ?\}}? ?(?=\d+$)", r"\1:"),
    (rf"(\d) ?{_OPEN}?\([a-z]+\)\}}$", r"\1"),
    (r"^[a-z]:(?=-?\d+$)", ""),
    (r"(?<=\d) ?\(?(?:\\text\{)? ?\(?(?:in )?base ?\}? ?(\d+)\)?\}?$", r"_{\1}"),
    (r"(?<=\d) ?(?:\\text\{)? ?(?:in )?(?:binary|base two)\}?$", "_{2}"),
    (r"(?<=\d) ?(?:\\text\{)? ?(?:in )?octal\}?$", "_{8}"),
    (r"(?<=\d) ?(?:\\text\{)? ?(?:in )?hex(?:adecimal)?\}?$", "_{16}"),
    (r"^(\d+) ?(?:\\text\{)? ?out of ?\}? ?(\d+)$", r"\\frac{\1}{\2}"),
    (r"\((?:\\(?:text|mathrm)\{ ?mod ?\}|\\[bp]?mod|mod) ?([^()]+)\)$", r"\\pmod{\1}"),
    (r"\\pmod ?(\w)$", r"\\pmod{\1}"),
    (r"(\\equiv.*?)\\b?mod ?\{?(\w+)\}?$", r"\1\\pmod{\2}"),
    (
        r"(?<=[\d\w)}])(?:\\(?:text|mathrm)\{ ?mod(?:ulo)? ?\}| mod(?:ulo)? ?|\\mod(?![a-z]) ?)",
        r"\\bmod ",
    ),
    # 5th, 5^{\text{th}}
    (r"(?<=\d)\^?\{?(?:\\text\{)? ?(?:st|nd|rd|th)\}?\}?$", ""),
    (rf"^{_OPEN}?(?:US\\\$|USD|US) ?\}}?(?=\d)", r"\\$"),
    (rf"^{_OPEN}?(?:Rs\.?|INR) ?\}}?(?=\d)", "\u20b9"),
    (rf"^{_OPEN}?GBP ?\}}?(?=\d)", "\u00a3"),
    (rf"^{_OPEN}?EUR ?\}}?(?=\d)", "\u20ac"),
    (rf"^{_OPEN}?(?:CNY|RMB|JPY) ?\}}?(?=\d)", "\u00a5"),
    (rf"^{_OPEN}?({_CODES}) ?\}}? ?(\d[\d.,]*)$", r"\2\\text{\1}"),
    (rf"^{_OPEN}?at least ?\}}? ?(?=[\d\\-])", r"\\ge "),
    (rf"^{_OPEN}?at most ?\}}? ?(?=[\d\\-])", r"\\le "),
    (rf"^{_OPEN}?(?:more|greater) than ?\}}? ?(?=[\d\\-])", ">"),
    (rf"^{_OPEN}?(?:less|fewer) than ?\}}? ?(?=[\d\\-])", "<"),
    (rf"^{_OPEN}?not(?: equal to)? ?\}}? ?(?=[\d\\-])", r"\\ne "),
    (
        rf"^{_OPEN}?(?:a total of|exactly|approximately|approx\.?|about|roughly|around|only|just) ?\}}? ?(?=[\d\\$-])",
        "",
    ),
    (rf"(?<=\d) ?{_OPEN}?times ?\}}? ?(?=\d)", r"\\cdot "),
    (rf"(?<=\d) ?{_OPEN}?plus ?\}}? ?(?=\d)", "+"),
    (rf"(?<=\d) ?{_OPEN}?minus ?\}}? ?(?=\d)", "-"),
    (rf"(?<=\d) ?{_OPEN}?(?:divided by|over) ?\}}? ?(?=\d)", "/"),
    (r"^\{([a-z](?:\\in[^|:]*)?(?:\||:|\\mid ?).+)\}$", r"\\{\1\\}"),
    (r"_\{\\text\{base\}(\d+)\}", r"_{\1}"),
    (rf"(?<=[\d}}]) ?{_OPEN}?\((?:{_OPEN}|\\mathrm\{{)?([a-zA-Z][a-zA-Z/ ^\d]*)\}}?\)\}}?$", _bracketed),
    (r"^\\# ?(?=\d)", ""),
)
_REWORDINGS = tuple((re.compile(pattern), replacement) for pattern, replacement in _RULES)
_SCIENTIFIC = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?![\w.])")
_AND_PART = re.compile(r"^(-?\d+)(?: and |\\text\{and\}| and(?=\\))(?:(\d+)/(\d+)|\\frac\{(\d+)\}\{(\d+)\})$")
_PLAIN_UNIT = re.compile(
    r"(-?\d+(?:\.\d+)?(?:/\d+|\\frac\{\d+\}\{\d+\})?)( ?)"
    r"((?:\\mu ?)?[A-Za-z]+(?:\^\{?-?\d\}?)?(?:(?:/| |\*|\\cdot ?)[A-Za-z]+(?:\^\{?-?\d\}?)?)*)"
)


@lru_cache(maxsize=1024)
def reworded(text: str) -> str:
    """A normalised answer in the words of the grammar, without its label and without conditions that say nothing."""
    if (number := spoken(text)) and not text.isascii():
        return number
    if words := plain_words(text):
        known = _IN_WORDS.get(words) or spoken(words)
        return text if known is None else known
    if text.startswith("\\forall"):
        text = re.sub(r"^\\forall ?([^,:]+)[,:](?=.)", _quantified, text)
    if "and a" in text:
        text = _HALF.sub(lambda m: rf"{m[1]}\frac{{1}}{{{PARTS[m[2]]}}}", text)
    label = _LABEL.match(text) if not text[:1].isdigit() else None
    if label and _labels(label):
        text = text[label.end() :]
    qualifier = _QUALIFIER.search(text) if _QUALIFIES.search(text) else None
    if qualifier and qualifier.start() > 0:
        text = text[: qualifier.start()]
    if _REWORDED.search(text):
        for pattern, replacement in _REWORDINGS:
            text = pattern.sub(replacement, text)
    return _french(text) if "[" in text or "]" in text else text


def one_letter(a: str, b: str) -> str:
    """`b` with the letter that stands for every whole number named as in `a`, where both have one."""
    mine, theirs = _EVERY.search(b), _EVERY.search(a)
    if not mine or not theirs:
        return b
    old, new = mine[1] or mine[2], theirs[1] or theirs[2]
    if old == new or re.search(rf"(?<![\\a-zA-Z]){new}(?![a-zA-Z])", b):
        return b
    return re.sub(rf"(?<![\\a-zA-Z]){old}(?![a-zA-Z])", new, b)


def _quantified(match: re.Match[str]) -> str:
    """For all x, or all real x, says nothing; for all x > 0 does, and stays as a part of the answer."""
    free = re.fullmatch(r"[a-zA-Z](?:\\in ?\\mathbb ?\{?R\}?)?", match[1])
    return "" if free else f"{match[1]},"


def _french(text: str) -> str:
    """`]1,2[` as (1,2), where brackets are turned outwards for an open end."""
    brackets = [c for c in text if c in "[]"]
    if not brackets or (brackets[0] == "[" and brackets[-1] == "]"):
        return text
    return _TURNED.sub(lambda m: m[1].replace("]", "(") + m[2] + m[3].replace("[", ")"), text)


def _labels(label: re.Match[str]) -> bool:
    """Does it name what follows? x: may be the first part of a ratio, and "minus" is no name."""
    words = label["words"]
    if words is None:
        return True
    if label["end"] == ":" and not re.search(r"[^\W\d_]{2}[^\WA-Z\d_]", words):
        return False
    return not changes_value(words)


def readings(text: str, answers: bool) -> list[str]:
    """The text first, then other texts that people mean by it, each for one convention.

    Args:
        text: A normalised answer, in the words of the grammar.
        answers: Is it a prediction? A reference that says `4 m` may mean the variable.

    2.5e-7 in scientific notation, 10 m/s with units in plain letters, 2 and 1/2 as a mixed number. The first reading
    of each (a constant e, variables, two values) cannot be what the other side says if the second one is.
    """
    found = [text, _SCIENTIFIC.sub(r"\1\\cdot10^{\2}", text), _AND_PART.sub(_and_part, text)]
    measured = _PLAIN_UNIT.fullmatch(text)
    if measured and _is_unit(measured[2], measured[3], answers):
        found.append(rf"{measured[1]}\text{{{measured[3]}}}")
    return list(dict.fromkeys(found))


def _and_part(m: re.Match[str]) -> str:
    return rf"{m[1]}\frac{{{m[2] or m[4]}}}{{{m[3] or m[5]}}}"


def _is_unit(space: str, letters: str, answers: bool) -> bool:
    """Are these letters behind a number a unit? One letter alone only behind a space, in a prediction."""
    symbols = re.findall(r"[A-Za-z]+", letters)
    if not all(s in SYMBOLS or s in LETTERS for s in symbols):
        return False
    if any(len(s) > 1 for s in symbols):
        return True
    if not answers or not set(symbols) <= set("mgshLNJVWAK"):
        return False
    return (
        (bool(space) and symbols[0] not in "hA") if len(symbols) == 1 else not set(letters) <= {*symbols, " "}
    )


def plain_words(text: str) -> str | None:
    r"""Words without their wrappers and case, as in `\text{No solution}` and `no solution`; None if it is more."""
    words = flat(text).strip(" .")
    if not _WORDS.fullmatch(words) or (words == text and _LETTERS_ALONE.fullmatch(words)):
        return None
    return words.casefold()


def same_words(a: str, b: str) -> bool:
    """Are they the same but for an article and the ending of a plural?"""
    x, y = (re.sub(r"^(?:an?|the) ", "", words) for words in (a, b))
    return x == y or (x.removesuffix("s") == y.removesuffix("s") and len(x) > 3)


def flat(text: str) -> str:
    """Without the commands around words, so that `2\\text{ hours }30\\text{ minutes}` is `2 hours 30 minutes`."""
    return " ".join(_TEXT.sub(lambda m: f" {m.group(1)} ", text).split())


def decimal_comma(text: str) -> str | None:
    """`0,125` and `1000,99` with a point instead; None if the text is not such a number."""
    return text.replace(",", ".") if re.fullmatch(r"-?\d+,\d+", text) else None
