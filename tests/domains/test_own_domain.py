"""Domains of the user's own: read with the recipe, part of its identity, known to workers, and named when they are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.domains.judged import EVEN, Found, ask, judged, rewarded

from promptcot.domains import get
from promptcot.errors import UserError
from promptcot.recipe import parse
from promptcot.records import Problem, Record, Verdict
from promptcot.rundir import RunDir, saved_recipe
from promptcot.runner.local import LocalRunner
from promptcot.runner.progress import Reporter
from promptcot.runner.ray import RemoteWorker
from promptcot.settings import Label, Launch, Model, Recipe, Rules, domains
from promptcot.stages.label import with_vote
from promptcot.stages.seeds import build
from promptcot.stages.solving import judge
from promptcot.train import launch

ROOT = Path(__file__).parents[2]
RIDDLES = ROOT / "examples" / "new_domain" / "riddles.py"


def recipe(file: Path | str, **changes: object) -> Recipe:
    seeds = {"source": "jsonl", "path": "seeds.jsonl", "domain": Path(file).stem}
    return parse({"name": "r", "domains": [str(file)], "seeds": seeds, **changes})


def test_a_domain_is_called_as_its_file_and_its_text_comes_with_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "riddles.py"
    file.write_text(RIDDLES.read_text())
    loaded = recipe(file)
    file.unlink()
    domain = get("riddles", loaded.templates)
    assert domain.check is not None
    assert domain.check(EVEN, " 4 ")
    assert not domain.check(EVEN, "3")
    assert not domain.check("Find a name.", "Bob")
    assert domain.malformed(EVEN) is None
    assert domain.malformed("Find a whole number from 3 to 3. It is even.") == "no_solution"
    assert domain.malformed("What is 1 + 1?") == "unreadable"


def test_the_next_recipe_does_not_know_the_domains_of_the_one_before() -> None:
    recipe(RIDDLES)
    parse({"name": "r", "seeds": {"source": "pocket", "count": 4}})
    with pytest.raises(UserError, match=r"(?s)unknown domain 'riddles'.*domains=\[riddles.py\]"):
        get("riddles", "compact")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def domain(compact):\n    retrun 1\n", r"bad\.py', line 2: SyntaxError"),
        ("import nothing_of_this_name\n", r"bad\.py', line 1: ModuleNotFoundError"),
        ("x = 1\n", "has no function 'domain'"),
        ("def domain(compact):\n    return None\n", "made a NoneType"),
        ("from promptcot.domains.code import domain\n", "made the domain 'code'"),
        ("def domain(compact):\n    return {}['key']\n", r"line 2: KeyError: 'key'"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.py"
    file.write_text(text)
    recipe(file)
    with pytest.raises(UserError, match=said):
        get("bad", "compact")


def test_a_checker_that_raises_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "riddles.py"
    text = RIDDLES.read_text().replace("return answer.strip() in", "return int(answer) and answer in")
    file.write_text(text)
    recipe(file)
    line = 1 + text.splitlines().index(next(x for x in text.splitlines() if "return int(answer)" in x))
    with pytest.raises(UserError, match=rf"riddles\.py', line {line}: ValueError: invalid literal"):
        judge(get("riddles", "compact"), ask(EVEN), "\\boxed{four}", "four", "stop", Rules())


@pytest.mark.parametrize(
    ("name", "said"),
    [("math.py", "neither math nor code"), ("my-domain.py", "has to be a Python name"), ("none.py", "cannot read")],
)  # fmt: skip
def test_a_file_that_cannot_be_a_domain_is_refused_with_the_recipe(
    tmp_path: Path, name: str, said: str
) -> None:
    if name != "none.py":
        (tmp_path / name).write_text(RIDDLES.read_text())
    with pytest.raises(UserError, match=said):
        recipe(tmp_path / name)


def test_a_domain_that_no_file_holds_is_refused_with_the_recipe() -> None:
    with pytest.raises(UserError, match=r"seeds.domain is 'chess', known: math, code; .*\[chess.py\]"):
        parse({"name": "r", "seeds": {"source": "pocket", "count": 4, "domain": "chess"}})


def test_a_checker_judges_without_a_label_and_all_it_accepts_is_one_answer() -> None:
    recipe(RIDDLES)
    domain = get("riddles", "compact")
    for answer, verdict in (("2", Verdict.CORRECT), ("4", Verdict.CORRECT), ("3", Verdict.INCORRECT)):
        assert judge(domain, ask(EVEN), f"\\boxed{{{answer}}}", answer, "stop", Rules())[0] == verdict
        labelled = ask(EVEN, "4")  # another right answer than the label is right
        assert judge(domain, labelled, f"\\boxed{{{answer}}}", answer, "stop", Rules())[0] == verdict
    assert judge(domain, ask(EVEN), "hm", None, "stop", Rules()) == ("no_answer", "no_final_answer")
    assert judge(get("math", "compact"), ask(EVEN), "\\boxed{2}", "2", "stop", Rules()) == ("", "")
    problem = Problem("p", "riddles", "1", ["parity"], "z", EVEN)
    settings = Label(model=Model(model="m"), samples=4, min_votes=3)
    made = with_vote(problem, ["2", "4", None, "2"], settings, domain.same)  # the refused 3 has no vote
    assert isinstance(made, Problem)
    assert (made.answer, made.label_votes) == ("2", 3)


def test_a_seed_whose_own_answer_its_checker_refuses_is_rejected(tmp_path: Path) -> None:
    rows = [{"problem": EVEN, "answer": a} for a in ("2", "3")] + [{"problem": EVEN}]
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    seeds = {"source": "jsonl", "path": str(path), "domain": "riddles"}
    loaded = recipe(RIDDLES, seeds=seeds)
    n, kept, rejects = build(loaded.seeds, 1)
    assert (n, len(kept)) == (3, 2)
    assert [r.reason for r in rejects] == ["bad_gold"]


# --- identity


def test_an_edited_file_is_another_run_and_a_fork_takes_no_step_over(tmp_path: Path) -> None:
    file = tmp_path / "riddles.py"
    file.write_text(RIDDLES.read_text())
    first = recipe(file)
    run = RunDir(tmp_path / "run", first)
    step = run.step("seeds", "seeds", Record, {}, {}, 1)
    assert step.key["domains"] == {"riddles": first.domains[0].digest if first.domains else ""}
    run.close()
    assert saved_recipe(tmp_path / "run").domains == first.domains  # the directory holds the text
    RunDir(tmp_path / "run", recipe(file)).close()  # unchanged: goes on
    file.write_text(RIDDLES.read_text() + "\n# another thought\n")
    with pytest.raises(UserError, match=r"belongs to another recipe: domains"):
        RunDir(tmp_path / "run", recipe(file))
    fork = RunDir(tmp_path / "fork", recipe(file), parent=tmp_path / "run")
    assert fork.step("seeds", "seeds", Record, {}, {}, 1).key["domains"] != step.key["domains"]
    fork.close()


def test_a_run_without_domains_of_its_own_has_the_keys_it_always_had(tmp_path: Path) -> None:
    plain = parse({"name": "r", "seeds": {"source": "pocket", "count": 4}})
    run = RunDir(tmp_path / "run", plain)
    assert "domains" not in run.step("seeds", "seeds", Record, {}, {}, 1).key
    run.close()


def test_a_saved_text_that_was_changed_is_refused(tmp_path: Path) -> None:
    RunDir(tmp_path / "run", recipe(RIDDLES)).close()
    head = json.loads((tmp_path / "run" / "run.json").read_text())
    head["recipe"]["domains"][0]["source"] += "import os\n"
    (tmp_path / "run" / "run.json").write_text(json.dumps(head))
    with pytest.raises(UserError, match="is not the one that the run began with"):
        saved_recipe(tmp_path / "run")


# --- workers


def test_an_actor_of_a_cluster_knows_the_domain() -> None:
    loaded = recipe(RIDDLES)
    domains.register(())  # as on another machine
    worker = RemoteWorker(1, loaded.domains or ())
    assert worker.call(get, ("riddles", "compact"), {}).name == "riddles"


def test_processes_of_a_training_know_the_domain(tmp_path: Path) -> None:
    """GRPO asks the checker in every process of torchrun."""
    pytest.importorskip("torch")
    recipe(RIDDLES)
    made = launch.run(Launch(processes=2, sharding="ddp"), rewarded, tmp_path)
    assert made == {"right": "correct"}


def test_worker_processes_know_the_domain(tmp_path: Path) -> None:
    loaded = recipe(RIDDLES)
    run = RunDir(tmp_path / "run", loaded)
    step = run.step("label", "attempts", Found, {}, {}, 1)
    rows = [ask(EVEN, ident=f"a{n}") for n in range(4)]
    with LocalRunner(1, 2, 2, Reporter(quiet=True), run.team, domains=loaded.domains or ()) as runner:
        runner.map(step, rows, judged)
    assert [row.right for row in step.rows()] == ["correct"] * 4
    run.close()
