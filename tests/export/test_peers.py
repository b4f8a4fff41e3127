"""The exports through the targets' own loaders, where those are installed.

They need other versions of transformers and datasets than this project, so each lives in an environment of its own:
PROMPTCOT_PEERS=DIR names a folder with DIR/verifiers, DIR/llamafactory, DIR/ms-swift, DIR/openrlhf, DIR/verl,
DIR/axolotl (docs/exports.md says how to make them). Without it these tests are skipped, and say so.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.export.conftest import PAIRS, PROBLEMS, TRACES, TRIPLES

from promptcot.domains import get
from promptcot.export.origin import origin
from promptcot.export.registry import target
from promptcot.export.tables import choose
from promptcot.export.write import export
from promptcot.pocket import MODEL_DIR

ROOT = Path(__file__).parents[2]
RIGHT = ["So \\boxed{6}", "```python\nprint(sum(map(int, input().split())))\n```"]
WRONG = ["So \\boxed{7}", "```python\nprint(1)\n```"]
ASKED = [get(p.domain, "promptcot2").solve_messages(p.problem)[0][1] for p in PROBLEMS]
ALL_PAIRS = [*PAIRS[1], *PAIRS[2]]


@pytest.fixture(scope="module")
def folder(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports of the peers' shapes."""
    root = tmp_path_factory.mktemp("peers")
    for name in ("prime-rl", "llama-factory", "ms-swift", "openrlhf", "verl", "axolotl"):
        tables = choose(run_dir, list(target(name).data), [], name)
        export(target(name), tables, origin(run_dir, [s for t in tables for s in t.steps], None), root / name)
    return root


def ask(peer: str, code: str, folder: Path) -> Any:
    """Run `code` in the peer's Python, in its export's folder; the JSON on its last line."""
    python = Path(os.environ.get("PROMPTCOT_PEERS", "")) / peer / "bin" / "python"
    if "PROMPTCOT_PEERS" not in os.environ or not python.exists():
        pytest.skip(f"needs the peer '{peer}' in PROMPTCOT_PEERS/{peer}, which is not here")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HOME": str(folder / ".hf"), "MODEL": str(MODEL_DIR),
           "MODELSCOPE_CACHE": str(folder / ".ms"), "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
    done = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, env=env, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


VERIFIERS = """
import asyncio, json, sys
sys.path.insert(0, ".")
import verifiers.v1 as vf
from verifiers.v1.utils.loaders import load_taskset, taskset_class
taskset = load_taskset(vf.TasksetConfig(id="promptcot-my-run"))
tasks = list(taskset)
class Said:
    def __init__(self, text): self.last_reply = text; self.rewards = {}; self.metrics = {}
    def record_reward(self, name, value, weight): self.rewards[name] = value * weight
def score(task, text):
    said = Said(text)
    asyncio.run(task.score(said))
    return said.rewards["correct"]
right, wrong = RIGHT, WRONG
print(json.dumps({
    "class": taskset_class("promptcot-my-run").__name__, "prompts": [t.data.prompt_text for t in tasks],
    "keys": [t.key for t in tasks], "idx": [t.data.idx for t in tasks],
    "right": [score(t, x) for t, x in zip(tasks, right)], "wrong": [score(t, x) for t, x in zip(tasks, wrong)],
}))
""".replace("RIGHT", repr(RIGHT)).replace("WRONG", repr(WRONG))


def test_verifiers_loads_the_taskset_and_its_rewards_judge(folder: Path) -> None:
    said = ask("verifiers", VERIFIERS, folder / "prime-rl")
    assert said == {
        "class": "Problems", "prompts": ASKED, "keys": ["m1", "c1"], "idx": [0, 1], "right": [1.0, 1.0],
        "wrong": [0.0, 0.0],
    }  # fmt: skip


LLAMAFACTORY = """
import json, os, sys, types
from transformers import Seq2SeqTrainingArguments
sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))  # its CPU build may lack; no row holds sound
from llamafactory.data.loader import _get_merged_dataset
from llamafactory.hparams import DataArguments, ModelArguments
model = ModelArguments(model_name_or_path=os.environ["MODEL"])
data = DataArguments(template="qwen", dataset_dir=".", overwrite_cache=True)
args = Seq2SeqTrainingArguments(output_dir=".out", use_cpu=True)
def load(table, stage):
    return _get_merged_dataset([f"promptcot_my_run_{table}"], model, data, args, stage)
out = {t: [[r["_prompt"], r["_response"]] for r in load(t, s)]
       for t, s in (("traces", "sft"), ("pairs", "rm"), ("triples", "sft"))}
print(json.dumps(out))
"""


def test_llama_factory_aligns_every_dataset(folder: Path) -> None:
    said = ask("llamafactory", LLAMAFACTORY, folder / "llama-factory")

    def turn(role: str, text: str) -> dict[str, str]:
        return {"role": role, "content": text}

    assert said["traces"] == [
        [[turn("user", q)], [turn("assistant", t.response)]] for q, t in zip(ASKED, TRACES, strict=True)
    ]
    prompts = [ASKED[0], ASKED[1], ASKED[0]]
    assert said["pairs"] == [
        [[turn("user", q)], [turn("assistant", p.chosen), turn("assistant", p.rejected)]]
        for q, p in zip(prompts, ALL_PAIRS, strict=True)
    ]
    assert [r[1][0]["content"].endswith("<!-- END PROBLEM -->") for r in said["triples"]] == [True, True]
    assert TRIPLES[0].problem in said["triples"][0][1][0]["content"]


SWIFT = """
import json
from swift.dataset import load_dataset
def load(name, **more):
    return [dict(r) for r in load_dataset([name], use_hf=True, remove_unused_columns=False, **more)[0]]
print(json.dumps({t: load(f"{t}.jsonl") for t in ("traces", "pairs", "problems")}))
"""


def test_ms_swift_takes_every_table(folder: Path) -> None:
    said = ask("ms-swift", SWIFT, folder / "ms-swift")
    assert [[m["content"] for m in r["messages"]] for r in said["traces"]] == [
        [q, t.response] for q, t in zip(ASKED, TRACES, strict=True)
    ]
    assert [r["messages"][-1]["content"] for r in said["pairs"]] == [p.chosen for p in ALL_PAIRS]
    rejected = [r.get("rejected_response") or r["rejected_messages"][-1]["content"] for r in said["pairs"]]
    assert rejected == [p.rejected for p in ALL_PAIRS]
    assert [r["solution"] for r in said["problems"]] == ["6", ""]


BARE = """
import importlib.util, sys, types
from pathlib import Path
def bare(package, *subpackages):  # packages without what their __init__ starts
    root = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    for name in (package, *(f"{package}.{s}" for s in subpackages)):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(root.joinpath(*name.split(".")[1:]))]
"""
OPENRLHF = (
    BARE
    + """
import json, os, importlib
bare("openrlhf", "utils", "datasets")
from transformers import AutoTokenizer
template = AutoTokenizer.from_pretrained(os.environ["MODEL"]).apply_chat_template
def module(name):
    return importlib.import_module(f"openrlhf.datasets.{name}")
def rows(table):
    return [json.loads(line) for line in open(f"{table}.jsonl")]
pairs = [module("reward_dataset").preprocess_data(r, None, "prompt", "chosen", "rejected", template, True) for r in rows("pairs")]
sft = [module("sft_dataset").preprocess_data(r, None, "prompt", "completion", template) for r in rows("traces")]
rl = [module("prompts_dataset").preprocess_data(r, None, "prompt", "label", template) for r in rows("problems")]
print(json.dumps({"pairs": pairs, "sft": sft, "rl": rl}))
"""
)


def test_openrlhf_renders_prompt_and_answers(folder: Path) -> None:
    said = ask("openrlhf", OPENRLHF, folder / "openrlhf")
    for (prompt, chosen, rejected, _), p in zip(said["pairs"], ALL_PAIRS, strict=True):
        assert p.prompt in prompt
        assert chosen.startswith(p.chosen)
        assert rejected.startswith(p.rejected)
    for (prompt, response), t in zip(said["sft"], TRACES, strict=True):
        assert t.prompt in prompt
        assert response.startswith(t.response)
    assert said["rl"][0][1] == "6"


VERL = (
    BARE
    + """
import json
import pyarrow.parquet as pq
bare("verl", "utils")
sys.modules["verl.utils.import_utils"] = types.SimpleNamespace(deprecated=lambda *a: lambda f: f)
from verl.utils.reward_score import default_compute_score
def scores(texts):
    out = []
    for row, text in zip(pq.read_table("problems.parquet").to_pylist(), texts):
        got = default_compute_score(row["data_source"], text, row["reward_model"]["ground_truth"], row["extra_info"])
        out.append(float(got["score"] if isinstance(got, dict) else got))
    return out
if __name__ == "__main__":
    print(json.dumps([scores(RIGHT), scores(WRONG)]))
""".replace("RIGHT", repr(RIGHT)).replace("WRONG", repr(WRONG))
)


def test_verls_own_rewards_judge_by_the_ground_truth(folder: Path) -> None:
    right, wrong = ask("verl", VERL, folder / "verl")
    assert right == [1.0, 1.0]
    assert wrong == [-1.0, 0.0]


AXOLOTL = (
    BARE
    + """
import json, os, yaml
bare("axolotl", "prompt_strategies", "prompt_strategies.dpo", "utils", "utils.schemas")
from transformers import AutoTokenizer
from axolotl.prompt_strategies.dpo.chat_template import default
tokenizer = AutoTokenizer.from_pretrained(os.environ["MODEL"])
cfg = yaml.safe_load(open("pairs.yaml"))
cfg["datasets"][0]["chat_template"] = "tokenizer_default"
transform, _ = default({**cfg, "chat_template": "tokenizer_default"})
print(json.dumps([transform(json.loads(line), tokenizer=tokenizer) for line in open("pairs.jsonl")]))
"""
)


def test_axolotl_transforms_the_pairs_by_the_config(folder: Path) -> None:
    said = ask("axolotl", AXOLOTL, folder / "axolotl")
    for row, p in zip(said, ALL_PAIRS, strict=True):
        assert p.prompt in row["prompt"]
        assert row["chosen"].startswith(p.chosen)
        assert row["rejected"].startswith(p.rejected)
