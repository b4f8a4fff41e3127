r"""Is a final answer equal to the reference? Exact, fast, and never by accident.

The pipeline: cut the thinking, read the last box, normalise the LaTeX, compare as strings, parse, take apart
(`structure`), compare values exactly (`exact`); what that cannot decide goes to SymPy in a worker process with
limits on time and memory (`workers`). Nothing is accepted because its digits agree, so 12345 is not 12346.
Where nothing can tell, the verdict is `unscored` with the reason, never a 0 or a 1.

Modes: `symbolic` (default); `strict`, equal after `normalize`, the paper's "exactly matches"; `math-verify`, the
package's verdict; `release`, the authors' code (`release.py`), for comparison with their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from typing import Literal

from promptcot.records import Verdict
from promptcot.verify.boxes import after_thinking, balanced, extract_boxed
from promptcot.verify.exact import TooLarge, Undecided, Undefined, form
from promptcot.verify.golds import answer_text
from promptcot.verify.judges import Exact, Open
from promptcot.verify.latex import parse
from promptcot.verify.options import option
from promptcot.verify.phrases import (
    decimal_comma,
    flat,
    one_letter,
    plain_words,
    readings,
    reworded,
    same_words,
)
from promptcot.verify.release import extract_release, release_equal
from promptcot.verify.spelling import normalize
from promptcot.verify.structure import APPROX_DIGITS, same_answer
from promptcot.verify.tokens import MAX_CHARS, Mismatch, Unreadable
from promptcot.verify.tree import Node
from promptcot.verify.unread import differ_anyway, never_means
from promptcot.verify.workers import POOL, Bounds, WorkerFailed

__all__ = [
    "MODES",
    "Mode",
    "after_thinking",
    "check_answer",
    "compare",
    "equivalent",
    "extract_boxed",
    "normalize",
]

Mode = Literal["symbolic", "strict", "math-verify", "release"]
MODES: tuple[Mode, ...] = ("symbolic", "strict", "math-verify", "release")
Judged = tuple[Verdict, str]
_EQUAL: Judged = (Verdict.CORRECT, "equal")
_DIFFERENT: Judged = (Verdict.INCORRECT, "different")
_MAX_WORDS = 8  # of an answer in words; a longer one is prose
_OPTION = re.compile("[A-H]+")
_INTEGER = re.compile(r"-?[0-9]{1,1000}")


def check_answer(
    gold: str | None,
    text: str,
    finished: bool = True,
    mode: Mode = "symbolic",
    bounds: Bounds | None = None,
) -> Judged:
    """Judge a model's text against a reference answer.

    Args:
        gold: The reference, without a box around it.
        text: The whole completion, thinking included.
        finished: False if it was cut at the token limit; such a text has no answer, whatever it contains.
        mode: How answers are compared; `release` also reads the text as the released code does.
        bounds: Limits of the worker, where one is needed.

    Returns:
        The verdict and a reason: `truncated`, `no_box`, or one of `compare`'s.
    """
    if gold is None or not _readable(gold):
        return Verdict.UNSCORED, "unreadable_gold"
    if mode == "release":
        prediction = extract_release(text)
    elif not finished or after_thinking(text) is None:
        return Verdict.NO_ANSWER, "truncated"
    else:
        prediction = extract_boxed(text)
    return (
        (Verdict.NO_ANSWER, "no_box")
        if prediction is None
        else compare(gold, prediction, mode, bounds=bounds)
    )


def compare(
    gold: str | None,
    prediction: str | None,
    mode: Mode = "symbolic",
    *,
    digits: int = APPROX_DIGITS,
    bounds: Bounds | None = None,
) -> Judged:
    """Judge a bare answer against a reference. Never raises; order matters little, but `x + y = 5` answers 5.

    Args:
        gold: The reference.
        prediction: The content of a box.
        mode: See the module's docstring.
        digits: A decimal with this many correct significant digits equals an exact value.
        bounds: Limits of the worker, where one is needed.

    Returns:
        `correct` with `equal`; `incorrect` with `different`, `undefined` (1/0), `too_large` (a number of more than
        100,000 bits), `too_long` (more than 4,000 characters, and not the same text) or `unreadable` (outside the
        grammar, and no form of the gold answer); `no_answer` with `empty`; `unscored` with `unreadable` (it may be a
        form of it), `unreadable_gold`, `open: ...` (it depends on how one side is meant), or why no verdict was
        reached: a time limit, a crash, a missing package, digits that agree without a proof.
    """
    if gold is None or not _readable(gold):
        return Verdict.UNSCORED, "unreadable_gold"
    if prediction is None or not prediction.strip():
        return Verdict.NO_ANSWER, "empty"
    if len(prediction) > MAX_CHARS or len(gold) > MAX_CHARS:
        return _EQUAL if gold.strip() == prediction.strip() else (Verdict.INCORRECT, "too_long")
    if not normalize(prediction):
        return Verdict.NO_ANSWER, "empty"
    if mode == "symbolic":
        return _symbolic(gold, prediction, digits, True, bounds or Bounds())
    if mode == "strict":
        return _EQUAL if normalize(gold) == normalize(prediction) else _DIFFERENT
    if mode == "math-verify":
        return _ask(mode, gold, prediction, digits, True, bounds or Bounds())
    return _release(gold, prediction, bounds or Bounds())


def judge_prediction(
    gold: str | None, prediction: str | None, mode: Mode = "symbolic", bounds: Bounds | None = None
) -> Judged:
    r"""As `compare` for a bare answer, as `check_answer` for a text with a box or a thinking block in it."""
    try:
        gold = answer_text(gold)
    except ValueError:  # boxes amid a longer text: nobody knows which is the answer
        return Verdict.UNSCORED, "unreadable_gold"
    if prediction is not None and re.search(r"\\(?:boxed|fbox)|</?think>", prediction):
        return check_answer(gold, prediction, mode=mode, bounds=bounds)
    return compare(gold, prediction, mode, bounds=bounds)


def is_read(answer: str) -> bool:
    """Can an answer equal anything but its own spelling? Not if it is outside the grammar, or a sentence."""
    normal = normalize(answer)
    if option(normal):
        return True
    text = reworded(normal)
    if words := plain_words(text):
        return len(words.split()) <= _MAX_WORDS
    try:
        parse(text)
    except (Unreadable, RecursionError):
        return False
    return True


def letter_of(answer: str) -> str | None:
    """The letter of an answer that names an option, with or without its value; None for any other answer."""
    chosen = option(normalize(answer))
    return chosen[0] if chosen else None


def equivalent(gold: str | None, prediction: str | None) -> bool:
    """Do two answers denote the same value, as far as can be told? Symmetric, for votes.

    None and blank answers equal nothing, themselves included; what cannot be decided counts as different, so a
    vote can lose a majority by it but never gain one.
    """
    if gold is None or prediction is None or not normalize(gold) or not normalize(prediction):
        return False
    if max(len(gold), len(prediction)) > MAX_CHARS:
        return gold.strip() == prediction.strip()
    return _symbolic(gold, prediction, APPROX_DIGITS, False, Bounds())[0] is Verdict.CORRECT


# --- modes


def _symbolic(gold: str, prediction: str, digits: int, loose: bool, bounds: Bounds) -> Judged:
    left, right = normalize(gold), normalize(prediction)
    if left == right:
        return _EQUAL
    if _INTEGER.fullmatch(left) and _INTEGER.fullmatch(right):
        return _EQUAL if int(left) == int(right) else _DIFFERENT

    def same(a: str, b: str) -> Judged:
        return _read(a, b, digits, loose, bounds)

    chosen, given = option(left), option(right)
    if chosen or given:
        return _chosen(chosen or ("", left), given or ("", right), same)
    return same(left, right)


def _chosen(gold: tuple[str, str], prediction: tuple[str, str], same: Callable[[str, str], Judged]) -> Judged:
    """Options as letters, with or without the value that stands there."""
    gold, prediction = (
        (one[1], "") if not one[0] and _OPTION.fullmatch(one[1]) else one for one in (gold, prediction)
    )
    values = (gold[1], prediction[1])
    letters = {gold[0], prediction[0]} - {""}
    if len(letters) == 2:
        return _DIFFERENT
    if gold[0] == prediction[0] and not all(values):
        return _EQUAL
    return same(*values) if all(values) else _DIFFERENT


def _read(left: str, right: str, digits: int, loose: bool, bounds: Bounds) -> Judged:
    """Compare every way in which two normalised answers can be read; the first one that is read says why they differ."""
    left, right = reworded(left), reworded(one_letter(left, right))
    if left == right or flat(left) == flat(right):
        return _EQUAL
    words, said = plain_words(left), plain_words(right)
    if words and said:
        return _EQUAL if same_words(words, said) else _DIFFERENT
    if right == decimal_comma(left) or left == decimal_comma(right):
        return _EQUAL
    verdicts = []
    for a, b in product(readings(left, False), readings(right, loose)):
        verdicts.append(_parsed(a, b, digits, loose, bounds))
        if verdicts[-1] == _EQUAL:
            return _EQUAL
    return next((v for v in verdicts if not v[1].startswith("unreadable")), verdicts[0])


def _parsed(left: str, right: str, digits: int, loose: bool, bounds: Bounds) -> Judged:
    try:
        reference = parse(left)
    except (Unreadable, RecursionError):
        return _DIFFERENT if differ_anyway(left, right) else (Verdict.UNSCORED, "unreadable_gold")
    try:
        given = parse(right)
    except (Unreadable, RecursionError):
        return _unread(reference, right)
    try:
        same = same_answer(reference, given, Exact(), digits, loose)
    except Undecided:
        return _ask("symbolic", left, right, digits, loose, bounds)
    except TooLarge:
        return _oversized(reference)
    except Open as question:
        return Verdict.UNSCORED, f"open: {question}"
    except Undefined:
        return _undefined(reference)
    except Mismatch:
        return _DIFFERENT
    except (Unreadable, RecursionError):
        return _unread(reference, right)
    return _EQUAL if same else _DIFFERENT


def _unread(gold: Node, prediction: str) -> Judged:
    """An answer outside the grammar is wrong only if it is no spelling of the gold answer under any reading."""
    return (Verdict.INCORRECT if never_means(prediction, gold) else Verdict.UNSCORED), "unreadable"


def _ask(mode: str, gold: str, prediction: str, digits: int, loose: bool, bounds: Bounds) -> Judged:
    """The verdict of a worker process."""
    package = "math_verify" if mode == "math-verify" else "sympy"
    request = {"mode": mode, "gold": gold, "prediction": prediction}
    if mode != "math-verify":
        request |= {"digits": digits, "loose": loose}  # type: ignore[dict-item]
    try:
        reply = POOL.ask(request, package, bounds)
    except WorkerFailed as failure:
        return Verdict.UNSCORED, _install(str(failure))
    if reply["equal"] is None:
        return Verdict.UNSCORED, str(reply["reason"])
    return (Verdict.CORRECT if reply["equal"] else Verdict.INCORRECT), str(reply["reason"])


def _install(failure: str) -> str:
    word, _, package = failure.partition(" ")
    if word != "missing":
        return failure
    return f"needs the package '{package.replace('_', '-')}': pip install 'promptcot[verify]'"


def _release(gold: str, prediction: str, bounds: Bounds) -> Judged:
    failures = []

    def symbolic(a: str, b: str) -> bool:
        verdict, reason = _ask("release", normalize(a), normalize(b), APPROX_DIGITS, True, bounds)
        if verdict is Verdict.UNSCORED:
            failures.append(reason)
        return verdict is Verdict.CORRECT

    same = release_equal(normalize(gold), normalize(prediction), symbolic)
    if failures and not same:
        return Verdict.UNSCORED, failures[0]
    return _EQUAL if same else _DIFFERENT


# --- what can be judged at all


def _readable(gold: str) -> bool:
    return balanced(gold) and normalize(gold) != ""


def _oversized(gold: Node) -> Judged:
    """A gold answer that is too large cannot be judged; a prediction that is, next to one that is not, is wrong."""
    if _too_large(gold):
        return Verdict.UNSCORED, "the gold answer is too large to compare"
    return Verdict.INCORRECT, "too_large"


def _undefined(gold: Node) -> Judged:
    """A prediction without a value, as 1/0, is wrong, unless it is the gold answer that has none."""
    try:
        form(gold)
    except Undefined:
        return Verdict.UNSCORED, "unreadable_gold"
    except (Undecided, TooLarge, Unreadable):
        pass
    return Verdict.INCORRECT, "undefined"


def _too_large(node: Node) -> bool:
    try:
        form(node)
    except TooLarge:
        return True
    except (Undecided, Unreadable):
        return any(_too_large(a) for a in node.args)
    return False
