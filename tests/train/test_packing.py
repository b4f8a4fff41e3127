"""Packing: rows of one sequence never see each other, none is cut or lost, and the loss is that of separate rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptcot.errors import UserError
from promptcot.settings import Training
from promptcot.train.common import load
from promptcot.train.sft import ByLength, check_apart, sft

torch = pytest.importorskip("torch", reason="needs torch: pip install 'promptcot[train]'")
from tests.train.small import START, rows  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def test_packed_rows_train_like_separate_ones(tmp_path: Path) -> None:
    base = {"lr": 1e-3, "epochs": 2, "batch_size": 24, "micro_batch_size": 24, "max_tokens": 64,
            "schedule": "constant", "warmup_share": 0}  # fmt: skip
    apart = sft(tmp_path / "apart", rows(), START, Training.model_validate(base))
    packed = sft(tmp_path / "packed", rows(), START, Training.model_validate({**base, "packing": True}))
    # All rows are in one step either way; the second loss is that of the updated weights, so gradients agree too.
    assert packed["loss"] == pytest.approx(apart["loss"], abs=1e-5)
    assert packed["rows"] == 24 > packed["sequences"]
    assert packed["usage"] == apart["usage"]


def test_a_model_whose_rows_see_each_other_is_refused() -> None:
    lm, _ = load(START.model)
    check_apart(lm, rows())

    class Blind:
        """The same model without the position ids that keep rows apart."""

        training = False

        def eval(self) -> None: ...

        def train(self, mode: bool) -> None: ...

        def __call__(self, ids: Any, **kwargs: Any) -> Any:
            return lm(ids, use_cache=False)

    with pytest.raises(UserError, match="packed rows see each other"):
        check_apart(Blind(), rows())


def test_every_epoch_has_every_row_once_in_an_order_of_its_own() -> None:
    sampler = ByLength([5, 1, 4, 2, 3, 9, 8, 7] * 5, 4, seed=1)
    first, again = list(sampler), list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert first == again != second
    assert sorted(first) == sorted(second) == list(range(40)) == list(range(len(sampler)))
