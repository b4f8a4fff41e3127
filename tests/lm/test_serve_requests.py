"""Whatever a client sends to `promptcot serve` is answered, or refused with a reason in JSON, and hurts no other request."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.lm.faulty import Running

from promptcot.lm.serve import application
from promptcot.lm.transformers import TransformersEngine

PATHS = ("/v1/completions", "/v1/chat/completions")
GOOD = {"model": "tiny", "prompt": "the cat", "max_tokens": 6, "seed": 3, "logprobs": 1}


@pytest.fixture(scope="module")
def running(engine: TransformersEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    below = tmp_path_factory.mktemp("below")
    with Running(application("tiny", engine, TransformersEngine, below)) as made:
        yield made


def send(running: Running, path: str, raw: bytes, method: str = "POST", **headers: str) -> tuple[int, Any]:
    """Status and JSON of the reply."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60.0)
    try:
        connection.request(method, path, raw, {"Content-Type": "application/json", **headers})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def base(path: str) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": "tiny", "max_tokens": 3, "seed": 1}
    if path == PATHS[0]:
        return {**asked, "prompt": "ab"}
    return {**asked, "messages": [{"role": "user", "content": "ab"}]}


HALF = "half \ud83d a pair"
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 96, 1 << 31, 1 << 63, 1 << 64, 10**400, -(10**400), 0.5, 1.0, -0.0, 1e-320, 1e-40,
    1e40, 1e308, float("nan"), float("inf"), -float("inf"), "", "a", HALF, "\x00", "\u2028", "é✓", "9", "nan", [], {}, [[]],
    [""], [HALF], [1, "a"], ["a", 1], [True], [None], [[1], 2], [5_000_000], [1, -1], [262], [263], [1 << 70], [0.5],
    {"a": 1}, [{}], [{"role": "user"}], [{"role": "user", "content": HALF}], [{"role": "\ud800", "content": "a"}],
    [{"role": "user", "content": None}], [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
    [{"role": {}, "content": "a"}], [{"role": "user", "content": "a", "tool_calls": [1]}], "x" * 5000, ["x"] * 40,
]  # fmt: skip
JSON = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "model", "prompt", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "n", "seed",
    "stop", "logprobs", "top_logprobs", "prompt_logprobs", "echo", "user", "return_token_ids", "return_tokens_as_token_ids",
    "skip_special_tokens", "spaces_between_special_tokens", "include_stop_str_in_output", "add_special_tokens", "stream",
    "frequency_penalty", "presence_penalty", "repetition_penalty", "repeat_penalty", "min_p", "best_of", "logit_bias",
    "response_format", "tools", "stream_options", "suffix", "unheard_of",
]  # fmt: skip


def well_answered(running: Running, path: str, body: dict[str, Any]) -> None:
    """Choices without NaN, or a refusal with its reason."""
    status, reply = send(running, path, json.dumps(body).encode())
    if status == 200:
        assert reply["choices"]
        json.dumps(reply, allow_nan=False)
    else:
        assert status in (400, 404), reply
        assert reply["error"]["code"] == status
        assert reply["error"]["message"]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("path", PATHS)
def test_every_field_may_hold_anything(running: Running, path: str, field: str) -> None:
    for value in ODD:
        well_answered(running, path, {**base(path), field: value})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PATHS), st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=2, max_size=4))
def test_several_fields_may_hold_anything(running: Running, path: str, change: dict[str, Any]) -> None:
    well_answered(running, path, {**base(path), **change})


# One of each kind, and what the reason names.
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prompt": [1, 5_000_000, 2]}, "token id 5000000"),
        ({"prompt": [1, 263]}, "from 0 to 262"),
        ({"prompt": [-1]}, "token id -1"),
        ({"prompt": [5_000_000], "prompt_logprobs": 0}, "token id 5000000"),
        ({"prompt": [5_000_000], "max_tokens": 0, "echo": True}, "token id 5000000"),
        ({"prompt": [[1, 2], [1 << 70]]}, "token id 1180591620717411303424"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": HALF}, "half of a surrogate pair"),
        ({"user": HALF}, "half of a surrogate pair"),
        ({"temperature": 1e-320}, "temperature 1e-320"),
        ({"temperature": 1e-40}, "temperature 1e-40"),
        ({"temperature": 1e300}, "temperature 1e+300"),
        ({"temperature": 10**400}, "temperature 1000"),
        ({"temperature": float("nan")}, "NaN is no number"),
        ({"temperature": True}, "temperature True"),
        ({"top_p": float("inf")}, "Infinity is no number"),
        ({"top_p": 10**30}, "top_p"),
        ({"n": 10**9}, "1000000000 choices"),
        ({"n": True}, "n True"),
        ({"prompt": ["a"] * 4097}, "4097 prompts"),
        ({"max_tokens": 4.5}, "max_tokens 4.5"),
        ({"seed": -(1 << 64)}, "seed"),
        ({"echo": "no"}, "echo no: true or false"),
        ({"skip_special_tokens": 0}, "skip_special_tokens 0: true or false"),
        ({"logprobs": False}, "logprobs False"),
        ({"stop": ["a"] * 17}, "at most 16 texts"),
        ({"stop": [""]}, "a stop string is empty"),
        ({"user": 4}, "user 4: a text"),
        ({"model": "\x00"}, "does not exist"),
        ({"model": "x" * 5000}, "does not exist"),
    ],
)  # fmt: skip
def test_a_refusal_names_what_was_wrong(running: Running, change: dict[str, Any], says: str) -> None:
    status, reply = send(running, PATHS[0], json.dumps({**GOOD, **change}).encode())
    assert status == (404 if "model" in change else 400)
    assert says in reply["error"]["message"]
    assert len(reply["error"]["message"]) < 200 or "model" in change


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": HALF}, {"role": "user"}, {"role": 1, "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "user", "content": "a", "audio": {"id": 1}},
    ],
)  # fmt: skip
def test_messages_that_it_cannot_read_are_refused(running: Running, message: dict[str, Any]) -> None:
    body = {"model": "tiny", "messages": [message], "max_tokens": 1}
    status, reply = send(running, PATHS[1], json.dumps(body).encode())
    assert (status, bool(reply["error"]["message"])) == (400, True)


def test_turns_that_the_chat_template_refuses_are_the_clients_fault(
    engine: TransformersEngine, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", "{{ raise_exception('no role ' + messages[0].role) }}")
    with Running(application("tiny", engine, TransformersEngine)) as made:
        body = {"model": "tiny", "messages": [{"role": "judge", "content": "a"}]}
        status, reply = send(made, PATHS[1], json.dumps(body).encode())
    assert status == 400
    assert "no role judge" in reply["error"]["message"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "raw",
    [
        b"", b"null", b"[]", b"3", b'"a"', b"{", b"\xff\xfe\x00", b"\x80", b"[" * 100_000, b'{"model": ' + b"9" * 5000 + b"}",
        b'{"a":' * 50_000, b"<html>", b"{'model': 'tiny'}",
    ],
    ids=lambda raw: repr(raw[:12]),
)  # fmt: skip
def test_bodies_that_are_no_request_are_refused(running: Running, path: str, raw: bytes) -> None:
    status, reply = send(running, path, raw)
    assert status == 400
    assert reply["error"]["message"]


def test_other_paths_methods_and_sizes_are_refused_in_json_too(
    running: Running, engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptcot.lm import serve

    for path, method, status in (
        ("/v2", "GET", 404),
        ("/v1/embeddings", "POST", 404),
        (PATHS[0], "GET", 405),
    ):
        got, reply = send(running, path, b"", method)
        assert (got, reply["error"]["code"]) == (status, status)
    got, reply = send(running, PATHS[0], b"{}", **{"Content-Encoding": "gzip"})
    assert (got, bool(reply["error"]["message"])) == (400, True)
    monkeypatch.setattr(serve, "LARGEST_BODY", 1000)
    with Running(application("tiny", engine, TransformersEngine, key="sesame")) as made:
        key = {"Authorization": "Bearer sesame"}
        got, reply = send(made, PATHS[0], b" " * 2000, **key)
        assert (got, reply["error"]["code"]) == (413, 413)
        got, reply = send(made, PATHS[0], b"{}", Authorization="Bearer s\xe9same")
        assert (got, reply["error"]["code"]) == (401, 401)
