r"""Mode `release`: answers as the authors' released code compares them, for numbers comparable with theirs.

Written from what that code does (PromptCoT 2.0 release of 2025-10-26, `qwen_math.math_equal` and
`extract_answer`), not from its text. It reads boxes inside the thinking and falls back to the last number.
Known false positives, kept on purpose: 5 = 500 and 100 = 1 (percentages), 12345 = 12346 (relative tolerance
1e-4), (1,2] = [1,2). Kept out on purpose: an empty prediction equal to an empty reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from promptcot.verify.boxes import last_box

TOLERANCE = 1e-4
_NUMBER = re.compile(r"-?\d*\.?\d+")
_UNIT = re.compile(r"\\text\{[^{}]*\}$")
_MATRIX = re.compile(r"\\begin\{[pb]matrix\}(.+)\\end\{[pb]matrix\}", re.DOTALL)
_SEQUENCE = re.compile(r"[(\[].+[)\]]", re.DOTALL)


def extract_release(text: str) -> str | None:
    """The last box anywhere, thinking included; without one the last number of the text."""
    if boxed := last_box(text).strip():
        return boxed
    numbers = _NUMBER.findall(text.replace(",", ""))
    return numbers[-1] if numbers else None


def release_equal(gold: str, prediction: str, symbolic: Callable[[str, str], bool]) -> bool:
    """The release's comparison; `symbolic` is asked last, about two expressions."""
    gold, prediction = (_UNIT.sub("", text.strip()) or text for text in (gold, prediction))
    if gold.lower() == prediction.lower():
        return True
    if gold in ("A", "B", "C", "D", "E"):
        letters = re.findall(r"\b([A-E])\b", prediction.upper())
        if letters and letters[-1] == gold:
            return True
    left, right = _number(gold), _number(prediction)
    if left is not None and right is not None:
        return any(_close(right, value) for value in (left / 100, left, left * 100))
    if _bare(gold) == _bare(prediction):
        return True
    if _SEQUENCE.fullmatch(gold) and _SEQUENCE.fullmatch(prediction):
        parts = [text[1:-1].split(",") for text in (gold, prediction)]
        if len(parts[0]) == len(parts[1]):
            return all(release_equal(a, b, symbolic) for a, b in zip(*parts, strict=True))
    cells = [_MATRIX.fullmatch(text) for text in (gold, prediction)]
    if cells[0] and cells[1]:
        parts = [re.split(r"\\\\|&", m[1].removesuffix("\\\\")) for m in cells if m]
        return len(parts[0]) == len(parts[1]) and all(
            release_equal(a, b, symbolic) for a, b in zip(*parts, strict=True)
        )
    return _equations(gold, prediction, symbolic)


def _equations(gold: str, prediction: str, symbolic: Callable[[str, str], bool]) -> bool:
    """Two equations by the difference of their sides; a name of at most two characters may be missing."""
    sides = [text.split("=") for text in (gold, prediction)]
    if len(sides[0]) == len(sides[1]) == 2:
        a, b = (f"({left})-({right})" for left, right in sides)
        return symbolic(a, b) or symbolic(f"-({a})", b)
    for (one, other), text in ((sides, gold), (sides[::-1], prediction)):
        if len(other) == 2 and len(one) == 1 and len(other[0].strip()) <= 2:
            return release_equal(*((text, other[1]) if text is gold else (other[1], text)), symbolic)
    return symbolic(gold, prediction)


def _number(text: str) -> float | None:
    percent = text.endswith("%")
    try:
        value = float(text.replace(",", "").removesuffix("%").removesuffix("\\"))
    except ValueError:
        return None
    return value / 100 if percent else value


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= TOLERANCE * max(abs(a), abs(b))


def _bare(text: str) -> str:
    """Without brackets, as the release strips them before it compares."""
    return re.sub(r"[\[\](){}]", "", text).lower()
