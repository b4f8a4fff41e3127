"""Requests to a server that can be slow, full, wrong or gone: every row gets an answer or a reason, or the run stops.

What ends a try decides what happens next:

* too much (429, 503, 529): fewer requests in flight, a pause as long as Retry-After says, and again; never a lost row;
* a fault (5xx, a timeout, a lost connection, a reply that is not what was asked for): again after a random, growing
  wait, up to `tries`. After a lost connection, or while nobody else is answered either, the server is asked for its
  health first: if it is down, nobody asks it anything until it is back, and the try does not count (the circuit
  breaker). A row may be what brings it down: whose last OUTAGES - 1 tries ended so is sent alone, and given up when the
  server goes down once more;
* a refusal (400, 413, 422): the row's own failure, at once;
* 401, 402, 403, 404, a redirect, a pause longer than a row may wait, a server that stays down, or `MANY_LOST` failures in a
  row: the run stops with the reason.

One event loop per client, in a thread of its own, so that it also works where another loop runs (notebooks).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import weakref
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from typing import Any, TypeVar
from urllib.parse import urlsplit

from promptcot.errors import MissingExtra, UserError
from promptcot.lm.base import Failure
from promptcot.lm.connections import connector, shut
from promptcot.lm.faults import BadReply, ServerUnavailable, Trouble, message, refusal, sound, status_within
from promptcot.lm.journal import Journal
from promptcot.lm.limits import Bucket, Gate
from promptcot.lm.server import Server

T = TypeVar("T")
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
MANY_LOST = 50
OUTAGES = 3
LONGEST_DETAIL = 300


class Client:
    """Talks to one server. Use `run` from any thread; everything else belongs to the event loop.

    counts: requests sent, retries among them, rows failed, replies taken from the journal.

    Raises:
        UserError: the variable that `server.api_key_env` names is not set.
        MissingExtra: aiohttp is not installed.
    """

    def __init__(self, server: Server, name: str) -> None:
        try:
            import aiohttp
        except ModuleNotFoundError:
            raise MissingExtra("aiohttp", "api") from None
        self._aiohttp = aiohttp
        self.server, self.name = server, name
        self._where = f"the server {server.base_url}"
        self._key = _key(server.api_key_env)
        self.gate = Gate(server.max_concurrency)
        self.requests_rate, self.tokens_rate = (
            Bucket(server.requests_per_minute), Bucket(server.tokens_per_minute, burst_s=60.0)
        )  # fmt: skip
        self.counts = {"requests": 0, "retries": 0, "failed": 0}
        self.journal: Journal | None = None
        self._parallel = 1
        self._answered = 0  # replies so far: whether anybody was answered meanwhile
        self._lost = 0  # rows lost in a row
        self._mending: asyncio.Task[bool] | None = None
        self._session: Any = None
        self._sessions: list[Any] = []
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name=f"http {name}", daemon=True)
        thread.start()
        self._finalizer = weakref.finalize(self, shut, self._loop, thread, self._sessions)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Does `work` in the event loop and waits; an interrupt cancels all its requests."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def close(self) -> None:
        """Cancels what is in flight, closes all connections and ends the thread. Also done when garbage-collected."""
        self._finalizer()
        if self.journal:
            self.journal.close()
            self.journal = None

    def share(self, parallel: int) -> None:
        """Be one of `parallel` processes that use the server's limits together."""
        if parallel != self._parallel:
            self._parallel = parallel
            most = max(1, self.server.max_concurrency // parallel)  # none could work with less
            self._loop.call_soon_threadsafe(self.gate.resize, most)
            self.requests_rate.resize(self.server.requests_per_minute / parallel)
            self.tokens_rate.resize(self.server.tokens_per_minute / parallel)

    async def all(self, rows: list[Coroutine[Any, Any, T]]) -> list[T]:
        """Every row's result, in order; when one of them stops the run, the others are cancelled."""
        if self.gate.error:
            self.gate.heal()
        tasks = [asyncio.ensure_future(row) for row in rows]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(
        self, path: str, body: dict[str, Any], read: Callable[[Any], T], tokens: int = 0, probe: bool = False,
        keep: bool = True,
    ) -> T | Failure:  # fmt: skip
        """What `read` makes of the server's reply to a POST of `body`; a plain value, which the journal can keep.

        Args:
            path: Below the base URL; "//..." below the server's root.
            read: Raises BadReply when the reply is not what was asked for.
            tokens: How many the request is expected to take, for the token rate.
            probe: Only to see how the server reacts: two tries, not kept, and a failure is no lost row.
            keep: False asks the server itself, whatever the journal holds, and leaves the reply out of it.

        Raises:
            UserError: the server is gone, wants another key, or does not know the model.
        """
        journal, data = self.journal if keep and not probe else None, json.dumps(body).encode()
        key = blake2b(path.encode() + data, digest_size=16).hexdigest() if journal else ""
        if journal and key in journal.replies:
            self.counts["requests"] += 1
            kept: T = journal.replies[key]
            return kept
        tries = 2 if probe else self.server.tries
        found = await self._insist(path, data, read, tokens, tries, journal, key)
        if isinstance(found, Failure):
            if not probe:
                self._give_up(found)
        elif journal:
            journal.put(key, found)
        return found

    async def get(self, path: str) -> tuple[int, Any]:
        """(status, JSON or None) of a GET, once. Status 0: no connection."""
        try:
            async with self.session.get(self._url(path), timeout=self._timeout(10.0)) as reply:
                raw = await reply.read()
                status = int(reply.status)
        except (TimeoutError, OSError, self._aiohttp.ClientError):
            return 0, None
        try:
            return status, json.loads(raw)
        except (ValueError, RecursionError):
            return status, None

    async def get_insisting(self, path: str) -> tuple[int, Any]:
        """As `get`, again while there is no connection: a server that is down is waited for.

        Raises:
            ServerUnavailable: it stayed down for `patience_s`.
        """
        status, found = await self.get(path)
        for _ in range(self.server.tries):
            if status:
                break
            await self._healthy(Trouble("fault", "connection", f"no answer to GET {path}"))
            status, found = await self.get(path)
        return status, found

    @property
    def session(self) -> Any:
        """The connections, opened on first use (inside the loop)."""
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            local = urlsplit(self.server.base_url).hostname in ("localhost", "127.0.0.1", "::1")
            self._session = self._aiohttp.ClientSession(
                connector=connector(self._aiohttp), headers=headers, trust_env=not local,
                cookie_jar=self._aiohttp.DummyCookieJar(),
            )  # fmt: skip
            self._sessions.append(self._session)
        return self._session

    # one row

    async def _insist(
        self, path: str, body: bytes, read: Callable[[Any], T], tokens: int, tries: int, journal: Journal | None, key: str,
    ) -> T | Failure:  # fmt: skip
        loop = asyncio.get_running_loop()
        ends, counted, sent = 0.0, 0, 0
        outages = journal.outages.get(key, 0) if journal else 0
        if outages >= OUTAGES:
            return Failure(
                "connection", f"the server went down at {OUTAGES} tries in a row, and did not come back"
            )
        while True:
            came, alone = loop.time(), outages == OUTAGES - 1  # so that no other row is charged with it
            mark = await self.gate.enter(alone)
            if alone and ends:
                ends += loop.time() - came  # the turns of other suspects are not its own time
            before, answered, trouble = self._answered, False, None
            ends = ends or loop.time() + self.server.deadline_s
            try:
                await self.requests_rate.spend(1)
                await self.tokens_rate.spend(tokens)
                self.counts["requests"] += 1
                self.counts["retries"] += sent > 0
                sent += 1
                found = read(await self._once(path, body, ends - loop.time()))
                self._answered += 1
                self._lost, answered = 0, True
                return found
            except BadReply as e:
                trouble = Trouble("fault" if e.again else "refused", e.reason, self._clean(e.detail))
            except Trouble as e:
                trouble = e
                self.gate.pause(e.wait_s)  # before the place is free for another
            except UserError as e:
                self.gate.fail(e)  # the same for everybody: nothing more is sent
                raise
            finally:
                too_much = trouble is not None and trouble.reason in ("too_much", "timeout", "connection")
                self.gate.leave(mark, answered, too_much)
            if trouble.kind == "refused":
                return Failure(trouble.reason, trouble.detail)
            if trouble.kind == "fault":
                others = self._answered > before and trouble.reason != "connection"
                try:
                    well = others or await self._healthy(trouble)
                except ServerUnavailable:
                    if journal and trouble.arrived:
                        journal.charge(key, outages + 1)
                    raise
                if well:
                    counted, outages = counted + 1, 0
                else:
                    outages += trouble.arrived
            if counted >= tries:
                return Failure(trouble.reason, trouble.detail)
            if outages >= OUTAGES:
                return Failure(
                    "connection", f"the server went down at {OUTAGES} tries in a row: {trouble.detail}"
                )
            wait = trouble.wait_s or random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**sent))
            if loop.time() + wait >= ends:
                return Failure("deadline", f"last try: {trouble.reason} {trouble.detail}")
            if not trouble.wait_s:
                await asyncio.sleep(wait)

    async def _once(self, path: str, body: bytes, left_s: float) -> Any:
        errors = self._aiohttp
        limit = self._timeout(max(0.0, min(self.server.timeout_s, left_s)) or 1e-3)
        try:
            async with self.session.post(
                self._url(path), data=body, timeout=limit, allow_redirects=False
            ) as reply:
                raw = await reply.read()
                status, retry_after = int(reply.status), reply.headers.get("Retry-After")
                if "Retry-After-Ms" in reply.headers:
                    retry_after = f"{reply.headers['Retry-After-Ms']}ms"
        except TimeoutError:
            raise Trouble("fault", "timeout", f"no reply within {self.server.timeout_s:g} s") from None
        except (OSError, errors.ClientError) as e:
            arrived = not isinstance(e, errors.ClientConnectorError)
            detail = self._clean(f"{type(e).__name__}: {e}")
            raise Trouble("fault", "connection", detail, arrived=arrived) from None
        if status != 200:
            if path.startswith("//") and 300 <= status < 500 and status not in (408, 409, 425, 429):
                # Beside the OpenAI interface: a server that has no such thing says nothing about key or model.
                raise Trouble("refused", f"http_{status}", self._clean(message(raw)))
            raise self._refusal(status, raw, retry_after)
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError) as e:
            what = (
                "a stream of events" if raw.lstrip().startswith((b"data:", b"event:")) else f"not JSON ({e})"
            )
            raise BadReply("bad_reply", f"{what}: {self._clean(raw.decode(errors='replace'))}") from None
        if within := status_within(found):
            raise self._refusal(within, raw, retry_after)
        return found

    def _refusal(self, status: int, raw: bytes, retry_after: str | None) -> Exception:
        return refusal(self.server, self.name, status, self._clean(message(raw)), retry_after)

    # the server as a whole

    async def _healthy(self, trouble: Trouble) -> bool:
        """True when the server is well, so that the fault is the row's; else waits until it is, and False.

        Raises:
            ServerUnavailable: it stayed down for `patience_s`.
        """
        if self._mending is None:
            self._mending = asyncio.ensure_future(self._mend(trouble))
            self._mending.add_done_callback(lambda _: setattr(self, "_mending", None))
        return await asyncio.shield(self._mending)

    async def _mend(self, trouble: Trouble) -> bool:
        if await self._alive():
            return True
        self.gate.close()
        loop = asyncio.get_running_loop()
        ends, wait = loop.time() + self.server.patience_s, FIRST_WAIT_S
        while loop.time() + wait < ends:
            await asyncio.sleep(wait)
            if await self._alive():
                self.gate.open()
                return False
            wait = min(2 * wait, 10.0)
        error = ServerUnavailable(
            f"{self._where} does not answer: {trouble.reason} {trouble.detail}",
            expected=f"a running server (waited {self.server.patience_s:g} s, server.patience_s)",
            do="start it again; then the same command goes on with what is missing",
        )
        self.gate.fail(error)
        raise error

    async def _alive(self) -> bool:
        status, _ = await self.get("//health")
        if status in (0, 502, 503, 504) or status == 500:
            return False
        if status == 200:
            return True
        status, _ = await self.get("/models")
        return 0 < status < 500

    def _give_up(self, failure: Failure) -> None:
        self.counts["failed"] += 1
        self._lost += 1
        if self._lost >= MANY_LOST:
            error = ServerUnavailable(
                f"the last {MANY_LOST} requests to {self._where} all failed; the last one: {failure.reason} {failure.detail}",
                expected="a server that answers what the recipe asks",
                do="mend the server or the recipe; then the same command goes on",
            )  # fmt: skip
            self._lost = 0
            self.gate.fail(error)
            raise error

    def _url(self, path: str) -> str:
        base = self.server.base_url.rstrip("/")
        if path.startswith("//"):
            return base.removesuffix("/v1") + path[1:]
        return base + path

    def _timeout(self, seconds: float) -> Any:
        return self._aiohttp.ClientTimeout(total=seconds)

    def _clean(self, text: str) -> str:
        """One short line without the key, which servers like to repeat."""
        if self._key:
            text = text.replace(self._key, "***")
        return sound(" ".join(text.split())[:LONGEST_DETAIL])


def _key(variable: str) -> str:
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(
            f"the environment variable {variable} is empty or not set",
            expected="the key of the server (server.api_key_env in the recipe)",
            do=f"export {variable}=...",
        )
    return key
