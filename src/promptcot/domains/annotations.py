r"""What annotators answered: a list of concepts, a rationale. Their LaTeX comes out as they wrote it.

Models write `"\theta"` and `"\\theta"` alike in what they call JSON or Python, and both languages read the first as a
tab and "heta". So a list is scanned here and never evaluated, by these rules for a text in quotes:

* `r"..."` is taken as it is; `\"` and `\'` are quotes, but for an accent within a word in quotes of the other kind;
* two backslashes are one, unless the text writes commands with one backslash; there they are a line break of LaTeX, and
  one backslash only before two letters or more;
* one backslash before a letter begins a command (`\theta`, `\frac`, `\beta`), with two exceptions: characters by their
  number (`\u00e9`, `\xe9`, `\N{...}`), and `\n`, `\t`, `\r`, which are white space where no lower-case letter follows.
  `\n` is so before lower-case letters too (`\nthen`), unless both make a command (`\nu`, `\neq`) or the text has others;
* one backslash before anything else stays (`\(`, `\{`, `\,`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from promptcot.records import is_text

_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[^\n`]*\n(.*?)^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)
_SKIPPED = r"(?:\s|#[^\n]*(?:\n|\Z)|//[^\n]*(?:\n|\Z))*"  # white space and comments
_SKIP = re.compile(_SKIPPED)
_OPEN = re.compile(
    rf"(?P<named>[\"'][\w ]*[Cc]oncepts[\"']\s*:\s*)?\[(?={_SKIPPED}(?:[rRuUbBfF]{{0,2}}[\"'“‘]|\{{))"
)
_QUOTE = re.compile(r"([rRuUbBfF]{0,2})(\"\"\"|'''|[\"'“‘])")
_CLOSING = {"“": "”", "‘": "’"}
_SCALAR = re.compile(r"-?\d[\d_.eE+-]*|true|false|null|True|False|None")
_KEYS = ("concept", "name", "title", "text", "topic")
MAX_TRIES = 64  # of openings that turn out to be no list

_MARK = r"[ \t]*(?:[-*+•‣◦·–]|\(?\d{1,2}[.):]|\(?[a-z][.)])[ \t]+"
_BULLET = re.compile(
    rf"^(?=([ \t]*)){_MARK}(?=[^\n]*[^\W\d_])(\S[^\n]*)((?:\n(?!{_MARK})[ \t]+\S[^\n]*)*)$", re.MULTILINE
)
_BOLD = re.compile(r"\*\*(.+?)\*\*|__(.+?)__")

_TOKEN = re.compile(
    r"\\(?:(?P<pair>\\)|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|x(?P<x>[0-9a-fA-F]{2})|N\{(?P<name>[A-Z0-9 -]+)\}"
    r"|(?P<letters>[A-Za-z]+)|(?P<other>.)|\Z)",
    re.DOTALL,
)
_WHITE = {"n": "\n", "t": "\t", "r": "\r"}
# The commands that begin with n; what else begins with a letter is no escape of both languages that anybody writes.
_COMMANDS = frozenset(
    [
        "nu",
        "ne",
        "neq",
        "neg",
        "nabla",
        "not",
        "notin",
        "nmid",
        "nparallel",
        "ni",
        "natural",
        "ncong",
        "nleq",
        "ngeq",
        "nless",
        "ngtr",
        "nleqslant",
        "ngeqslant",
        "nsim",
        "nsubset",
        "nsupset",
        "nsubseteq",
        "nsupseteq",
        "nexists",
        "nolimits",
        "nonumber",
        "normalsize",
        "newline",
        "norm",
        "nwarrow",
        "nearrow",
        "nprec",
        "nsucc",
        "null",
        "num",
        "nicefrac",
        "nrightarrow",
        "nleftarrow",
        "nRightarrow",
        "nLeftarrow",
        "nleftrightarrow",
        "nLeftrightarrow",
        "ntriangleleft",
        "ntriangleright",
        "nvdash",
        "nvDash",
        "nVdash",
        "nVDash",
        "nCr",
        "nPr",
        "newcommand",
        "nolinebreak",
    ]
)

_MARKER = re.compile(
    r"(?P<begin>^[ \t>]*)?(?P<heading>\#{1,6}[ \t]*)?[*_\"“`]*thinking[ ]process[*_\"”`]*"
    r"(?:[ \t]*[:\uff1a][*_\"”`]*|(?P<alone>[ \t]*$))",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)


class _NoList(Exception):
    pass


def parse_concepts(text: str) -> list[str] | None:
    """The concepts in an annotator's answer; None if there are none.

    The last list of texts, or of mappings with a `concept`, in the last code fence that has one, else in the whole answer;
    where there is no list, the lines of its longest enumeration.
    """
    bodies = [*(body for _, body in reversed(_FENCE.findall(text))), text]
    for read in (_last_list, _enumerated):
        for body in bodies:
            found = [c for c in map(str.strip, read(body)) if c and is_text(c)]
            if found:
                return found
    return None


def parse_rationale(text: str) -> str | None:
    """What follows "Thinking Process:", however the marker is set (bold, a heading); None when it or the text is missing."""
    found = list(_MARKER.finditer(text))
    begun = [m for m in found if m["begin"] is not None]  # a line; else the marker needs its colon
    marker = next(iter(begun or [m for m in found if m["alone"] is None]), None)
    if marker is None:
        return None
    rest = text[marker.end() :].strip()
    if rest.endswith("```") and rest.count("```") % 2:  # of a fence around the whole answer
        rest = rest.removesuffix("```").rstrip()
    return rest or None


# --- lists


def _last_list(text: str) -> list[str]:
    found: list[tuple[bool, list[str]]] = []
    at, tries = 0, 0
    while (opening := _OPEN.search(text, at)) and tries < MAX_TRIES:
        try:
            items, at = _list(text, opening.end())
        except (_NoList, RecursionError):
            at, tries = opening.end(), tries + 1
        else:
            if items:
                found.append((opening["named"] is not None, items))
    return max(reversed(found), key=lambda one: one[0], default=(False, []))[1]


def _list(text: str, at: int) -> tuple[list[str], int]:
    """(the texts in it, where it ends) of a list that begins at `at`, behind its bracket."""
    items: list[str] = []
    while text[at := _skip(text, at)] != "]":
        item, at = _value(text, at)
        if item is not None:
            items.append(item)
        at = _skip(text, at)
        if text[at] == ",":
            at += 1
        elif text[at] != "]":
            raise _NoList
    return items, at + 1


def _skip(text: str, at: int) -> int:
    """Where white space and comments end. Raises _NoList: so does the text."""
    match = _SKIP.match(text, at)
    assert match is not None
    if match.end() == len(text):
        raise _NoList
    return match.end()


def _value(text: str, at: int) -> tuple[str | None, int]:
    """A text, the concept of a mapping, or None for a value that is neither; and where it ends."""
    if text[at] == "{":
        return _mapping(text, at + 1)
    if scalar := _SCALAR.match(text, at):
        return None, scalar.end()
    parts = []
    while quote := _QUOTE.match(text, at):  # Python joins texts that stand side by side
        part, at = _quoted(text, quote)
        parts.append(part)
        at = _skip(text, at)
    if not parts:
        raise _NoList
    return "".join(parts), at


def _mapping(text: str, at: int) -> tuple[str | None, int]:
    found: dict[str, str] = {}
    while text[at := _skip(text, at)] != "}":
        key, at = _value(text, at)
        at = _skip(text, at)
        if key is None or text[at] != ":":
            raise _NoList
        value, at = _value(text, _skip(text, at + 1))
        if value is not None:
            found.setdefault(key.lower(), value)
        at = _skip(text, at)
        if text[at] == ",":
            at += 1
        elif text[at] != "}":
            raise _NoList
    return next((found[k] for k in _KEYS if k in found), next(iter(found.values()), None)), at + 1


def _quoted(text: str, quote: re.Match[str]) -> tuple[str, int]:
    """The text behind this quote, and where it ends."""
    prefix, mark = quote.groups()
    closing = _CLOSING.get(mark, mark)
    begin = at = quote.end()
    while True:
        end = text.find(closing, at)
        if end < 0:
            raise _NoList
        before = len(text[begin:end]) - len(text[begin:end].rstrip("\\"))
        if before % 2 == 0 and not (closing in "'’" and _is_apostrophe(text, end)):
            body = text[begin:end]
            return body if "r" in prefix.lower() else unescaped(body, closing[0]), end + len(closing)
        at = end + 1


def _is_apostrophe(text: str, at: int) -> bool:
    """As in 'Euler's theorem', which nobody escaped."""
    return text[at - 1].isalpha() and text[at + 1 : at + 2].isalpha()


def _enumerated(text: str) -> list[str]:
    """The items of the longest run of bullets or numbers, the last among equals, without the enumerations within them and
    without what explains a bold title in lines of its own."""
    runs: list[list[str]] = [[]]
    end, indent = 0, ""
    for bullet in _BULLET.finditer(text):
        if text[end : bullet.start()].strip():
            runs.append([])
        if not runs[-1]:
            indent = bullet[1]
        if len(bullet[1]) <= len(indent):
            item = bullet[2] if _BOLD.fullmatch(bullet[2]) else " ".join((bullet[2] + bullet[3]).split())
            item = _BOLD.sub(lambda m: m[1] or m[2], item).rstrip(",")
            runs[-1].append(item.strip("\"'`“”"))
        end = bullet.end()
    best = max(reversed(runs), key=len)
    return best if len(best) > 1 else []


# --- texts in quotes


def unescaped(text: str, quote: str) -> str:
    """What stands between two quotes, by the module's rules."""
    if "\\" not in text:
        return text
    single = any(_begins_command(token) for token in _TOKEN.finditer(text))
    made = "".join(_read(text, quote, single))
    try:  # two halves of a surrogate pair are a character
        return made.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return made


def _begins_command(token: re.Match[str]) -> bool:
    """Is this one backslash that only LaTeX could mean?"""
    if letters := token["letters"]:
        return (
            letters in _COMMANDS or letters[0] not in _WHITE or (letters[0] != "n" and letters[1:2].islower())
        )
    return token["other"] is not None and token["other"] not in "\"'/\n" and not token["other"].isdigit()


def _read(text: str, quote: str, single: bool) -> Iterator[str]:
    at = 0
    for token in _TOKEN.finditer(text):
        yield text[at : token.start()]
        at = token.end()
        if token["pair"]:
            yield "\\" if not single or _names_command(text, at) else "\\\\"
        elif code := token["u"] or token["U"] or token["x"]:
            yield chr(int(code, 16)) if int(code, 16) <= 0x10FFFF else token[0]
        elif name := token["name"]:
            try:
                yield unicodedata.lookup(name)
            except KeyError:
                yield token[0]
        elif letters := token["letters"]:
            is_command = _begins_command(token) or (single and letters[1:2].islower())
            yield token[0] if is_command else _WHITE[letters[0]] + letters[1:]
        elif (other := token["other"]) in ("\n", None):
            yield "" if other else "\\"  # a line that goes on; a backslash at the end
        elif other in "\"'":
            accent = other != quote and text[: token.start()][-1:].isalpha() and text[at : at + 1] in _VOWELS
            yield token[0] if accent else other
        else:
            yield "/" if other == "/" else token[0]
    yield text[at:]


_VOWELS = tuple("aeiou{")


def _names_command(text: str, at: int) -> bool:
    """Do letters follow that single backslashes begin commands with elsewhere?"""
    return len(re.match(r"[A-Za-z]*", text[at:])[0]) > 1  # type: ignore[index]
