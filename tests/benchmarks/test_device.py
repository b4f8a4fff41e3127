"""The FLOP a meter counts, against numbers worked out by hand, and which card's peak a name means."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from benchmarks.emgpu.device import Meter, causal, known_peak


def test_a_meter_counts_the_flop_of_weights_and_attention_and_training_thrice() -> None:
    config = SimpleNamespace(num_hidden_layers=2, num_attention_heads=4, head_dim=32)
    forward, training = Meter("scoring"), Meter("fine-tuning", passes=3)
    for meter in (forward, training):
        meter.add(tokens=3 + 2, attended=causal([3, 2]), seconds=0.5)
    # weights: 2 * 1000 * 5 tokens; attention: (1 + 2 + 3) + (1 + 2) = 9 positions of 4 * 2 * 4 * 32 each
    by_hand = 2 * 1000 * 5 + 9 * 4 * 2 * 4 * 32
    facts = forward.facts(config, parameters=1000, peak=1e6, measured_peak=5e5)
    assert facts["model_flop_per_s"] == by_hand / 0.5
    assert facts["tokens_per_s"] == 10
    assert facts["share_of_peak"] == pytest.approx(by_hand / 0.5 / 1e6)
    assert facts["share_of_measured_gemm"] == pytest.approx(by_hand / 0.5 / 5e5)
    assert training.facts(config, 1000, 1e6, 5e5)["model_flop_per_s"] == 3 * by_hand / 0.5


def test_a_meter_without_work_has_rates_of_nothing() -> None:
    config = SimpleNamespace(num_hidden_layers=2, num_attention_heads=4, head_dim=32)
    assert Meter("sampling").facts(config, 1000, 1e6, 1e6)["share_of_peak"] == 0


@pytest.mark.parametrize(
    ("name", "tflop_per_s"),
    [
        ("NVIDIA H200", 989.0), ("NVIDIA H100 80GB HBM3", 989.0), ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-80GB", 312.0), ("NVIDIA A10G", 70.0), ("NVIDIA L40S", 362.0),
        ("NVIDIA RTX A4000", None), ("NVIDIA H20", None), ("", None),
    ],
)  # fmt: skip
def test_the_peak_is_that_of_the_card_named_and_of_no_other(name: str, tflop_per_s: float | None) -> None:
    assert known_peak(name) == (tflop_per_s and tflop_per_s * 1e12)
