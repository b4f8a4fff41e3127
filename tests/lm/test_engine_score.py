"""Scoring: every span equals a plain forward pass, alone or in company, and nothing is ever cut."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from promptcot.lm.base import ContextOverflow, Part, Prompt, SamplingParams, SpanScore
from promptcot.lm.transformers import TransformersEngine


def sequences(engine: TransformersEngine) -> list[list[Part]]:
    """c, z, x of many lengths; some spans empty, some only the tail."""
    texts = [
        ("sets, primes", "first find p, then count", "How many primes are below 30?"),
        ("c", "", "x"),
        ("abc abc", "the", ""),
        ("a" * 60, "b", "xyz"),
        ("<|user|>", "é ✓ abc", "the end<|end|>"),
        ("q" * 30, "r" * 30, "s" * 30),
    ]
    c_z_x = [(engine.encode(c), engine.encode(z), engine.encode(x)) for c, z, x in texts]
    return [[Part("c", c, scored=False), Part("z", z), Part("x", x)] for c, z, x in c_z_x]


def plain_score(model: Any, parts: list[Part]) -> dict[str, float]:
    ids = torch.tensor([[i for part in parts for i in part.ids]])
    with torch.inference_mode():
        logp = torch.log_softmax(model(ids, use_cache=False).logits[0].double(), dim=-1)
    sums, start = {}, 0
    for part in parts:
        places = range(start, start + len(part.ids))
        if part.scored:
            sums[part.name] = sum(float(logp[i - 1, ids[0, i]]) for i in places)
        start += len(part.ids)
    return sums


@pytest.mark.parametrize("batch_tokens", [1, 120, 16384])
def test_every_span_equals_an_unbatched_forward_pass(model: Any, tokenizer: Any, batch_tokens: int) -> None:
    engine = TransformersEngine.from_model(model, tokenizer, batch_tokens=batch_tokens)
    rows = sequences(engine)
    for parts, scores in zip(rows, engine.score(rows)):
        assert {n: s.logp for n, s in scores.items()} == pytest.approx(plain_score(model, parts), abs=1e-4)
        assert {n: s.tokens for n, s in scores.items()} == {p.name: len(p.ids) for p in parts if p.scored}


def test_a_sampled_continuation_scores_what_sampling_said(engine: TransformersEngine) -> None:
    prompt = engine.encode("the cat")
    end = engine.encode("<|end|>")
    for sample in engine.sample(
        [Prompt(seed=s, ids=prompt) for s in range(12)], SamplingParams(max_tokens=20)
    ):
        drawn = sample.ids + (end if sample.finish == "stop" else ())
        (score,) = engine.score([[Part("p", prompt, scored=False), Part("y", drawn)]])
        assert score["y"].logp == pytest.approx(sample.logq, abs=1e-4)


def test_an_empty_part_scores_zero_over_zero_tokens(engine: TransformersEngine) -> None:
    context = Part("c", engine.encode("abc"), scored=False)
    assert engine.score([[context, Part("z", ())]]) == [{"z": SpanScore(0.0, 0)}]
    assert engine.score([[Part("z", ())], [context]]) == [{"z": SpanScore(0.0, 0)}, {}]
    assert engine.score([[Part("z", ()), context, Part("x", (1,))]])[0]["z"] == SpanScore(0.0, 0)
    assert engine.score([]) == []


def test_two_scored_parts_may_not_share_a_name(engine: TransformersEngine) -> None:
    with pytest.raises(ValueError, match="two scored parts are named 'z'"):
        engine.score([[Part("c", (1,), scored=False), Part("z", (2,)), Part("z", (3,))]])


def test_unscored_parts_may_share_a_name(engine: TransformersEngine) -> None:
    assert (
        "z"
        in engine.score([[Part("t", (1,), scored=False), Part("t", (2,), scored=False), Part("z", (3,))]])[0]
    )


def test_a_scored_part_at_position_zero_is_refused(engine: TransformersEngine) -> None:
    with pytest.raises(ValueError, match="position 0, which no token predicts"):
        engine.score([[Part("c", (), scored=False), Part("z", (2, 3))]])


def test_the_context_is_a_hard_limit_named_with_the_parts(engine: TransformersEngine) -> None:
    fits = [Part("c", (1,) * 90, scored=False), Part("z", (2,) * 6)]
    assert engine.score([fits])[0]["z"].tokens == 6
    with pytest.raises(ContextOverflow, match=r"97 tokens \(c 90, z 7\)[\s\S]*at most 96"):
        engine.score([[fits[0], Part("z", (2,) * 7)]])


def test_usage_counts_whole_sequences(model: Any, tokenizer: Any) -> None:
    engine = TransformersEngine.from_model(model, tokenizer)
    rows = sequences(engine)
    engine.score(rows)
    assert engine.usage()["scored_tokens"] == sum(len(p.ids) for parts in rows for p in parts)


def test_bfloat16_scores_are_those_of_a_bfloat16_forward_pass(
    model: Any, tokenizer: Any, tmp_path: Any
) -> None:
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    half = TransformersEngine(tmp_path, dtype="bfloat16", device="cpu")
    assert half.dtype == "bfloat16"
    rows = sequences(half)[:2]
    for parts, scores in zip(rows, half.score(rows)):
        assert {n: s.logp for n, s in scores.items()} == pytest.approx(
            plain_score(half.model, parts), abs=0.5
        )
    assert half.score(rows) != TransformersEngine(tmp_path, device="cpu").score(rows)
