"""Speed of the E-step next to plain and to batched Transformers, on the packaged model (CPU, one thread).

    OMP_NUM_THREADS=1 python benchmarks/estep.py [--problems 64] [--k 8] [--rounds 5]

Every side draws k rationales z ~ q(z|c,x) per problem at T=1 with log q kept, and scores log p(z|c) and log p(x|z,c):

  ours           the steps of the EM (`stages.em_steps`), in shards of 512 rows as a run has them
  per candidate  `generate` for one rationale at a time; per candidate one forward pass over c z and one over c z x
  per problem    `generate` with num_return_sequences=k; the same two passes
  batched        `generate` on 128 rows, sorted by length and left-padded; one pass for both terms, 16 rows at a time,
                 sorted by length (the best of 8, 16, 32, 64 rows, and of 64, 128, 256, 512 for `generate`)

The sides take turns in every round. Printed are medians over rounds with least and most: seconds of CPU (user and
system time of this process, which other processes disturb least), of the clock, and the ratios to ours round by round.
Then the check that all sides draw from one distribution, and what bounds ours. q and p are the packaged model after a
short cold start (plain PyTorch, `--steps` batches of eight), enough for rationales that end. Exit code 1: the check failed.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from estep_bounds import print_bounds

from promptcot.domains import get
from promptcot.domains.sequences import Item, labelled, p_parts
from promptcot.lm.base import EngineSpec
from promptcot.lm.scoring import token_logps
from promptcot.pocket import MODEL_DIR
from promptcot.records import Ask, Candidate, Posed, Triple
from promptcot.runner.worker import Worker
from promptcot.settings import EM, Annotate, Model, Sampling, Seeds, Training
from promptcot.stages import annotate, em_steps, seeds
from promptcot.stages.coldstart import Role, parts_of
from promptcot.stages.em_loop import ask

STYLE, SHARD_ROWS = "compact", 512  # as in recipes/pocket.yaml
GENERATE_ROWS, SCORE_ROWS = 128, 16
ANNOTATORS = {n: Model(engine="pocket-annotator", model=n) for n in ("precise", "vague", "mixed", "wrong")}


@dataclass(frozen=True)
class Drawn:
    """One rationale: which problem, its ids without the terminator, log q, and the two terms of the reward, in nats."""

    problem: int
    z_ids: tuple[int, ...]
    logq: float
    logp_z: float = 0.0
    logp_x: float = 0.0


@dataclass(frozen=True)
class Timed:
    """One side in one round: CPU and clock seconds of sampling and scoring, and what came out."""

    cpu_s: tuple[float, float]
    clock_s: tuple[float, float]
    rows: list[Drawn]


class Setup:
    """Problems, q and p, and what every side needs of them."""

    def __init__(self, problems: int, k: int, steps: int, max_tokens: int, folder: Path) -> None:
        self.k, self.max_tokens, self.worker = k, max_tokens, Worker(seed=1)
        self.triples = pocket_triples(problems, seed=2)
        training = pocket_triples(min(300, 8 * steps), seed=1)
        self.q, self.p = (cold_start(role, training, steps, folder / role) for role in ("q", "p"))
        self.encode = self.worker.engine(self.q).encode
        self.items = [Item(get(t.domain, STYLE), t.level, t.concepts, t.problem) for t in self.triples]
        self.end = self.encode(get("math", STYLE).layout.q_end)

    def model(self, spec: EngineSpec) -> Any:
        """The Transformers model behind an engine."""
        return self.worker.engine(spec).model  # type: ignore[attr-defined]

    def prompt(self, problem: int) -> tuple[int, ...]:
        """What q reads."""
        return self.encode(self.items[problem].cx_text)

    def c_z_x(self, row: Drawn) -> list[tuple[int, ...]]:
        """Ids of the parts of p's sequence, markers included."""
        return [part.ids for part in p_parts(self.items[row.problem], row.z_ids, self.encode)]


def pocket_triples(count: int, seed: int) -> list[Triple]:
    """(c, z, x) of the packaged world, each by one of the simulated annotators in turn."""
    source = Seeds(
        source="pocket", count=count, code_share=0.25, levels={"1": 0.35, "2": 0.35, "3": 0.2, "4": 0.1}
    )
    settings = Annotate(annotators=ANNOTATORS, per_seed=1, num_concepts=4)
    todo = annotate.assign(seeds.build(source, seed)[1], settings)
    rows = annotate.annotate(Worker(seed), todo, settings=settings, style=STYLE)
    return [row for row in rows if isinstance(row, Triple)]


def cold_start(role: Role, triples: Sequence[Triple], steps: int, out: Path) -> EngineSpec:
    """The packaged model after `steps` batches of eight triples, as q or p."""
    from promptcot.lm.transformers import TransformersEngine

    engine = TransformersEngine(MODEL_DIR, device="cpu")
    rows = [labelled(parts_of(role, t, engine.encode(t.rationale), engine.encode, STYLE)) for t in triples]
    optimizer = torch.optim.AdamW(engine.model.parameters(), lr=2e-3, weight_decay=0.0)
    for step in range(steps):
        batch = [rows[(8 * step + i) % len(rows)] for i in range(8)]
        ids, labels = (padded([row[i] for row in batch], fill) for i, fill in ((0, 0), (1, -100)))
        logits = engine.model(input_ids=ids, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(engine.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    engine.model.save_pretrained(out)
    engine.tokenizer.save_pretrained(out)
    return EngineSpec("transformers", str(out), device="cpu", batch_tokens=65536)  # as in recipes/pocket.yaml


def padded(rows: Sequence[Sequence[int]], fill: int = 0, left: bool = False) -> torch.Tensor:
    """[rows, longest], filled up on one side."""
    width = max(map(len, rows))
    fillers = [[fill] * (width - len(r)) for r in rows]
    return torch.tensor([[*f, *r] if left else [*r, *f] for r, f in zip(rows, fillers)])


# ours


def shards(rows: Sequence[Any]) -> list[list[Any]]:
    """Rows as a run cuts them."""
    return [list(rows[i : i + SHARD_ROWS]) for i in range(0, len(rows), SHARD_ROWS)]


def sample_ours(setup: Setup, round_: int) -> list[Candidate]:
    """The EM's sampling step; another round draws other rationales."""
    settings = EM(sampling=Sampling(max_tokens=setup.max_tokens), training=Training(lr=1e-5))
    asked: list[Ask] = [ask(f"e{round_}", t, i) for t in setup.triples for i in range(setup.k)]
    drawn = [
        row
        for rows in shards(asked)
        for row in em_steps.sample(
            setup.worker, rows, q=setup.q, settings=settings, style=STYLE, keep_all=True
        )
    ]
    return [row for row in drawn if isinstance(row, Candidate)]


def score_ours(setup: Setup, drawn: Sequence[Candidate]) -> list[Drawn]:
    """The EM's scoring step."""
    places = {t.id: i for i, t in enumerate(setup.triples)}
    posed = [Posed(c.id, c, setup.triples[places[c.item_id]]) for c in drawn]
    return [
        Drawn(places[c.item_id], tuple(c.z_ids), c.logq, c.logp_z, c.logp_x)
        for rows in shards(posed)
        for c in em_steps.score(setup.worker, rows, p=setup.p, style=STYLE)
    ]


# theirs


def generate(setup: Setup, problems: Sequence[int], copies: int = 1) -> list[Drawn]:
    """One call of `generate`: `copies` rationales for every entry of `problems`, with log q from its logits."""
    prompts = [setup.prompt(i) for i in problems]
    ids, mask = (padded(rows, left=True) for rows in (prompts, [[1] * len(p) for p in prompts]))
    out = setup.model(setup.q).generate(
        ids, attention_mask=mask, num_return_sequences=copies, do_sample=True, top_k=0, top_p=1.0,
        temperature=1.0, max_new_tokens=setup.max_tokens, pad_token_id=0, eos_token_id=list(setup.end),
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    new = out.sequences[:, ids.shape[1] :]
    logps = token_logps(torch.stack(out.logits, 1).flatten(0, 1), new.flatten()).view(new.shape)
    ended = torch.isin(new, torch.tensor(setup.end))
    live = ended.cumsum(1) - ended.long() == 0  # up to the terminator, which counts
    return [
        Drawn(problems[n // copies], tuple(new[n][live[n] & ~ended[n]].tolist()), float(logps[n][live[n]].sum()))
        for n in range(len(new))
    ]  # fmt: skip


def sample_per_candidate(setup: Setup, round_: int) -> list[Drawn]:
    """`generate` for one rationale at a time."""
    return [generate(setup, [i])[0] for i in range(len(setup.items)) for _ in range(setup.k)]


def sample_per_problem(setup: Setup, round_: int) -> list[Drawn]:
    """`generate` for one problem at a time."""
    return [row for i in range(len(setup.items)) for row in generate(setup, [i], setup.k)]


def sample_batched(setup: Setup, round_: int) -> list[Drawn]:
    """`generate` on GENERATE_ROWS rows of similar length."""
    rows = sorted((i for i in range(len(setup.items)) for _ in range(setup.k)), key=lambda i: len(setup.prompt(i)))  # fmt: skip
    batches = (rows[i : i + GENERATE_ROWS] for i in range(0, len(rows), GENERATE_ROWS))
    return [row for batch in batches for row in generate(setup, batch)]


def score_in_two_passes(setup: Setup, drawn: Sequence[Drawn]) -> list[Drawn]:
    """Per candidate one forward pass for log p(z|c), and one for log p(x|z,c)."""
    model, out = setup.model(setup.p), []

    def tail(context: Sequence[int], target: Sequence[int]) -> float:
        ids = torch.tensor([[*context, *target]])
        logps = token_logps(model(input_ids=ids, use_cache=False).logits[0, :-1], ids[0, 1:])
        return float(logps[-len(target) :].sum())

    for row in drawn:
        c, z, x = setup.c_z_x(row)
        out.append(Drawn(row.problem, row.z_ids, row.logq, tail(c, z), tail(c + z, x)))
    return out


def score_batched(setup: Setup, drawn: Sequence[Drawn]) -> list[Drawn]:
    """One forward pass for both terms, SCORE_ROWS rows of similar length at a time."""
    model, out = setup.model(setup.p), []
    rows = sorted(((setup.c_z_x(row), row) for row in drawn), key=lambda x: sum(map(len, x[0])))
    for start in range(0, len(rows), SCORE_ROWS):
        batch = rows[start : start + SCORE_ROWS]
        ids = padded([c + z + x for (c, z, x), _ in batch])
        mask = padded([[1] * len(c + z + x) for (c, z, x), _ in batch])
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
        logps_BT = token_logps(logits.flatten(0, 1), ids[:, 1:].flatten()).view(len(batch), -1)
        for ((c, z, x), row), logps in zip(batch, logps_BT):
            middle = len(c) + len(z) - 1
            terms = float(logps[len(c) - 1 : middle].sum()), float(logps[middle : middle + len(x)].sum())
            out.append(Drawn(row.problem, row.z_ids, row.logq, *terms))
    return out


SIDES: dict[str, tuple[Callable[[Setup, int], list[Any]], Callable[[Setup, list[Any]], list[Drawn]]]] = {
    "ours": (sample_ours, score_ours),
    "per candidate": (sample_per_candidate, score_in_two_passes),
    "per problem": (sample_per_problem, score_in_two_passes),
    "batched": (sample_batched, score_batched),
}


def timed(setup: Setup, side: str, round_: int) -> Timed:
    """One E-step of one side."""
    torch.manual_seed(round_)  # for `generate`; our rows bring their own seeds
    sample, score = SIDES[side]
    clocks = [(time.process_time(), time.perf_counter())]
    drawn = sample(setup, round_)
    clocks.append((time.process_time(), time.perf_counter()))
    rows = score(setup, drawn)
    clocks.append((time.process_time(), time.perf_counter()))
    (cpu0, clock0), (cpu1, clock1), (cpu2, clock2) = clocks
    return Timed((cpu1 - cpu0, cpu2 - cpu1), (clock1 - clock0, clock2 - clock1), rows)


# what is printed


def spread(values: Sequence[float], unit: str = "") -> str:
    """Median, least and most."""
    return f"{statistics.median(values):.2f}{unit} ({min(values):.2f}-{max(values):.2f})"


def print_speed(setup: Setup, seen: dict[str, list[Timed]]) -> None:
    """Seconds, rates and ratios of every side."""
    print(
        f"\n{'side':<14} {'CPU s: sample':<22} {'score':<20} {'tokens/CPU s':<14} {'clock s':<20} {'CPU ratio to ours':<24} clock ratio"
    )
    for side, rounds in seen.items():
        cpu, clock = [sum(t.cpu_s) for t in rounds], [sum(t.clock_s) for t in rounds]
        drawn = statistics.median(sum(len(r.z_ids) + 1 for r in t.rows) / t.cpu_s[0] for t in rounds)
        run = statistics.median(sum(len(p) for r in t.rows for p in setup.c_z_x(r)) / t.cpu_s[1] for t in rounds)  # fmt: skip
        ratios = spread([a / sum(b.cpu_s) for a, b in zip(cpu, seen["ours"])], "x")
        by_clock = spread([a / sum(b.clock_s) for a, b in zip(clock, seen["ours"])], "x")
        sampling, scoring = (spread([t.cpu_s[i] for t in rounds]) for i in (0, 1))
        print(f"{side:<14} {sampling:<22} {scoring:<20} {f'{drawn:.0f}, {run:.0f}':<14} {spread(clock):<20} {ratios:<24} {by_clock}")  # fmt: skip
    print("tokens/CPU s: drawn in sampling (terminators included), and of c z x in scoring")


MEASURES: dict[str, Callable[[Drawn], float]] = {
    "tokens of z": lambda r: float(len(r.z_ids)),
    "log q(z|c,x)": lambda r: r.logq,
    "log p(z|c)": lambda r: r.logp_z,
    "log p(x|z,c)": lambda r: r.logp_x,
}


def print_distributions(setup: Setup, seen: dict[str, list[Timed]]) -> bool:
    """Means of every side; how far from ours, paired over problems. True if every |z| < 4."""
    print(f"\n{'mean over candidates':<22}" + "".join(f"{side:>26}" for side in seen))
    fine = True
    for name, measure in MEASURES.items():
        cells, ours = [], means(setup, seen["ours"], measure)
        for side, rounds in seen.items():
            mine = means(setup, rounds, measure)
            off = [a - b for a, b in zip(mine, ours)]
            z = z_score(off)
            fine &= abs(z) < 4
            cells.append(f"{statistics.mean(mine):.2f}" + (f" (z {z:+.1f})" if side != "ours" else ""))
        print(f"{name:<22}" + "".join(f"{cell:>26}" for cell in cells))
    return fine


def z_score(values: Sequence[float]) -> float:
    """Student's t of a mean against 0, as the normal deviate of equal probability (Wallace 1959)."""
    freedom, mean = len(values) - 1, statistics.mean(values)
    if mean == 0:
        return 0.0
    t2 = mean**2 * len(values) / statistics.variance(values)
    z = math.sqrt(freedom * math.log1p(t2 / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return math.copysign(z, mean)


def means(setup: Setup, rounds: Sequence[Timed], measure: Callable[[Drawn], float]) -> list[float]:
    """Per problem, the mean over its candidates of all rounds."""
    values: list[list[float]] = [[] for _ in setup.items]
    for row in (row for t in rounds for row in t.rows):
        values[row.problem].append(measure(row))
    return [statistics.mean(v) for v in values]


def print_scores_agree(setup: Setup, rows: Sequence[Drawn]) -> bool:
    """The largest difference between our scores and those of unbatched passes, on the same rationales."""
    plain = score_in_two_passes(setup, rows)
    off = max(max(abs(a.logp_z - b.logp_z), abs(a.logp_x - b.logp_x)) for a, b in zip(rows, plain))
    print(f"\nlargest difference to unbatched passes over {len(rows)} of our rationales: {off:.1e} nats")
    return off < 1e-3


def main() -> int:
    """Runs the comparison; 1 if the sides do not draw from one distribution, or our scores are off."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=75, help="of the cold start")
    parser.add_argument(
        "--max-tokens", type=int, default=96, help="of a rationale; as in recipes/pocket.yaml"
    )
    parser.add_argument("--sides", nargs="*", default=list(SIDES)[1:], choices=list(SIDES)[1:])
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(args.problems, args.k, args.steps, args.max_tokens, Path(folder))
        seen: dict[str, list[Timed]] = {side: [] for side in ("ours", *args.sides)}
        with torch.inference_mode():
            timed(setup, "ours", 0)  # loads, and warms up
            for round_ in range(1, args.rounds + 1):
                for side, rounds in seen.items():
                    rounds.append(timed(setup, side, round_))
            print(f"{args.problems} problems, k={args.k}, {args.rounds} rounds; median (least-most)")
            print_speed(setup, seen)
            same = print_distributions(setup, seen)
            exact = print_scores_agree(setup, seen["ours"][0].rows)
            drawn = sample_ours(setup, 1)
            works = {"sampling": lambda: sample_ours(setup, 1), "scoring": lambda: score_ours(setup, drawn)}
            print_bounds(setup.model(setup.q), setup.model(setup.p), works)
    print(f"\none distribution: {'yes' if same else 'NO'}; scores exact: {'yes' if exact else 'NO'}")
    return 0 if same and exact else 1


if __name__ == "__main__":
    sys.exit(main())
