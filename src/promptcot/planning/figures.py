"""The figures a plan rests on: throughputs per model, lengths, yields, each with its source (figures.yaml)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml

from promptcot.errors import UserError
from promptcot.planning.size import parameters

Kind = Literal["sample", "score", "train", "dpo"]
FREE = ("scripted", "pocket-annotator", "pocket-teacher")  # engines that are programs, not models


@dataclass(frozen=True)
class Range:
    """A figure with the values it may reasonably have: low <= mid <= high, all >= 0."""

    low: float
    mid: float
    high: float

    @classmethod
    def of(cls, value: float) -> Range:
        """A figure without doubt."""
        return cls(value, value, value)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def __mul__(self, other: Range | float) -> Range:
        o = other if isinstance(other, Range) else Range.of(other)
        return Range(self.low * o.low, self.mid * o.mid, self.high * o.high)

    def __truediv__(self, other: Range) -> Range:
        return Range(self.low / other.high, self.mid / other.mid, self.high / other.low)

    def capped(self, limit: float) -> Range:
        """At most `limit`, as a recipe's max_tokens or `problems` has it."""
        return Range(min(self.low, limit), min(self.mid, limit), min(self.high, limit))


NOTHING = Range.of(0.0)


@dataclass(frozen=True)
class Rate:
    """Tokens per second of one model on one device, and where the figure comes from."""

    tokens_per_s: Range
    device: str
    source: str


class Figures:
    """The packaged figures, with those of a file (a calibration, or your own) laid over them.

    Raises:
        UserError: the file cannot be read or is not in the format of figures.yaml.
    """

    def __init__(self, over: Path | None = None, models: list[dict[str, Any]] | None = None) -> None:
        text = files("promptcot.planning").joinpath("figures.yaml").read_text()
        self.data: dict[str, Any] = yaml.safe_load(text)
        for extra in (_read(over) if over else {}, {"models": models or []}):
            self._lay(extra)

    def _lay(self, extra: dict[str, Any]) -> None:
        for mine in extra.get("models", []):
            theirs = next((m for m in self.data["models"] if m["match"] == mine["match"]), None)
            if theirs is None:
                self.data["models"].append(mine)
            else:
                theirs.update(mine)
        for group in ("lengths", "yields"):
            for profile, values in extra.get(group, {}).items():
                self.data[group].setdefault(profile, {}).update(values)

    def length(self, profile: str, name: str) -> Range:
        """Tokens of a concept list, rationale, problem, annotation, unit test or attempt."""
        return _range(self.data["lengths"][profile][name]["value"])

    def share(self, profile: str, name: str) -> Range:
        """The share of rows that is curated, labelled, paired or traced."""
        return _range(self.data["yields"][profile][name]["value"])

    def attempt(self, profile: str, model: str) -> Range:
        """Tokens of one solution by `model`."""
        own = (self._entry(model) or {}).get("attempt_tokens")
        return _range(own["value"]) if own else self.length(profile, "attempt")

    def rate(self, model: str, kind: Kind) -> Rate:
        """How fast `model` does `kind` of work on one device.

        Raises:
            UserError: nothing is known about the model, and neither its directory nor its name says its size.
        """
        if kind == "dpo":
            sft, factor = self.rate(model, "train"), float(self.data["preference_factor"])
            return Rate(sft.tokens_per_s * factor, sft.device, f"{factor} of SFT: {sft.source}")
        entry = self._entry(model)
        if entry and kind in entry:
            return Rate(_around(entry[kind]), entry["device"], entry[kind]["source"])
        return self._scaled(model, kind, entry)

    def _scaled(self, model: str, kind: str, entry: dict[str, Any] | None) -> Rate:
        reference = self.data["reference"]
        base = self._entry(reference["match"])
        assert base is not None
        params = (entry or {}).get("params_b") or size_b(model)
        if params is None:
            raise UserError(
                f"no throughput is known for the model '{model}'",
                expected="a model in planning/figures.yaml, a directory whose config.json or safetensors say its size, "
                "or a name that does, such as 7B",
                do=f"promptcot calibrate RECIPE, or --figures FILE with 'models: [{{match: {model}, ...}}]'",
            )
        factor = reference["params_b"] / max(params, reference["floor_b"])
        figure = {"value": base[kind]["value"] * factor, "error": base[kind]["error"] + reference["error"]}
        return Rate(
            _around(figure), base["device"], f"scaled from {reference['match']} by {params:.3g}B parameters"
        )

    def _entry(self, model: str) -> dict[str, Any] | None:
        found = [m for m in self.data["models"] if m["match"].lower() in model.lower()]
        return max(found, key=lambda m: len(m["match"]), default=None)


def size_b(model: str) -> float | None:
    """Billions of parameters: of a directory what it holds, else what the name says: `Qwen/Qwen2.5-1.5B-Instruct` has 1.5."""
    if counted := parameters(Path(model)):
        return counted / 1e9
    found = re.search(r"(?<![\d.A-Za-z])(\d+(?:\.\d+)?)B(?![A-Za-z])", model, re.IGNORECASE)
    return float(found[1]) if found else None


def _around(figure: dict[str, Any]) -> Range:
    value, spread = float(figure["value"]), 1.0 + float(figure["error"])
    return Range(value / spread, value, value * spread)


def _range(value: Any) -> Range:
    low, mid, high = value
    return Range(float(low), float(mid), float(high))


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text())
        checked = Figures.__new__(Figures)
        checked.data = {"models": [], "lengths": {}, "yields": {}}
        checked._lay(data)
        for model in data.get("models", []):
            for kind in {"sample", "score", "train"} & set(model):
                _around(model[kind])
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as e:
        raise UserError(
            f"'{path}' holds no figures: {e}",
            expected="the format of planning/figures.yaml: models: [{match, device, sample: {value, error, source}}]",
            do="promptcot calibrate RECIPE --save FILE writes such a file",
        ) from None
    return dict(data)
