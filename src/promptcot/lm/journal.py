"""Replies of a server, kept until the shard they belong to is committed.

A shard is a pure function of its rows, done again as a whole after a kill. Its replies are the expensive part; so each
is appended to one file next to the shard as it arrives, and a restart asks only for those that are missing: at most what
was in flight. Outages that ended a run are kept likewise, against the requests that were in flight. What another member of
the team (`promptcot.team`) has kept of the shard is read too. The file goes when the shard's line is written
(`promptcot.store`).
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from promptcot.errors import UserError


class Journal:
    """One file of JSON lines, {"key": digest of the request, "reply": what was read from its answer}; or "outages" instead
    of a reply: how often in a row the server went down for good while it was at the request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.replies: dict[str, Any] = {}
        self.outages: dict[str, int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)  # a helper's (--shard) is not there yet
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._read()
        except OSError as e:
            raise self._unwritable(e) from None

    def _read(self) -> None:
        step = self.path.parent
        # A helper (--shard) that is started anew has another folder, and a dead one's shard is done by others.
        for other in (*step.glob(f"by-*/{self.path.name}"), *step.parent.glob(f"by-*/{self.path.name}")):
            with suppress(FileNotFoundError):  # committed meanwhile
                self._take(other.read_bytes())
        os.ftruncate(self._file, self._take(self.path.read_bytes()))  # what a kill cut short

    def _take(self, data: bytes) -> int:
        """Reads whole lines; returns how many bytes they are."""
        whole = 0
        for line in data.splitlines(keepends=True):
            try:
                entry = json.loads(line)
                if "outages" in entry:
                    self.outages[entry["key"]] = int(entry["outages"])
                else:
                    self.replies[entry["key"]] = entry["reply"]
            except (ValueError, TypeError, KeyError):
                pass  # damaged: the request is sent again
            whole += len(line) if line.endswith(b"\n") else 0
        return whole

    def put(self, key: str, reply: Any) -> None:
        """Keeps one reply. A kill of this process loses nothing that was put; no fsync, a power cut may."""
        self.replies[key] = reply
        self._append({"key": key, "reply": reply})

    def charge(self, key: str, outages: int) -> None:
        """Keeps that the server went down once more, and stayed so, while it was at this request."""
        self.outages[key] = outages
        self._append({"key": key, "outages": outages})

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as e:
            raise self._unwritable(e) from None
        if written != len(line):
            raise self._unwritable(OSError(None, "No space left on device"))

    def close(self) -> None:
        """Closes the file and leaves it where it is."""
        os.close(self._file)

    def _unwritable(self, e: OSError) -> UserError:
        return UserError(
            f"cannot write '{self.path}': {e.strerror}",
            expected="a writable run directory with free space",
            do="free some space; then the same command goes on",
        )
