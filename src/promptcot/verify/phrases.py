r"""Words in and around an answer: labels, conditions, letters of choices, numbers in words.

All of it works on normalised text (`spelling.normalize`), where words stand apart by one space, in a text command
or not. What changes a value (`units.changes_value`) is never cut away.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from itertools import takewhile

from promptcot.verify.spelling import TEXT_COMMANDS
from promptcot.verify.units import LETTERS, SYMBOLS, changes_value

_TEXT = re.compile(TEXT_COMMANDS + r"\{([^{}]*)\}")
_OPEN = rf"(?:{TEXT_COMMANDS}\{{ ?)"
_WORDS = re.compile(r"(?=.*[^\W\d_]{3}|no$)[^\W\d_]+(?:[ '-]+[^\W\d_]+)*", re.IGNORECASE)
_IN_WORDS = {
    "all real numbers": r"\mathbb{R}", "all reals": r"\mathbb{R}", "the empty set": r"\emptyset",
    "empty set": r"\emptyset", "infinity": r"\infty",
}  # fmt: skip
# \text{Total:}60, \text{The answer is}60, Total:60, \Rightarrow 60
_LABEL = re.compile(
    rf"^(?:\\(?:Rightarrow|to|Leftrightarrow) ?|{_OPEN}?(?P<words>[^\W\d_](?:[^\W\d_]|[ '.-])*?)??{_OPEN}?"
    r"(?P<end>:|(?<![^\W\d_])(?: ?is| ?are| ?was| ?were| ?equals?| ?equal to| ?be|[Nn]o\.|[Aa]nswers?(?! (?:is|are|was|equals?))|[Tt]hus,?|[Ss]o,?|[Hh]ence,?"
    r"|[Tt]herefore,?)(?![\w']))[:,]?\}?[:=]? ?)(?=\S)"
)
_ITEM = (
    r"(?:\\(?:text|mathrm)\{|[\s,()}:]|\\in ?\\mathbb ?\{?[RZQC]\}?|\b(?:all|any|every|each|some|reals?|integers?|numbers?"
    r"|values?|of|is|are|be|being|a|an|arbitrary|constants?|and|fixed|valid|possible)\b|\b[nkmij] ?(?:\\ge|>) ?[0-2]\b|\b[a-zA-Z]\b)"
)
_QUALIFIES = re.compile(r"for|where|with|given|when|in ?\\mathbb|\([nkmij]")
_REWORDED = re.compile(
    r"mod|two|base|binary|octal|hex|out of|st|nd|rd|th|US|Rs|INR|GBP|EUR|CNY|RMB|JPY|\\#|\)_|than|not|total of|exactly"
    r"|approx|about|roughly|around|only|just|times|plus|minus|divided|over|^\{|\([a-zA-Z]{2}"
)
_QUALIFIER = re.compile(
    rf"(?:\([nkmij] ?(?:\\ge|>) ?[0-2]\)|(?:[,;\s(]|\\(?:text|mathrm)\{{ ?)*(?:(?:\b(?:for|where|with|given|when)\b|\\forall ?){_ITEM}+"
    r"|(?<=[,;(])\(?[a-zA-Z](?:,[a-zA-Z])*\\in ?\\mathbb ?\{?[RZ]\}?\)?))$"
)
_CHOICE = re.compile(
    rf"^(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer) ?:? ?)?{_OPEN}?(?:\((?P<a>[A-H])\)|(?P<b>[A-H])[).:])(?P<more>(?!\}}?[+*/^=,;]).*)$"
    r"|^(?:[Oo]ption|[Cc]hoice) ?(?P<c>[A-H])$"
)
_TURNED = re.compile(r"([\[\]])([^\[\]()]+[,;][^\[\]()]+)([\[\]])")
_HALF = re.compile(r"(\d) ?(?:\\(?:text|mathrm)\{)? ?and an? (half|third|quarter|fourth|fifth)\}?")
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5}
_REWORDINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # (3) with an index is 3 with an index
        (r"^\((\d+)\)(_\w|_\{\w+\})$", r"\1\2"),
        (r"(?<=[\d)}])_(?:\{ ?(?:\\text\{)? ?two ?\}?\}|\\text\{two\})", "_{2}"),
        (r"(?<=\d) ?\(?(?:\\text\{)? ?\(?(?:in )?base ?\}? ?(\d+)\)?\}?$", r"_{\1}"),
        (r"(?<=\d) ?(?:\\text\{)? ?(?:in )?(?:binary|base two)\}?$", "_{2}"),
        (r"(?<=\d) ?(?:\\text\{)? ?(?:in )?octal\}?$", "_{8}"),
        (r"(?<=\d) ?(?:\\text\{)? ?(?:in )?hex(?:adecimal)?\}?$", "_{16}"),
        (r"^(\d+) ?(?:\\text\{)? ?out of ?\}? ?(\d+)$", r"\\frac{\1}{\2}"),
        (r"\((?:\\(?:text|mathrm)\{ ?mod ?\}|\\[bp]?mod|mod) ?([^()]+)\)$", r"\\pmod{\1}"),
        (r"\\pmod ?(\w)$", r"\\pmod{\1}"),
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
        (rf"(?<=[\d}}]) ?{_OPEN}?\(((?:[a-zA-Z]{{2,}}[ ^\d]*)+)\)\}}?$", r"\\text{\1}"),
        (r"^\\# ?(?=\d)", ""),
    )
)
_SCIENTIFIC = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?![\w.])")
_AND_PART = re.compile(r"^(-?\d+)(?: and |\\text\{and\})(?:(\d+)/(\d+))$")
_PLAIN_UNIT = re.compile(
    r"(-?\d+(?:\.\d+)?(?:/\d+|\\frac\{\d+\}\{\d+\})?)( ?)"
    r"([A-Za-z]+(?:\^\{?-?\d\}?)?(?:(?:/| |\*|\\cdot ?)[A-Za-z]+(?:\^\{?-?\d\}?)?)*)"
)
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {word: n for n, word in enumerate(_ONES.split())}
_NUMBERS |= {word: 10 * n for n, word in enumerate(_TENS.split(), 2)}


@lru_cache(maxsize=1024)
def reworded(text: str) -> str:
    """A normalised answer in the words of the grammar, without its label and without conditions that say nothing."""
    if words := plain_words(text):
        known = _IN_WORDS.get(words) or spoken(words)
        return text if known is None else known
    if text.startswith("\\forall"):
        text = re.sub(r"^\\forall ?([^,:]+)[,:](?=.)", _quantified, text)
    if "and a" in text:
        text = _HALF.sub(lambda m: rf"{m[1]}\frac{{1}}{{{_PARTS[m[2]]}}}", text)
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


def readings(text: str) -> list[str]:
    """The text first, then other texts that people mean by it, each for one convention.

    2.5e-7 in scientific notation, 10 m/s with units in plain letters, 2 and 1/2 as a mixed number. The first reading
    of each (a constant e, variables, two values) cannot be what the other side says if the second one is.
    """
    found = [text, _SCIENTIFIC.sub(r"\1\\cdot10^{\2}", text), _AND_PART.sub(r"\1\\frac{\2}{\3}", text)]
    measured = _PLAIN_UNIT.fullmatch(text)
    if measured and _is_unit(measured[2], measured[3]):
        found.append(rf"{measured[1]}\text{{{measured[3]}}}")
    return list(dict.fromkeys(found))


def _is_unit(space: str, letters: str) -> bool:
    """Are these letters behind a number a unit? One letter alone only behind a space."""
    symbols = re.findall(r"[A-Za-z]+", letters)
    if not all(s in SYMBOLS or s in LETTERS for s in symbols):
        return False
    return bool(space) or len(symbols) > 1 or len(symbols[0]) > 1


def choice(text: str) -> tuple[str, str] | None:
    r"""`\textbf{(C)}58` and `C) 58` as ("C", "58"), the value empty for a letter alone; None if it is no choice."""
    found = _CHOICE.match(text)
    if not found:
        return None
    if found["c"]:
        return found["c"], ""
    more = found["more"].removeprefix("}").strip(" .:")
    if found["a"] is None and not more and not text.endswith((")", ").", ".", ":")):
        return None
    if more.count("}") > more.count("{"):  # the letter and the value stand in one command
        more = more.removesuffix("}")
    unwrapped = _TEXT.fullmatch(more)
    return found["a"] or found["b"], unwrapped[1] if unwrapped else more


def plain_words(text: str) -> str | None:
    r"""Words without their wrappers and case, as in `\text{No solution}` and `no solution`; None if it is more."""
    words = " ".join(_TEXT.sub(lambda m: f" {m.group(1)} ", text).split()).strip(" .")
    return words.casefold() if _WORDS.fullmatch(words) else None


def spoken(words: str) -> str | None:
    """Digits for a whole number below a hundred in words, alone or before others, or for a simple fraction, else None."""
    sign, tokens = "", [w for w in words.replace("-", " ").split() if w != "and"]
    if tokens[:1] in (["minus"], ["negative"]):
        sign, tokens = "-", tokens[1:]
    if len(tokens) == 2 and (part := _PARTS.get(tokens[1].removesuffix("s").replace("halve", "half"))):
        top = 1 if tokens[0] in ("a", "one") else _NUMBERS.get(tokens[0])
        return None if top is None else sign + str(Fraction(top, part))
    values = [_NUMBERS[w] for w in takewhile(_NUMBERS.__contains__, tokens)]
    rest = " ".join(tokens[len(values) :])
    if not values or len(values) > 2 or (len(values) == 2 and not (values[0] >= 20 and 0 < values[1] < 10)):
        return None
    return f"{sign}{sum(values)}" + (rf"\text{{{rest}}}" if rest else "")


def flat(text: str) -> str:
    """Without the commands around words, so that `2\\text{ hours }30\\text{ minutes}` is `2 hours 30 minutes`."""
    return " ".join(_TEXT.sub(lambda m: f" {m.group(1)} ", text).split())


def decimal_comma(text: str) -> str | None:
    """`0,125` and `1000,99` with a point instead; None if the text is not such a number."""
    return text.replace(",", ".") if re.fullmatch(r"-?\d+,\d+", text) else None
