"""Is an assistant's turn complete and well formed? What a model learns from must be one whole turn.

Families: "plain" models answer at once; "think" models write one thinking block first, whose opening may stand in
their prompt (Qwen3-Thinking), so only its end is certain to be in the turn. "auto" takes any thinking tag for a "think"
model, and cannot see that a thinking model forgot both.
"""

from __future__ import annotations

import re

OPEN, CLOSE = "<think>", "</think>"
_FOREIGN = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")  # kana, CJK, Hangul


def malformed(text: str, form: str, prompt: str = "") -> str | None:
    """Why `text` is not a turn to learn from, as a reason code; None if it is one.

    think_block: not exactly one, at the start. think_tags: in a "plain" turn. empty_turn: nothing behind the thinking.
    open_fence: a code block that never ends. foreign_script: Chinese, Japanese or Korean behind the thinking where the
    prompt has none (the released code drops these: models slip into them under self-play).
    """
    opened, closed = text.count(OPEN), text.count(CLOSE)
    if form == "auto":
        form = "think" if opened or closed else "plain"
    answer = text
    if form == "plain":
        if opened or closed:
            return "think_tags"
    else:
        if closed != 1 or opened > 1 or (opened == 1 and not text.lstrip().startswith(OPEN)):
            return "think_block"
        answer = text.partition(CLOSE)[2]
    if not answer.strip():
        return "empty_turn"
    if sum(line.lstrip().startswith("```") for line in answer.split("\n")) % 2:
        return "open_fence"
    if _FOREIGN.search(answer) and not _FOREIGN.search(prompt):
        return "foreign_script"
    return None
