"""avg@n, pass@k, maj@k: by hand, by enumeration, by simulation; and what has no verdict is in none of them."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest

from promptcot.analysis.statistics import average, sampling_interval
from promptcot.evals import metrics
from promptcot.evals.metrics import Ballot
from promptcot.records import Rollout, Verdict
from promptcot.verify.answers import equivalent


def rollout(problem: str, sample: int, verdict: Verdict, answer: str | None, finish: str = "stop") -> Rollout:
    return Rollout(
        f"{problem}{sample}", problem, "math", sample, "", 10, finish, answer, verdict.value, "why"
    )


def attempts(problem: str, spec: str) -> list[Rollout]:
    """`c7 i8 n t u5`: verdict letter (t: truncated) and answer."""
    verdicts = {
        "c": Verdict.CORRECT, "i": Verdict.INCORRECT, "n": Verdict.NO_ANSWER, "t": Verdict.NO_ANSWER, "u": Verdict.UNSCORED,
    }  # fmt: skip
    return [
        rollout(problem, k, verdicts[w[0]], w[1:] or None, "length" if w[0] == "t" else "stop")
        for k, w in enumerate(spec.split())
    ]


# --- maj@k


def brute(one: Ballot, k: int) -> float:
    """Every k-subset, with every tie broken in each way once."""
    total = 0.0
    subsets = list(combinations(one.classes, k))
    for subset in subsets:
        votes = [c for c in subset if c is not None]
        most = max((votes.count(c) for c in votes), default=0)
        winners = {c for c in votes if votes.count(c) == most}
        total += float(np.mean([c in one.correct for c in winners])) if winners else 0.0
    return total / len(subsets)


def test_the_majority_by_hand() -> None:
    one = metrics.ballot(attempts("a", "c7 c7.0 i8 i8 i9 n"), equivalent)
    assert list(one.classes) == [0, 0, 1, 1, 2, None]
    assert one.correct == frozenset({0})
    assert metrics.majority(one, 6, 0) == 0.5  # a tie of two classes shares the credit
    assert metrics.majority(one, 1, 0) == pytest.approx(2 / 6)
    # k=2: both of 7 (1 subset) wins; 7 with 8, 8, 9 twice each (6 subsets) is a tie of two; with the silent one it
    # wins (2 subsets); of 15.
    assert metrics.majority(one, 2, 0) == pytest.approx((1 + 6 / 2 + 2) / 15)


def test_silence_wins_nothing_and_never_votes() -> None:
    assert metrics.majority(Ballot([None, None, 0], frozenset({0})), 3, 0) == 1.0
    assert metrics.majority(Ballot([None, None], frozenset()), 2, 0) == 0.0


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_majority_is_the_mean_over_all_subsets(k: int) -> None:
    for classes in product((None, 0, 1), repeat=5):
        one = Ballot(classes, frozenset({0}))
        assert metrics.majority(one, k, 0) == pytest.approx(brute(one, k))


def test_random_subsets_where_there_are_many_come_close_and_repeat() -> None:
    one = Ballot([0] * 7 + [1] * 6 + [None] * 3, frozenset({0}))
    exact = brute(one, 8)  # 12,870 subsets
    drawn = metrics.majority(one, 8, 5)
    assert drawn == pytest.approx(exact, abs=4 * 0.5 / math.sqrt(metrics.MAX_SUBSETS))
    assert drawn == metrics.majority(one, 8, 5) != metrics.majority(one, 8, 6)


# --- everything together


def test_the_summary_by_hand() -> None:
    rows = {
        "a": attempts("a", "c7 c7 i8 t"),  # 2 of 4; the truncated one is wrong
        "b": attempts("b", "u5 c3 u5 i4"),  # 1 of 2: unscored ones are in no count
        "c": attempts("c", "u1 u1 u1 u1"),  # nothing known
    }
    found = metrics.summary(rows, equivalent, 0)
    assert (found["problems"], found["problems_scored"], found["attempts"]) == (3, 2, 12)
    assert found["mean"] == 0.5
    assert found["sampling_se"] == pytest.approx(math.sqrt(0.25 / 3 + 0.25 / 1) / 2)
    assert found["problem_se"] == 0.0
    assert found["pass_at"] == {
        "1": 0.5,
        "2": pytest.approx(((1 - 1 / 6) + 1) / 2),
    }  # C(2,2)/C(4,2) = 1/6 miss
    assert found["maj_at"]["2"] == pytest.approx((brute(metrics.ballot(rows["a"], equivalent), 2) + 0.5) / 2)
    assert (found["no_answer"], found["truncated"], found["unscored"]) == (1 / 12, 1 / 12, 6 / 12)
    assert found["unscored_reasons"] == {"why": 6}


def test_an_unread_answer_counts_as_unsolved_and_says_what_the_score_is_at_most() -> None:
    def row(i: int, verdict: str, reason: str) -> Rollout:
        return Rollout(f"a{i}", "a", "math", i, "", 1, "stop", "7", verdict, reason)

    rows = [row(0, "correct", "equal"), row(1, "unscored", "unreadable"), row(2, "incorrect", "different")]
    rows.append(row(3, "unscored", "timeout"))
    found = metrics.summary({"a": rows}, equivalent, 0)
    assert found["mean"] == pytest.approx(1 / 3)
    assert found["at_most"] == pytest.approx(2 / 3)
    assert (found["unread"], found["unscored"]) == (1 / 4, 1 / 4)
    assert found["unscored_reasons"] == {"timeout": 1}


def test_nothing_scored_gives_rates_and_no_score() -> None:
    found = metrics.summary({"c": attempts("c", "u1 u1")}, equivalent, 0)
    assert "mean" not in found
    assert found["unscored"] == 1.0


def test_programs_have_no_majority() -> None:
    assert "maj_at" not in metrics.summary({"a": attempts("a", "c i")}, None, 0)


def test_the_ks_are_powers_of_two_and_n() -> None:
    assert metrics.powers(1) == [1]
    assert metrics.powers(8) == [1, 2, 4, 8]
    assert metrics.powers(10) == [1, 2, 4, 8, 10]


# --- the errors


def test_the_sampling_error_is_the_spread_over_repeated_sampling_with_unequal_counts() -> None:
    rng = np.random.default_rng(1)
    p_N, k_N = rng.uniform(0, 1, 30), rng.integers(4, 17, 30)
    runs = [average([rng.random(k) < p for p, k in zip(p_N, k_N, strict=True)]) for _ in range(400)]
    spread = np.std([r.mean for r in runs], ddof=1)
    said = np.mean([r.sampling_se for r in runs if r.sampling_se is not None])
    assert said == pytest.approx(spread, rel=0.12)  # the sd of 400 draws has 3.5% of its own


def test_the_sampling_interval_covers_the_change_on_the_same_problems() -> None:
    rng = np.random.default_rng(2)
    p_N = rng.uniform(0.1, 0.9, 20)
    q_N = np.clip(p_N + 0.05, 0, 1)
    truth = float((q_N - p_N).mean())
    hits = 0
    for i in range(300):
        a, b = [rng.random(8) < p for p in p_N], [rng.random(8) < q for q in q_N]
        low, high = sampling_interval(a, b, seed=i)
        hits += low <= truth <= high
    assert 0.91 <= hits / 300 <= 0.985  # 95% less 3 binomial errors of 1.26%


def test_the_sampling_interval_is_as_wide_as_the_sampling_error() -> None:
    # Fifty problems with one right of two attempts: each p has variance 1/4 / (2 - 1), so the mean has SE 0.5/sqrt(50).
    low, high = sampling_interval([[0, 1]] * 50, [[1, 1]] * 50, seed=0)
    assert (high - low) / 2 == pytest.approx(1.96 * 0.5 / math.sqrt(50), rel=0.08)
    assert (high + low) / 2 == pytest.approx(0.5, abs=0.02)


def test_one_sample_has_no_sampling_interval() -> None:
    with pytest.raises(ValueError, match="fewer than two samples"):
        sampling_interval([[1]], [[0, 1]], seed=0)
