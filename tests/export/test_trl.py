"""What TRL itself makes of the exports: its trainers' own preparation gives the token ids that training here uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.export.conftest import PAIRS, PROBLEMS, TRACES, TRIPLES, make, recipe

from promptcot.domains import get
from promptcot.export import trl
from promptcot.export.origin import origin
from promptcot.export.registry import target
from promptcot.export.tables import choose
from promptcot.export.write import export
from promptcot.lm.base import EngineSpec
from promptcot.lm.load import load_engine
from promptcot.pocket import MODEL_DIR

pytest.importorskip("trl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TRL export in the packaged model's templates."""
    root = tmp_path_factory.mktemp("trl")
    run = make(root / "run", recipe(templates="compact"))
    tables = choose(run, list(target("trl").data), [], "trl")
    export(target("trl"), tables, origin(run, [s for t in tables for s in t.steps], "mit"), root / "out")
    return root / "out"


@pytest.fixture(scope="module")
def engine() -> Any:
    return load_engine(EngineSpec("transformers", "pocket"))


def load(folder: Path, table: str) -> Any:
    import datasets

    return datasets.load_dataset("json", data_files=str(folder / f"{table}.jsonl"), split="train",
                                 cache_dir=str(folder / ".cache"))  # fmt: skip


def trained(folder: Path, table: str, **options: Any) -> Any:
    """The dataset that SFTTrainer would train on."""
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(output_dir=str(folder / ".sft"), max_length=None, report_to="none", use_cpu=True, bf16=False,
                       **options)  # fmt: skip
    return SFTTrainer(str(MODEL_DIR), args=config, train_dataset=load(folder, table)).train_dataset


def test_sft_sees_the_ids_of_our_own_sft(folder: Path, engine: Any) -> None:
    rows = trained(folder, "traces")
    assert len(rows) == len(TRACES)
    for row, t in zip(rows, TRACES, strict=True):
        prompt = engine.chat_ids(get(t.domain, "compact").solve_messages(t.prompt))
        answer = (*engine.encode(t.response), *engine.end_ids)
        assert tuple(row["input_ids"][: len(prompt)]) == tuple(prompt)
        assert tuple(row["input_ids"][len(prompt) :][: len(answer)]) == answer
        learned = row["labels"] if "labels" in row else [
            i if m else -100 for i, m in zip(row["input_ids"], row["completion_mask"], strict=True)
        ]  # fmt: skip
        assert learned[: len(prompt)] == [-100] * len(prompt)
        assert tuple(learned[len(prompt) :][: len(answer)]) == answer


def test_triples_teach_p_its_own_sequence(folder: Path, engine: Any) -> None:
    rows = trained(folder, "triples")
    for row, t in zip(rows, [TRIPLES[0], TRIPLES[2]], strict=True):
        domain = get(t.domain, "compact")
        whole = domain.generator_prompt(t.concepts, t.level) + t.rationale + domain.layout.z_end + t.problem
        ids = engine.encode(whole + domain.layout.x_end)
        assert tuple(row["input_ids"][: len(ids)]) == tuple(ids)


def test_dpo_sees_prompt_chosen_and_rejected_apart(folder: Path, engine: Any) -> None:
    from trl import DPOConfig, DPOTrainer

    config = DPOConfig(
        output_dir=str(folder / ".dpo"), max_length=None, report_to="none", use_cpu=True, bf16=False
    )
    rows = DPOTrainer(str(MODEL_DIR), args=config, train_dataset=load(folder, "pairs")).train_dataset
    for row, p in zip(rows, [*PAIRS[1], *PAIRS[2]], strict=True):
        prompt = engine.chat_ids(get(p.domain, "compact").solve_messages(p.prompt))
        assert tuple(row["prompt_ids"]) == tuple(prompt)
        for column, text in (("chosen_ids", p.chosen), ("rejected_ids", p.rejected)):
            answer = (*engine.encode(text), *engine.end_ids)
            assert tuple(row[column][: len(answer)]) == answer


def test_trls_accuracy_reward_reads_the_answer_and_skips_programs(folder: Path) -> None:
    pytest.importorskip("math_verify")
    from trl.rewards import accuracy_reward

    rows = load(folder, "problems")
    assert [r["domain"] for r in rows] == [p.domain for p in PROBLEMS]
    said = [[{"role": "assistant", "content": f"So \\boxed{{{n}}}"}] for n in (6, 6)]
    assert accuracy_reward(said, [r["solution"] for r in rows]) == [1.0, None]
    wrong = [[{"role": "assistant", "content": "So \\boxed{7}"}]]
    assert accuracy_reward(wrong, [rows[0]["solution"]]) == [0.0]


@pytest.mark.parametrize(
    "gold", ["3\\sqrt{2}", "2\\pi", "10^{5}", "\\sqrt{2}", "(1,2)", "x^2+1", "1,2", "C", "1,000"]
)
def test_trls_accuracy_reward_takes_latex_whole(gold: str) -> None:
    pytest.importorskip("math_verify")
    from trl.rewards import accuracy_reward

    row = trl.problem(replace(PROBLEMS[0], answer=gold), get("math", "promptcot2"), 0)
    said = [[{"role": "assistant", "content": f"So \\boxed{{{text}}}"}] for text in (gold, "3", "10")]
    assert accuracy_reward(said, [row["solution"]] * 3) == [1.0, 0.0, 0.0]
