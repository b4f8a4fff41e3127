"""How hard a server is pressed: a limit on requests in flight that adapts, and rates of requests and tokens.

Additive increase, multiplicative decrease, as in TCP: the limit doubles with every round of answers until the server
first says that it is too much, then it grows by one per round and halves at each complaint; requests that were already
under way when it was halved do not halve it again. Everything here belongs to one event loop and needs no lock.
"""

from __future__ import annotations

import asyncio
from collections import deque

START = 32  # requests in flight at first, where so many are allowed


class Gate:
    """At most `limit` requests inside; `close` keeps newcomers waiting, `fail` turns all of them away."""

    def __init__(self, most: int) -> None:
        self.most, self.limit, self.inside = most, float(min(most, START)), 0
        self.growing = True  # no complaint yet: double per round
        self._waiting: deque[tuple[asyncio.Future[None], bool]] = deque()  # and whether alone
        self._alone = False  # the one inside wants nobody beside it
        self._closed, self._open_at = False, 0.0
        self._cuts = 0
        self.error: Exception | None = None

    async def enter(self, alone: bool = False) -> int:
        """Waits for a place; with `alone` for all others to leave, and none enters beside it. Returns a mark to give
        back when leaving.

        Raises:
            Exception: what `fail` was told.
        """
        if self.error:
            raise self.error
        if alone or self._waiting or not self._open():
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((place, alone))
            self._admit()
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled() and not place.exception():
                    self._leave()  # admitted and cancelled at once
                raise
        else:
            self.inside += 1
        return self._cuts

    def leave(self, mark: int, answered: bool, too_much: bool) -> None:
        """Gives the place back, saying how it went."""
        if answered:
            self.limit = min(self.most, self.limit + (1.0 if self.growing else 1.0 / self.limit))
        elif too_much and mark == self._cuts:
            self.limit, self.growing = max(1.0, self.limit / 2), False
            self._cuts += 1
        self._leave()

    def resize(self, most: int) -> None:
        """Another upper bound."""
        self.most, self.limit = most, min(self.limit, float(most))
        if self.growing:
            self.limit = float(max(self.limit, min(most, START)))
        self._admit()

    def pause(self, seconds: float) -> None:
        """Nobody enters for a while (Retry-After)."""
        if not seconds:
            return
        loop = asyncio.get_running_loop()
        self._open_at = max(self._open_at, loop.time() + seconds)
        loop.call_at(self._open_at + 1e-3, self._admit)  # not a moment too early: nobody would try again

    def close(self) -> None:
        """Nobody enters until `open`."""
        self._closed = True

    def open(self) -> None:
        """Newcomers enter again."""
        self._closed = False
        self._admit()

    def fail(self, error: Exception) -> None:
        """Everybody who waits or comes gets `error`, until `heal`."""
        self.error = error
        while self._waiting:
            place, _ = self._waiting.popleft()
            if not place.done():
                place.set_exception(error)

    def heal(self) -> None:
        """After `fail`: start anew."""
        self.error = None
        self.open()

    def _open(self) -> bool:
        waiting = asyncio.get_running_loop().time() < self._open_at
        return not (self._closed or waiting or self._alone) and self.inside < int(self.limit)

    def _leave(self) -> None:
        self.inside -= 1
        self._alone = False
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._open():
            place, alone = self._waiting[0]
            if alone and self.inside and not place.done():
                break
            self._waiting.popleft()
            if not place.done():
                self.inside, self._alone = self.inside + 1, alone
                place.set_result(None)


class Bucket:
    """A rate: `spend` waits until there is enough; a bucket of rate 0 never makes anyone wait.

    It holds what flows in `burst_s` seconds. Spending more than that takes on a debt, which later comers wait for.
    """

    def __init__(self, per_minute: float, burst_s: float = 1.0) -> None:
        self.burst_s = burst_s
        self._full_at: float | None = None  # when the bucket will be full again: one number says all
        self.resize(per_minute)

    def resize(self, per_minute: float) -> None:
        """Another rate."""
        self.per_s = per_minute / 60.0

    async def spend(self, amount: float) -> None:
        """Takes `amount`, waiting for the debts of those before."""
        if not self.per_s:
            return
        now = asyncio.get_running_loop().time()
        start = max(now, self._full_at or now)
        self._full_at = start + amount / self.per_s
        await asyncio.sleep(max(0.0, start - self.burst_s - now))

    def refund(self, amount: float) -> None:
        """What was estimated too high flows back (negative: estimated too low)."""
        if self.per_s and self._full_at is not None:
            self._full_at -= amount / self.per_s
