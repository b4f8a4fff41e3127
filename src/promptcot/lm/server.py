"""Where a served model is and how hard it may be pressed: a section of a recipe, and part of an engine's spec."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0.0)]
Rate = Annotated[float, Field(ge=0.0)]


class Server(BaseModel):
    """An OpenAI-compatible server. Nothing here changes results.

    base_url: up to and including `/v1`. api_key_env: the environment variable that holds the key; the key itself is
    never in a recipe. max_concurrency: requests in flight at most, of all workers together. requests_per_minute,
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
