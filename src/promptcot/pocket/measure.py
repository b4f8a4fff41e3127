"""Measure a pocket model: `python -m promptcot.pocket.measure [--model DIR] [--problems 100] [--samples 8]`.

Samples each held-out problem at T=1 and compares with the world's truth: pass@1 per domain and level, and, for
math, how many labels a strict vote accepts and how many of those are right. Writes measured.json beside the
weights and renews the model card. Programs run in a separate Python process with a time limit each; this is a
measuring aid for a model that knows only this world, not the sandbox of `promptcot.verify`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptcot.pocket import MODEL_DIR
from promptcot.pocket.world import DOMAINS, LEVELS, Item, items

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MAX_NEW_TOKENS = 128
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_FENCE = re.compile(r"```python\n(.*?)\n```", re.S)
_RUNNER = """
import contextlib, io, json, signal, sys
def late(*_): raise TimeoutError
signal.signal(signal.SIGALRM, late)
results = []
for source, text in json.load(sys.stdin):
    out, sys.stdin = io.StringIO(), io.StringIO(text + "\\n")
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(source, "program", "exec"), {"__name__": "__main__"})
        results.append(out.getvalue().rstrip())
    except BaseException:  # whatever the program does is a failed attempt
        results.append(None)
    signal.setitimer(signal.ITIMER_REAL, 0)
json.dump(results, sys.__stdout__)
"""


def answer_of(text: str) -> str | None:
    """The last boxed answer of a solution."""
    found = _BOXED.findall(text)
    return found[-1] if found else None


def program_of(text: str) -> str | None:
    """The last fenced program of a solution."""
    found = _FENCE.findall(text)
    return found[-1] if found else None


def run_programs(jobs: Sequence[tuple[str, str]]) -> list[str | None]:
    """Outputs of (source, stdin) jobs without trailing white space; None for an error or more than a second."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", _RUNNER],
        input=json.dumps(list(jobs)),
        capture_output=True,
        text=True,
        check=True,
    )
    results: list[str | None] = json.loads(done.stdout)
    return results


def correct_N(problems: Sequence[Item], texts: Sequence[str]) -> list[bool]:
    """Whether each solution text is right: the boxed answer is the truth, or the program passes all tests."""
    jobs: list[tuple[int, str, str, str]] = []
    right = [False] * len(texts)
    for i, (item, text) in enumerate(zip(problems, texts, strict=True)):
        source = program_of(text) if item.domain == "code" else None
        right[i] = source is not None if item.domain == "code" else answer_of(text) == item.answer
        if source is not None:
            jobs += [(i, source, test.input, test.output) for test in item.tests]
    outputs = run_programs([(source, text) for _, source, text, _ in jobs])
    for (i, _, _, expected), output in zip(jobs, outputs, strict=True):
        right[i] = right[i] and output == expected.rstrip()
    return right


def sample(
    model: Any, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], seed: int, batch: int = 64
) -> list[str]:
    """One solution per problem text at T=1 (nothing cut off), batched by length."""
    import torch

    tokenizer.padding_side = "left"
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    texts = [""] * len(prompts)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            ids = tokenizer(
                [f"<|user|>{prompts[i]}<|assistant|>" for i in rows], return_tensors="pt", padding=True
            )
            out = model.generate(
                input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], do_sample=True, temperature=1.0,
                top_k=0, top_p=1.0, max_new_tokens=MAX_NEW_TOKENS, pad_token_id=0, eos_token_id=1,
            )  # fmt: skip
            new = tokenizer.batch_decode(out[:, ids["input_ids"].shape[1] :])
            for i, text in zip(rows, new, strict=True):
                texts[i] = text.split("<|end|>")[0]
    return texts


def vote(answers: Sequence[str | None], threshold: int) -> str | None:
    """The most frequent answer when at least `threshold` agree on it."""
    counts = Counter(a for a in answers if a is not None).most_common(1)
    return counts[0][0] if counts and counts[0][1] >= threshold else None


def measure_cell(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    problems: Sequence[Item],
    samples: int,
    votes: int,
    seed: int,
) -> dict[str, Any]:
    """One row of the table: pass@1, and for math the share of accepted labels and the share right of those."""
    flat = [item for item in problems for _ in range(samples)]
    texts = sample(model, tokenizer, [item.text for item in flat], seed)
    right = correct_N(flat, texts)
    row: dict[str, Any] = {
        "domain": problems[0].domain, "level": problems[0].level, "problems": len(problems),
        "pass_at_1": sum(right) / len(right), "accepted": None, "right": None,
    }  # fmt: skip
    if problems[0].domain == "math":
        groups = [texts[i : i + samples] for i in range(0, len(texts), samples)]
        labels = [vote([answer_of(t) for t in group], votes) for group in groups]
        kept = [(label, item) for label, item in zip(labels, problems, strict=True) if label is not None]
        row["accepted"] = len(kept) / len(problems)
        row["right"] = sum(label == item.answer for label, item in kept) / len(kept) if kept else None
    return row


def measure(folder: Path, problems: int, samples: int, votes: int, seed: int) -> dict[str, Any]:
    """The whole table for the model in `folder`."""
    import torch
    from transformers import AutoTokenizer, Qwen3ForCausalLM

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = Qwen3ForCausalLM.from_pretrained(folder).float().eval()
    rows = []
    for domain in DOMAINS:
        for level in LEVELS:
            drawn = list(items(problems, seed, "heldout", {level: 1.0}, {domain: 1.0}))
            rows.append(measure_cell(model, tokenizer, drawn, samples, votes, seed))
            print(rows[-1], flush=True)
    return {"seed": seed, "samples": samples, "votes": votes, "rows": rows}


def main() -> None:
    """The command line."""
    from promptcot.pocket.card import model_card

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_DIR)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--votes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    table = measure(args.model, args.problems, args.samples, args.votes, args.seed)
    (args.model / "measured.json").write_text(json.dumps(table, indent=1) + "\n")
    (args.model / "README.md").write_text(model_card(args.model))


if __name__ == "__main__":
    main()
