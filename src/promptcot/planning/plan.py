"""The plan of a recipe: work (`planning.work`) divided by throughput (`planning.figures`), and how it is shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from promptcot.planning.figures import FREE, NOTHING, Figures, Range, Rate
from promptcot.planning.work import Flow, Work
from promptcot.settings import Recipe
from promptcot.terminal import console, say, table


@dataclass(frozen=True)
class Line:
    """One kind of work with its hours on one device; `rate` None costs no device (a program, not a model)."""

    work: Work
    rate: Rate | None

    @property
    def hours(self) -> Range:
        """Device hours."""
        if self.rate is None:
            return NOTHING
        return self.work.tokens / self.rate.tokens_per_s * (1 / 3600)


def plan(recipe: Recipe, figures: Figures) -> list[Line]:
    """What every model of the recipe does, and for how long.

    Raises:
        UserError: the seeds cannot be counted, or a model's throughput is not known.
    """
    return [Line(w, _rate(w, figures)) for w in Flow(recipe, figures).work() if w.requests.high]


def _rate(work: Work, figures: Figures) -> Rate | None:
    if work.model.engine in FREE:
        return None
    return figures.rate(work.model.model or work.model.engine, work.kind)


def total(ranges: Iterable[Range]) -> Range:
    """The sum: its ends are the sums of the ends, so wider than a confidence interval."""
    out = NOTHING
    for r in ranges:
        out = out + r
    return out


def devices(lines: Sequence[Line]) -> list[str]:
    """The kinds of device, in order of appearance."""
    return list(dict.fromkeys(line.rate.device for line in lines if line.rate))


def hours_on(lines: Iterable[Line], device: str) -> Range:
    """All hours on one kind of device."""
    return total(line.hours for line in lines if line.rate and line.rate.device == device)


def as_json(recipe: Recipe, lines: Sequence[Line]) -> dict[str, Any]:
    """The plan as plain data; ranges are {low, mid, high}, hours are device hours."""
    stages = dict.fromkeys(line.work.stage for line in lines)
    return {
        "recipe": recipe.name,
        "lines": [_line(line) for line in lines],
        "stages": [_sums({"stage": s}, [line for line in lines if line.work.stage == s]) for s in stages],
        "total": _sums({}, lines),
        "notes": notes(lines),
    }


def _line(line: Line) -> dict[str, Any]:
    work, rate = line.work, line.rate
    return {
        "stage": work.stage, "what": work.what, "kind": work.kind, "model": work.model.model or work.model.engine,
        "requests": asdict(work.requests), "tokens_each": asdict(work.tokens_each), "tokens": asdict(work.tokens),
        "tokens_per_s": asdict(rate.tokens_per_s) if rate else None, "device": rate.device if rate else None,
        "hours": asdict(line.hours), "source": rate.source if rate else "a program, no model",
    }  # fmt: skip


def _sums(head: dict[str, Any], lines: Sequence[Line]) -> dict[str, Any]:
    by_kind = {
        f"{kind}_tokens": asdict(total(line.work.tokens for line in lines if line.work.kind == kind))
        for kind in dict.fromkeys(line.work.kind for line in lines)
    }
    return {
        **head,
        "requests": asdict(
            total(line.work.requests for line in lines if line.work.kind in ("sample", "score"))
        ),
        **by_kind,
        "hours": {device: asdict(hours_on(lines, device)) for device in devices(lines)},
    }


def notes(lines: Sequence[Line]) -> list[str]:
    """What to know before believing the figures."""
    out = ["Ranges add the ends of all assumptions: wider than a confidence interval."]
    own = {line.work.model.model for line in lines if line.work.model.engine == "transformers" and line.work.kind == "sample"}  # fmt: skip
    if own - {"pocket"}:
        out.append(
            "Sampling figures are those of a serving engine (vLLM, TensorRT-LLM). The engine 'transformers' samples "
            "more slowly: promptcot calibrate RECIPE measures it."
        )
    return out


def show(recipe: Recipe, lines: Sequence[Line]) -> None:
    """Print the plan as tables, with the source of every throughput."""
    columns = ("work", "model", "requests", "tokens", "tok/s", "on one\ndevice", "low to high")
    shown, before = table(columns, text=("model", "low to high")), ""
    for line in lines:
        if line.work.stage != before:
            shown.add_row(f"[bold]{line.work.stage}[/bold]")
        shown.add_row(*_cells(line))
        before = line.work.stage
    say(f"{recipe.name}: the plan", style="bold")
    console().print(shown)
    for device in devices(lines):
        hours = hours_on(lines, device)
        say(f"In all, on one {device}: {_h(hours.mid)} ({_h(hours.low)} to {_h(hours.high)})")
        for stage in dict.fromkeys(line.work.stage for line in lines):
            mine = hours_on((line for line in lines if line.work.stage == stage), device)
            if mine.mid:
                share = f"{mine.mid / hours.mid:4.0%}"
                say(f"  {stage:<11} {_h(mine.mid):>8}  {share}  {_h(mine.low)} to {_h(mine.high)}")
    sources = {f"{line.work.model.model} {line.work.kind}: {line.rate.source}" for line in lines if line.rate}
    for note in [*notes(lines), "Throughputs:", *(f"  {s}" for s in sorted(sources))]:
        say(note)


def _cells(line: Line) -> list[str]:
    work, hours = line.work, line.hours
    model = work.model.model or work.model.engine
    cells = [f"  {work.what}", model.rpartition("/")[2], _n(work.requests.mid), _n(work.tokens.mid)]
    if line.rate is None:
        return [*cells, "-", "-", ""]
    return [*cells, _n(line.rate.tokens_per_s.mid), _h(hours.mid), _range(hours)]


def _range(hours: Range) -> str:
    """`1.0 to 4.5 h`, `22 min to 2.6 h`."""
    low, high = _h(hours.low), _h(hours.high)
    number, unit = low.split(" ")
    return f"{number if high.endswith(f' {unit}') else low} to {high}"


def _n(value: float) -> str:
    """Three digits and a unit: 4.77M."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _h(hours: float) -> str:
    """Hours with as many digits as they deserve, or minutes below one."""
    if hours >= 100:
        digits = 10 ** (math.floor(math.log10(hours)) - 2)
        return f"{round(hours / digits) * digits:,.0f} h"
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min"
