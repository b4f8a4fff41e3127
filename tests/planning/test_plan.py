"""The plan: hand-computed counts, the paper's recipes against an independent estimate, and where it must refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet
from typer.testing import CliRunner

from promptcot.cli import app
from promptcot.errors import UserError
from promptcot.planning.figures import Figures, Range, size_b
from promptcot.planning.plan import Line, as_json, plan
from promptcot.planning.work import Flow, Work
from promptcot.recipe import load, parse

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"


def lines(recipe: str) -> list[Line]:
    return plan(load(RECIPES / f"{recipe}.yaml"), Figures())


def hours(found: list[Line], stage: str, what: str = "") -> Range:
    out = Range.of(0.0)
    for line in found:
        if line.work.stage == stage and what in line.work.what:
            out = out + line.hours
    return out


def small(**sections: Any) -> Flow:
    """100 seeds, 20 held out, lengths c=10, z=20, x=30, attempts of 40; half is curated, labelled, paired, traced."""
    figures = Figures()
    fixed = {"concepts": 10, "rationale": 20, "problem": 30, "annotation": 12, "test": 5, "attempt": 40}
    figures.data["lengths"]["compact"] = {k: {"value": [v] * 3} for k, v in fixed.items()}
    figures.data["yields"]["compact"] = {
        k: {"value": [0.5] * 3} for k in ("curated", "labelled", "paired", "traced")
    }
    for model in figures.data["models"]:
        model.pop("attempt_tokens", None)
    data = {
        "name": "small", "templates": "compact", "seeds": {"source": "pocket", "count": 100, "heldout": 20},
        "coldstart": {"base": {"model": "pocket"}, "training": {"lr": 1e-3, "epochs": 2}},
        "em": {"iterations": 3, "k": 4, "items": 50, "measure": 10, "measure_draws": 8, "training": {"lr": 1e-3}},
        "synthesize": {"problems": 64, "code_share": 0.25}, "curate": {},
    }  # fmt: skip
    return Flow(parse({**data, **sections}), figures)


def by_name(flow: Flow) -> dict[str, Work]:
    return {f"{w.stage}: {w.what}": w for w in flow.work()}


def test_the_counts_of_the_em_are_those_a_person_gets() -> None:
    work = by_name(small())
    assert work["coldstart: training of q"].tokens == Range.of(100 * 60 * 2)
    # Three iterations; the gates may end the loop after one.
    assert work["em: E-step: rationales of q"].tokens == Range(50 * 4 * 20, 3 * 50 * 4 * 20, 3 * 50 * 4 * 20)
    assert work["em: E-step: scores under p"].tokens.high == 3 * 50 * 4 * 60
    assert work["em: training of p"].tokens.high == 3 * 50 * 60
    assert work["em: M-step: greedy rationales"].requests.high == 150
    # Held out: 9 rationales at iteration 0, then 4 draws and a greedy one; scored: 9, then 9 under p, 4 + 4 under q.
    assert work["em: held-out: rationales of q"].requests.high == 10 * (9 + 3 * 5)
    assert work["em: held-out: scores under p and q"].requests.high == 10 * (9 + 3 * 17)
    assert work["em: held-out: problems of p"].tokens.high == 10 * 4 * 50


def test_the_curve_without_the_e_step_and_the_difficulty_table_are_counted() -> None:
    em = {
        "iterations": 3,
        "k": 4,
        "items": 50,
        "measure": 10,
        "measure_draws": 8,
        "training": {"lr": 1e-3},
        "without_estep": True,
    }
    model = {"engine": "transformers", "model": "pocket"}
    asked = {"difficulty": {"weak": model, "strong": {"engine": "pocket-teacher"}, "problems": 30}}
    work = by_name(small(em=em, evaluate=asked))
    assert work["em: without E-step: greedy rationales"].requests.high == 150
    assert work["em: training of p without E-step"].tokens.high == 3 * 50 * 60
    assert work["em: without E-step: held-out: rationales of q"].requests.high == 10 * 3 * 5
    assert work["em: without E-step: held-out: scores under p and q"].requests.high == 10 * 3 * 17
    assert work["em: without E-step: held-out: problems of p"].requests.high == 10 * 3
    # 30 of 100 seeds, 20 held out, 30 of the 32 curated, 16 labelled.
    assert work["evaluate: difficulty: the weaker model"].requests.high == 30 + 20 + 30 + 16
    iw = by_name(small(em={**em, "select": "iw", "draw": "resample", "mstep_rationale": "selected"}))
    assert iw["em: without E-step: greedy rationales"].requests.high == 150  # nothing is selected there


def test_the_counts_behind_the_em_follow_the_yields_and_limits() -> None:
    work = by_name(
        small(
            label={"model": {"model": "pocket"}, "problems": 20, "tests": 4},
            selfplay={
                "model": {"model": "pocket"},
                "rollouts": 4,
                "pairs_per_problem": 2,
                "training": {"lr": 1e-6},
            },
            distill={
                "student": {"model": "pocket"},
                "teacher": {"engine": "pocket-teacher"},
                "training": {"lr": 1e-4},
            },
            evaluate={"samples": 2, "sampling": {"max_tokens": 15}},
        )
    )
    assert work["synthesize: problems of p"].tokens == Range.of(64 * 50)
    assert work["label: attempts"].requests == Range.of(20 * 8)  # of 32 curated
    assert work["label: unit tests"].requests == Range.of(20 * 0.25 * 4)
    assert work["selfplay: rollouts"].tokens == Range.of(10 * 4 * 40)
    assert work["selfplay: DPO"].tokens == Range.of(10 * 0.5 * 2 * 2 * (30 + 40))
    assert work["distill: traces"].requests == Range.of(32)
    assert work["distill: training of the student"].tokens == Range.of(16 * 70)
    # solver before and after, student after; the student before is the solver before; answers end at max_tokens
    assert work["evaluate: attempts"].tokens == Range.of(20 * 2 * 3 * 15)


def test_benchmarks_and_tracked_seeds_are_counted_for_every_model_that_is_asked() -> None:
    play = {
        "model": {"model": "pocket"},
        "rollouts": 4,
        "rounds": 3,
        "track": 5,
        "track_samples": 2,
        "training": {"lr": 1e-6},
    }
    other = {"student": {"model": "other"}, "teacher": {"engine": "pocket-teacher"}, "training": {"lr": 1e-4}}
    label = {"model": {"model": "pocket"}, "problems": 20}
    scored = {"benchmarks": {"aime24": {}, "lcb_v5": {"problems": 9, "samples": 2}}, "benchmark_sampling": {"max_tokens": 15},
              "model": {"model": "third"}}  # fmt: skip
    flow = small(label=label, selfplay=play, distill=other, evaluate=scored)
    found = [w for w in flow.work() if w.what == "attempts at benchmarks"]
    each = 30 * 16 + 9 * 2  # the paper's 30 problems and 16 attempts where the recipe says nothing
    assert [(w.model.model, w.requests.mid) for w in found] == [
        ("pocket", 2 * each),
        ("other", 2 * each),
        ("third", each),
    ]
    assert {w.tokens_each for w in found} == {Range.of(15)}
    same = small(label=label, selfplay=play, distill={**other, "student": play["model"]}, evaluate=scored)
    asked = [w.requests.mid for w in same.work() if w.what == "attempts at benchmarks"]
    assert asked == [3 * each, each]  # before both regimes once
    # before the first round and after each; a stop rule may end it after one round, a third of the problems
    assert by_name(flow)["selfplay: attempts at tracked seeds"].requests == Range.of(4 * 5 * 2)
    stopped = by_name(small(label=label, selfplay={**play, "stop": True}))
    assert stopped["selfplay: attempts at tracked seeds"].requests == Range(2 * 5 * 2, 40, 40)
    assert stopped["selfplay: rollouts"].requests.low == pytest.approx(10 * 4 / 3)
    assert stopped["selfplay: rollouts"].requests.high == pytest.approx(10 * 4)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_problems_taken_over_from_a_file_are_counted_and_nothing_is_written(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / f"problems.{kind}"
    recipe = {
        "synthesize": {"path": str(path)},
        "label": {"model": {"model": "pocket"}},
    }
    with pytest.raises(UserError, match=r"synthesize\.problems is 0"):
        small(**recipe)
    if kind == "jsonl":
        path.write_text('{"problem": "a"}\n' * 6)
    else:
        parquet.write_table(pa.table({"problem": ["a"] * 6}), path)
    work = by_name(small(**recipe))
    assert work["label: attempts"].requests == Range.of(6 * 0.5 * 8)
    assert not [name for name in work if name.startswith("synthesize")]


def test_an_evaluation_of_one_model_alone_can_be_planned() -> None:
    recipe = parse({"name": "alone", "evaluate": {"model": {"model": "x-7B"}, "benchmarks": {"aime24": {}}}})
    (work,) = Flow(recipe, Figures()).work()
    assert (work.what, work.requests) == ("attempts at benchmarks", Range.of(480))


def test_hours_are_tokens_over_throughput() -> None:
    (line,) = [x for x in lines("paper_sft_7b") if x.work.stage == "synthesize"]
    # 6.81M problems of 800 + 250 tokens at 2,700 tokens/s: 735.7 hours, with 40% about the throughput
    assert line.hours.mid == pytest.approx(6.81e6 * 1050 / 2700 / 3600)
    assert line.hours.low == pytest.approx(6.81e6 * 650 / (2700 * 1.4) / 3600)
    assert line.hours.high == pytest.approx(6.81e6 * 1550 * 1.4 / 2700 / 3600)


# An estimate of the paper's cost in H100 hours, made by hand before this code, its figures good to 40%.
# EM is per iteration; self-play of the paper's 48,113 and 11,209 prompts, of which the recipes write a part.
ESTIMATE = {
    ("paper_sft_7b", "annotate coldstart", 1.0): (25, 55),
    ("paper_sft_7b", "em", 0.1): (22, 22),
    ("paper_sft_7b", "synthesize", 1.0): (515, 1030),
    ("paper_sft_7b", "distill traces", 1.0): (3600, 4300),
    ("paper_sft_7b", "distill training", 1.0): (700, 2700),
    ("paper_selfplay_4b", "label", 1.0): (200, 340),
    ("paper_selfplay_4b", "selfplay rollouts", 48113 / 32307): (370, 610),
    ("paper_selfplay_4b", "selfplay DPO", 48113 / 32307): (105, 105),
    ("paper_selfplay_30b", "label", 1.0): (20, 20),
    ("paper_selfplay_30b", "selfplay rollouts", 11209 / 4357): (125, 125),
    ("paper_selfplay_30b", "selfplay DPO", 11209 / 4357): (30, 40),
}


@pytest.mark.parametrize("case", ESTIMATE, ids=lambda c: f"{c[0]} {c[1]}")
def test_the_papers_recipes_cost_what_the_estimate_says(case: tuple[str, str, float]) -> None:
    recipe, what, factor = case
    found, (low, high) = lines(recipe), ESTIMATE[case]
    stages = what.split() if what.startswith("annotate") else [what.split()[0]]
    part = "" if what.startswith("annotate") else what.partition(" ")[2]
    mid = factor * sum(hours(found, stage, part).mid for stage in stages)
    assert low / 1.4 <= mid <= high * 1.4
    ends = [factor * sum(getattr(hours(found, s, part), e) for s in stages) for e in ("low", "high")]
    assert ends[0] <= low
    assert ends[1] >= high


def test_all_three_together_cost_what_the_estimate_says_in_all() -> None:
    # Annotation, cold start and EM once; public prompts added to self-play; the estimate: about 7,700 H100 hours.
    sft, four, thirty = map(lines, ("paper_sft_7b", "paper_selfplay_4b", "paper_selfplay_30b"))
    total = sum(line.hours.mid for line in sft)
    for found, factor in ((four, 48113 / 32307), (thirty, 11209 / 4357)):
        total += hours(found, "label").mid + factor * hours(found, "selfplay").mid
    assert 7700 / 1.4 <= total <= 7700 * 1.4


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_in_the_tree_can_be_planned(path: Path) -> None:
    recipe = load(path, ["seeds.count=100"] if load(path).seeds.count == 0 else [])
    found = as_json(recipe, plan(recipe, Figures()))
    for line in found["lines"]:
        for name in ("requests", "tokens", "hours"):
            assert 0 <= line[name]["low"] <= line[name]["mid"] <= line[name]["high"]
        assert line["source"]
    for kind in ("low", "mid", "high"):
        stages = sum(sum(h[kind] for h in s["hours"].values()) for s in found["stages"])
        assert stages == pytest.approx(sum(h[kind] for h in found["total"]["hours"].values()))


def test_every_figure_names_its_source() -> None:
    data = Figures().data
    figures = [m[k] for m in data["models"] for k in ("sample", "score", "train", "attempt_tokens") if k in m]
    figures += [f for g in ("lengths", "yields") for profile in data[g].values() for f in profile.values()]
    assert len(figures) > 20
    assert all(len(f["source"]) > 8 for f in figures)


def test_a_model_without_figures_is_scaled_by_its_size_and_says_so() -> None:
    rate = Figures().rate("acme/Foo-65.6B-chat", "sample")
    assert rate.tokens_per_s.mid == pytest.approx(1350)  # twice the reference's size
    assert "scaled" in rate.source
    half, four = (Figures().rate(f"acme/Foo-{size}", "sample").tokens_per_s for size in ("0.5B", "4B"))
    assert half == four  # small models are not faster in proportion
    with pytest.raises(UserError, match="no throughput is known for the model 'acme/foo'"):
        Figures().rate("acme/foo", "sample")
    assert size_b("Qwen/Qwen2.5-1.5B-Instruct") == 1.5
    assert size_b("Qwen3-30B-A3B-Thinking-2507") == 30.0
    assert size_b("microsoft/phi-4") is None


def test_figures_of_a_file_are_laid_over_the_packaged_ones(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    entry = {"match": "Qwen2.5-32B", "sample": {"value": 5400, "error": 0.0, "source": "my card"}}
    path.write_text(yaml.safe_dump({"models": [entry]}))
    rate = Figures(path).rate("Qwen/Qwen2.5-32B", "sample")
    assert (rate.tokens_per_s, rate.source) == (Range.of(5400.0), "my card")
    assert Figures(path).rate("Qwen/Qwen2.5-32B", "train") == Figures().rate("Qwen/Qwen2.5-32B", "train")
    path.write_text("models: [{match: x, sample: fast}]")
    with pytest.raises(UserError, match="holds no figures"):
        Figures(path)


def test_seeds_that_cannot_be_counted_are_asked_for(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.jsonl"
    recipe = ["seeds.count=0", f"seeds.path={seeds}", "seeds.heldout=1"]
    with pytest.raises(UserError, match=r"seeds\.count is 0"):
        plan(load(RECIPES / "one_gpu.yaml", recipe), Figures())
    seeds.write_text('{"problem": "a"}\n\n{"problem": "b"}\n{"problem": "c"}\n')
    assert Flow(load(RECIPES / "one_gpu.yaml", recipe), Figures()).seeds == Range.of(2)


def test_the_command_prints_the_same_numbers_in_both_forms() -> None:
    run = CliRunner().invoke(app, ["plan", str(RECIPES / "paper_sft_7b.yaml"), "--json"])
    assert run.exit_code == 0, run.output
    total = json.loads(run.stdout)["total"]["hours"]["H100"]["mid"]
    shown = CliRunner().invoke(app, ["plan", str(RECIPES / "paper_sft_7b.yaml")], env={"COLUMNS": "160"})
    assert f"In all, on one H100: {round(total, -2):,.0f} h" in shown.stdout.replace("\n", " ")
    assert "gpt-oss-120b sample: derived for 8k outputs" in shown.stdout


def test_figures_of_one_kind_of_work_leave_the_others_to_the_models_size(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    entry = {
        "match": "acme/Foo-65.6B",
        "device": "A100",
        "sample": {"value": 5000, "error": 0.2, "source": "mine"},
    }
    path.write_text(yaml.safe_dump({"models": [entry]}))
    assert Figures(path).rate("acme/Foo-65.6B", "sample").tokens_per_s.mid == 5000
    assert Figures(path).rate("acme/Foo-65.6B", "train") == Figures().rate("acme/Foo-65.6B", "train")
    path.write_text(yaml.safe_dump({"models": [{**entry, "match": "acme/foo"}]}))
    with pytest.raises(UserError, match="no throughput is known for the model 'acme/foo'"):
        Figures(path).rate("acme/foo", "train")


def test_no_iteration_costs_nothing_and_few_rollouts_make_few_pairs() -> None:
    none = by_name(small(em={"iterations": 0, "k": 4, "stop": "bound", "training": {"lr": 1e-3}}))
    assert none["em: E-step: rationales of q"].requests == Range.of(0)
    play = {"model": {"model": "pocket"}, "training": {"lr": 1e-3}, "pairs_per_problem": "all"}
    for rollouts, pairs in ((2, Range.of(1)), (3, Range.of(2)), (4, Range(3, 3, 4)), (8, Range(7, 10, 16))):
        found = by_name(small(label={"model": {"model": "pocket"}}, selfplay={**play, "rollouts": rollouts}))
        # r right of n make r(n - r) pairs; of 64 problems 32 are curated, 16 labelled, 8 useful; a pair has two answers.
        assert found["selfplay: DPO"].requests == pairs * 16


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_ranges_are_in_order_whatever_the_rounds(path: Path) -> None:
    plain = load(path)
    base = ["seeds.count=100"] if plain.seeds.count == 0 else []
    variants = [[f"em.iterations={n}"] for n in range(3)] if plain.em else []
    if plain.selfplay:
        variants += [
            [f"selfplay.rollouts={n}", f"selfplay.pairs_per_problem={pairs}"]
            for n in (2, 3, 4)
            for pairs in ("all", "min")
        ]
    for sets in variants:
        for work in Flow(load(path, [*base, *sets]), Figures()).work():
            for r in (work.requests, work.tokens_each, work.tokens):
                assert 0 <= r.low <= r.mid <= r.high, (sets, work)
