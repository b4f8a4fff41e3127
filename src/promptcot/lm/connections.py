"""How connections to a server are opened and how they all end."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any


def connector(aiohttp: Any) -> Any:
    """Connections without a limit of their own (the gate has one), none of them with a reply that nobody asked for.

    aiohttp hands what arrived on an idle connection to the next request: a server that answers twice would give one
    row another's reply (seen with 3.14; tests/lm/test_openai_faults.py).
    """

    class Connector(aiohttp.TCPConnector):  # type: ignore[misc]
        async def _get(self, key: Any, traces: Any) -> Any:
            while (found := await super()._get(key, traces)) is not None and found.protocol.should_close:
                found.close()
            return found

    return Connector(limit=0)


def shut(loop: asyncio.AbstractEventLoop, thread: threading.Thread, sessions: list[Any]) -> None:
    """Ends the loop's tasks, sessions and thread; refers to nothing that refers to the client."""
    if not thread.is_alive() or thread is threading.current_thread():
        return

    async def end() -> None:
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in sessions:
            await session.close()

    with suppress(
        TimeoutError, CancelledError, RuntimeError
    ):  # the thread is a daemon: it ends with the process
        asyncio.run_coroutine_threadsafe(end(), loop).result(timeout=5.0)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=5.0)
    if not thread.is_alive():
        loop.close()
