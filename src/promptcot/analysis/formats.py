"""Numbers and names as people read them: the filters of the report's templates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from jinja2 import Undefined

NOTHING = "–"
_NAMES = {"self_play": "Self-play", "sft": "Supervised fine-tuning", "heldout": "held-out"}


def count(value: Any) -> str:
    """A whole number with thousands separators: 12,345."""
    return number(value, 0)


def number(value: Any, digits: int = 2) -> str:
    """A number with a fixed count of decimals and a real minus sign; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return NOTHING
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def signed(value: Any, digits: int = 2) -> str:
    """A number that always carries its sign, except zero."""
    text = number(value, digits)
    return f"+{text}" if text[0].isdigit() and any(c in "123456789" for c in text) else text


def percent(share: Any, digits: int = 1) -> str:
    """A share of 1 as a percentage: 0.94 is 94.0%."""
    text = number(_scaled(share, 100), digits)
    return text if text == NOTHING else f"{text}%"


def interval(ends: Any, digits: int = 2, scale: float = 1) -> str:
    """The two ends of an interval, or nothing where no interval is given."""
    if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
        return ""
    return "[" + ", ".join(number(_scaled(end, scale), digits) for end in ends) + "]"


def duration(seconds: Any) -> str:
    """Seconds in the two largest units that matter: 8.2 s, 2 min 5 s, 1 h 7 min."""
    if number(seconds) == NOTHING:
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def words(name: Any) -> str:
    """A name from the data as it is read: self_play is Self-play, near_duplicate is near duplicate."""
    if name is None or isinstance(name, Undefined):
        return NOTHING
    return _NAMES.get(str(name), str(name).replace("_", " "))


def verdict(difference: Any) -> str:
    """What a difference says: its 95% interval lies above zero, below zero, or holds zero."""
    ends = difference.get("ci95") if isinstance(difference, Mapping) else None
    if not ends:
        return NOTHING
    return "higher" if ends[0] > 0 else "lower" if ends[1] < 0 else "no clear change"


def as_yaml(value: Any) -> str:
    """A nested value as the YAML a recipe is written in."""
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)).rstrip()


def is_flat(value: Any) -> bool:
    """True for a mapping without further nesting, which reads best as a table."""
    return isinstance(value, Mapping) and not any(isinstance(v, (Mapping, list)) for v in value.values())


def _scaled(value: Any, scale: float) -> Any:
    return value * scale if isinstance(value, (int, float)) and not isinstance(value, bool) else value
