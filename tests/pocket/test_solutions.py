"""Annotators, writers, teacher and their engines: right where they should be, wrong where they should be."""

from __future__ import annotations

import ast
import random

import pytest

from promptcot.errors import UserError
from promptcot.lm.base import Engine, Prompt, SamplingParams
from promptcot.pocket.annotators import ANNOTATORS, annotate
from promptcot.pocket.engines import CANNOT, annotator_engine, problem_of, teacher_engine
from promptcot.pocket.measure import answer_of, correct_N, run_programs, vote
from promptcot.pocket.teacher import solve
from promptcot.pocket.world import items, key_of_statement
from promptcot.pocket.writers import OPENINGS, solution

PROBLEMS = list(items(120, 5, "train"))
BEADS = "Mia has 14 beads. Then 9 more arrive. Tom is 30 years old. Reduce it modulo 5. Find the result."


def test_the_teacher_writes_one_step_per_sentence_and_boxes_the_answer() -> None:
    assert solve(BEADS) == "Step by step:\n14\n14+9=23\nskip\n5*4=20, 23-20=3\n\\boxed{3}"


def test_the_teacher_is_always_right_and_silent_about_what_it_cannot_read() -> None:
    texts = [solve(item.text) or "" for item in PROBLEMS]
    assert all(correct_N(PROBLEMS, texts))
    assert solve("What is love?") is None


def test_writers_can_be_told_by_their_opening_and_only_the_careful_one_is_reliable() -> None:
    rng = random.Random(1)
    share = {}
    for writer, openings in OPENINGS.items():
        texts = [solution(item.spec, writer, rng) for item in PROBLEMS]
        assert all(text.startswith(openings) for text in texts)
        share[writer] = sum(correct_N(PROBLEMS, texts)) / len(texts)
    assert share["careful"] == 1.0
    assert share["hasty"] < 0.8
    assert share["sloppy"] < 0.4


def test_the_precise_annotator_names_every_number_and_operation() -> None:
    found = annotate("precise", BEADS, 0)
    assert found is not None
    assert (
        found.rationale
        == "Open with 14 beads, then add 9, then distract with an age 30, then remainder by 5."
    )
    assert [key_of_statement(c) for c in found.concepts] == ["addition", "remainder"]


def test_the_vague_annotator_gives_no_numbers() -> None:
    for item in PROBLEMS:
        found = annotate("vague", item.text, 3)
        assert found is not None
        assert not any(c.isdigit() for c in found.rationale)


def test_the_mixed_annotator_leaves_out_half_of_the_steps() -> None:
    found, precise = annotate("mixed", BEADS, 3), annotate("precise", BEADS, 3)
    assert found is not None
    assert precise is not None
    told = set(precise.rationale.lower().rstrip(".").split(", then "))
    steps = found.rationale.lower().rstrip(".").split(", then ")
    assert [s in told for s in steps].count(False) == 2
    assert len(steps) == 4


def test_the_wrong_annotator_mostly_departs_from_the_precise_plan_and_sometimes_errs_in_a_concept() -> None:
    plans, concepts = 0, 0
    for item in PROBLEMS:
        right, wrong = annotate("precise", item.text, 1), annotate("wrong", item.text, 1)
        assert right is not None
        assert wrong is not None
        plans += right.rationale != wrong.rationale
        concepts += tuple(map(key_of_statement, wrong.concepts)) != item.concepts
    assert plans > 0.75 * len(PROBLEMS)
    assert 0.15 * len(PROBLEMS) < concepts < 0.55 * len(PROBLEMS)


def test_annotations_depend_on_the_seed_and_nothing_else() -> None:
    for name in ANNOTATORS:
        assert annotate(name, BEADS, 7) == annotate(name, BEADS, 7)
    assert len({annotate("vague", BEADS, seed) for seed in range(20)}) > 1


@pytest.mark.parametrize("name", sorted(ANNOTATORS))
def test_an_annotator_engine_answers_both_requests(name: str) -> None:
    engine = annotator_engine(name)
    assert isinstance(engine, Engine)
    asked = [
        Prompt(4, messages=(("user", f"{what} of this problem\nProblem:\n{BEADS}"),))
        for what in ("Concepts", "Rationale")
    ]
    concepts, rationale = engine.sample(asked, SamplingParams())
    found = annotate(name, BEADS, 4)
    assert found is not None
    fenced = concepts.text.removeprefix("```python\n").removesuffix("\n```")
    assert ast.literal_eval(fenced) == list(found.concepts)
    assert rationale.text == f"Thinking Process:\n{found.rationale}"
    assert rationale.finish == "stop"


def test_engines_say_so_when_they_cannot_read_the_problem() -> None:
    prompt = Prompt(1, text="Rationale\nProblem:\nProve that there are infinitely many primes.")
    for engine in (annotator_engine("precise"), teacher_engine()):
        (answer,) = engine.sample([prompt], SamplingParams())
        assert (answer.text, answer.finish) == (CANNOT, "stop")
        assert not engine.can_score


def test_the_problem_follows_the_last_marker_line() -> None:
    assert problem_of("Rationale\nProblem:\nold\nProblem:\nnew\nline") == "new\nline"
    assert problem_of("just a problem") == "just a problem"


def test_misuse_of_the_engines_is_a_user_error() -> None:
    with pytest.raises(UserError, match="annotator 'sharp'"):
        annotator_engine("sharp")
    with pytest.raises(UserError, match="begins 'Explain'"):
        annotator_engine("vague").sample([Prompt(1, text=f"Explain\nProblem:\n{BEADS}")], SamplingParams())
    with pytest.raises(UserError, match="sample only"):
        teacher_engine().score([])


def test_a_vote_needs_its_threshold_and_the_last_box_counts() -> None:
    assert vote(["3", "3", None, "4"], 2) == "3"
    assert vote(["3", "3", None, "4"], 3) is None
    assert vote([None, None], 1) is None
    assert answer_of("\\boxed{1} no, \\boxed{2/3}") == "2/3"


def test_programs_that_fail_or_hang_give_no_output_and_the_next_one_still_runs() -> None:
    jobs = [
        ("while True: pass", ""),
        ("print(1 / 0)", ""),
        ("import sys; sys.exit(1)", ""),
        ("print(input())", "ok"),
    ]
    assert run_programs(jobs) == [None, None, None, "ok"]
