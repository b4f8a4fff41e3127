"""`promptcot view`: pages over a run's tables, served on loopback. Queries run in threads; nothing is ever written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, TypeVar

from promptcot.errors import MissingExtra, UserError
from promptcot.view.pages import LONG_TEXTS, environment, read_filter, shown
from promptcot.view.queries import Filter, Run, Table

if TYPE_CHECKING:
    from aiohttp import web

T = TypeVar("T")
PAGE_ROWS = 50
CHUNK = 1 << 18
POLICY = "default-src 'none'; img-src data:; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def application(run: Run, hosts: set[str]) -> web.Application:
    """The explorer as an aiohttp application. `hosts`: the names it may be called by; a page elsewhere that resolves
    its own name to this address (DNS rebinding) is refused.

    Raises:
        MissingExtra: aiohttp is not installed.
    """
    try:
        from aiohttp import web
    except ModuleNotFoundError as error:
        raise MissingExtra("aiohttp", "view") from error

    @web.middleware  # type: ignore[untyped-decorator]
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.url.host not in hosts:
            raise web.HTTPMisdirectedRequest(
                text=f"this explorer does not answer to the name {request.url.host!r}\n"
            )
        try:
            return await handler(request)
        except UserError as error:
            return site.page("error.html.j2", status=400, error=str(error))

    site = Site(run)
    app = web.Application(middlewares=[guard])
    app.add_routes(
        [
            web.get("/", site.index),
            web.get("/table/{table:.+}", site.table),
            web.get("/row/{id}/{table:.+}", site.row),
            web.get("/export/{table:.+}", site.export),
            web.get("/style.css", site.style),
            web.get("/keys.js", site.script),
        ]
    )
    return app


class Site:
    """The handlers."""

    def __init__(self, run: Run) -> None:
        self.run, self.templates = run, environment()

    def page(self, template: str, status: int = 200, **values: Any) -> web.Response:
        """A rendered template."""
        from aiohttp import web

        text = self.templates.get_template(template).render(run=self.run, **values)
        return web.Response(
            text=text, status=status, content_type="text/html", headers={"Content-Security-Policy": POLICY}
        )

    async def index(self, request: web.Request) -> web.Response:
        """All tables by stage; reads the run directory anew, because it may still grow."""
        self.run = await asyncio.to_thread(Run, self.run.path)
        stages: dict[str, list[Table]] = {}
        for table in self.run.tables.values():
            stages.setdefault(table.name.split("/")[0], []).append(table)
        return self.page("index.html.j2", stages=stages)

    async def table(self, request: web.Request) -> web.Response:
        """One page of a table, filtered."""
        table, where = self._asked(request)
        start = _whole_number(request.query.get("start", "0"))
        rows = await self._ask(self.run.page, table, where, start, PAGE_ROWS)
        # A page that is not full says itself how many rows there are: no second scan.
        last = len(rows) < PAGE_ROWS and (rows or not start)
        total = start + len(rows) if last else await self._ask(self.run.count, table, where)
        facets = await self._ask(self.run.facets, table)
        return self.page(
            "table.html.j2", table=table, where=where, rows=rows, total=total, facets=facets, start=start,
            size=PAGE_ROWS, columns=shown(table), texts=LONG_TEXTS,
        )  # fmt: skip

    async def row(self, request: web.Request) -> web.Response:
        """One row with its lineage."""
        table = self.run.table(request.match_info["table"])
        row = await self._ask(self.run.row, table, request.match_info["id"])
        related = await self._ask(self.run.lineage, table, row)
        return self.page("row.html.j2", table=table, row=row, related=related)

    async def export(self, request: web.Request) -> web.StreamResponse:
        """The filtered rows as JSON lines or Parquet."""
        from aiohttp import web

        table, where = self._asked(request)
        form = request.query.get("format", "jsonl")
        if form not in ("jsonl", "parquet"):
            raise UserError(f"format {form!r}", expected="jsonl or parquet")
        chunks = (jsonl if form == "jsonl" else parquet)(self.run, table, where)
        first = await asyncio.to_thread(
            next, chunks, b""
        )  # a bad condition shows before the headers are sent
        name = table.name.replace("/", "-") + f".{form}"
        response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
        response.content_type = "application/octet-stream"
        await response.prepare(request)
        while first:
            await response.write(first)
            first = await asyncio.to_thread(next, chunks, b"")
        return response

    async def style(self, request: web.Request) -> web.Response:
        """The report's style and what the explorer adds."""
        return self._file("text/css", "report.css", "view.css")

    async def script(self, request: web.Request) -> web.Response:
        """The keyboard."""
        return self._file("text/javascript", "keys.js")

    def _file(self, content_type: str, *names: str) -> web.Response:
        from aiohttp import web

        assert self.templates.loader is not None
        text = "\n".join(self.templates.loader.get_source(self.templates, name)[0] for name in names)
        return web.Response(text=text, content_type=content_type)

    def _asked(self, request: web.Request) -> tuple[Table, Filter]:
        table = self.run.table(request.match_info["table"])
        return table, read_filter(request.query, table)

    async def _ask(self, fn: Callable[..., T], *args: Any) -> T:
        return await asyncio.to_thread(partial(fn, *args))


def _whole_number(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"start={text!r}", expected="the number of a row")
    return int(text)


def jsonl(run: Run, table: Table, where: Filter) -> Iterator[bytes]:
    """The rows as JSON lines, a batch at a time."""
    for batch in run.batches(table, where):
        if batch.num_rows:
            yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist()).encode()


def parquet(run: Run, table: Table, where: Filter) -> Iterator[bytes]:
    """The rows as one Parquet file, through a temporary file: its footer is written last."""
    import pyarrow.parquet as pq

    with TemporaryFile() as file:
        reader = run.batches(table, where)
        with pq.ParquetWriter(file, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
        file.seek(0)
        while chunk := file.read(CHUNK):
            yield chunk


def serve(path: Path, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted. `port` 0 takes a free one; `ready` gets the address once it answers.

    Raises:
        UserError: not a run directory, or the address cannot be used.
    """
    run = Run(path)
    app = application(run, {host, "localhost", "127.0.0.1", "::1"})
    asyncio.run(_serve(app, host, port, ready))


async def _serve(app: web.Application, host: str, port: int, ready: Callable[[str], None]) -> None:
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise UserError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            do="choose another one: --port 0 takes any free one",
        ) from None
    try:
        name = f"[{host}]" if ":" in host else host
        ready(f"http://{name}:{runner.addresses[0][1]}/")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
