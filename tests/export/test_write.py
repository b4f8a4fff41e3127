"""Files on disk: equal bytes for equal runs, digests that hold, flat memory, and nothing of the user's overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.export.conftest import make, put, recipe

from promptcot.errors import UserError
from promptcot.export import tables
from promptcot.export.origin import origin
from promptcot.export.registry import TARGETS, target
from promptcot.export.write import CUT, export, replacing, sha256
from promptcot.records import Pair
from promptcot.rundir import RunDir


def write(run: Path, name: str, out: Path, limit: int = 0) -> dict[str, Any]:
    found = tables.choose(run, list(target(name).data), [], name)
    return export(target(name), found, origin(run, [s for t in found for s in t.steps], "mit"), out, limit)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["trl", "parquet"])
def test_the_same_run_gives_the_same_bytes_and_shards_do_not_show(
    run_dir: Path, tmp_path: Path, name: str
) -> None:
    write(run_dir, name, tmp_path / "a")
    write(run_dir, name, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    cut = make(tmp_path / "my-run", recipe(), shards=2)
    write(cut, name, tmp_path / "c")
    first, other = contents(tmp_path / "a"), contents(tmp_path / "c")
    data = [f for f in first if f.endswith((".jsonl", ".parquet"))]
    assert len(data) == 4
    assert all(first[f] == other[f] for f in data)


def test_the_manifest_holds_the_digest_of_every_file(run_dir: Path, tmp_path: Path) -> None:
    manifest = write(run_dir, "llama-factory", tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert saved == json.loads(json.dumps(manifest))
    there = {p.name for p in (tmp_path / "out").iterdir()} - {"manifest.json"}
    assert set(saved["files"]) == there >= {"dataset_info.json", "README.md"}
    for name, file in saved["files"].items():
        assert file["sha256"] == sha256(tmp_path / "out" / name)
    assert saved["tables"]["pairs"] == {"file": "pairs.jsonl", "rows": 3}
    assert list(saved["steps"]) == [
        "08_selfplay/pairs1", "08_selfplay/pairs2", "09_distill/traces", "02_annotate/triples"
    ]  # fmt: skip
    done = json.loads((run_dir / "08_selfplay" / "pairs2" / "done.json").read_text())
    assert saved["steps"]["08_selfplay/pairs2"]["digest"] == done["digest"]


def test_a_limit_takes_the_first_rows(run_dir: Path, tmp_path: Path) -> None:
    write(run_dir, "trl", tmp_path / "all")
    write(run_dir, "trl", tmp_path / "one", limit=1)
    for path in (tmp_path / "one").glob("*.jsonl"):
        assert path.read_text() == (tmp_path / "all" / path.name).read_text().split("\n")[0] + "\n"


def test_pairs_with_a_cut_turn_go_only_where_it_is_marked(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run", recipe())
    pairs = [Pair(f"r{i}", "m", "math", "q", "right", f"wrong {i}", i < 2) for i in range(4)]
    put(run, "selfplay", "pairs1", [pairs])
    run.close()
    for name in (n for n in TARGETS if "pairs" in target(n).data):
        table = write(run.path, name, tmp_path / name)["tables"]["pairs"]
        if name == "parquet":
            assert table["rows"] == 4
            continue
        assert (table["rows"], table[CUT]) == (2, 2), name
        text = (tmp_path / name / table["file"]).read_text()
        assert [f"wrong {i}" in text for i in range(4)] == [False, False, True, True]
        assert "Left out of pairs: 2 with" in (tmp_path / name / "README.md").read_text()
    assert "wrong 2" in (tmp_path / "trl" / "pairs.jsonl").read_text()
    write(run.path, "trl", tmp_path / "trl", limit=1)
    assert "wrong 2" in (tmp_path / "trl" / "pairs.jsonl").read_text()
    assert "Left out of pairs: 2 with" in cli(run.path, "--to", "trl", "--out", tmp_path / "again").stdout


def test_the_tenth_round_comes_after_the_second(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run", recipe())
    for r in (10, 2, 1):
        put(run, "selfplay", f"pairs{r}", [[Pair(f"r{r}", "m", "math", "q", "a", "b")]])
    run.close()
    found = tables.find(run.path, "pairs")
    assert found is not None
    assert [row.id for row in found.rows()] == ["r1", "r2", "r10"]


def test_memory_holds_a_batch_and_not_the_table(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run", recipe())
    rows = [Pair(f"{i:06d}", "m", "math", "q", os.urandom(1500).hex(), "b") for i in range(10000)]
    put(run, "selfplay", "pairs1", [rows])  # 30 MB of text in one shard
    run.close()
    del rows
    before = pa.default_memory_pool().bytes_allocated()
    peak = 0
    found = tables.find(run.path, "pairs")
    assert found is not None
    for n, _ in enumerate(found.rows()):
        if n % 100 == 0:
            peak = max(peak, pa.default_memory_pool().bytes_allocated() - before)
    assert peak < 12_000_000, peak


def test_a_damaged_shard_is_named_and_not_exported(run_dir: Path, tmp_path: Path) -> None:
    (file,) = (run_dir / "07_label" / "problems").glob("part-*.parquet")
    data = file.read_bytes()
    file.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    try:
        with pytest.raises(UserError, match="its checksum is another") as told:
            write(run_dir, "trl", tmp_path / "out")
        assert told.value.do.startswith(f"rm -f '{file}'")
        assert not (tmp_path / "out").exists()
    finally:
        file.write_bytes(data)


def test_what_is_not_an_export_stays(run_dir: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        write(run_dir, "trl", mine)
    (mine / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match="holds other files"):
        write(run_dir, "trl", mine)
    assert (mine / "notes.txt").read_text() == "mine"


def test_a_failure_leaves_the_earlier_export_and_no_trace(run_dir: Path, tmp_path: Path) -> None:
    write(run_dir, "trl", tmp_path / "out")
    before = contents(tmp_path / "out")

    def fail() -> Iterator[None]:
        with replacing(tmp_path / "out") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError("killed")
            yield

    with pytest.raises(RuntimeError):
        list(fail())
    assert contents(tmp_path / "out") == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def cli(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "promptcot.cli", "export", *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"}
    )


def test_the_command_lists_writes_and_says_what_it_wrote(run_dir: Path, tmp_path: Path) -> None:
    listed = cli("--list")
    assert listed.returncode == 0
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert names == ["trl", "verl", "openrlhf", "open-instruct", "llama-factory", "ms-swift", "nemo-rl", "prime-rl",
                     "axolotl", "parquet", "promptcot2", "hub"]  # fmt: skip
    done = cli(run_dir, "--to", "verl", "--table", "problems", "--out", tmp_path / "v")
    assert done.returncode == 0, done.stderr
    assert "2 rows" in done.stdout
    assert "No licence was stated" in done.stdout
    assert {p.name for p in (tmp_path / "v").iterdir()} == {"problems.parquet", "README.md", "manifest.json"}


def test_programs_can_read_what_the_command_says(run_dir: Path, tmp_path: Path) -> None:
    listed = json.loads(cli("--list", "--json").stdout)
    assert listed["trl"]["tables"] == ["problems", "pairs", "traces", "triples"]
    assert list(listed)[-1] == "hub"
    out = tmp_path / "v"
    written = json.loads(cli(run_dir, "--to", "verl", "--table", "problems", "--out", out, "--json").stdout)
    assert written["folder"] == str(out)
    assert written["tables"] == {"problems": {"file": "problems.parquet", "rows": 2}}
    shown = cli(
        run_dir, "--to", "hub", "--dry-run", "--license", "mit", "--out", tmp_path / "h", "--json"
    ).stdout
    assert json.loads(shown)["license"] == "mit"


WRONG = [
    (("--to", "nowhere"), "no target 'nowhere'"),
    (("--to", "verl", "--table", "pairs"), "takes no table 'pairs'"),
    (("--to", "trl", "--license", "My License"), "licence 'My License'"),
    (("--to", "trl", "--dry-run"), "belong to --to hub"),
    (("--to", "hub", "--dry-run"), "no licence was stated"),
    (("--to", "hub", "--license", "mit"), "pushing needs a repository"),
    (("--to", "hub", "--dry-run", "--model", "judge", "--license", "mit"), "no model 'judge'"),
    ((), "needs a run directory and a target"),
]


@pytest.mark.parametrize(("args", "said"), WRONG, ids=[said for _, said in WRONG])
def test_wrong_use_is_named_without_a_traceback(
    run_dir: Path,
    args: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from promptcot import cli as command

    monkeypatch.setattr(sys, "argv", ["promptcot", "export", str(run_dir), *args])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert not (run_dir / "exports").exists()


def test_a_run_without_the_table_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run", recipe())
    run.close()
    with pytest.raises(UserError, match="run the stage first: selfplay"):
        tables.choose(tmp_path / "run", ["pairs"], ["pairs"], "trl")
    with pytest.raises(UserError, match="is not a run directory"):
        tables.choose(tmp_path, ["pairs"], [], "trl")
