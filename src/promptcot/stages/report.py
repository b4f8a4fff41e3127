"""Stage 12. report.html for people and report.json for programs, with the same numbers."""

from __future__ import annotations

import json
from importlib.util import find_spec

from promptcot import tracking
from promptcot.analysis.report import render
from promptcot.ids import digest
from promptcot.shards import write_atomic
from promptcot.stages.analyze import saved
from promptcot.stages.context import Context

NAME = "report"


def run(ctx: Context) -> None:
    """Write both files beside the tables; nothing to do when the analysis has not changed."""
    report = saved(ctx.run.path)
    mark = digest([report, find_spec("matplotlib") is not None])  # installing it later redraws the figures
    html, data = ctx.run.path / "report.html", ctx.run.path / "report.json"
    if html.exists() and data.exists() and json.loads(data.read_text()).get("digest") == mark:
        return
    write_atomic(html, render(report).encode())
    if trackers := ctx.recipe.run.report_to:
        tracking.send(report, ctx.run.path, trackers)
    write_atomic(data, json.dumps({**report, "digest": mark}, indent=1, ensure_ascii=False).encode())
    ctx.reporter.line(f"  report: {html}")
