"""What servers answer: hidden thoughts, parts, other names of an end, odd shapes. A reading or a reason, never a traceback."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.errors import UserError
from promptcot.lm import replies
from promptcot.lm.faults import BadReply, ServerUnavailable, Trouble, message, refusal, seconds, status_within
from promptcot.lm.server import Server

USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
SERVER = Server(base_url="http://127.0.0.1:9/v1", deadline_s=100.0)


def chat(content: Any = "hello", finish: Any = "stop", usage: Any = None, **more: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": content, **more}
    choice = {"index": 0, "message": {k: v for k, v in said.items() if v is not ...}, "finish_reason": finish}
    return {"choices": [choice], **({"usage": usage} if usage else {})}


def read(reply: Any) -> tuple[str, str]:
    found = replies.chat(reply)
    return found["text"], found["finish"]


@pytest.mark.parametrize("usage", [None, USAGE])
@pytest.mark.parametrize("content", [None, "", ..., []])
def test_an_answer_whose_tokens_went_into_hidden_thoughts_is_one_cut_at_the_limit(
    content: Any, usage: Any
) -> None:
    found = replies.chat(chat(content, "length", usage))
    assert (found["text"], found["finish"], found["tokens"]) == ("", "length", 5 if usage else None)


@pytest.mark.parametrize("content", [None, "", ..., []])
def test_an_answer_of_nothing_is_one_only_where_tokens_were_spent(content: Any) -> None:
    assert read(chat(content, "stop", USAGE)) == ("", "stop")
    with pytest.raises(BadReply, match="empty_reply"):
        replies.chat(chat(content, "stop"))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "hello"}], "hello"),
        ([{"type": "text", "text": "a"}, {"type": "output_text", "text": " b"}, " c"], "a b c"),
        ([{"text": "hello"}], "hello"),
        ({"type": "text", "text": "hello"}, "hello"),
        ([{"type": "text", "text": {"value": "hello", "annotations": []}}], "hello"),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "hello"}], "<think>\nhm\n</think>\n\nhello"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "hello"}],
         "<think>\nhm\n</think>\n\nhello"),
        ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, {"type": "text", "text": "hello"}],
         "<think>\nhm\n</think>\n\nhello"),
        ([{"type": "redacted_thinking", "data": "AAAA"}, {"type": "text", "text": "hello"}], "hello"),
        ([{"type": "refusal", "refusal": "I will not."}], "I will not."),
    ],
)  # fmt: skip
def test_content_in_parts_is_its_text_with_the_thoughts_before_it(content: Any, text: str) -> None:
    assert read(chat(content)) == (text, "stop")


@pytest.mark.parametrize("part", [{"type": "image_url", "image_url": {}}, {"type": "tool_use"}, 5, [1]])
def test_other_parts_are_named(part: Any) -> None:
    with pytest.raises(BadReply, match="a content part of type"):
        replies.chat(chat([{"type": "text", "text": "a"}, part]))


@pytest.mark.parametrize(
    "more",
    [
        {"reasoning_content": "hm"}, {"reasoning": "hm"}, {"reasoning_content": "hm", "reasoning": "hm"},
        {"reasoning_content": None, "reasoning": "hm"}, {"thinking": "hm"}, {"reasoning": {"content": "hm"}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "h"}, {"type": "reasoning.text", "text": "m"}]},
    ],
)  # fmt: skip
def test_thoughts_stand_before_the_answer_whatever_their_field(more: dict[str, Any]) -> None:
    assert read(chat("hello", **more)) == ("<think>\nhm\n</think>\n\nhello", "stop")
    assert read(chat(None, "length", **more)) == ("<think>\nhm\n</think>\n\n", "length")


def test_a_refusal_without_content_is_what_the_model_said() -> None:
    assert read(chat(None, refusal="I will not.")) == ("I will not.", "stop")


@pytest.mark.parametrize(
    ("names", "finish"),
    [
        (["stop", "STOP", "eos", "eos_token", "end_turn", "END_TURN", "stop_sequence", "stop_token", "completed", "COMPLETE",
          "FinishReason.STOP", "FINISH_REASON_STOP", "end-of-turn", "endTurn", {"type": "stop", "matched": 2}], "stop"),
        (["length", "max_tokens", "MAX_TOKENS", "FinishReason.MAX_TOKENS", "max_new_tokens", "max_output_tokens",
          "token_limit", "model_length", "model_context_window_exceeded", "MaxTokens", {"type": "length", "length": 8}],
         "length"),
    ],
)  # fmt: skip
def test_names_of_an_end(names: list[Any], finish: str) -> None:
    for name in names:
        assert read(chat(finish=name)) == ("hello", finish)
        assert replies.completion({"choices": [{"text": "a", "finish_reason": name}]})["finish"] == finish


@pytest.mark.parametrize(
    "name", ["content_filter", "SAFETY", "refusal", "content_filtered", "guardrail_intervened"]
)
def test_what_a_server_withholds_is_not_asked_for_again(name: str) -> None:
    with pytest.raises(BadReply, match="content_filter") as caught:
        replies.chat(chat(finish=name))
    assert not caught.value.again


@pytest.mark.parametrize(
    "name", [None, "", "tool_calls", "function_call", "abort", "error", "pause_turn", "unstopped", 5, True, ["stop"], {"a": 1}]
)  # fmt: skip
def test_an_end_of_another_name_is_neither_finished_nor_cut_but_named(name: Any) -> None:
    said = None if isinstance(name, dict) else name
    with pytest.raises(BadReply) as caught:
        replies.chat(chat(finish=name))
    assert f"finish_reason {said!r}" in caught.value.detail
    assert caught.value.again


def test_an_error_within_a_choice_is_told() -> None:
    reply = chat("", "error")
    reply["choices"][0]["error"] = {"message": "provider went away"}
    with pytest.raises(BadReply, match="provider went away"):
        replies.chat(reply)


@pytest.mark.parametrize(
    ("told", "logps"),
    [
        (None, None), ({}, None), ([], None), ("no", None), ({"token_logprobs": None}, None), ({"content": None}, None),
        ({"token_logprobs": [-1.5, -2]}, [-1.5, -2.0]), ({"content": [{"logprob": -1.5}, {"logprob": -2}]}, [-1.5, -2.0]),
    ],
)  # fmt: skip
def test_log_probs_in_their_shapes(told: Any, logps: Any) -> None:
    reply = {"choices": [{"text": "ab", "finish_reason": "stop", "logprobs": told, "token_ids": [5, 6]}]}
    assert replies.completion(reply)["logps"] == logps


@pytest.mark.parametrize("bad", [None, "a", True, 0.5, float("nan"), -float("inf"), -(10**400), {}])
def test_a_log_prob_that_is_none_is_not_used(bad: Any) -> None:
    for told in ({"token_logprobs": [bad]}, {"content": [{"logprob": bad}]}, {"content": [bad]}):
        with pytest.raises(BadReply, match="bad_logprobs"):
            replies.completion({"choices": [{"text": "a", "finish_reason": "stop", "logprobs": told}]})


def test_counts_are_used_only_where_they_are_some() -> None:
    odd: list[Any] = [None, [], *({"completion_tokens": n} for n in ("5", -1, 10**400, 5.5, True))]
    for usage in odd:
        found = replies.chat({**chat(), "usage": usage})
        assert (found["prompt_tokens"], found["tokens"]) == (None, None)
    found = replies.chat(chat(usage={"prompt_tokens": 0, "completion_tokens": 5}))
    assert (found["prompt_tokens"], found["tokens"]) == (None, 5)  # nobody reads a prompt of no tokens
    assert replies.chat(chat(usage={"input_tokens": 3, "output_tokens": 5}))["prompt_tokens"] == 3


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 1 << 63])
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def filled(*names: str) -> st.SearchStrategy[Any]:
    """Objects with some of these fields, holding anything."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, JSON))


PART = filled("type", "text", "thinking", "content", "value") | JSON
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "content": st.lists(PART, max_size=3) | JSON,
        "reasoning": PART,
        "refusal": JSON,
        "tool_calls": JSON,
    },
)
LOGPROBS = filled("token_logprobs", "tokens", "content", "text_offset") | st.fixed_dictionaries(
    {},
    optional={
        "content": st.lists(filled("logprob", "token"), max_size=3),
        "tokens": st.just(["token_id:5", "token_id:x"]),
    },
)
CHOICE = st.fixed_dictionaries(
    {},
    optional={
        "message": MESSAGE | JSON, "text": JSON, "finish_reason": st.sampled_from(["stop", "length"]) | JSON,
        "logprobs": LOGPROBS | JSON, "token_ids": JSON, "prompt_logprobs": JSON, "index": JSON, "error": JSON,
    },
)  # fmt: skip
REPLY = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(CHOICE | JSON, min_size=1, max_size=2) | JSON,
                  "usage": filled("prompt_tokens", "completion_tokens") | JSON, "error": JSON, "detail": JSON,
                  "meta_info": filled("input_token_logprobs", "output_token_logprobs") | JSON},
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(REPLY | JSON)
def test_any_json_is_read_or_a_bad_reply(reply: Any) -> None:
    readers = [
        replies.completion, replies.chat, replies.sglang_drawn, *(
            lambda reply, read=read: read(reply, [5, 6])
            for read in (replies.prompt_logprobs, replies.echoed, replies.sglang)
        ),
    ]  # fmt: skip
    for read in readers:
        with suppress(BadReply):
            json.dumps(read(reply), allow_nan=False)
    status_within(reply)
    message(json.dumps(reply).encode())


# statuses


def test_retry_after_in_its_forms() -> None:
    for said, expected in {
        "120": 120, "0.5": 0.5, " 7 ": 7, "1m30s": 90, "250ms": 0.25, "2h": 7200, "1d": 86400, "6m0s": 360, "1.5s": 1.5,
        "": 0, "-5": 0, "soon": 0, "nan": 0, "inf": 0, "1e999": 0, "Wed, 21 Oct 2015 07:28:00 GMT": 0, "2015-10-21": 0,
        "Wed, 99 Oct 2015 07:28:00 GMT": 0, "\ud800": 0,
    }.items():  # fmt: skip
        assert seconds(said) == expected, said
    assert seconds(None) == 0
    later = "Fri, 31 Dec 2100 23:59:59 GMT", "Fri, 31 Dec 2100 23:59:59 +0000", "2100-12-31T23:59:59Z"
    assert min(map(seconds, later)) > 1e9


def test_a_pause_that_no_row_can_wait_for_stops_the_run_instead_of_rejecting_its_rows() -> None:
    short = refusal(SERVER, "m", 429, "slow down", "100")
    assert isinstance(short, Trouble)
    assert (short.kind, short.wait_s) == ("too_much", 100.0)
    with pytest.raises(
        ServerUnavailable, match=r"429: daily limit \(and asks for a pause of 86400 s\)[\s\S]*100 s"
    ):
        raise refusal(SERVER, "m", 429, "daily limit", "86400")


@pytest.mark.parametrize(
    ("status", "said"), [(402, "Insufficient Balance"), (429, "insufficient_quota: check your plan")]
)
def test_an_empty_account_stops_the_run(status: int, said: str) -> None:
    with pytest.raises(UserError, match="credit left"):
        raise refusal(SERVER, "m", status, said, None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no"}}', "no"), (b'{"error": "no"}', "no"), (b'{"detail": "no"}', "no"),
        (b'{"error": null, "message": "no"}', "no"), (b'{"object": "error", "message": "no", "code": 400}', "no"),
        (b"<html><h1>502</h1></html>", "<html><h1>502</h1></html>"), (b"", ""), (b"[" * 100_000, "[" * 100_000),
        (b'{"detail": [{"loc": ["body", "seed"], "msg": "no"}]}', "[{'loc': ['body', 'seed'], 'msg': 'no'}]"),
    ],
    ids=lambda value: repr(value[:12]),
)  # fmt: skip
def test_what_an_error_says(body: bytes, said: str) -> None:
    assert message(body) == said


def test_a_status_within_a_good_reply_counts() -> None:
    assert status_within({"error": {"code": 429, "message": "rate"}}) == 429
    assert status_within({"error": {"code": "503"}}) == 503
    others: list[Any] = [
        *({"error": {"code": code}} for code in ("rate_limit", 200, 4290, None)),
        {"error": "429"},
        [],
    ]
    for reply in others:
        assert status_within(reply) == 0
