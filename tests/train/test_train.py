"""Trainings on the packaged model: masks, lengths, repeatability, and what DPO is given."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tests.train.small import START, id_pairs, rows

from promptcot.errors import UserError
from promptcot.lm.adapters import Adapter
from promptcot.lm.base import Part
from promptcot.lm.transformers import TransformersEngine
from promptcot.pocket import MODEL_DIR
from promptcot.settings import LoRA, Preference, Training
from promptcot.store import tree_digest
from promptcot.train.common import Row, Start, check_lengths, load, steps_of
from promptcot.train.dpo import dpo
from promptcot.train.sft import sft
from promptcot.train.tokens import Tokens

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


def test_sft_learns_the_labelled_tokens_and_reports_the_loss_it_optimises(tmp_path: Path) -> None:
    before, _ = load(MODEL)
    data = rows()
    # One step over all rows: the logged loss is that of the untrained model, averaged over labelled tokens only.
    facts = sft(tmp_path / "a", data, START, Training(lr=1e-3, batch_size=24, micro_batch_size=24))
    weights = [sum(t != -100 for t in r.labels) for r in data]
    expected = sum(nll(before, r) * w for r, w in zip(data, weights, strict=True)) / sum(weights)
    assert facts["loss"] == [pytest.approx(expected, abs=1e-4)]
    after, _ = load(str(tmp_path / "a"))
    assert sum(nll(after, r) for r in data) < sum(nll(before, r) for r in data)
    assert facts["usage"]["trained_tokens"] == sum(len(r.input_ids) for r in data)


def test_accumulated_micro_batches_are_the_batch(tmp_path: Path) -> None:
    data = rows()
    losses = []
    for micro in (24, 8):
        settings = Training(
            lr=1e-3, epochs=3, batch_size=24, micro_batch_size=micro, schedule="constant", warmup_share=0
        )
        losses.append(sft(tmp_path / str(micro), data, START, settings)["loss"])
    assert losses[0] == pytest.approx(losses[1], abs=2e-4)
    assert losses[0][-1] < losses[0][0]


def test_the_same_training_twice_gives_the_same_files(tmp_path: Path) -> None:
    settings = Training(lr=1e-3, batch_size=8, micro_batch_size=8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sft(tmp_path / name, rows(), START, settings)
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


def logp(model: Any, prompt: tuple[int, ...], answer: tuple[int, ...]) -> float:
    """log p(answer | prompt), from a plain forward pass."""
    row = Row([*prompt, *answer], [-100] * len(prompt) + list(answer))
    return -nll(model, row) * len(answer)


@pytest.mark.parametrize("sft_weight", [0.0, 0.5])
def test_the_dpo_loss_is_the_formula(tmp_path: Path, sft_weight: float) -> None:
    pairs = id_pairs(8)
    settings = Preference(
        lr=1e-4, batch_size=8, micro_batch_size=8, schedule="constant", warmup_share=0, beta=0.3,
        sft_weight=sft_weight,
    )  # fmt: skip
    dpo(tmp_path / "one", pairs, START, settings)
    two = dpo(tmp_path / "two", pairs, START, settings.model_copy(update={"epochs": 2.0}))
    # The loss of the second step is that of the model after the first one, against the model at the start.
    now, reference = load(str(tmp_path / "one"))[0], load(MODEL)[0]
    terms = []
    for p in pairs:
        ratios = [logp(now, p.prompt, a) - logp(reference, p.prompt, a) for a in (p.chosen, p.rejected)]
        terms.append(math.log1p(math.exp(-0.3 * (ratios[0] - ratios[1]))))
    chosen = sum(logp(now, p.prompt, p.chosen) for p in pairs) / sum(len(p.chosen) for p in pairs)
    start = -sum(logp(reference, p.prompt, p.chosen) for p in pairs) / sum(len(p.chosen) for p in pairs)
    assert two["loss"] == pytest.approx(
        [math.log(2) + sft_weight * start, sum(terms) / 8 - sft_weight * chosen], abs=2e-4
    )
    assert sum(terms) / 8 < math.log(2)
    assert two["margins"][0] == 0 < two["margins"][1]


def test_lora_trains_adapters_and_saves_them_merged(tmp_path: Path) -> None:
    settings = Training(
        lr=1e-2, epochs=3, batch_size=24, micro_batch_size=24, schedule="constant", warmup_share=0,
        lora=LoRA(rank=4, alpha=8, targets=["q_proj"]),
    )  # fmt: skip
    facts = sft(tmp_path, rows(), START, settings)
    assert facts["loss"][2] < facts["loss"][1] < facts["loss"][0]
    before, after = (dict(load(m)[0].named_parameters()) for m in (MODEL, str(tmp_path)))
    assert {n for n in before if not torch.equal(before[n], after[n])} == {n for n in before if "q_proj" in n}
    change = (
        after["model.layers.0.self_attn.q_proj.weight"] - before["model.layers.0.self_attn.q_proj.weight"]
    )
    assert int(torch.linalg.matrix_rank(change.detach(), rtol=1e-4)) == 4
    # what was saved is what was trained: its loss goes on from where the training ended
    assert sum(nll(load(str(tmp_path))[0], r) for r in rows()) / 24 < facts["loss"][2] + 0.5


def test_an_adapter_that_is_kept_apart_is_a_model_and_its_next_training_goes_on_with_it(
    tmp_path: Path,
) -> None:
    lora = LoRA(rank=4, alpha=8, merge=False)
    settings = Training(
        lr=1e-2, batch_size=24, micro_batch_size=24, schedule="constant", warmup_share=0, lora=lora
    )
    losses, start = [], START
    for name in ("first", "second"):
        losses += sft(tmp_path / name, rows(), start, settings)["loss"]
        assert (tmp_path / name / "adapter_model.safetensors").exists()
        assert not (tmp_path / name / "model.safetensors").exists()
        start = Start(str(tmp_path / name), "float32", 1)
        adapter = Adapter.of(start.model)
        assert adapter is not None
        assert adapter.base == MODEL  # of both: they are served beside each other
        named = json.loads((tmp_path / name / "adapter_config.json").read_text())["target_modules"]
        assert named == sorted(named) == list(adapter.targets)  # PEFT's order is another in every process
    assert losses[1] < losses[0]
    after = sum(nll(load(start.model)[0], r) for r in rows()) / 24
    assert after < losses[1]
    engine = TransformersEngine(start.model, device="cpu")  # what EM, synthesis and canary load
    ids = engine.encode("<|user|>Say 3.<|assistant|>3 it is.<|end|>")
    (score,) = engine.score([[Part("c", ids[:1], False), Part("x", ids[1:])]])
    row = Row(list(ids), [-100, *ids[1:]])
    assert score["x"].logp / (len(ids) - 1) == pytest.approx(-nll(load(start.model)[0], row), abs=1e-4)
    with pytest.raises(UserError, match="rank 4"):
        load(start.model, LoRA(rank=8, merge=False))
    with pytest.raises(ValueError, match="is for SFT"):
        Preference(lr=1.0, lora=lora)


def test_a_bfloat16_training_keeps_float32_weights_and_saves_bfloat16(tmp_path: Path) -> None:
    # At this rate every single update is below half a bfloat16 step of most weights; summed in float32 they arrive.
    settings = Training(
        lr=1e-4, epochs=3, batch_size=8, micro_batch_size=8, schedule="constant", warmup_share=0
    )
    facts = sft(tmp_path, rows(8), Start(MODEL, "bfloat16", 1), settings)
    assert facts["loss"][-1] < facts["loss"][0] - 0.1
    from safetensors import safe_open

    with safe_open(str(tmp_path / "model.safetensors"), "pt") as f:
        assert {f.get_slice(k).get_dtype() for k in f.keys()} == {"BF16"}  # noqa: SIM118


def test_a_prompt_that_opens_the_thinking_is_continued_and_not_opened_twice() -> None:
    tokens = Tokens(MODEL)
    opened = tokens.encode("<|user|>Say 3.<|assistant|><think>\n")
    assert tokens.turn(opened, "<think>\nhm</think>3") == tokens.turn(opened, "hm</think>3")
    plain = tokens.encode("<|user|>Say 3.<|assistant|>")
    assert tokens.turn(plain, "<think>\nhm</think>3") == (*tokens.encode("<think>\nhm</think>3<|end|>"),)
    assert tokens.turn(plain, "cut", ended=False) == tokens.encode("cut")
