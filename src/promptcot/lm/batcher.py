"""A model at work for many requests: rows join between two tokens, and a request is answered when its own rows have ended.

All models of a server work in one thread, a turn each. A turn draws one token more for every row and, while sequences wait
to be scored, gives them half of the time. Who asked and is gone is noticed at the next turn, and computed no further.
What a row draws does not depend on the others (`promptcot.lm.decode`), so neither does it on when they came.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TypeVar

from promptcot.lm.base import Part, Prompt, SamplingParams
from promptcot.lm.batching import scoring_batches
from promptcot.lm.decode import Batch, Draw
from promptcot.lm.layout import Layout
from promptcot.lm.scoring import LENGTH_STEP
from promptcot.lm.transformers import TransformersEngine

# Beside the batch stands one of an eighth of its tokens, for eight rows or more that are shorter by a factor of four: a
# short request does not wait for long ones to end.
SIDE, SHORTER = 8, 4
PATIENCE = 8  # tokens that others may draw while newcomers wait for company

T = TypeVar("T")
log = logging.getLogger(__name__)


class ModelFailure(RuntimeError):
    """The model could not do what it was asked, for reasons that are not the request's: a full memory, say."""


class Turns:
    """The thread in which models work, one turn after the other. It ends when none has work, and starts again."""

    def __init__(self) -> None:
        self._busy: list[Batcher] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def give(self, batcher: Batcher) -> None:
        """Turns for `batcher`, until it is idle."""
        with self._lock:
            if batcher not in self._busy:
                self._busy.append(batcher)
            if self._thread is None:
                self._start()

    def close(self) -> None:
        """No more turns; the one under way cannot be interrupted."""
        self._closed = True

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while busy := self._next():
                for batcher in busy:
                    batcher.turn()
        finally:
            with self._lock:
                # Still this one: it ends by an error that a turn let through, and the other models go on.
                if self._thread is threading.current_thread():
                    self._start()

    def _next(self) -> list[Batcher]:
        with self._lock:
            self._busy = [batcher for batcher in self._busy if not (self._closed or batcher.idle)]
            if not self._busy:
                self._thread = None
            return list(self._busy)


@dataclass(eq=False)
class _Drawing:
    """Rows that were asked for together."""

    rows: list[Draw]
    done: Future[list[Draw]] = field(default_factory=Future)


@dataclass(eq=False)
class _Scoring:
    """A sequence to score."""

    layout: Layout
    done: Future[list[float]] = field(default_factory=Future)


class Batcher:
    """One model and what it is asked.

    Args:
        engine: The model.
        turns: The thread that it shares with other models; without, one of its own.
    """

    def __init__(self, engine: TransformersEngine, turns: Turns | None = None) -> None:
        self.engine, self._turns = engine, turns or Turns()
        self._arrived: deque[_Drawing | _Scoring] = deque()
        self._drawing: list[_Drawing] = []
        self._scoring: list[_Scoring] = []
        self._waiting: list[tuple[int, Draw]] = []
        engine.model.eval()
        self._batches = self._empty()
        self._turn = 0
        self._ahead_s = 0.0  # by how much longer rows were drawn than sequences scored, while both waited

    async def draws(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Draw]:
        """One draw per prompt; cancelled, they are drawn no further. Raises as `TransformersEngine.sample`."""
        jobs = await asyncio.to_thread(self.engine.jobs, prompts, params)
        asked = _Drawing([Draw(job) for job in jobs])
        self._ask(asked)
        return await asyncio.wrap_future(asked.done)

    async def logps(self, ids: Sequence[int]) -> list[float | None]:
        """The log-prob of every token, the first one None. Raises as `TransformersEngine.score`."""
        # Every token is a part of its own, so that the engine's one way to score serves here too.
        tokens = [Part(str(i), (token,), scored=i > 0) for i, token in enumerate(ids)]
        asked = _Scoring(self.engine.layout(tokens))
        self._ask(asked)
        return [None, *await asyncio.wrap_future(asked.done)]

    def _ask(self, asked: _Drawing | _Scoring) -> None:
        self._arrived.append(asked)
        self._turns.give(self)

    # what follows is done in the models' thread

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._arrived or self._drawing or self._scoring)

    def turn(self) -> None:
        """One token more for every row, and one pass over sequences to score if rows have had as much time."""
        self._take_in()
        well = False
        try:
            well = bool(self._try(self._work, lambda: [*self._drawing, *self._scoring]))
        finally:
            if not well:
                self._batches = self._empty()

    def _work(self) -> bool:
        self._let_go()
        started = time.monotonic()
        main, side = self._batches
        self._draw(main, self.engine.max_context)
        largest = max((row.size for row in main.rows), default=0)
        self._draw(side, min(largest // SHORTER, side.batch_tokens // SIDE))
        drawn = time.monotonic()
        self._ahead_s += drawn - started
        if self._scoring and (self._ahead_s >= 0 or not self._drawing):
            self._score()
            self._ahead_s -= time.monotonic() - drawn
        if not (self._scoring and self._drawing):
            self._ahead_s = 0.0
        return True

    def _take_in(self) -> None:
        """Gives rows their place in the queue: before those that want more tokens, less those drawn since they came."""
        self._turn += 1
        while self._arrived:
            asked = self._arrived.popleft()
            if isinstance(asked, _Scoring):
                self._scoring.append(asked)
                continue
            self._drawing.append(asked)
            for row in asked.rows:
                insort(self._waiting, (self._turn + row.size, row), key=itemgetter(0))

    def _let_go(self) -> None:
        """Forgets what has been answered, and what nobody waits for any more."""
        gone = {row for asked in self._drawing if asked.done.done() for row in asked.rows}
        if gone:
            self._drawing = [asked for asked in self._drawing if not asked.done.done()]
            self._forget(gone)
            for batch in self._batches:
                batch.drop(gone.intersection(batch.rows))
        self._scoring = [asked for asked in self._scoring if not asked.done.done()]

    def _forget(self, rows: set[Draw]) -> None:
        self._waiting = [(due, row) for due, row in self._waiting if row not in rows]

    def _empty(self) -> list[Batch]:
        model, most = self.engine.model, self.engine.batch_tokens
        return [Batch(model, most, PATIENCE), Batch(model, most // SIDE, PATIENCE)]

    def _draw(self, batch: Batch, most: int) -> None:
        """Lets waiting rows of up to `most` tokens into the batch, and draws a token for every row there."""
        able = [row for _, row in self._waiting if row.size <= most]
        if new := batch.joining(able):
            self._forget(set(new))
            self._try(lambda: batch.join(new), lambda: self._askers(new))
        if not batch.rows:
            return
        for asked in self._askers(batch.step()):
            if all(row.finish for row in asked.rows) and asked.done.set_running_or_notify_cancel():
                asked.done.set_result(asked.rows)

    def _score(self) -> None:
        """Scores the sequence that waits longest, with others of its padded length in the same pass."""
        lengths = [len(asked.layout.ids) for asked in self._scoring]
        passes = scoring_batches(lengths, self.engine.scoring_tokens, LENGTH_STEP)
        asked = [self._scoring[i] for i in next(places for places in passes if 0 in places)]
        layouts = [one.layout for one in asked]
        found = self._try(lambda: self.engine.score_layouts(layouts), lambda: asked)
        for one, spans in zip(asked, found or ()):
            if one.done.set_running_or_notify_cancel():
                one.done.set_result([span.logp for span in spans.values()])

    def _askers(self, rows: Iterable[Draw]) -> list[_Drawing]:
        wanted = set(rows)
        return [asked for asked in self._drawing if wanted and not wanted.isdisjoint(asked.rows)]

    def _try(self, work: Callable[[], T], asked: Callable[[], Sequence[_Drawing | _Scoring]]) -> T | None:
        """What `work` returns; where it fails, those for whom it is done hear why. Other errors than those of a full memory
        or a broken kernel end the turn."""
        result, why = None, "the model failed; the server's log says how"
        try:
            result, why = work(), ""
        except (RuntimeError, MemoryError) as e:
            log.exception("the model failed")
            why = f"{type(e).__name__}: {e}"
        finally:
            for one in asked() if why else ():
                if not one.done.done() and one.done.set_running_or_notify_cancel():
                    one.done.set_exception(ModelFailure(why))
        return result
