"""examples/em_loop.py shares no code with the package: on the packaged model both give the same numbers and choices."""

from __future__ import annotations

import ast
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from examples import em_loop
from transformers import AutoModelForCausalLM, AutoTokenizer

from promptcot.em.rewards import RULES, Scored, rewards
from promptcot.em.select import choose
from promptcot.lm.base import EngineSpec
from promptcot.pocket import MODEL_DIR
from promptcot.records import Ask, Candidate, Posed, Triple
from promptcot.runner.worker import Worker
from promptcot.settings import EM, Sampling, Training
from promptcot.stages import em_steps

NATS = 1e-3  # largest difference of two sums of log-probs in float32
STYLE = "compact"
ITEMS, K = 6, 4


@dataclass
class Both:
    """The same candidates, drawn by the package's engine, as the package and as the example know them."""

    mine: list[em_loop.Triple]
    triples: list[Triple]
    package: list[Candidate]
    example: list[em_loop.Candidate]
    worker: Worker
    model: Any
    tok: Any
    spec: EngineSpec


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, Any, Any, list[em_loop.Triple]]]:
    """The packaged model after a few steps as q, so that its rationales come to an end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(5)
    tok = AutoTokenizer.from_pretrained(MODEL_DIR)
    model = AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32)
    triples = list(em_loop.pocket_triples(96, "train", 3))
    rows = [em_loop.q_row(tok, t, em_loop.encode(tok, t.rationale)) for t in triples]
    em_loop.sft(model, rows, 3e-3, 1, 8)
    path = tmp_path_factory.mktemp("q")
    model.eval().save_pretrained(path)
    tok.save_pretrained(path)
    yield path, model, tok, triples[:ITEMS]
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def both(
    trained: tuple[Path, Any, Any, list[em_loop.Triple]], tmp_path_factory: pytest.TempPathFactory
) -> Both:
    """The candidates travel through a file, as `--candidates` reads it. One model stands for q and p."""
    path, model, tok, mine = trained
    triples = [
        Triple(
            f"t{n}", f"s{n}", t.domain, t.level, "train", "given", list(t.concepts), t.rationale, t.problem
        )
        for n, t in enumerate(mine)
    ]
    worker, spec = Worker(seed=1), EngineSpec("transformers", str(path))
    asks = [
        Ask(f"{t.id}.{k}", t.id, k, t.domain, t.level, t.concepts, t.problem)
        for t in triples
        for k in range(K)
    ]
    settings = EM(sampling=Sampling(max_tokens=64), training=Training(lr=1.0))
    drawn = em_steps.sample(worker, asks, q=spec, settings=settings, style=STYLE, keep_all=True)
    kept = [c for c in drawn if isinstance(c, Candidate)]
    by_id = {t.id: t for t in triples}
    posed = [Posed(c.id, c, by_id[c.item_id]) for c in kept]
    scored = [c for c in em_steps.score(worker, posed, p=spec, style=STYLE) if isinstance(c, Candidate)]
    file = tmp_path_factory.mktemp("candidates") / "candidates.jsonl"
    lines = [{"item": int(c.item_id[1:]), "z_ids": c.z_ids, "finished": c.finish == "stop"} for c in scored]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    example = [em_loop.Candidate(**row) for row in em_loop.read_rows(str(file))]
    em_loop.score(model, model, tok, mine, example)
    return Both(mine, triples, scored, example, worker, model, tok, spec)


def test_the_candidates_are_worth_comparing(both: Both) -> None:
    assert len(both.package) == ITEMS * K
    assert sum(c.finish == "stop" for c in both.package) > ITEMS * K / 2
    assert len({tuple(c.z_ids) for c in both.package}) > ITEMS


def test_both_terms_and_the_tokens_are_the_same(both: Both) -> None:
    for a, b in zip(both.package, both.example, strict=True):
        assert b.logp_z == pytest.approx(a.logp_z, abs=NATS, rel=0)
        assert b.logp_x == pytest.approx(a.logp_x, abs=NATS, rel=0)
        assert b.tokens == a.z_tokens + a.x_tokens


def test_log_q_from_the_packages_sampling_is_the_examples_from_one_pass(both: Both) -> None:
    for a, b in zip(both.package, both.example, strict=True):
        assert b.logq == pytest.approx(a.logq, abs=NATS, rel=0)


@pytest.mark.parametrize("k", [0, 2])
def test_log_q_of_what_the_example_draws_is_the_packages_too(both: Both, k: int) -> None:
    torch.manual_seed(9)
    drawn = em_loop.rationales(both.model, both.tok, both.mine, k, 24)
    assert [c.item for c in drawn] == [i for i in range(ITEMS) for _ in range(k or 1)]
    blank = {
        "sample": 0,
        "rationale": "",
        "logq": math.nan,
        "logp_z": 0.0,
        "logp_x": 0.0,
        "z_tokens": 0,
        "x_tokens": 0,
    }
    rows = [
        Posed(
            str(n),
            Candidate(
                id=str(n), item_id=f"t{c.item}", z_ids=c.z_ids, finish="stop" if c.finished else "length",
                **blank,  # type: ignore[arg-type]
            ),
            both.triples[c.item],
        )
        for n, c in enumerate(drawn)
    ]  # fmt: skip
    package = em_steps.rescore(both.worker, rows, q=both.spec, style=STYLE)
    example = em_loop.log_q(both.model, both.tok, both.mine, drawn)
    assert example == pytest.approx([c.logq for c in package if isinstance(c, Candidate)], abs=NATS, rel=0)


@pytest.mark.parametrize("draw", ["best", "resample"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_the_same_rewards_and_the_same_rationale(both: Both, rule: str, draw: str) -> None:
    for n in range(ITEMS):
        a = [c for c in both.package if c.item_id == f"t{n}"]
        b = [c for c in both.example if c.item == n]
        package = rewards(rule, [Scored(c.logq, c.logp_z, c.logp_x, c.z_tokens, c.x_tokens) for c in a])
        example = em_loop.rewards(rule, b)
        assert example == pytest.approx(package, abs=3 * NATS, rel=0)
        for uniform in (0.05, 0.35, 0.65, 0.95):
            chosen = choose(draw, package, uniform), em_loop.choose(draw, example, uniform)
            assert a[chosen[0]].z_ids == b[chosen[1]].z_ids


def test_selection_leaves_out_what_is_empty_or_cut_off() -> None:
    made = [
        em_loop.Candidate(0, [5], finished=False, logp_x=0.0, tokens=2),
        em_loop.Candidate(0, [], logp_x=0.0, tokens=2),
        em_loop.Candidate(0, [6], logp_x=-9.0, tokens=2),
        em_loop.Candidate(0, [7], logp_x=-8.0, tokens=2),
        em_loop.Candidate(1, [8], finished=False, tokens=2),
    ]
    assert [c.z_ids for c in em_loop.select(made, "joint", "best")] == [[7]]


def test_the_example_is_short_and_uses_nothing_of_the_package_but_the_pocket_world() -> None:
    text = Path(em_loop.__file__).read_text()
    assert len(text.splitlines()) < 250
    names = {n.module or "" for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)}
    names |= {a.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import) for a in n.names}
    assert {".".join(n.split(".")[:2]) for n in names if n.startswith("promptcot")} == {"promptcot.pocket"}


def test_it_runs_from_a_file_of_triples_and_of_candidates(
    both: Both, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"concepts": t.concepts, "rationale": t.rationale, "problem": t.problem, "level": t.level}
        for t in both.mine
    ]
    triples, candidates = tmp_path / "triples.jsonl", tmp_path / "candidates.jsonl"
    triples.write_text("\n".join(map(json.dumps, rows)) + "\n")
    candidates.write_text(
        '{"item": 0, "z_ids": [40, 41]}\n{"item": 0, "z_ids": [42]}\n{"item": 3, "z_ids": [43]}\n'
    )
    options = {"triples": triples, "candidates": candidates, "train": 4, "heldout": 2, "epochs": 1, "k": 2,
               "iterations": 1, "max-tokens": 8, "select": "iw", "draw": "resample", "mstep": "selected"}  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["em_loop.py", *(f"--{k}={v}" for k, v in options.items())])
    em_loop.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("NLL")[0].split() for line in lines] == [["cold", "start"], ["iteration", "1"]]
    for line in lines:
        words = line.split()
        assert float(words[words.index("tokens") + 1]) <= 8
        assert 0 < float(words[words.index("NLL(x|z,c)") + 1]) < 1000
