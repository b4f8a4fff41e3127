"""Speed of `TransformersEngine` next to plain Transformers, on one random 4-layer Qwen3 (CPU, one thread).

    python benchmarks/decode.py [--prompts 64] [--repeats 3]

Prints tokens per second and the ratio, both sides measured in this run, alternating, best of the repeats:
`sample` against `generate` (batches of 64, left-padded, pure sampling), once with 40 tokens each and once
with samples that end at random (40 on average, 256 at most); `score` against one forward pass per sequence.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from promptcot.lm.base import Part, Prompt, SamplingParams
from promptcot.lm.transformers import TransformersEngine

VOCABULARY, SAMPLES, GENERATE_ROWS = 1024, 8, 64
FIXED, ENDING = 40, 256  # new tokens of samples that never end, and limit of those that do
END_IDS = list(range(25))  # about one token in forty of a random model


def build(heads: int, kv_heads: int, end_ids: list[int] | None = None) -> TransformersEngine:
    """The same random model for the same arguments, and a tokenizer of made-up words."""
    from tokenizers import Tokenizer, models

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=160,
        intermediate_size=448,
        num_hidden_layers=4,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=160 // heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=end_ids,
        bos_token_id=None,
    )
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    return TransformersEngine.from_model(Qwen3ForCausalLM(config).eval(), tokenizer)


def random_prompts(count: int) -> list[tuple[int, ...]]:
    """Prompts of 40 to 100 tokens."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(40, 101, (count,), generator=generator).tolist()
    return [tuple(torch.randint(0, VOCABULARY, (n,), generator=generator).tolist()) for n in lengths]


def sample_ours(engine: TransformersEngine, prompts: Sequence[tuple[int, ...]], limit: int) -> int:
    """SAMPLES per prompt; returns the tokens drawn."""
    jobs = [Prompt(seed=i * SAMPLES + k, ids=p) for i, p in enumerate(prompts) for k in range(SAMPLES)]
    samples = engine.sample(jobs, SamplingParams(max_tokens=limit))
    return sum(len(s.ids) + (s.finish == "stop") for s in samples)


def sample_generate(model: Any, prompts: Sequence[tuple[int, ...]], limit: int) -> int:
    """The same with `generate`, the prompts in the order given; returns the tokens drawn."""
    rows = [p for p in prompts for _ in range(SAMPLES)]
    total = 0
    for start in range(0, len(rows), GENERATE_ROWS):
        batch = rows[start : start + GENERATE_ROWS]
        longest = max(map(len, batch))
        ids = torch.tensor([(0,) * (longest - len(p)) + p for p in batch])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in batch])
        settings = {"do_sample": True, "top_k": 0, "top_p": 1.0, "max_new_tokens": limit}
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=mask, pad_token_id=0, **settings)
        total += drawn_tokens(out[:, longest:], model.generation_config.eos_token_id)
    return total


def drawn_tokens(new: torch.Tensor, end_ids: list[int] | None) -> int:
    """Tokens of every row up to its first end token, padding not counted."""
    ended = torch.isin(new, torch.tensor(end_ids or [-1]))
    return int((ended.cumsum(1) - ended.long() == 0).sum())


def score_ours(engine: TransformersEngine, rows: Sequence[tuple[int, ...]]) -> int:
    """Every row with its first eight tokens as context and two scored parts; returns the tokens run."""
    engine.score([[Part("c", r[:8], scored=False), Part("z", r[8:30]), Part("x", r[30:])] for r in rows])
    return sum(map(len, rows))


def score_one_by_one(model: Any, rows: Sequence[tuple[int, ...]]) -> int:
    """The same, one forward pass per row; returns the tokens run."""
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([row])
            logp = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[0, :-1].float(), dim=-1)
            gathered = logp.gather(-1, ids[0, 1:, None])
            float(gathered[7:29].sum()), float(gathered[29:].sum())
    return sum(map(len, rows))


def rate(work: Callable[[], int]) -> float:
    """Tokens per second of one call."""
    start = time.perf_counter()
    tokens = work()
    return tokens / (time.perf_counter() - start)


def compare(title: str, ours: Callable[[], int], theirs: Callable[[], int], repeats: int) -> None:
    """Prints the best rate of each side and their ratio."""
    rates = [(rate(ours), rate(theirs)) for _ in range(repeats)]
    best_ours, best_theirs = max(r[0] for r in rates), max(r[1] for r in rates)
    print(f"{title:<50} {best_ours:>9.0f} {best_theirs:>9.0f} {best_ours / best_theirs:>7.2f}x", flush=True)


def measure(heads: int, kv_heads: int, prompts: Sequence[tuple[int, ...]], repeats: int) -> None:
    """All comparisons on one shape of attention."""
    shape = f"({heads} heads, {kv_heads} key/value)"
    rows = random_prompts(4 * len(prompts))
    for title, limit, end_ids in (("40 tokens", FIXED, None), ("ending  ", ENDING, END_IDS)):
        engine = build(heads, kv_heads, end_ids)
        ours = partial(sample_ours, engine, prompts, limit)
        theirs = partial(sample_generate, engine.model, prompts, limit)
        compare(f"sample / generate, {title} {shape}", ours, theirs, repeats)
    ours, theirs = partial(score_ours, engine, rows), partial(score_one_by_one, engine.model, rows)
    compare(f"score / one at a time        {shape}", ours, theirs, repeats)


def main() -> None:
    """Runs the comparisons for two shapes of attention."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    prompts = random_prompts(args.prompts)
    print(f"{'tokens/s, best of ' + str(args.repeats):<50} {'ours':>9} {'peer':>9} {'ratio':>8}")
    for heads, kv_heads in ((5, 5), (5, 1)):
        measure(heads, kv_heads, prompts, args.repeats)


if __name__ == "__main__":
    main()
