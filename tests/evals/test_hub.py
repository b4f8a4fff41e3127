"""A source on the Hub, with a server on the loopback in the Hub's place; in a process of its own, as its address is read once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.evals.conftest import environment

ROWS = b'{"id": 1, "problem": "What is 1+1?", "answer": "2"}\n'
READ = """
import sys
from promptcot.errors import UserError
from promptcot.evals.sources import rows
try:
    print(list(rows(sys.argv[1])))
except UserError as e:
    print("error:", e)
"""


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """One file in one data set at revision v2."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            found = self.path == "/datasets/owner/name/resolve/v2/data/test.jsonl"
            self.send_response(200 if found else 404)
            for key, value in {
                "ETag": '"abc"', "X-Repo-Commit": "0" * 40, "Content-Length": str(len(ROWS)),
                **({} if found else {"X-Error-Code": "EntryNotFound"}),
            }.items():  # fmt: skip
                self.send_header(key, value)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(ROWS)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def read(source: str, endpoint: str, home: Path, offline: str = "0") -> str:
    pytest.importorskip("huggingface_hub")
    env = environment(
        HF_ENDPOINT=endpoint, HF_HOME=str(home), HF_HUB_OFFLINE=offline, HF_HUB_DISABLE_TELEMETRY="1"
    )
    command = [sys.executable, "-c", READ, source]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def test_a_file_at_a_revision_is_fetched_once_and_then_read_offline(
    hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    endpoint, asked = hub
    source = "hf://datasets/owner/name@v2/data/test.jsonl"
    expected = [(f"'{source}', line-1", json.loads(ROWS))]
    assert read(source, endpoint, tmp_path) == f"{expected}\n"
    assert asked
    seen = len(asked)
    assert read(source, endpoint, tmp_path, offline="1") == f"{expected}\n"
    assert len(asked) == seen
    missing = read("hf://datasets/owner/name@v2/data/none.jsonl", endpoint, tmp_path)
    assert missing.startswith("error: cannot read 'hf://datasets/owner/name@v2/data/none.jsonl'")
    assert "or give a local file instead" in missing
