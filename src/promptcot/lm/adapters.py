"""Low-rank adapters as models: a directory that PEFT saved, with the name of the model that it was trained on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra

FILE = "adapter_config.json"


@dataclass(frozen=True)
class Adapter:
    """A directory with an adapter. base: directory or Hub name of the model it was trained on. rank: its rank.
    targets: names of the layers it is for, () where a pattern says which."""

    path: Path
    base: str
    rank: int
    targets: tuple[str, ...]

    @classmethod
    def of(cls, model: str) -> Adapter | None:
        """The adapter in a directory; None for any other model."""
        file = Path(model) / FILE
        if not file.is_file():
            return None
        config = json.loads(file.read_text())
        named = config["target_modules"]
        targets = tuple(sorted(named)) if isinstance(named, list) else ()
        return cls(file.parent, str(config["base_model_name_or_path"]), int(config["r"]), targets)


def attach(base: Any, adapter: Adapter, trainable: bool = False) -> Any:
    """The loaded model `base` with the adapter on it.

    Raises:
        MissingExtra: peft is not installed.
    """
    try:
        from peft import PeftModel
    except ImportError:
        raise MissingExtra("peft", "lora") from None
    return PeftModel.from_pretrained(base, str(adapter.path), is_trainable=trainable)
