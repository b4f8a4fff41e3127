"""The gate and the buckets, in an event loop whose clock jumps to the next timer: exact times, no waiting."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from promptcot.lm.limits import START, Bucket, Gate

T = TypeVar("T")


class _NoWait(selectors.SelectSelector):
    """Instead of sleeping, tells the loop how long it would have."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found and timeout:
            self.skipped += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumps = _NoWait()
        super().__init__(self._jumps)

    def time(self) -> float:
        return self._jumps.skipped


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def test_the_gate_doubles_per_round_until_the_first_complaint_then_grows_by_one() -> None:
    async def play() -> list[float]:
        gate = Gate(1000)
        seen = [gate.limit]
        for answered in ([True] * 32, [False] * 3, [True] * 32):
            marks = [await gate.enter() for _ in answered]
            for mark, ok in zip(marks, answered):
                gate.leave(mark, ok, not ok)
            seen.append(gate.limit)
        return seen

    start, doubled, halved, grown = run(play())
    assert (start, doubled) == (START, 2 * START)
    assert halved == START  # three complaints of one round halve once
    assert grown == pytest.approx(33, abs=0.02)  # 32 answers add 1/32 + ... each


def test_the_gate_never_falls_below_one_nor_rises_above_its_bound() -> None:
    async def play() -> tuple[float, float]:
        gate = Gate(3)
        for _ in range(9):
            gate.leave(await gate.enter(), True, False)
        most = gate.limit
        for _ in range(9):
            gate.leave(await gate.enter(), False, True)
        return most, gate.limit

    assert run(play()) == (3, 1)


def test_those_who_wait_enter_in_order_and_a_pause_holds_them() -> None:
    async def play() -> list[tuple[int, float]]:
        gate, entered, loop = Gate(1), [], asyncio.get_running_loop()

        async def visit(i: int) -> None:
            mark = await gate.enter()
            entered.append((i, round(loop.time(), 2)))
            await asyncio.sleep(1.0)
            if i == 1:
                gate.pause(10.0)
            gate.leave(mark, True, False)

        await asyncio.gather(*(visit(i) for i in range(4)))
        return entered

    assert run(play()) == [(0, 0.0), (1, 1.0), (2, 12.0), (3, 13.0)]


def test_one_who_wants_to_be_alone_waits_for_all_others_and_keeps_them_out() -> None:
    async def play() -> list[tuple[str, float]]:
        gate, entered, loop = Gate(4), [], asyncio.get_running_loop()

        async def visit(name: str, alone: bool, stay_s: float) -> None:
            mark = await gate.enter(alone)
            entered.append((name, round(loop.time(), 2)))
            await asyncio.sleep(stay_s)
            gate.leave(mark, True, False)

        stays = [
            ("a", False, 1.0),
            ("b", False, 3.0),
            ("alone", True, 5.0),
            ("c", False, 1.0),
            ("d", False, 1.0),
        ]
        await asyncio.gather(*(visit(*stay) for stay in stays))
        return entered

    assert run(play()) == [("a", 0.0), ("b", 0.0), ("alone", 3.0), ("c", 8.0), ("d", 8.0)]


def test_one_who_is_cancelled_while_waiting_leaves_no_hole() -> None:
    async def play() -> int:
        gate = Gate(1)
        mark = await gate.enter()
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        gate.leave(mark, True, False)  # admits waiting[1]
        waiting[1].cancel()  # admitted and cancelled in one turn of the loop
        await asyncio.sleep(0.1)
        assert waiting[2].done()
        gate.leave(await waiting[2], True, False)
        return gate.inside

    assert run(play()) == 0


def test_a_closed_gate_opens_again_and_a_failed_one_turns_everybody_away() -> None:
    async def play() -> None:
        gate = Gate(5)
        gate.close()
        waiting = asyncio.ensure_future(gate.enter())
        await asyncio.sleep(5)
        assert not waiting.done()
        gate.open()
        await waiting
        gate.close()
        waiting = asyncio.ensure_future(gate.enter())
        await asyncio.sleep(0)
        gate.fail(RuntimeError("gone"))
        for turned_away in (waiting, gate.enter()):
            with pytest.raises(RuntimeError, match="gone"):
                await turned_away
        gate.heal()
        await gate.enter()

    run(play())


def test_a_bucket_lets_through_its_rate_after_a_burst() -> None:
    async def play(bucket: Bucket, amounts: list[float]) -> list[float]:
        loop, times = asyncio.get_running_loop(), []
        for amount in amounts:
            await bucket.spend(amount)
            times.append(round(loop.time(), 3))
        return times

    # 120 a minute = 2 a second, and one second's worth at once: 3 at time 0 (the third starts when two are spent).
    assert run(play(Bucket(120), [1] * 6)) == [0, 0, 0, 0.5, 1.0, 1.5]
    assert run(play(Bucket(0), [1e9] * 3)) == [0, 0, 0]
    # A request larger than the bucket is let through, and paid for by the next ones.
    assert run(play(Bucket(60, burst_s=1.0), [10, 1])) == [0, 9.0]

    async def refunded() -> float:
        bucket = Bucket(60, burst_s=1.0)
        await bucket.spend(10)
        bucket.refund(4)
        await bucket.spend(1)
        return round(asyncio.get_running_loop().time(), 3)

    assert run(refunded()) == 5.0
