"""The four rewards on probabilities worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcot.em.rewards import RULES, Scored, gain, joint, log_weight, per_token, rewards
from promptcot.em.select import best, weights

# Two candidates of one item: q = 1/2 and 1/4, p(z|c) = 1/4 and 1/8, p(x|z,c) = 1/16 and 1/2.
FIRST = Scored(logq=math.log(1 / 2), logp_z=math.log(1 / 4), logp_x=math.log(1 / 16), z_tokens=3, x_tokens=5)
SECOND = Scored(logq=math.log(1 / 4), logp_z=math.log(1 / 8), logp_x=math.log(1 / 2), z_tokens=1, x_tokens=1)
BOTH = [FIRST, SECOND]

nats = st.floats(-300, 0)
candidates = st.lists(
    st.builds(Scored, nats, nats, nats, st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=8
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("joint", [math.log(1 / 64), math.log(1 / 16)]),
        ("iw", [math.log(1 / 32), math.log(1 / 4)]),
        ("mean", [math.log(1 / 64) / 8, math.log(1 / 16) / 2]),  # the markers count: 8 and 2 tokens
        # p(x|c) is the mean weight, (1/32 + 1/4) / 2 = 9/64; p(x|z,c) over it is 4/9 and 32/9.
        ("gain", [math.log(4 / 9), math.log(32 / 9)]),
    ],
)
def test_each_rule_on_the_hand_made_candidates(rule: str, expected: list[float]) -> None:
    assert rewards(rule, BOTH) == pytest.approx(expected)


def test_the_parts_are_what_their_names_say() -> None:
    assert joint(-2.0, -3.0) == -5.0
    assert log_weight(-2.0, -3.0, -4.0) == -1.0
    assert per_token(-2.0, -4.0, 3) == -2.0
    assert gain(-2.0, -3.5) == 1.5


def test_rules_disagree_where_they_should() -> None:
    short = Scored(logq=-1.0, logp_z=-2.0, logp_x=-20.0, z_tokens=2, x_tokens=10)
    long = Scored(logq=-12.0, logp_z=-15.0, logp_x=-10.0, z_tokens=20, x_tokens=10)
    chosen = {rule: best(rewards(rule, [short, long])) for rule in RULES}
    # joint -22 > -25; iw -21 < -13; mean -22/12 < -25/30; gain: x is likelier after the long one.
    assert chosen == {"joint": 0, "iw": 1, "mean": 1, "gain": 1}


@given(candidates)
def test_gain_orders_by_log_p_of_x_whatever_estimates_p_of_x_given_c(rows: list[Scored]) -> None:
    by_x = [r.logp_x for r in rows]
    assert rows[best(rewards("gain", rows))].logp_x >= max(by_x) - 1e-9


@given(candidates)
def test_iw_is_joint_less_what_q_knew(rows: list[Scored]) -> None:
    iw, whole = rewards("iw", rows), rewards("joint", rows)
    assert iw == pytest.approx([r - row.logq for r, row in zip(whole, rows, strict=True)])


@given(candidates, st.floats(-50, 50))
def test_iw_weights_do_not_depend_on_a_constant_of_the_item_such_as_qs_share_of_rejects(
    rows: list[Scored], shift: float
) -> None:
    shifted = [Scored(r.logq + shift, r.logp_z, r.logp_x, r.z_tokens, r.x_tokens) for r in rows]
    assert weights(rewards("iw", shifted)) == pytest.approx(weights(rewards("iw", rows)), abs=1e-9)


def test_misuse_is_an_error() -> None:
    with pytest.raises(ValueError, match="no candidate"):
        rewards("iw", [])
    with pytest.raises(ValueError, match="unknown rule 'sum'; known: joint, iw, mean, gain"):
        rewards("sum", BOTH)
    with pytest.raises(ValueError, match="0 tokens"):
        per_token(-1.0, -1.0, 0)
