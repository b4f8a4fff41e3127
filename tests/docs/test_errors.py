"""docs/errors.yaml: what wrong use gets. Every line is typed at the real command line, in this process."""

from __future__ import annotations

import json
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptcot.cli import main

ROOT = Path(__file__).parents[2]
GROUPS = yaml.safe_load((ROOT / "docs" / "errors.yaml").read_text())
CASES = [pytest.param(c, id=f"{g['group']}: {c['what']}") for g in GROUPS for c in g["cases"]]
ROW = {"id": 1, "problem": "What is 1 + 1?", "answer": "2"}


def recipe(name: str, **sections: Any) -> str:
    seeds = {"source": "jsonl", "path": "one.jsonl"}
    return yaml.safe_dump({"name": name, "seeds": seeds, **sections})


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def results(text: str) -> str:
    entry = {
        "mean": 1.0,
        "ci95": [0, 1],
        "samples": 1,
        "problems": 1,
        "verdicts": {"1": "c"},
        "texts": {"1": text},
    }
    return json.dumps({"models": {"model": {"benchmarks": {"aime24": entry}}}})


MODEL = {"engine": "transformers", "model": "pocket"}
FILES = {
    "file": "", "empty.jsonl": "", "folder/thesis.tex": "", "list.yaml": "[1, 2]", "broken.yaml": "a: [1",
    "twice.yaml": "name: twice\nseeds: {source: pocket}\nseeds: {count: 3}\n", "short.yaml": recipe("short"), "own.yaml": recipe("own"),
    "riddles.yaml": recipe("riddles"), "bad.py": "def domain(:\n",
    "noone.yaml": recipe("noone", coldstart={"base": MODEL, "training": {"lr": 0.1}}),
    "import.yaml": recipe("import", synthesize={"path": "none.jsonl"}),
    "columns.yaml": recipe("columns", synthesize={"path": "columns.jsonl"}),
    "track.yaml": recipe(
        "track", selfplay={"model": MODEL, "problems": "seeds", "track": 9, "training": {"lr": 0.1}}
    ),
    "one.jsonl": lines(ROW), "aime.jsonl": lines(ROW), "other.jsonl": lines({**ROW, "answer": "3"}),
    "bad.jsonl": '{"problem": "What is 1+1?"}\n{"problem": \n{"answer": "3"}\n',
    "columns.jsonl": lines({"exercise": "What is 1 + 1?"}), "gold.jsonl": lines({**ROW, "answer": "\\frac{1}{"}),
    "poetry.jsonl": lines({**ROW, "domain": "poetry"}), "marks.json": '{"1971A": [true]}',
    "mine.json": results("A?"), "yours.json": results("B?"),
    "unsound.jsonl": lines({"inputs": ["1"], "outputs": [""]}), "sound.jsonl": lines({"gold": "2"}),
}  # fmt: skip
BINARY = {
    "binary.yaml": b"\x80\x81PAR1", "sheet.xlsx": b"PK\x03\x04 and so on", "wide.jsonl": lines(ROW).encode("utf-16"),
}  # fmt: skip


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, str]]:
    """A port that is listened on, by something that never answers well, and one that is not."""
    import http.server
    import threading

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.socket() as taken:  # so that nobody else listens there meanwhile
        taken.bind(("127.0.0.1", 0))
        yield {"{port}": str(server.server_address[1]), "{closed}": str(taken.getsockname()[1])}
    server.shutdown()
    server.server_close()


def typed(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command line."""
    monkeypatch.setattr(sys, "argv", ["promptcot", *shlex.split(line)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


@pytest.mark.parametrize("case", CASES)
def test_wrong_use_says_what_to_do_and_shows_no_traceback(
    case: dict[str, Any], tmp_path: Path, ports: dict[str, str], monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for name, data in BINARY.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    for name, value in {"COLUMNS": "240", "NO_COLOR": "1", "TERM": "dumb", "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)

    def filled(text: str) -> str:
        for key, value in {"{tiny}": str(ROOT / "recipes" / "tiny.yaml"), **ports}.items():
            text = text.replace(key, value)
        return text

    for before in case.get("prepare", ()):
        assert typed(before, monkeypatch) == 0, capfd.readouterr().err
    if "edit" in case:
        (tmp_path / case["edit"]).write_text(lines({**ROW, "answer": "3"}))
    if "cut" in case:
        whole = (tmp_path / case["cut"]).read_bytes()
        (tmp_path / case["cut"]).write_bytes(whole[: len(whole) // 2])
    capfd.readouterr()
    code = typed(filled(case["type"]), monkeypatch)
    out, err = capfd.readouterr()
    assert code == case.get("exit", 2), (code, err)
    assert filled(case["said"]) in out + err
    assert "Traceback" not in out + err


def test_there_are_at_least_forty_and_no_two_are_the_same() -> None:
    every = [
        (c["type"], *c.get("prepare", ()), c.get("cut"), c.get("edit")) for g in GROUPS for c in g["cases"]
    ]
    assert len(every) == len(set(every)) >= 40
