"""Where a served model is and how hard it may be pressed: sections of a recipe, and parts of an engine's spec."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0.0)]
Rate = Annotated[float, Field(ge=0.0)]


class Server(BaseModel):
    """An OpenAI-compatible server. Nothing here changes results.

    base_url: up to and including `/v1`. api_key_env: the environment variable that holds the key; the key itself is
    never in a recipe. max_concurrency: requests in flight, of all workers together, at least one for each. requests_per_minute,
    tokens_per_minute: 0 = no limit. timeout_s: of one try. deadline_s: of one row with all its tries. tries: after
    which a row is rejected. patience_s: how long the server may be down before the run stops.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")]
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$|^$")] = ""
    max_concurrency: Annotated[int, Field(ge=1)] = 64
    requests_per_minute: Rate = 0.0
    tokens_per_minute: Rate = 0.0
    timeout_s: Positive = 600.0
    deadline_s: Positive = 3600.0
    tries: Annotated[int, Field(ge=1)] = 5
    patience_s: Rate = 300.0


def _free(default: Any) -> Any:
    return Field(default=default, json_schema_extra={"matters": False})


class VLLM(BaseModel):
    """A vLLM server that this run starts, shares between its workers and ends.

    python: the interpreter that has vLLM, in an environment of its own; empty: $PROMPTCOT_VLLM_PYTHON, else
    .venv-vllm/bin/python here. context: tokens of the longest sequence; 0: all that the model can. memory: share of the
    GPU's memory for one model; as many stay loaded as fit (one at 0.9, two at 0.45). max_concurrency: requests in
    flight, of all workers together. start_s: how long it may take to start. args: further arguments of vLLM's server,
    such as [--tensor-parallel-size, "2"].
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    python: str = _free("")
    context: Annotated[int, Field(ge=0)] = 0
    memory: Annotated[float, Field(gt=0.0, le=1.0)] = _free(0.9)
    max_concurrency: Annotated[int, Field(ge=1)] = _free(256)
    start_s: Positive = _free(900.0)
    args: tuple[str, ...] = ()
