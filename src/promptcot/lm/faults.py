"""What goes wrong with a request, and how servers say so."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from time import time

from promptcot.errors import UserError


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


def message(raw: bytes) -> str:
    """What an error reply says, in any of the usual shapes."""
    text = raw.decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if isinstance(found, dict):
        error = found.get("error", found)
        if isinstance(error, dict):
            return str(error.get("message") or error.get("detail") or error)
        return str(error)
    return text


def sound(text: str) -> str:
    """The text with U+FFFD for every half of a surrogate pair: JSON can hold one, a table or a tokenizer cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def seconds(retry_after: str | None) -> float:
    """Retry-After in seconds: a number, or a date; 0 where there is none."""
    if not retry_after:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time())
    except ValueError:
        return 0.0
