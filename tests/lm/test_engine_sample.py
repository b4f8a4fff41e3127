"""Sampling: the right distribution, the right log-probs, and the same draws however rows are batched."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from promptcot.lm.base import ContextOverflow, Part, Prompt, Sample, SamplingParams
from promptcot.lm.transformers import TransformersEngine

PLAIN = SamplingParams(max_tokens=24)


def logps_of(model: Any, prompt: Sequence[int], drawn: Sequence[int]) -> torch.Tensor:
    """[len(drawn)]: log-probs from one plain, unbatched forward pass."""
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *drawn]]), use_cache=False).logits[0]
    logp = torch.log_softmax(logits.double(), dim=-1)[len(prompt) - 1 : -1]
    return logp.gather(-1, torch.tensor(list(drawn))[:, None]).squeeze(-1)


def next_probs(model: Any, prompt: Sequence[int], temperature: float = 1.0) -> torch.Tensor:
    with torch.inference_mode():
        logits = model(torch.tensor([list(prompt)]), use_cache=False).logits[0, -1]
    return torch.softmax(logits.double() / temperature, dim=-1)


def mixed_prompts(engine: TransformersEngine, copies: int = 3) -> list[Prompt]:
    """Prompts of many lengths, each with several seeds."""
    texts = [
        "abc",
        "the cat",
        "xy" * 9,
        "a longer prompt, with é and ✓",
        "q",
        "the dog",
        "abcabc xyz 0123456789" * 2,
    ]
    return [
        Prompt(seed=100 * i + k, ids=engine.encode(t)) for i, t in enumerate(texts) for k in range(copies)
    ]


def rows_round_alike() -> bool:
    """Whether a product of matrices gives a row the same bits among 4, 33 and 300 rows."""
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(300, 64, generator=generator), torch.randn(64, 128, generator=generator)
    return all(torch.equal((x @ w)[:n], x[:n] @ w) for n in (4, 33))


def first_tokens(
    engine: TransformersEngine, prompt: tuple[int, ...], draws: int, params: SamplingParams
) -> list[int]:
    """One drawn token per seed; the end token counts as -1."""
    prompts = [Prompt(seed=s, ids=prompt) for s in range(draws)]
    return [s.ids[0] if s.ids else -1 for s in engine.sample(prompts, replace(params, max_tokens=1))]


def assert_same_draws(seen: Sequence[Sample], expected: Sequence[Sample]) -> None:
    assert [(s.ids, s.text, s.finish) for s in seen] == [(s.ids, s.text, s.finish) for s in expected]
    assert [s.logq for s in seen] == pytest.approx([s.logq for s in expected], abs=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0])
def test_logq_is_the_log_prob_at_temperature_one_of_everything_drawn(
    engine: TransformersEngine, model: Any, temperature: float
) -> None:
    prompts = mixed_prompts(engine, copies=8)
    samples = engine.sample(prompts, replace(PLAIN, temperature=temperature))
    ends = 0
    for prompt, sample in zip(prompts, samples):
        ended = sample.finish == "stop"
        ends += ended
        drawn = [*sample.ids, engine.tokenizer.eos_token_id] if ended else sample.ids
        assert prompt.ids is not None
        assert sample.logq == pytest.approx(float(logps_of(model, prompt.ids, drawn).sum()), abs=1e-4)
    assert temperature == 0 or 0 < ends < len(samples)  # both ways of finishing were seen


def test_draws_do_not_depend_on_order_company_or_batch_size(
    engine: TransformersEngine, model: Any, tokenizer: Any
) -> None:
    prompts = mixed_prompts(engine)
    together = engine.sample(prompts, PLAIN)
    alone = [engine.sample([p], PLAIN)[0] for p in prompts]
    assert_same_draws(together, alone)
    assert_same_draws(engine.sample(prompts[::-1], PLAIN)[::-1], together)
    for batch_tokens in (1, 150, 400):
        small = TransformersEngine.from_model(model, tokenizer, batch_tokens=batch_tokens)
        assert_same_draws(small.sample(prompts, PLAIN), together)


def test_the_same_seed_repeats_and_another_seed_differs(engine: TransformersEngine) -> None:
    ids = engine.encode("the cat")
    samples = engine.sample([Prompt(seed=s, ids=ids) for s in (7, 7, *range(8, 20))], PLAIN)
    assert samples[0] == samples[1]
    assert len({s.ids for s in samples[1:]}) == 13


def test_a_longer_limit_only_continues_the_same_draw(engine: TransformersEngine) -> None:
    prompts = mixed_prompts(engine)
    short, long = engine.sample(prompts, replace(PLAIN, max_tokens=5)), engine.sample(prompts, PLAIN)
    assert [s.ids for s in short] == [s.ids[:5] for s in long]


def test_greedy_equals_generate(engine: TransformersEngine, model: Any) -> None:
    prompts = mixed_prompts(engine, copies=1)
    for prompt, sample in zip(prompts, engine.sample(prompts, replace(PLAIN, temperature=0.0))):
        ids = torch.tensor([prompt.ids])
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, pad_token_id=0
        )
        expected = [t for t in out[0, ids.shape[1] :].tolist() if t != engine.tokenizer.eos_token_id]
        assert list(sample.ids) == expected


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_first_tokens_follow_the_softmax(engine: TransformersEngine, model: Any, temperature: float) -> None:
    prompt, draws = engine.encode("abc"), 6000
    counts = Counter(first_tokens(engine, prompt, draws, SamplingParams(temperature=temperature)))
    counts[engine.tokenizer.eos_token_id] = counts.pop(-1, 0)
    expected = draws * next_probs(model, prompt, temperature)
    common = [i for i, e in enumerate(expected.tolist()) if e >= 5]
    rest = draws - float(expected[common].sum()), draws - sum(counts[i] for i in common)
    pairs = [(float(expected[i]), counts[i]) for i in common] + [rest]
    chi2 = sum((seen - e) ** 2 / e for e, seen in pairs)
    freedom = len(pairs) - 1
    assert chi2 < freedom + 4 * math.sqrt(2 * freedom)
    assert len(counts) > 60  # nothing was cut to the 50 likeliest


@pytest.mark.parametrize("top_k", [1, 3, 50])
def test_top_k_keeps_exactly_the_k_likeliest(engine: TransformersEngine, model: Any, top_k: int) -> None:
    prompt = engine.encode("abc")
    allowed = set(next_probs(model, prompt).topk(top_k).indices.tolist())
    seen = set(first_tokens(engine, prompt, 3000, SamplingParams(top_k=top_k)))
    assert {engine.tokenizer.eos_token_id if t == -1 else t for t in seen} <= allowed
    assert len(seen) > 0.9 * top_k


def test_top_p_keeps_the_smallest_set_that_reaches_p(engine: TransformersEngine, model: Any) -> None:
    prompt = engine.encode("abc")
    probs, order = next_probs(model, prompt).sort(descending=True)
    size = int((probs.cumsum(0) < 0.3).sum()) + 1
    seen = set(first_tokens(engine, prompt, 2000, SamplingParams(top_p=0.3)))
    assert {engine.tokenizer.eos_token_id if t == -1 else t for t in seen} == set(order[:size].tolist())
    assert size > 2


def test_a_sample_is_limited_to_the_room_left_in_the_context(engine: TransformersEngine) -> None:
    ids = engine.encode("z" * 90)
    samples = engine.sample([Prompt(seed=s, ids=ids) for s in range(20)], SamplingParams(max_tokens=50))
    lengths = {len(s.ids) for s in samples if s.finish == "length"}
    assert lengths == {6}
    assert all(s.prompt_tokens == 90 for s in samples)


def test_a_prompt_that_fills_the_context_is_refused_with_both_lengths(engine: TransformersEngine) -> None:
    with pytest.raises(ContextOverflow, match=r"96 tokens[\s\S]*fewer than 96"):
        engine.sample([Prompt(seed=0, ids=engine.encode("z" * 96))], PLAIN)


def test_prompts_may_be_ids_text_or_messages_but_exactly_one(engine: TransformersEngine) -> None:
    chat = (("user", "abc"),)
    by_ids, by_text, by_chat, same = engine.sample(
        [
            Prompt(seed=1, ids=engine.encode("abc")),
            Prompt(seed=1, text="abc"),
            Prompt(seed=1, messages=chat),
            Prompt(seed=1, ids=engine.chat_ids(chat)),
        ],
        PLAIN,
    )
    assert_same_draws([by_ids, by_chat], [by_text, same])
    for bad in (Prompt(seed=1), Prompt(seed=1, text="a", ids=(1,)), Prompt(seed=1, ids=())):
        with pytest.raises(ValueError, match="a prompt"):
            engine.sample([bad], PLAIN)


@pytest.mark.parametrize(
    "bad", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -1}, {"max_tokens": 0}, {"stop": ("",)}]
)
def test_impossible_parameters_are_refused(engine: TransformersEngine, bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        engine.sample([Prompt(seed=0, text="a")], SamplingParams(**bad))


def test_usage_counts_prompts_draws_and_terminators(model: Any, tokenizer: Any) -> None:
    engine = TransformersEngine.from_model(model, tokenizer)
    prompts = mixed_prompts(engine)
    samples = engine.sample(prompts, PLAIN)
    assert engine.usage() == {
        "prompt_tokens": sum(len(p.ids or ()) for p in prompts),
        "sampled_tokens": sum(len(s.ids) + (s.finish == "stop") for s in samples),
        "scored_tokens": 0,
    }


def test_a_model_in_training_is_sampled_in_eval_mode_and_left_training(model: Any, tokenizer: Any) -> None:
    engine = TransformersEngine.from_model(model, tokenizer)
    expected = engine.sample([Prompt(seed=0, text="abc")], PLAIN)
    model.train()
    try:
        model.config.attention_dropout = model.model.layers[0].self_attn.attention_dropout = 0.5
        assert engine.sample([Prompt(seed=0, text="abc")], PLAIN) == expected
        assert model.training
    finally:
        model.config.attention_dropout = model.model.layers[0].self_attn.attention_dropout = 0.0
        model.eval()


def test_no_prompts_give_no_samples(engine: TransformersEngine) -> None:
    assert engine.sample([], PLAIN) == []


@pytest.mark.parametrize("layers", ["full_attention", "sliding_attention"])
def test_long_samples_keep_their_cache_right_while_rows_leave_and_join(
    engine: TransformersEngine, tokenizer: Any, layers: str
) -> None:
    """More new tokens than the cache has room for at first, padded rows, rows leaving and joining all along."""
    config = copy.deepcopy(engine.model.config)
    config.layer_types, config.sliding_window = [layers, "full_attention"], 10
    torch.manual_seed(3)
    model = type(engine.model)(config).eval()
    tried = TransformersEngine.from_model(model, tokenizer, batch_tokens=4000)  # about 40 rows
    prompts = [Prompt(seed=s, text=t) for t in ("q", "the cat", "xyz") for s in range(60)]
    samples = tried.sample(prompts, SamplingParams(max_tokens=85))
    assert {s.finish for s in samples} == {"stop", "length"}
    for prompt, sample in zip(prompts, samples):
        drawn = sample.ids + (tried.end_ids if sample.finish == "stop" else ())
        expected = logps_of(model, tried.encode(prompt.text or ""), drawn).sum()
        assert sample.logq == pytest.approx(float(expected), abs=3e-4)


@pytest.mark.skipif(
    not rows_round_alike(), reason="this machine's matrix products depend on the number of rows"
)
def test_on_a_cpu_log_probs_are_bit_for_bit_the_same_in_any_company(model: Any, tokenizer: Any) -> None:
    engines = [TransformersEngine.from_model(model, tokenizer, batch_tokens=n) for n in (1, 400, 16384)]
    alone, some, all_ = (engine.sample(mixed_prompts(engine), PLAIN) for engine in engines)
    assert alone == some == all_
    rows = [
        [Part("p", engines[0].encode(p.text or "q"), scored=False), Part("y", s.ids)]
        for p, s in zip(mixed_prompts(engines[0]), alone)
    ]
    rows += [[Part("p", (k,) * 15, scored=False), Part("y", (7,))] for k in range(4)]  # a lone last token
    one, few, many = (engine.score(rows) for engine in engines)
    assert one == few == many
