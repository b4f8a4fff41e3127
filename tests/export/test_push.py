"""`--to hub`: what a dry run shows is what a push sends, through the real client against a local server."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub")
TOKEN = "hf_of_a_test"


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as an upload needs; every file is an ordinary one (no large-file storage)."""

    seen: list[tuple[str, Any, str]]

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._chunks()
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        self.seen.append((self.path, lines, self.headers.get("Authorization", "")))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid username or password."})
        elif self.path == "/api/repos/create":
            self._answer(200, {"url": f"http://{self.headers['Host']}/datasets/me/{lines[0]['name']}"})
        elif "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in lines[0]["files"]
            ]
            self._answer(200, {"files": files})
        else:
            self._answer(
                200,
                {
                    "success": True,
                    "commitOid": "0" * 40,
                    "commitUrl": f"http://{self.headers['Host']}/datasets/me/problems/commit/{'0' * 40}",
                    "hookOutput": "",
                },
            )

    def do_GET(self) -> None:
        self._answer(200, {"sha": "0" * 40, "id": "me/x", "siblings": [], "private": True})

    def _chunks(self) -> bytes:
        out = b""
        while size := int(self.rfile.readline(), 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return out

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Hub.seen = []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def cli(
    server: ThreadingHTTPServer, home: Path, token: str, *args: str | Path
) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_OFFLINE": "0", "HF_HOME": str(home),
            "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # fmt: skip
    command = [sys.executable, "-m", "promptcot.cli", "export", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_a_push_sends_what_the_dry_run_showed(
    server: ThreadingHTTPServer, run_dir: Path, tmp_path: Path
) -> None:
    args = (run_dir, "--to", "hub", "--repo", "me/problems", "--license", "mit", "--out", tmp_path / "out")
    shown = cli(server, tmp_path, TOKEN, *args, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert Hub.seen == []
    assert "license: mit" in shown.stdout
    assert "would go to 'me/problems'" in shown.stdout
    pushed = cli(server, tmp_path, TOKEN, *args)
    assert pushed.returncode == 0, pushed.stderr
    assert "/datasets/me/problems" in pushed.stdout
    (created,) = (body for path, body, _ in Hub.seen if path == "/api/repos/create")
    assert (created[0]["name"], created[0]["type"]) == ("problems", "dataset")
    assert "private" in (created[0].get("visibility"), *(k for k, v in created[0].items() if v is True)), (
        created
    )
    ((path, commit, _),) = (s for s in Hub.seen if "/commit/" in s[0])
    assert path.startswith("/api/datasets/me/problems/")
    sent = {
        line["value"]["path"]: base64.b64decode(line["value"]["content"])
        for line in commit
        if line["key"] == "file"
    }
    there = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert sent == there
    for name, data in sent.items():
        if name != "manifest.json":  # the manifest lists the others
            assert f"{hashlib.sha256(data).hexdigest()[:16]}  {name}" in shown.stdout
    assert not any(TOKEN.encode() in data for data in sent.values())
    assert TOKEN not in shown.stdout + shown.stderr + pushed.stdout + pushed.stderr


def test_a_refused_token_is_the_users_error_and_the_files_stay(
    server: ThreadingHTTPServer, run_dir: Path, tmp_path: Path
) -> None:
    done = cli(server, tmp_path, "hf_wrong", run_dir, "--to", "hub", "--model", "student", "--repo", "me/student",
               "--license", "mit", "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 2
    assert "the Hub did not take 'me/student'" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hf_wrong" not in done.stderr
    assert (tmp_path / "out" / "model.safetensors").exists()
