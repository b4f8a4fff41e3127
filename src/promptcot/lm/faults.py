"""What goes wrong with a request, and how servers say so."""

from __future__ import annotations

import json
import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from promptcot.errors import UserError
from promptcot.lm.server import Server


class BadReply(ValueError):
    """A reply that is not what was asked for. With `again`, as is usual, it is asked for once more."""

    def __init__(self, reason: str, detail: str, again: bool = True) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.again = reason, detail, again


class ServerUnavailable(UserError):
    """The server does not answer, or answers nobody; what was committed stays, and the same command goes on."""


class Trouble(Exception):
    """A try that failed. kind: "too_much", "fault" or "refused". arrived: False where the server cannot have seen it."""

    def __init__(
        self, kind: str, reason: str, detail: str, wait_s: float = 0.0, arrived: bool = True
    ) -> None:
        self.kind, self.reason, self.detail, self.wait_s = kind, reason, detail, wait_s
        self.arrived = arrived


def refusal(server: Server, model: str, status: int, said: str, retry_after: str | None) -> Exception:
    """What to raise at a reply with another status than 200: a `Trouble` of the row, or what stops the run."""
    seen = f"the server {server.base_url} answers {status}: {said}"
    if status == 402 or (status == 429 and "quota" in said and "insufficient" in said):
        return UserError(
            seen, expected="an account with credit left", do="the same command goes on with what is missing"
        )
    if status in (429, 503, 529):
        wait_s = seconds(retry_after)
        if wait_s > server.deadline_s:
            return ServerUnavailable(
                f"{seen} (and asks for a pause of {wait_s:.0f} s)",
                expected=f"a pause of at most {server.deadline_s:g} s, the time that a row has (server.deadline_s)",
                do="wait; then the same command goes on with what is missing",
            )
        return Trouble("too_much", "too_much", f"status {status}: {said}", wait_s)
    if status >= 500 or status in (408, 409, 425):
        return Trouble("fault", f"http_{status}", said)
    if status in (401, 403):
        variable = server.api_key_env
        return UserError(
            seen,
            expected=f"a valid key in the environment variable {variable}" if variable else "a server without a key",
            do="" if variable else "name the variable that holds the key in the recipe: server.api_key_env",
        )  # fmt: skip
    if status == 404 or 300 <= status < 400:
        return UserError(
            seen,
            expected=f"a server that has the model {model!r}",
            do="check base_url (it ends in /v1) and the model's name there (GET base_url/models lists them)",
        )
    return Trouble("refused", f"http_{status}", said)


def message(raw: bytes) -> str:
    """What an error reply says, in any of the usual shapes."""
    text = raw.decode(errors="replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(found, dict):
        error = found.get("error") or found
        if isinstance(error, dict):
            return str(error.get("message") or error.get("detail") or error)
        return str(error)
    return text


def sound(text: str) -> str:
    """The text with U+FFFD for every half of a surrogate pair: JSON can hold one, a table or a tokenizer cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def status_within(found: Any) -> int:
    """The status that a reply with status 200 holds ({"error": {"code": 429, ...}}, as gateways answer); 0 where none."""
    error = found.get("error") if isinstance(found, dict) else None
    code = str(error.get("code")) if isinstance(error, dict) else ""
    return int(code) if re.fullmatch("[45][0-9][0-9]", code) else 0


_UNITS_S = {"ms": 1e-3, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(retry_after: str | None) -> float:
    """Retry-After in seconds: a number, with a unit or several ("1m30s", "250ms"), or a date; 0 where there is none."""
    text = (retry_after or "").strip()
    if re.fullmatch(r"([0-9]+(\.[0-9]+)?\s*(ms|[smhd]?)\s*)+", text):
        return sum(float(n) * _UNITS_S[unit] for n, unit in re.findall(r"([0-9.]+)\s*(ms|[smhd]?)", text))
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return max(0.0, read(text).timestamp() - time())
        except (ValueError, TypeError, OverflowError, OSError):
            continue
    return 0.0
