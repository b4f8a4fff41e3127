"""Stage 8. Self-play: the solver attempts problems, its verdicts become training rows, and it is trained on them.

Round r, on problems of its own:
  rollouts{r}   attempts of solver[r-1]; with `waves` also rollouts{r}_more{n}, only where they can still matter
  pairs{r} | traces{r} | tasks{r}   what passes the difficulty filter, for DPO, SFT or GRPO
  solver{r}     the training
  track{r}      attempts at seed problems set aside, with the same random streams in every round
  round{r}      the round's figures, the label monitor among them
`decision` names the round whose solver later stages read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from promptcot.analysis.outcomes import solve_rates
from promptcot.analysis.statistics import paired_difference
from promptcot.curation.decontaminate import find_contaminated
from promptcot.em.gates import verdict
from promptcot.errors import UserError
from promptcot.ids import digest
from promptcot.records import Ask, Decision, Pair, Problem, Record, Rollout, Round, Seed, Trace
from promptcot.settings import Curate, Rules, SelfPlay
from promptcot.stages import selfplay_fit
from promptcot.stages import selfplay_rows as rows
from promptcot.stages.benchmarks import references
from promptcot.stages.context import Context, asks, model_key
from promptcot.stages.selfplay_rows import NAME, Posed
from promptcot.stages.solving import attempt, judgeable, rules_for
from promptcot.store import Step

Rates = dict[str, float]
METHODS: dict[str, tuple[str, type[Record], Any, Any]] = {
    "dpo": ("pairs", Pair, rows.pairs_of, selfplay_fit.fit_dpo),
    "sft": ("traces", Trace, rows.traces_of, selfplay_fit.fit_sft),
    "grpo": ("tasks", Ask, rows.task_of, selfplay_fit.fit_grpo),
}


def run(ctx: Context) -> None:
    """All rounds, until one does not help (`selfplay.stop`); the last step says which one is kept."""
    settings = ctx.recipe.selfplay
    assert settings is not None
    play = Play(ctx, settings)
    decision = play.rounds()
    ctx.table(
        NAME, "decision", Decision, lambda: (1, [decision], []), params={"decision": digest(decision.row())},
        inputs={"model": model_key(solver(ctx, decision.last))},
    )  # fmt: skip
    ctx.reporter.line(f"  selfplay: {decision.detail}")


def solver(ctx: Context, round_: int) -> str:
    """The solver's weights after `round_` rounds (0: as it was)."""
    assert ctx.recipe.selfplay is not None
    return ctx.artifact_path(NAME, f"solver{round_}") if round_ else ctx.recipe.selfplay.model.model


def kept_solver(ctx: Context) -> str:
    """The weights of the round that self-play kept."""
    (decision,) = ctx.load(NAME, "decision", Decision).rows()
    return solver(ctx, decision.kept)


def drawn(ctx: Context, r: int) -> list[Rollout]:
    """All attempts of round r, of every wave."""
    assert ctx.recipe.selfplay is not None
    names = [f"rollouts{r}"] + [f"rollouts{r}_more{n}" for n in range(2, len(ctx.recipe.selfplay.waves) + 1)]
    steps = [ctx.load(NAME, n, Rollout) for n in names if ctx.has(NAME, n)]
    return [row for step in steps for row in step.rows()]


class Play:
    """The rounds over fixed problems: the tracked seeds are never trained on."""

    def __init__(self, ctx: Context, settings: SelfPlay) -> None:
        self.ctx, self.settings, self.style = ctx, settings, ctx.recipe.templates
        seeds = ctx.load("seeds", "seeds", Seed)
        gold = [s for s in seeds.rows() if s.split == "train" and judgeable(s, self.style)]
        self.tracked = _pick(gold, settings.track, ctx.recipe.run.seed)
        self.track_source = seeds.digest
        texts = {s.problem for s in self.tracked}
        if settings.problems == "seeds":
            self.source, found = seeds.digest, list[Posed](self.clean(gold, list(seeds.rows())))
        else:
            labelled = ctx.load("label", "problems", Problem)
            self.source, found = labelled.digest, list[Posed](labelled.rows())
        self.problems = [p for p in found if p.problem not in texts]
        self.rules: Rules = rules_for(ctx, [*self.problems, *self.tracked])

    def clean(self, gold: Sequence[Seed], seeds: Iterable[Seed]) -> list[Seed]:
        """Without the seeds that share their text with what is evaluated; `curate` has seen to the synthesised ones."""
        curate = self.ctx.recipe.curate or Curate()
        against = [s for s in seeds if s.split == "heldout"] + references(self.ctx.recipe)
        found = find_contaminated(
            [(s.id, s.problem) for s in gold], [(s.id, s.problem) for s in against], mode=curate.decontaminate
        )
        bad = {one.id: one.reference_id for one in found}
        if bad:
            such = "such as {} (as {})".format(*next(iter(bad.items())))
            self.ctx.reporter.line(f"  selfplay: {len(bad)} seeds left out that the evaluation asks, {such}")
        return [s for s in gold if s.id not in bad]

    def rounds(self) -> Decision:
        """Run them; each compares its solver with the best so far on the tracked problems."""
        settings = self.settings
        best, rates = 0, self.track(0)
        for r in range(1, settings.rounds + 1):
            mine = self.problems[r - 1 :: settings.rounds]
            rollouts, made = self.one(r, mine)
            now = self.track(r)
            common = sorted(set(rates) & set(now))
            said, why, figures = self.compare(rates, now, common)
            self.figures(r, mine, rollouts, made, figures)
            if settings.stop and said != "better":
                detail = f"round {r} against {best}: {why}; {_kept(best)}"
                return Decision(f"selfplay-{r}", best, r, said, detail)
            best, rates = r, now
        last = settings.rounds
        return Decision(f"selfplay-{last}", last, last, "max_rounds", f"all {last} rounds ran; {_kept(last)}")

    def one(self, r: int, problems: Sequence[Posed]) -> tuple[list[Rollout], Step[Any]]:
        """Attempts, training rows and training of round r.

        Raises:
            UserError: no rows to train on.
        """
        settings = self.settings
        name, record, make, fit = METHODS[settings.method]
        steps = self.rollouts(r, problems)
        rollouts = [row for step in steps for row in step.rows()]
        params = settings.model_dump(
            mode="json",
            include={"drop_at", "drop_rule", "form", "wrong", "pairs_per_problem", "min_pairs", "max_pairs",
                     "traces_per_problem", "method"},
        )  # fmt: skip
        inputs = {f"rollouts{n}": step.digest for n, step in enumerate(steps)} | {"problems": self.source}
        seed = self.ctx.recipe.run.seed
        made: Step[Any] = self.ctx.table(
            NAME, f"{name}{r}", record, lambda: rows.table(problems, rollouts, settings, seed, make),
            params=params, inputs=inputs, version=2,
        )  # fmt: skip
        taught = list(made.rows())
        if not taught:
            raise UserError(
                f"no {name} in round {r}: {made.totals()['reasons']}",
                expected="problems with right and wrong attempts",
                do="more problems, a higher selfplay.drop_at, or another temperature",
            )
        weights = solver(self.ctx, r - 1)
        extra: dict[str, Any] = {"method": settings.method}
        if settings.method == "grpo":
            extra |= {
                "grpo": settings.grpo.key(), "sampling": settings.sampling.key(), "form": settings.form,
                "wrong": settings.wrong, "programs": self.ctx.recipe.programs.key(),
            }  # fmt: skip
        job = partial(
            fit, rows=taught, spec=settings.model.spec(weights), settings=settings, style=self.style, rules=self.rules
        )  # fmt: skip
        params = {**settings.training.key(), "start": settings.model.key(), "templates": self.style, **extra}
        inputs = {name: made.digest, "model": model_key(weights)}
        version = 3 if settings.method == "grpo" else 2  # which judges programs itself
        self.ctx.artifacts(NAME, [(f"solver{r}", job, params, inputs)], version=version)
        return rollouts, made

    def rollouts(self, r: int, problems: Sequence[Posed]) -> list[Step[Rollout]]:
        """The attempts of round r, wave by wave; a wave is complete before the next is asked for, so short attempts
        have no better chance than long ones."""
        settings = self.settings
        first, *more = settings.waves or [settings.rollouts]
        steps = [self.attempts(f"rollouts{r}", problems, range(first), r - 1, r)]
        at = first
        for n, size in enumerate(more, 2):
            groups = rows.by_problem(row for step in steps for row in step.rows())
            left = settings.rollouts - at
            open_ = [p for p in problems if rows.needs_more(p, groups[p.id], left, settings)]
            if not open_:
                break
            steps.append(self.attempts(f"rollouts{r}_more{n}", open_, range(at, at + size), r - 1, r))
            at += size
        return steps

    def attempts(
        self, name: str, problems: Sequence[Posed], samples: range, round_: int, stream: Any
    ) -> Step[Rollout]:
        """Attempts of solver[round_]; `stream` names their random streams."""
        settings = self.settings
        weights = solver(self.ctx, round_)
        asked = asks(NAME, problems, samples, stream)
        play: Callable[..., Any] = partial(
            attempt, model=settings.model.spec(weights), params=settings.sampling.params(), style=self.style,
            rules=self.rules,
        )  # fmt: skip
        return self.ctx.map(
            NAME, name, Rollout, asked, play,
            params={"model": settings.model.key(), "asked": digest([a.id for a in asked]), "sampling": settings.sampling.key(),
                    "templates": self.style, "programs": self.ctx.recipe.programs.key()},
            inputs={"problems": self.source, "tracked": self.track_source, "model": model_key(weights)}, version=4,
        )  # fmt: skip

    # measurement

    def track(self, r: int) -> Rates:
        """Solve rates of solver[r] on the tracked seeds."""
        if not self.tracked:
            return {}
        step = self.attempts(f"track{r}", self.tracked, range(self.settings.track_samples), r, "track")
        return solve_rates(step.rows())

    def compare(
        self, before: Rates, now: Rates, ids: Sequence[str]
    ) -> tuple[str, str, tuple[float, float, float, float]]:
        """("better" | "worse" | "converged", a sentence, (mean now, change and its 95% interval)), paired."""
        if not ids:
            return "converged", "nothing was tracked", (float("nan"),) * 4
        a, b = [before[i] for i in ids], [now[i] for i in ids]
        change = paired_difference(a, b, self.ctx.recipe.run.seed, shares=True)
        low, high = change.ci95
        why = (
            f"tracked avg@{self.settings.track_samples} moved by {100 * change.mean:+.1f} points "
            f"(95% interval {100 * low:+.1f} to {100 * high:+.1f}, {len(ids)} seed problems)"
        )
        return verdict(change.ci95), why, (sum(b) / len(b), change.mean, low, high)

    def figures(
        self, r: int, problems: Sequence[Posed], rollouts: Sequence[Rollout], made: Step[Any],
        track: tuple[float, float, float, float],
    ) -> None:  # fmt: skip
        """The table `round{r}`, and a line for people."""
        row = rows.figures(r, problems, rollouts, self.settings, made.totals()["rows_out"], track, self.style)
        self.ctx.table(
            NAME, f"round{r}", Round, lambda: (1, [row], []), params={"figures": digest(row.row())}, inputs={"rows": made.digest}
        )  # fmt: skip
        saved = f", {row.planned - row.drawn} of {row.planned} rollouts saved" if self.settings.waves else ""
        against = f", most attempts against the label in {row.against} of {row.voted} votes"
        self.ctx.reporter.line(
            f"  selfplay: round {r}: {row.solved:.1%} of attempts agree with the label{against}{saved}"
        )


def _pick(gold: Sequence[Seed], count: int, run_seed: int) -> list[Seed]:
    if count > len(gold):
        raise UserError(
            f"selfplay.track={count}, and {len(gold)} train seeds have an answer or tests to judge by",
            do=f"--set selfplay.track={len(gold)}, or 0 to run without measuring",
        )
    return sorted(gold, key=lambda s: digest([run_seed, "track", s.id]))[:count]


def _kept(r: int) -> str:
    return f"kept round {r}" if r else "kept the solver as it was (round 0)"
