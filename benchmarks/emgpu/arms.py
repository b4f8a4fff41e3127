"""The four curves: EM with and without the E-step, and no EM with and without rationales (arXiv 2509.19894).

  with_estep      best of K rationales by the reward trains q, q's greedy ones train p
  no_estep        q stays at the cold start; its greedy rationales keep training p
  init_rationale  p goes on with the annotators' rationales, as many rows and at the same rate
  init_plain      p(x|c) without a z: a cold start of its own from the base model, then as many rows again
The first three share their cold start, their held-out draws of its q, and the random streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from emgpu.data import Example
from emgpu.device import Meter
from emgpu.lab import Draw, Lab, Point
from emgpu.sizes import Clock, Size
from emgpu.training import Stint, tune
from promptcot.domains.sequences import p_parts, q_parts
from promptcot.em.rejects import Bounds, reject_reason
from promptcot.em.rewards import rewards
from promptcot.em.select import choose
from promptcot.ids import row_uniform
from promptcot.lm.base import Part

ARMS = ("with_estep", "no_estep", "init_rationale", "init_plain")
COLD_SHARE, COLD_EPOCHS = 0.06, 2  # of the whole time, for each of three cold starts
EM_SHARE = 0.03  # for one training of the EM
LIMITS = Bounds(repetition=0.5, copy=0.6)
SAFETY = 0.75  # of the time left for the EM is planned for


@dataclass
class Study:
    """Everything an arm needs, and what came of it."""

    lab: Lab
    size: Size
    clock: Clock
    training: Meter
    select: str
    draw: str
    seed: int
    train: list[Example]
    heldout: list[Example]
    points: dict[str, list[Point]] = field(default_factory=lambda: {arm: [] for arm in ARMS})
    stints: list[Stint] = field(default_factory=list)
    estep: list[dict[str, Any]] = field(default_factory=list)
    items: list[Example] = field(default_factory=list)
    agreement: dict[str, float] = field(default_factory=dict)

    def run(self, base: Any) -> None:
        """Cold start, the plan, the arms."""
        rows = [(x, self.lab.encode(x.rationale)) for x in self.train]
        q = self.cold("q0", base, [q_parts(x.item, z, self.lab.encode) for x, z in rows])
        p = self.cold("p0", base, [p_parts(x.item, z, self.lab.encode) for x, z in rows])
        self.lab.warm_up(q, self.heldout[:4])
        started = self.clock.spent()
        self.greedy = self.lab.greedy(q, self.heldout)
        self.cold_draws = self.lab.draw(q, self.heldout, range(self.size.draws), "h0")
        self.check_agreement(q)
        start = self.lab.measure(p, self.heldout, self.greedy, self.cold_draws, None)
        for arm in ARMS[:3]:
            self.points[arm].append(start)
        self.measured_s = self.clock.spent() - started
        self.clock.done("measure", started, f"({len(self.heldout)} items)")
        self.items = self.plan()
        self.with_estep(q, p)
        self.others(q, p)
        self.plain(base, [p_parts(x.item, (), self.lab.encode) for x in self.train])

    # the arms

    def with_estep(self, q0: Any, p: Any) -> None:
        """EM: every iteration moves q, then p."""
        q, half = q0, self.size.draws // 2
        for t in range(1, self.size.iterations + 1):
            if not self.time_for(f"with_estep {t}", self.step_s + 2 * self.measured_s):
                return
            q = self.tune(f"q{t}", q, self.chosen(q, p, t))
            z_N = self.rationales(q)
            p = self.tune(f"p{t}", p, self.p_rows(self.items, z_N))
            started = self.clock.spent()
            greedy = self.lab.greedy(q, self.heldout)
            cold = [row[:half] for row in self.cold_draws]
            now = self.lab.draw(q, self.heldout, range(half), f"h{t}")
            under_cold = self.lab.logq(q0, self.heldout, now)
            cold_under_now = self.lab.logq(q, self.heldout, cold)
            both = [[*a, *b] for a, b in zip(now, cold, strict=True)]
            other = [[*a, *b] for a, b in zip(under_cold, cold_under_now, strict=True)]
            self.points["with_estep"].append(self.lab.measure(p, self.heldout, greedy, both, other))
            self.clock.done("measure", started, f"(with_estep {t})")

    def others(self, q0: Any, p0: Any) -> None:
        """The two arms whose q is the cold start's: only p moves."""
        given = [x.rationale for x in self.items]
        for arm in ("no_estep", "init_rationale"):
            p, z_N = p0, self.rationales(q0) if arm == "no_estep" else list(map(self.lab.encode, given))
            for t in range(1, self.size.iterations + 1):
                if not self.time_for(f"{arm} {t}", self.tune_s + self.measured_s):
                    break
                p = self.tune(f"p{t} {arm}", p, self.p_rows(self.items, z_N))
                point = self.lab.measure(p, self.heldout, self.greedy, self.cold_draws, None)
                self.points[arm].append(point)

    def plain(self, base: Any, rows: Sequence[Sequence[Part]]) -> None:
        """p(x|c), trained and measured without a rationale."""
        if not self.time_for("init_plain", self.clock.budget(COLD_SHARE) / 2):
            return
        p = self.cold("p0 init_plain", base, rows)
        self.points["init_plain"].append(self.lab.measure_plain(p, self.heldout))
        for t in range(1, self.size.iterations + 1):
            if not self.time_for(f"init_plain {t}", self.tune_s + self.measured_s):
                return
            p = self.tune(f"p{t} init_plain", p, self.p_rows(self.items, [()] * len(self.items)))
            self.points["init_plain"].append(self.lab.measure_plain(p, self.heldout))

    # their steps

    def chosen(self, q: Any, p: Any, t: int) -> list[Sequence[Part]]:
        """E-step: K candidates per item from q, rewarded under p; the chosen ones as rows for q."""
        started = self.clock.spent()
        drawn = self.lab.draw(q, self.items, range(self.size.draws), f"e{t}")
        good = [[d for d in row if self.usable(x, d)] for x, row in zip(self.items, drawn, strict=True)]
        rows, reward, mean = [], 0.0, 0.0
        for x, row, scored in zip(self.items, good, self.lab.under_p(p, self.items, good), strict=True):
            if row:
                rewards_K = rewards(self.select, scored)
                best = choose(self.draw, rewards_K, row_uniform(self.seed, f"e{t}:{x.key}"))
                rows.append(q_parts(x.item, row[best].ids, self.lab.encode))
                reward, mean = reward + rewards_K[best], mean + sum(rewards_K) / len(row)
        count, candidates = max(1, len(rows)), sum(map(len, drawn))
        self.estep.append({
            "iteration": t, "items": len(self.items), "candidates": candidates,
            "usable": sum(map(len, good)) / max(1, candidates), "chosen": len(rows),
            "mean_tokens": sum(len(d.ids) for row in drawn for d in row) / max(1, candidates),
            "reward_chosen": reward / count, "reward_mean": mean / count,
        })  # fmt: skip
        self.clock.done("e-step", started, f"({candidates} candidates)")
        return list(rows)

    def rationales(self, q: Any) -> list[tuple[int, ...] | None]:
        """q's greedy rationale for every item; None where it is not usable."""
        started = self.clock.spent()
        drawn = self.lab.greedy(q, self.items)
        self.clock.done("greedy", started)
        return [d.ids if self.usable(x, d) else None for x, d in zip(self.items, drawn, strict=True)]

    @staticmethod
    def usable(x: Example, d: Draw) -> bool:
        """Whether the package would let this candidate pass."""
        return reject_reason(d.ids, d.text, x.item.problem, d.finish, LIMITS, 1) is None

    def p_rows(self, items: Sequence[Example], z_N: Sequence[tuple[int, ...] | None]) -> list[Sequence[Part]]:
        """Rows for p; an item without a rationale is left out."""
        return [p_parts(x.item, z, self.lab.encode) for x, z in zip(items, z_N, strict=True) if z is not None]

    def cold(self, name: str, base: Any, rows: Sequence[Sequence[Part]]) -> Any:
        """A cold start from the base model."""
        size = self.size
        return self._tune(name, base, rows, size.cold_lr, COLD_EPOCHS, size.cold_rows, COLD_SHARE)

    def tune(self, name: str, model: Any, rows: Sequence[Sequence[Part]]) -> Any:
        """One step of the EM: an epoch from the model before."""
        return self._tune(name, model, rows, self.size.em_lr, 1, self.size.em_rows, EM_SHARE)

    def _tune(
        self, name: str, model: Any, rows: Sequence[Sequence[Part]], lr: float, epochs: int, batch: int,
        share: float,
    ) -> Any:  # fmt: skip
        tuned, stint = tune(
            name,
            model,
            rows,
            lr,
            epochs,
            batch,
            self.clock.budget(share),
            self.training,
            self.clock,
            self.seed,
        )
        self.stints.append(stint)
        return tuned

    # time

    def plan(self) -> list[Example]:
        """The items of the EM: one triple per seed, as many as the measured rates allow in the time left."""
        first: dict[str, Example] = {}
        for x in self.train:
            first.setdefault(x.seed, x)
        rows, wanted = list(first.values()), min(self.size.em_items, len(first))
        lab, t = self.lab, self.size.iterations
        z = lab.sampling.tokens / (len(self.heldout) * (self.size.draws + 1))
        row = lab.scoring.tokens / (len(self.heldout) * (2 * self.size.draws + 1))
        em_rate = self.training.rate * min(
            1.0, 2 * self.size.em_rows / self.size.cold_rows
        )  # small batches: slower
        greedy_s, tune_s = z / lab.sampling.rate, row / em_rate
        step_s = (self.size.draws + 1) * greedy_s + self.size.draws * row / lab.scoring.rate + 2 * tune_s
        item_s = t * (step_s + 3 * tune_s) + greedy_s
        fixed_s = (2.5 * t + 1) * self.measured_s + self.clock.budget(COLD_SHARE)
        spare_s = SAFETY * self.clock.left() - fixed_s
        count = max(min(wanted, 16), min(wanted, int(spare_s / item_s)))
        if count < wanted:
            self.clock.cut(f"EM: {count} of {wanted} items")
        self.step_s, self.tune_s = count * step_s, count * tune_s
        print(f"  EM on {count} items, {1000 * item_s:.1f} ms each, {fixed_s:.0f} s beside them", flush=True)
        return [rows[i * len(rows) // count] for i in range(count)]  # across the sources

    def time_for(self, what: str, seconds: float) -> bool:
        """Whether there are so many seconds left; else it is a cut."""
        if self.clock.left() > seconds + 0.01 * self.clock.total_s:
            return True
        self.clock.cut(f"{what}: not run")
        return False

    def check_agreement(self, q: Any) -> None:
        """log q of the held-out draws, token by token while sampling and again in one pass: the same but for rounding."""
        again = self.lab.logq(q, self.heldout, self.cold_draws)
        gaps = [
            (abs(d.logq - b), len(d.ids) + (d.finish == "stop"))
            for row, other in zip(self.cold_draws, again, strict=True)
            for d, b in zip(row, other, strict=True)
        ]
        self.agreement = {
            "mean_nats_per_token": sum(g for g, _ in gaps) / max(1, sum(n for _, n in gaps)),
            "max_nats_per_sequence": max(g for g, _ in gaps),
        }
