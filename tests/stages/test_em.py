"""How the EM loop ends, and what a held-out row says, on numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import pytest

from promptcot.errors import UserError
from promptcot.records import Candidate, HeldOut
from promptcot.settings import EM, Gates, Training
from promptcot.stages import em as em_stage
from promptcot.stages.ablation import GRID, arms, settings_of
from promptcot.stages.em import decide, without_estep
from promptcot.stages.em_heldout import likelihoods

BASE = {f.name: 0.5 for f in fields(HeldOut)}


def rows(iteration: int, shift: float = 0.0, items: int = 40, **changed: float) -> list[HeldOut]:
    """Held-out rows whose bound and NLL vary by item and improve by `shift`."""
    out = []
    for i in range(items):
        values: dict[str, Any] = {
            **BASE,
            "bound": -20.0 - i + shift,
            "nll_greedy": 10.0 + i - shift,
            **changed,
        }
        values |= {"id": f"{iteration}-{i}", "item_id": str(i), "domain": "math", "iteration": iteration}
        out.append(HeldOut(**values))
    return out


class FakeLoop:
    """Says what was asked of it; its tables are given."""

    def __init__(self, *tables: list[HeldOut]) -> None:
        self.tables, self.heldout = tables, [object()]
        self.lines: list[str] = []
        self.ran = 0
        self.ctx = SimpleNamespace(reporter=SimpleNamespace(line=self.lines.append))

    def measure(self, t: int) -> Any:
        return SimpleNamespace(rows=lambda: iter(self.tables[t]))

    def e_step(self, t: int) -> None:
        self.ran = t

    def m_step(self, t: int) -> None:
        assert self.ran == t


def em(**changed: Any) -> EM:
    return EM.model_validate({"training": Training(lr=1.0), "iterations": 3, "stop": "bound", **changed})


def decided(settings: EM, *tables: list[HeldOut]) -> tuple[Any, FakeLoop]:
    loop = FakeLoop(*tables)
    return decide(loop, settings, 1), loop  # type: ignore[arg-type]


def test_it_goes_on_while_the_bound_rises_and_keeps_the_last() -> None:
    found, loop = decided(em(), rows(0), rows(1, 1.0), rows(2, 2.0), rows(3, 3.0))
    assert (found.kept, found.last, found.reason) == (3, 3, "max_iterations")
    assert loop.ran == 3


def test_an_iteration_that_changes_nothing_ends_it_and_the_one_before_is_kept() -> None:
    wobble = [replace(r, bound=r.bound + (-1) ** i * 0.5) for i, r in enumerate(rows(2, 1.0))]
    found, loop = decided(em(), rows(0), rows(1, 1.0), wobble, rows(3, 9.0))
    assert (found.kept, found.last, found.reason) == (1, 2, "converged")
    assert loop.ran == 2


def test_a_worse_first_iteration_returns_to_the_cold_start() -> None:
    found, _ = decided(em(), rows(0), rows(1, -1.0), rows(2), rows(3))
    assert (found.kept, found.last, found.reason) == (0, 1, "worse")
    assert "the bound on log p(x|c) rose by -1.00 nats" in found.detail
    assert "kept the cold start" in found.detail


def test_stop_nll_looks_at_the_papers_measure_only() -> None:
    better_nll_worse_bound = [replace(r, nll_greedy=r.nll_greedy - 2) for r in rows(1, -1.0)]
    found, _ = decided(em(stop="nll", iterations=1), rows(0), better_nll_worse_bound)
    assert (found.kept, found.reason) == (1, "max_iterations")


def test_without_a_stop_rule_all_iterations_run_and_the_last_is_kept() -> None:
    found, _ = decided(em(stop="none"), rows(0), rows(1, -5.0), rows(2, -6.0), rows(3, -7.0))
    assert (found.kept, found.reason) == (3, "max_iterations")


GATED = [
    ("length", {"tokens_sampled": 20.0}, {"tokens_sampled": 9.0}, "em.select=iw"),
    ("length", {"tokens_sampled": 20.0}, {"tokens_sampled": 31.0}, "em.training.lr"),
    ("concepts", {"written_coverage": 0.7}, {"written_coverage": 0.4}, "em.mstep_rationale=selected"),
    ("domain", {"in_domain": 0.9}, {"in_domain": 0.7}, "em.p_training.lr"),
    ("format", {"well_formed": 1.0}, {"well_formed": 0.8}, "em.sampling.max_tokens"),
    ("duplicates", {"duplicate": 0.1}, {"duplicate": 0.6}, "em.draw=resample"),
    ("copies", {"copies": 0.0}, {"copies": 0.2}, "em.max_copy"),
]


@pytest.mark.parametrize(("gate", "before", "after", "advice"), GATED)
def test_every_gate_stops_the_loop_returns_to_the_best_and_says_what_to_try(
    gate: str, before: dict[str, Any], after: dict[str, Any], advice: str
) -> None:
    tables = rows(0, **before), rows(1, 1.0, **before), rows(2, 2.0, **after), rows(3, 3.0)
    found, loop = decided(em(), *tables)
    assert (found.kept, found.last, found.reason) == (1, 2, "gate")
    assert f"gate '{gate}' fired" in found.detail
    assert advice in found.detail
    assert loop.ran == 2
    with pytest.raises(UserError, match=f"gate '{gate}' fired"):
        decided(em(gates=Gates(action="fail")), *tables)
    found, loop = decided(em(gates=Gates(action="warn")), *tables)
    assert found.kept == 3
    assert any(gate in line for line in loop.lines)


def test_three_items_cannot_fire_a_gate_by_chance() -> None:
    before = [replace(r, well_formed=v) for r, v in zip(rows(0, items=3), (1.0, 0.0, 1.0), strict=True)]
    after = [replace(r, well_formed=v) for r, v in zip(rows(1, 1.0, items=3), (0.0, 0.0, 1.0), strict=True)]
    found, _ = decided(em(iterations=1, stop="none"), before, after)
    assert found.reason == "max_iterations"


def test_a_measure_that_nobody_could_take_fires_nothing() -> None:
    found, _ = decided(em(iterations=1), rows(0, in_domain=math.nan), rows(1, 1.0, in_domain=math.nan))
    assert found.reason == "max_iterations"


def candidate(ident: str, logq: float, logp_z: float, logp_x: float, tokens: int = 3) -> Candidate:
    return Candidate(ident, "i", 0, "z", [], "stop", logq, logp_z, logp_x, tokens, 5)


def test_likelihoods_at_the_cold_start() -> None:
    # Weights p(z,x|c)/q: ln(1/8)/(1/2) -> 1/4 and (1/4 * 1/2)/(1/4) -> 1/2. Mean 3/8; ESS (3/4)^2 / (1/16 + 1/4) = 9/5.
    draws = [
        candidate("a", math.log(1 / 2), math.log(1 / 4), math.log(1 / 2), 2),
        candidate("b", math.log(1 / 4), math.log(1 / 2), math.log(1 / 4), 6),
    ]
    found = likelihoods(candidate("g", -1.0, -2.0, -3.0, 9), draws, [], {})
    assert found["bound"] == pytest.approx(math.log(3 / 8))
    assert found["own_bound"] == found["bound"]
    assert found["elbo"] == found["bound_half"] == pytest.approx((math.log(1 / 4) + math.log(1 / 2)) / 2)
    assert found["kl_posterior"] == pytest.approx(math.log(3 / 8) - found["elbo"])
    assert found["ess"] == pytest.approx(9 / 5)
    assert found["kl_prior"] == pytest.approx((math.log(2) + math.log(1 / 2)) / 2)
    assert (found["nll_greedy"], found["joint"], found["tokens_greedy"]) == (3.0, -5.0, 9.0)
    assert found["nll_sampled"] == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert found["tokens_sampled"] == 4.0


def test_the_bound_mixes_both_proposals_and_the_elbo_does_not() -> None:
    # now: q 1/2, cold 1/10 -> r = 0.3, p = 1/8; cold: q[0] 1/5, q[t] 2/5 -> r = 0.3, p = 1/16.
    now = [candidate("a", math.log(1 / 2), math.log(1 / 4), math.log(1 / 2))]
    cold = [candidate("b", math.log(1 / 5), math.log(1 / 4), math.log(1 / 4))]
    other = {"a": math.log(1 / 10), "b": math.log(2 / 5)}
    found = likelihoods(candidate("g", 0.0, 0.0, 0.0), now, cold, other)
    assert found["bound"] == pytest.approx(math.log((1 / 8 + 1 / 16) / 2 / 0.3))
    assert found["elbo"] == found["own_bound"] == pytest.approx(math.log((1 / 8) / (1 / 2)))


def test_arms_are_spelled_out_and_typos_are_named() -> None:
    asked = em(ablation=["figure@2", "with_estep", "grid@1", "joint-best-greedy"])
    found = arms(asked)
    assert list(found)[:4] == ["with_estep", "no_estep", "init_rationale", "init_plain"]
    assert (found["with_estep"], found["no_estep"], found["iw-best-selected"]) == (3, 2, 1)
    assert len(GRID) == 12
    assert len(found) == 16
    with pytest.raises(UserError, match="grid@one"):
        arms(em(ablation=["grid@one"]))
    arm = settings_of("iw-resample-selected", em())
    assert (arm.select, arm.draw, arm.mstep_rationale, arm.estep) == ("iw", "resample", "selected", True)
    assert not settings_of("no_estep", em()).estep
    with pytest.raises(UserError, match=r"'iw-best-greedy'.*temperature 1"):
        settings_of("iw-best-greedy", em(sampling={"temperature": 0.8}))
    for wrong in ("wiht_estep", "iw-resample", "iw-resample-often"):
        with pytest.raises(UserError, match="unknown arm"):
            settings_of(wrong, em())


@pytest.mark.parametrize("mstep", ["greedy", "selected", "resample"])
def test_without_an_estep_nothing_is_selected(mstep: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = em(select="iw", draw="resample", mstep_rationale=mstep)
    made: list[EM] = []

    class Recorder(FakeLoop):
        def __init__(self, ctx: Any, settings: EM, arm: str) -> None:
            super().__init__(rows(0), rows(1))
            made.append(settings)

        def m_step(self, t: int) -> None: ...

    monkeypatch.setattr(em_stage, "Loop", Recorder)
    without_estep(SimpleNamespace(recipe=SimpleNamespace(em=asked)), 1)  # type: ignore[arg-type]
    made.append(settings_of("no_estep", asked))
    assert [(s.estep, s.mstep_rationale) for s in made] == [(False, "greedy")] * 2
    assert settings_of("with_estep", asked) == asked


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"k": 4, "k_first": 4}, "below k"),
        ({"select": "iw", "sampling": {"temperature": 0.8}}, "temperature 1"),
        ({"draw": "resample", "sampling": {"top_k": 20}}, "temperature 1"),
        ({"measure_draws": 5}, "multiple"),
    ],
)
def test_impossible_settings_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        em(**changed)
