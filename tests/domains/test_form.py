"""What a complete turn looks like, by model family."""

from __future__ import annotations

import pytest

from promptcot.domains.form import malformed


@pytest.mark.parametrize(
    ("text", "form", "reason"),
    [
        ("It is \\boxed{4}.", "plain", None),
        ("It is \\boxed{4}.", "auto", None),
        ("", "plain", "empty_turn"),
        ("<think>a</think>\\boxed{4}", "plain", "think_tags"),
        ("<think>a</think>\\boxed{4}", "think", None),
        ("<think>a</think>\\boxed{4}", "auto", None),
        ("a</think>\\boxed{4}", "think", None),  # the prompt opened it (Qwen3-Thinking)
        ("It is \\boxed{4}.", "think", "think_block"),
        ("<think>a \\boxed{4}", "auto", "think_block"),
        ("<think>a</think>b<think>c</think>\\boxed{4}", "think", "think_block"),
        ("So <think>a</think>\\boxed{4}", "think", "think_block"),
        ("a</think>b</think>\\boxed{4}", "auto", "think_block"),
        ("<think>a</think>\n ", "think", "empty_turn"),
        ("```python\nprint(1)\n```", "plain", None),
        ("```python\nprint(1)", "plain", "open_fence"),
        (
            "<think>```x</think>```python\nprint(1)\n```",
            "think",
            None,
        ),  # fences in the thinking are its own business
        ("答案是 \\boxed{4}", "plain", "foreign_script"),
        ("정답 \\boxed{4}", "plain", "foreign_script"),
        ("<think>嗯</think>\\boxed{4}", "think", None),
    ],
)
def test_forms(text: str, form: str, reason: str | None) -> None:
    assert malformed(text, form) == reason


def test_a_prompt_in_chinese_may_be_answered_in_chinese() -> None:
    assert malformed("答案是 \\boxed{4}", "plain", "二加二等于几?") is None
