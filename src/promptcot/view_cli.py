"""`promptcot view`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Attach the command to the command line."""
    app.command("view")(view)


def view(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8765,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Anything but loopback shows the run to the network.")
    ] = "127.0.0.1",
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Browse a run's tables in the browser: search, filter, one row with its lineage, export."""
    from promptcot.view.server import serve

    def ready(address: str) -> None:
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        if open_:
            webbrowser.open(address)

    try:
        serve(run, host, port, ready)
    except KeyboardInterrupt:
        print()
