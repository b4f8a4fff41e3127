"""The difficulty filter, exactly, from fewer attempts than planned.

A problem is `too_easy` when the share of its scored attempts that are right reaches a limit (PAPER section 5: the
paper drops at one half, the release only above it), `never_solved` when none is right, `unscored` when nothing could
be judged. Unscored attempts count neither way, so those to come may be right, wrong, or none of both.
"""

from __future__ import annotations

from typing import Literal

Decision = Literal["kept", "too_easy", "never_solved", "unscored"]


def decide(right: int, scored: int, limit: float, rule: str) -> Decision:
    """The decision once all attempts are there: `right` of `scored`; rule "at" or "above" the limit."""
    if not scored:
        return "unscored"
    if too_easy(right, scored, limit, rule):
        return "too_easy"
    return "kept" if right else "never_solved"


def too_easy(right: int, scored: int, limit: float, rule: str) -> bool:
    """Is the share of right attempts at, or above, the limit? In whole numbers where the limit is a fraction of them."""
    reached = right - limit * scored
    return reached > -1e-9 if rule == "at" else reached > 1e-9


def decide_early(right: int, scored: int, left: int, limit: float, rule: str) -> Decision | None:
    """The decision if the `left` attempts to come cannot change it; None if they can.

    The share is lowest if all to come are wrong, highest if all are right (for a limit below 1 and more attempts
    to come, an unscored one lies between). Only "never solved" and "unscored" wait for the last one.
    """
    if not left:
        return decide(right, scored, limit, rule)
    if right and too_easy(right, scored + left, limit, rule):
        return "too_easy"
    if right and not too_easy(right + left, scored + left, limit, rule):
        return "kept"
    return None
