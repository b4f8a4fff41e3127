"""Trainings on the packaged model: masks, lengths, repeatability, and what DPO is given."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from promptcot.errors import UserError
from promptcot.pocket import MODEL_DIR
from promptcot.settings import Preference, Training
from promptcot.store import tree_digest
from promptcot.train.common import Row, check_lengths, load, steps_of
from promptcot.train.dpo import TextPair, check_boundary, dpo
from promptcot.train.sft import sft

torch = pytest.importorskip("torch", reason="needs torch: pip install 'promptcot[train]'")
MODEL = str(MODEL_DIR)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def nll(model: Any, row: Row) -> float:
    """Mean negative log-likelihood of the labelled tokens, from a plain forward pass."""
    with torch.no_grad():
        logp = model(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
    picked = [-float(logp[i - 1, t]) for i, t in enumerate(row.labels) if t != -100]
    return sum(picked) / len(picked)


def rows(tokenizer: Any, n: int = 24) -> list[Row]:
    made = []
    for i in range(n):
        prompt = tokenizer.encode(f"<|user|>Say {i % 7}.<|assistant|>")
        answer = tokenizer.encode(f"{i % 7} it is.<|end|>")
        made.append(Row(prompt + answer, [-100] * len(prompt) + answer))
    return made


def test_sft_learns_the_labelled_tokens_and_reports_the_loss_it_optimises(tmp_path: Path) -> None:
    before, tokenizer = load(MODEL, "float32")
    data = rows(tokenizer)
    # One step over all rows: the logged loss is that of the untrained model, averaged over labelled tokens only.
    facts = sft(
        tmp_path / "a", data, MODEL, "float32", Training(lr=1e-3, batch_size=24, micro_batch_size=24), 1
    )
    weights = [sum(t != -100 for t in r.labels) for r in data]
    expected = sum(nll(before, r) * w for r, w in zip(data, weights, strict=True)) / sum(weights)
    assert facts["loss"] == [pytest.approx(expected, abs=1e-4)]
    after, _ = load(str(tmp_path / "a"), "float32")
    assert sum(nll(after, r) for r in data) < sum(nll(before, r) for r in data)
    assert facts["usage"]["trained_tokens"] == sum(len(r.input_ids) for r in data)


def test_accumulated_micro_batches_are_the_batch(tmp_path: Path) -> None:
    _, tokenizer = load(MODEL, "float32")
    data = rows(tokenizer)
    losses = []
    for micro in (24, 8):
        settings = Training(
            lr=1e-3, epochs=3, batch_size=24, micro_batch_size=micro, schedule="constant", warmup_share=0
        )
        losses.append(sft(tmp_path / str(micro), data, MODEL, "float32", settings, 1)["loss"])
    assert losses[0] == pytest.approx(losses[1], abs=2e-4)
    assert losses[0][-1] < losses[0][0]


def test_the_same_training_twice_gives_the_same_files(tmp_path: Path) -> None:
    _, tokenizer = load(MODEL, "float32")
    settings = Training(lr=1e-3, batch_size=8, micro_batch_size=8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sft(tmp_path / name, rows(tokenizer), MODEL, "float32", settings, 3)
        (tmp_path / name / "progress.json").unlink()
    assert tree_digest(tmp_path / "a") == tree_digest(tmp_path / "b")


def test_overlong_rows_are_counted_and_never_cut() -> None:
    settings = Training(lr=1e-3, max_tokens=10, max_overlong=0.5)
    assert check_lengths([4, 11, 10], settings, "x") == [0, 2]
    with pytest.raises(UserError, match=r"2 of 3 rows .* longer than 10 tokens \(longest 12\)"):
        check_lengths([4, 11, 12], settings, "x")
    with pytest.raises(UserError, match="no rows"):
        check_lengths([], settings, "x")


def test_steps_cover_every_row_of_every_epoch() -> None:
    assert steps_of(33, Training(lr=1, batch_size=16)) == 3
    assert steps_of(33, Training(lr=1, batch_size=16, epochs=2)) == 6
    assert steps_of(1, Training(lr=1, batch_size=16, epochs=0.1)) == 1


def test_dpo_starts_at_log_2_and_prefers_the_chosen_answers(tmp_path: Path) -> None:
    pairs = [
        TextPair(f"<|user|>Say {i % 5}.<|assistant|>", f"{i % 5}<|end|>", "no<|end|>") for i in range(16)
    ]
    settings = Preference(
        lr=1e-4, epochs=6, batch_size=16, micro_batch_size=16, schedule="constant", warmup_share=0
    )
    facts = dpo(tmp_path, pairs, MODEL, "float32", settings, 1)
    # Policy and reference are equal at the first step, so the loss is -log sigmoid(0).
    assert facts["loss"][0] == pytest.approx(math.log(2), abs=1e-5)
    assert facts["loss"][-1] < facts["loss"][0]
    assert facts["margins"][-1] > 0


def test_a_pair_whose_prompt_merges_with_its_answer_is_refused() -> None:
    _, tokenizer = load(MODEL, "float32")
    assert check_boundary(TextPair("<|user|>a<|assistant|>", "1", "23"), tokenizer) == (4, 5)
    with pytest.raises(UserError, match="merge in tokenisation"):
        check_boundary(TextPair("Read a line of inte", "gers.", "x"), tokenizer)
