"""All targets by name."""

from __future__ import annotations

from promptcot.errors import UserError
from promptcot.export import (
    axolotl,
    llamafactory,
    ms_swift,
    nemo_rl,
    open_instruct,
    openrlhf,
    parquet,
    prime,
    promptcot2,
    trl,
    verl,
)
from promptcot.export.target import Target

MODULES = (
    trl, verl, openrlhf, open_instruct, llamafactory, ms_swift, nemo_rl, prime, axolotl, parquet, promptcot2
)  # fmt: skip
TARGETS: dict[str, Target] = {module.TARGET.name: module.TARGET for module in MODULES}
HUB = "hub"
HUB_LINE = (
    "The Hugging Face Hub: the parquet folder, or one model (--model), as a repository; --dry-run shows it"
)


def target(name: str) -> Target:
    """The target called `name`; `hub` takes what `parquet` writes.

    Raises:
        UserError: there is none.
    """
    if name == HUB:
        return parquet.TARGET
    if name not in TARGETS:
        raise UserError(
            f"no target '{name}'", expected=", ".join([*TARGETS, HUB]), do="promptcot export --list"
        )  # fmt: skip
    return TARGETS[name]
