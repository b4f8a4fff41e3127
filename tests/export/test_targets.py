"""Every target's rows against the shape that its documentation gives; the expected rows are written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from promptcot.domains import get
from promptcot.export.origin import origin
from promptcot.export.registry import TARGETS, target
from promptcot.export.tables import choose
from promptcot.export.write import export

BOX = "What is gcd(12, 18)?\nPlease reason step by step, and put your final answer within \\boxed{}."
CODE = 'Add "two" numbers.\nÜber one line.\n' + get("code", "promptcot2").solve
ASK = {"role": "user", "content": BOX}
GOOD = {"role": "assistant", "content": "6 divides both.\n\\boxed{6}"}
BAD = {"role": "assistant", "content": "\\boxed{3}"}
TRACE = {"role": "assistant", "content": "12 = 2*6, 18 = 3*6.\n\\boxed{6}"}
TESTS = '{"inputs": ["1 2\\n", "4 5\\n"], "outputs": ["3\\n", "9\\n"]}'


@pytest.fixture(scope="module")
def exported(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every target's folder."""
    root = tmp_path_factory.mktemp("exports")
    for name in TARGETS:
        tables = choose(run_dir, list(target(name).data), [], name)
        steps = [s for t in tables for s in t.steps]
        export(target(name), tables, origin(run_dir, steps, "mit"), root / name)
    return root


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return found
    return [json.loads(line) for line in path.read_text().splitlines()]


FIRST: dict[str, dict[str, Any]] = {
    "trl/problems.jsonl": {"prompt": [ASK], "id": "m1", "domain": "math", "solution": "\\boxed{6}", "tests": ""},
    "trl/pairs.jsonl": {"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD]},
    "trl/traces.jsonl": {"prompt": [ASK], "completion": [TRACE]},
    "verl/problems.parquet": {
        "data_source": "math_dapo", "prompt": [ASK], "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "6"},
        "extra_info": {"split": "train", "index": 0, "id": "m1", "level": "2"},
    },
    "verl/traces.parquet": {"messages": [ASK, TRACE]},
    "openrlhf/problems.jsonl": {"prompt": [ASK], "label": "6", "domain": "math", "id": "m1"},
    "openrlhf/pairs.jsonl": {"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD]},
    "openrlhf/traces.jsonl": {"prompt": [ASK], "completion": [TRACE]},
    "open-instruct/problems.jsonl": {"messages": [ASK], "ground_truth": "6", "dataset": "math", "id": "m1"},
    "open-instruct/pairs.jsonl": {"chosen": [ASK, GOOD], "rejected": [ASK, BAD]},
    "open-instruct/traces.jsonl": {"messages": [ASK, TRACE]},
    "llama-factory/pairs.jsonl": {"messages": [ASK], "chosen": GOOD, "rejected": BAD},
    "llama-factory/traces.jsonl": {"messages": [ASK, TRACE]},
    "ms-swift/problems.jsonl": {"messages": [ASK], "id": "m1", "domain": "math", "solution": "\\boxed{6}", "tests": ""},
    "ms-swift/pairs.jsonl": {"messages": [ASK, GOOD], "rejected_response": "\\boxed{3}"},
    "ms-swift/traces.jsonl": {"messages": [ASK, TRACE]},
    "nemo-rl/problems.jsonl": {"input": BOX, "output": "6", "domain": "math", "id": "m1"},
    "nemo-rl/pairs.jsonl": {"prompt": BOX, "chosen": GOOD["content"], "rejected": "\\boxed{3}"},
    "nemo-rl/traces.jsonl": {"input": BOX, "output": TRACE["content"]},
    "prime-rl/promptcot_my_run/problems.jsonl": {"id": "m1", "prompt": [ASK], "answer": "6", "tests": []},
    "prime-rl/traces.jsonl": {"prompt": [ASK], "completion": [TRACE]},
    "axolotl/pairs.jsonl": {"messages": [ASK], "chosen": GOOD, "rejected": BAD},
    "axolotl/traces.jsonl": {"messages": [ASK, TRACE]},
    "promptcot2/problems.jsonl": {"source": "PromptCoT-Math", "prompt": BOX, "answer": "6"},
    "promptcot2/pairs.jsonl": {
        "source": "PromptCoT-Math", "prompt": f"<|im_start|>user\n{BOX}<|im_end|>\n<|im_start|>assistant",
        "chosen": "\n6 divides both.\n\\boxed{6}", "rejected": "\n\\boxed{3}",
    },
    "promptcot2/traces.jsonl": {
        "prompt": f"<|im_start|>user\n{BOX}<|im_end|>\n<|im_start|>assistant",
        "completion": "\n12 = 2*6, 18 = 3*6.\n\\boxed{6}",
    },
    "promptcot2/triples.jsonl": {
        "prompt": "Given foundational concepts and difficulty level, identify connections and develop a question that "
        "integrates these concepts with appropriate complexity.\n\nFoundational Concepts:\n1. gcd\n2. lcm\n\n"
        "Difficulty Level: 2",
        "completion": "<!-- BEGIN RATIONALE -->\nTwo numbers, one gcd.\n<!-- END RATIONALE -->\n"
        "<!-- BEGIN PROBLEM -->\ngcd(4, 6)?\n<!-- END PROBLEM -->",
    },
}  # fmt: skip


@pytest.mark.parametrize("file", FIRST)
def test_the_first_row_has_the_documented_shape(exported: Path, file: str) -> None:
    found = rows(exported / file)
    assert found[0] == FIRST[file]
    assert list(found[0]) == list(FIRST[file])
    assert all(list(row) == list(found[0]) for row in found) or file == "promptcot2/problems.jsonl"


CODE_TRUTH: dict[str, tuple[str, Any]] = {
    "trl/problems.jsonl": ("tests", TESTS),
    "verl/problems.parquet": ("reward_model", {"style": "rule", "ground_truth": TESTS}),
    "openrlhf/problems.jsonl": ("label", TESTS),
    "open-instruct/problems.jsonl": (
        "ground_truth", '[{"input": "1 2\\n", "output": "3\\n"}, {"input": "4 5\\n", "output": "9\\n"}]'
    ),
    "ms-swift/problems.jsonl": ("tests", TESTS),
    "nemo-rl/problems.jsonl": ("output", TESTS),
    "prime-rl/promptcot_my_run/problems.jsonl": (
        "tests", [{"input": "1 2\n", "output": "3\n"}, {"input": "4 5\n", "output": "9\n"}]
    ),
    "promptcot2/problems.jsonl": (
        "test_cases", [{"input": "1 2\n", "output": "3\n"}, {"input": "4 5\n", "output": "9\n"}]
    ),
}  # fmt: skip


@pytest.mark.parametrize("file", CODE_TRUTH)
def test_a_program_is_judged_by_its_unit_tests(exported: Path, file: str) -> None:
    column, value = CODE_TRUTH[file]
    row = rows(exported / file)[1]
    assert row[column] == value
    asked: Any = row.get("prompt", row.get("messages", row.get("input")))
    text = asked if isinstance(asked, str) else asked[0]["content"]
    if not file.startswith("promptcot2"):
        assert text == CODE
    assert row.get("solution", "") == ""  # TRL's and ms-swift's accuracy rewards skip the row
    assert row.get("data_source", "codecontests") == "codecontests"
    assert row.get("dataset", "code_stdio") == "code_stdio"


def test_p_is_taught_the_sequence_it_is_trained_on_here(exported: Path) -> None:
    first = rows(exported / "trl" / "triples.jsonl")[0]
    domain = get("math", "promptcot2")
    assert first["prompt"] == domain.generator_prompt(["gcd", "lcm"], "2")
    assert first["completion"] == (
        "Two numbers, one gcd." + domain.layout.z_end + "gcd(4, 6)?" + domain.layout.x_end
    )
    alpaca = rows(exported / "llama-factory" / "triples.jsonl")[0]
    assert alpaca == {"instruction": first["prompt"], "output": first["completion"]}


def test_no_row_holds_none(exported: Path) -> None:
    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            value = list(value.values())
        return [x for v in value for x in leaves(v)] if isinstance(value, list) else [value]

    for path in exported.rglob("*.jsonl"):
        assert None not in leaves(rows(path)), path


def test_rounds_follow_each_other_and_held_out_triples_stay_behind(exported: Path) -> None:
    assert [r["id"] for r in rows(exported / "parquet" / "pairs.parquet")] == ["p1", "p2", "p3"]
    assert [r["id"] for r in rows(exported / "parquet" / "triples.parquet")] == ["z1", "z3"]
    held_out = "gcd(8, 6)"
    assert not [p for p in exported.rglob("*.jsonl") if held_out in p.read_text()]


def test_configs_name_the_files_and_fields_that_are_there(exported: Path) -> None:
    info = json.loads((exported / "llama-factory" / "dataset_info.json").read_text())
    assert set(info) == {"promptcot_my_run_pairs", "promptcot_my_run_traces", "promptcot_my_run_triples"}
    assert info["promptcot_my_run_pairs"]["ranking"] is True
    for entry in info.values():
        row = rows(exported / "llama-factory" / entry["file_name"])[0]
        assert set(entry["columns"].values()) == set(row)
    for table in ("pairs", "traces"):
        (dataset,) = yaml.safe_load((exported / "axolotl" / f"{table}.yaml").read_text())["datasets"]
        row = rows(exported / "axolotl" / dataset["path"])[0]
        assert {v for k, v in dataset.items() if k.startswith("field_")} == set(row)
