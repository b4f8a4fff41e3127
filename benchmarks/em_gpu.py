"""EM on one GPU, from nothing: pretrain a decoder of about 100M parameters, cold start, the paper's four curves.

    python benchmarks/em_gpu.py [--out report.json]     # one GPU, 8.5 minutes
    python benchmarks/em_gpu.py --tiny                  # the same steps on a CPU, under a minute; its numbers say nothing

Needs torch, transformers, tokenizers and numpy, and no installation of this package. Text and triples come from the
pocket world and, with `--gsm8k FILE` (JSONL; found by itself at ../shared/data/math), from GSM8K. Every phase measures its
speed first and takes as many tokens as its share of `--minutes` holds; what was cut is printed, and so two machines do
not train on equally many tokens. Tokens/s and model FLOP/s count real tokens only (see `emgpu.device.Meter`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

STARTED = time.monotonic()  # imports take their share of the minutes
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the workers are the parallelism
os.environ.setdefault("HF_HUB_OFFLINE", "1")
GSM8K = ROOT.parent / "shared" / "data" / "math" / "gsm8k_train.jsonl"


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.5, help="the whole run (8.5)")
    parser.add_argument("--tiny", action="store_true", help="a very small model, on the CPU")
    parser.add_argument("--gsm8k", default=str(GSM8K) if GSM8K.is_file() else "", help="JSONL; '' for none")
    parser.add_argument("--device", help="cuda or cpu; by itself: a GPU if there is one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--workers", type=int, help="processes that write text (the cores less one, at most 15)"
    )
    parser.add_argument(
        "--select", choices=("joint", "iw", "mean", "gain"), default="joint", help="the reward"
    )
    parser.add_argument(
        "--draw", choices=("best", "resample"), default="best", help="how a candidate is chosen"
    )
    parser.add_argument("--out", type=Path, help="write the report as JSON")
    return parser.parse_args()


def main() -> None:
    """Runs the study and prints one table."""
    args = options()
    import torch  # here, because the workers read this file too
    from emgpu.sizes import FULL, TINY
    from emgpu.study import Options, run
    from emgpu.table import render

    if args.tiny:
        torch.set_num_threads(1)
    found = "cuda" if torch.cuda.is_available() and not args.tiny else "cpu"
    workers = 0 if args.tiny else max(0, min(15, (os.cpu_count() or 1) - 1))
    report = run(
        Options(
            TINY if args.tiny else FULL, args.minutes, STARTED, args.gsm8k, args.device or found, args.seed,
            workers if args.workers is None else args.workers, args.select, args.draw,
        )
    )  # fmt: skip
    print(f"\n{render(report)}")
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
