r"""Options of a multiple choice: `\textbf{(C) } 58`, `C. 58`, `Option C`, `A, B and D`."""

from __future__ import annotations

import re

from promptcot.verify.spelling import TEXT_COMMANDS
from promptcot.verify.units import denies

_LETTER = "[A-H]"
_OPEN = rf"(?:{TEXT_COMMANDS}\{{ ?)"
_TEXT = re.compile(TEXT_COMMANDS + r"\{([^{}]*)\}")
_NAMED = r"(?:(?:the )?(?:correct |right |final )?(?:option|choice|answer)(?: is)?(?: option| choice)?:? ?|[\u9009\u9078\u7b54\u6848\u4e3a\u662f:]+)"
_ONE = re.compile(
    rf"^{_OPEN}?(?i:{_NAMED})?{_OPEN}?(?:\((?P<a>{_LETTER})\)|(?P<b>{_LETTER})(?:[).:]|,(?=[^A-H ])))(?P<more>(?!\}}?[+*/^=,;]).*)$"
    rf"|^{_OPEN}?(?i:{_NAMED})(?P<c>{_LETTER})\}}?$"
)
_SEVERAL = re.compile(rf"^\(?{_LETTER}\)?(?:(?:,| and |\.| |,and )?\(?{_LETTER}\)?)+\.?$")


def option(text: str) -> tuple[str, str] | None:
    r"""`\textbf{(C)}58` and `C) 58` as ("C", "58"), the value empty for a letter alone; None if it is no option.

    Several letters (`A, B, D`) are one answer, in alphabetical order; a letter with doubts behind it ("(A) is wrong") is none.
    """
    plain = _TEXT.sub(lambda m: m[1], text)
    if _SEVERAL.match(plain) and (plain.isalpha() is False or "".join(sorted(set(plain))) == plain):
        letters = re.findall(_LETTER, plain.replace("and", ""))
        return ("".join(sorted(letters)), "") if len(set(letters)) == len(letters) else None
    found = _ONE.match(text)
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
    value = unwrapped[1] if unwrapped else more
    if denies(value) or re.search(rf"\(?\b{_LETTER}\)|^(?:and|or|is|was)\b", value):
        return None
    return found["a"] or found["b"], value
