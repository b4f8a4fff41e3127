"""One EM run as named, resumable steps: the E-step, the M-step, the measurement. State lives on disk only.

Several arms (selection rules, baselines) can share a run directory: each names its steps `<arm>.<step>`, and a step
that another arm has finished with the same inputs is taken over (`promptcot.rundir`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

from promptcot.em.rewards import Scored, rewards
from promptcot.em.select import choose, is_open
from promptcot.ids import digest, row_id, row_uniform
from promptcot.lm.base import EngineSpec
from promptcot.records import Ask, Candidate, HeldOut, Posed, Problem, Record, Reject, Seed, Triple
from promptcot.settings import EM
from promptcot.stages import em_heldout, em_steps
from promptcot.stages.coldstart import train
from promptcot.stages.context import Context, check_rejects, model_key
from promptcot.stages.em_steps import GREEDY
from promptcot.store import Step

NAME = "em"
Role = Literal["q", "p"]


class Loop:
    """The steps of one arm over fixed items; `models` are the cold start's q and p."""

    def __init__(
        self, ctx: Context, settings: EM, arm: str = "", start: dict[Role, Step[Record]] | None = None
    ) -> None:
        assert ctx.recipe.coldstart is not None
        self.ctx, self.settings, self.prefix = ctx, settings, f"{arm}." if arm else ""
        self.style, self.base = ctx.recipe.templates, ctx.recipe.coldstart.base
        triples = ctx.load("annotate", "triples", Triple)
        rows = list(triples.rows())
        self.source = triples.digest
        usable = self.usable(
            one_per_seed(rows, "train", settings.items) + one_per_seed(rows, "heldout", settings.measure)
        )
        self.items = [t for t in usable if t.split == "train"]
        self.heldout = [t for t in usable if t.split == "heldout"]
        self.by_id = {t.id: t for t in [*self.items, *self.heldout]}
        cold: list[Role] = ["q", "p"]
        self.start = start or {role: ctx.load("coldstart", role, Record) for role in cold}

    def usable(self, rows: list[Triple]) -> list[Triple]:
        """The rows that fit the context of the base model; the others are rejects of the step `items`."""
        tokens = self.settings.sampling.max_tokens
        fn = partial(em_steps.fitting, model=self.base.spec(), max_tokens=tokens, style=self.style)
        params = {"rows": digest([r.id for r in rows]), "max_tokens": tokens, "templates": self.style}
        inputs = {"triples": self.source, "base": model_key(self.base.spec().model)}
        step = self.ctx.map(NAME, f"{self.prefix}items", Triple, rows, fn, params=params, inputs=inputs)
        check_rejects(step, self.settings.max_rejected, "em.max_rejected")
        return list(step.rows())

    # models

    def model(self, role: Role, t: int) -> Step[Record]:
        """q[t] or p[t]; iteration 0 is the cold start, and without an E-step q stays there."""
        if t == 0 or (role == "q" and not self.settings.estep):
            return self.start[role]
        return self.ctx.load(NAME, f"{self.prefix}{role}{t}", Record)

    def spec(self, role: Role, t: int) -> EngineSpec:
        """The engine of q[t] or p[t]."""
        return self.base.spec(str(self.model(role, t).artifact))

    # one model per step

    def sample(
        self, name: str, kind: str, rows: Sequence[Triple], t: int, samples: Sequence[int], keep_all: bool
    ) -> Step[Candidate]:
        """Rationales of q[t] for every row, held-out ones (`keep_all`) drawn plainly. `kind` names the random streams: arms
        draw the same ones."""
        settings = self.settings
        sampling = settings.plain if keep_all else settings.sampling
        asked = [ask(kind, row, i) for row in rows for i in samples]
        limits = settings.model_dump(include={"max_repetition", "max_copy", "min_length", "max_length"})
        params = {"sampling": sampling.key(), "templates": self.style, "limits": None if keep_all else limits,
                  "asked": digest([a.id for a in asked])}  # fmt: skip
        fn = partial(
            em_steps.sample, q=self.spec("q", t), settings=settings, style=self.style, keep_all=keep_all
        )
        inputs = {"triples": self.source, "q": self.model("q", t).digest}
        return self.ctx.map(NAME, self.prefix + name, Candidate, asked, fn, params=params, inputs=inputs)

    def score(self, name: str, drawn: Sequence[Candidate], t: int, of: str) -> Step[Candidate]:
        """Rationales (of the tables with digest `of`) with both terms of the reward under p[t]."""
        return self._under(name, self.model("p", t), drawn, of, partial(em_steps.score, p=self.spec("p", t)))

    def rescore(self, name: str, drawn: Sequence[Candidate], t: int, of: str) -> Step[Candidate]:
        """Rationales with their log-prob under q[t]."""
        return self._under(
            name, self.model("q", t), drawn, of, partial(em_steps.rescore, q=self.spec("q", t))
        )

    def _under(
        self,
        name: str,
        model: Step[Record],
        drawn: Sequence[Candidate],
        of: str,
        fn: Callable[..., list[Candidate | Reject]],
    ) -> Step[Candidate]:
        rows = [Posed(c.id, c, self.by_id[c.item_id]) for c in drawn]
        inputs = {"triples": self.source, "model": model.digest, "drawn": of}
        return self.ctx.map(
            NAME, self.prefix + name, Candidate, rows, partial(fn, style=self.style),
            params={"templates": self.style}, inputs=inputs,
        )  # fmt: skip

    # the iteration

    def e_step(self, t: int) -> None:
        """Candidates from q[t-1], rewarded under p[t-1]; the chosen ones train q[t]. Nothing where q stays."""
        if self.settings.estep:
            chosen = self.choose(f"e{t}_selected", self.candidates(t), t, self.settings.draw)
            self.fit("q", t, chosen)

    def candidates(self, t: int) -> list[Step[Candidate]]:
        """The scored candidates of iteration t: all k at once, or k_first and the rest where it is open.

        Raises:
            UserError: more than `em.max_rejected` of the rationales drawn, or of the scores, are lost.
        """
        settings = self.settings
        first = settings.k_first or settings.k
        drawn = self.sample(f"e{t}_samples", f"e{t}", self.items, t - 1, range(first), keep_all=False)
        check_rejects(drawn, settings.max_rejected, "em.max_rejected")
        scored = [self._scored(f"e{t}_candidates", drawn, t)]
        if first < settings.k:
            groups = by_item(scored)
            undecided = [i for i in self.items if i.id not in groups or self._open(groups[i.id])]
            if undecided:
                more = self.sample(
                    f"e{t}_more_samples", f"e{t}", undecided, t - 1, range(first, settings.k), keep_all=False
                )
                # On its own it may reject more than is allowed: items whose first candidates were all rejected are in it.
                lost, asked = (
                    sum(s.totals()[count] for s in (drawn, more)) for count in ("rejected", "rows_in")
                )
                if lost > settings.max_rejected * asked:
                    check_rejects(more, settings.max_rejected, "em.max_rejected")
                scored.append(self._scored(f"e{t}_more_candidates", more, t))
        return scored

    def _scored(self, name: str, drawn: Step[Candidate], t: int) -> Step[Candidate]:
        scored = self.score(name, list(drawn.rows()), t - 1, drawn.digest)
        check_rejects(scored, self.settings.max_rejected, "em.max_rejected")
        return scored

    def _open(self, group: Sequence[Candidate]) -> bool:
        settings = self.settings
        return is_open(reward(settings, group), settings.settled, settings.temperature)

    def choose(self, name: str, candidates: Sequence[Step[Candidate]], t: int, draw: str) -> Step[Candidate]:
        """Per item one candidate; the others are rejected as `not_chosen`."""
        settings = self.settings
        params = {"select": settings.select, "draw": draw, "temperature": settings.temperature}
        inputs = {f"candidates{i}": step.digest for i, step in enumerate(candidates)}
        seed = self.ctx.recipe.run.seed

        def build() -> tuple[int, list[Candidate], list[Reject]]:
            groups = by_item(candidates)
            chosen = {
                item: group[choose(draw, reward(settings, group), row_uniform(seed, f"{name}:{item}"), settings.temperature)]
                for item, group in groups.items()
            }  # fmt: skip
            kept = {c.id for c in chosen.values()}
            rest = [
                Reject(c.id, "not_chosen") for group in groups.values() for c in group if c.id not in kept
            ]
            return len(kept) + len(rest), list(chosen.values()), rest

        return self.ctx.table(NAME, self.prefix + name, Candidate, build, params=params, inputs=inputs)

    def m_step(self, t: int) -> None:
        """Rationales that train p[t], by the recipe's rule."""
        how = self.settings.mstep_rationale
        if how == "greedy":
            rationales = self.sample(f"m{t}_rationales", f"m{t}", self.items, t, [GREEDY], keep_all=False)
            check_rejects(rationales, self.settings.max_rejected, "em.max_rejected")
        elif how == "selected":
            rationales = self.choose(f"e{t}_selected", self.candidates(t), t, self.settings.draw)
        else:
            rationales = self.choose(f"m{t}_resampled", self.candidates(t), t, "resample")
        self.fit("p", t, rationales)

    def fit(self, role: Role, t: int, rationales: Step[Candidate]) -> None:
        """Train q[t] or p[t] from its predecessor on the given rationales."""
        settings = (self.settings.p_training if role == "p" else None) or self.settings.training
        rows = list(rationales.rows())
        self.fit_on(
            role,
            t,
            [self.by_id[c.item_id] for c in rows],
            [c.z_ids for c in rows],
            rationales.digest,
            settings,
        )

    def fit_on(
        self, role: Role, t: int, triples: Sequence[Triple], z_ids: Sequence[Sequence[int]] | None, data: str,
        settings: Any,
    ) -> None:  # fmt: skip
        """Train q[t] or p[t] on triples; `z_ids` None takes the annotators' own rationales."""
        fn = partial(
            train, role=role, triples=triples, spec=self.spec(role, t - 1), settings=settings, style=self.style,
            z_ids=z_ids,
        )  # fmt: skip
        params = {**settings.key(), "templates": self.style}
        inputs = {"rationales": data, "start": self.model(role, t - 1).digest}
        self.ctx.artifacts(NAME, [(f"{self.prefix}{role}{t}", fn, params, inputs)], version=2)

    # measurement

    def measure(self, t: int) -> Step[HeldOut]:
        """Everything known about the held-out items after iteration t (`promptcot.records.HeldOut`)."""
        half = range(self.settings.measure_draws // 2)
        samples = [GREEDY, *(half if t else range(self.settings.measure_draws))]
        drawn = self.sample(f"h{t}_samples", f"h{t}", self.heldout, t, samples, keep_all=True)
        now = list(drawn.rows())
        if t == 0:
            self.cold, self.cold_digest = [c for c in now if c.sample in half], drawn.digest
            steps = {"scores": self.score("h0_scores", now, 0, drawn.digest)}
        else:
            both = drawn.digest + self.cold_digest
            mine = [c for c in now if c.sample != GREEDY]
            steps = {
                "scores": self.score(f"h{t}_scores", [*now, *self.cold], t, both),
                "under_cold": self.rescore(f"h{t}_under_cold", mine, 0, drawn.digest),
                "cold_under_now": self.rescore(f"h{t}_cold_under_now", self.cold, t, self.cold_digest),
            }
        written = self.written(t)
        items = {ask(f"w{t}", row, 0).id: row.id for row in self.heldout}
        inputs = {
            "triples": self.source,
            "written": written.digest,
            **{k: s.digest for k, s in steps.items()},
        }
        build = partial(
            em_heldout.table, t, self.heldout, {k: list(s.rows()) for k, s in steps.items()},
            {items[row.id]: row for row in written.rows()}, self._seeds, self.settings,
        )  # fmt: skip
        table = self.ctx.table(
            NAME,
            f"{self.prefix}h{t}_heldout",
            HeldOut,
            build,
            params={"draws": len(samples), "max_copy": self.settings.max_copy},
            inputs=inputs,
        )
        check_rejects(table, self.settings.max_rejected, "em.max_rejected")
        return table

    def written(self, t: int) -> Step[Problem]:
        """One completion of p[t] per held-out item: does p still follow its concepts, domain and form?"""
        fn = partial(em_steps.write, p=self.spec("p", t), settings=self.settings, style=self.style)
        asked = [ask(f"w{t}", row, 0) for row in self.heldout]
        params = {"what": "written", "sampling": self.settings.sampling.key(), "templates": self.style,
                  "tokens": self.settings.training.max_tokens, "asked": digest([a.id for a in asked])}  # fmt: skip
        inputs = {"triples": self.source, "p": self.model("p", t).digest}
        return self.ctx.map(
            NAME, f"{self.prefix}h{t}_written", Problem, asked, fn, params=params, inputs=inputs
        )

    def _seeds(self) -> list[tuple[str, str]]:
        return [
            (s.domain, s.problem) for s in self.ctx.load("seeds", "seeds", Seed).rows() if s.split == "train"
        ]


def one_per_seed(triples: Iterable[Triple], split: str, limit: int) -> list[Triple]:
    """One (c, x) per seed: the annotators' turns rotate, so each contributes its share of concept lists."""
    chosen: dict[str, Triple] = {}
    for triple in triples:
        if triple.split == split:
            chosen.setdefault(triple.seed_id, triple)
    rows = list(chosen.values())
    return rows[:limit] if limit else rows


def ask(kind: str, row: Triple, sample: int) -> Ask:
    """One unit of sampling. Its id, and so its random stream, does not depend on the arm."""
    ident = row_id(NAME, 2, [row.id], kind, sample)
    return Ask(
        ident, row.id, sample, row.domain, row.level, row.concepts, row.problem, rationale=row.rationale
    )


def by_item(steps: Sequence[Step[Candidate]]) -> dict[str, list[Candidate]]:
    """The candidates of every item that has any."""
    groups: dict[str, list[Candidate]] = defaultdict(list)
    for step in steps:
        for row in step.rows():
            groups[row.item_id].append(row)
    return dict(groups)


def reward(settings: EM, group: Sequence[Candidate]) -> list[float]:
    """The rewards of an item's candidates under the recipe's rule."""
    rows = [Scored(c.logq, c.logp_z, c.logp_x, c.z_tokens, c.x_tokens) for c in group]
    return rewards(settings.select, rows)
