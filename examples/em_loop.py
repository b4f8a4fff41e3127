"""The EM of PromptCoT 2.0 (arXiv 2509.19894) written out in one file: plain torch, no stages, no trainer.

    python examples/em_loop.py [--select iw --draw resample --mstep selected]    # the packaged model, a few minutes
    python examples/em_loop.py --triples FILE --model DIR_OR_HUB_NAME --lr-cold 2e-5 --lr-q 2e-6 --lr-p 2e-6

Two language models start from one base: q(z|c,x) writes the rationale z behind a known problem x; p(z,x|c) writes
rationale and problem from the concepts c. Each reads one sequence of tokens and learns what follows the bar:

    q:  <|concepts|> c <|problem|> x <|rationale|>  |  z END
    p:  <|concepts|> c <|rationale|>                |  z <|problem|>  +  x END

log p(z|c) includes the marker that ends z, so both terms of the reward add up to log p(z,x|c). The columns of FILE
(JSON lines or Parquet) are the fields of Triple. The package gives the same numbers: tests/em/test_em_loop.py.
Legend: B rows of a batch, T tokens (padded), V vocabulary, K candidates of an item; natural logs.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pyarrow import json, parquet
from transformers import AutoModelForCausalLM, AutoTokenizer

from promptcot.pocket import MODEL_DIR
from promptcot.pocket.annotators import annotate
from promptcot.pocket.world import items

Row = tuple[list[int], list[tuple[int, int]]]  # token ids, and the [start, end) of each part that is learned


@dataclass
class Triple:
    """Concepts c with their level and domain, rationale z, problem x."""

    concepts: Sequence[str]
    rationale: str
    problem: str
    level: str = ""
    domain: str = "math"

    @property
    def c(self) -> str:
        return f"<|concepts|>{'; '.join(self.concepts)}<|level|>{self.domain} {self.level}"


@dataclass
class Candidate:
    """A rationale for item number `item`: its tokens without END, whether END came, and what the models say."""

    item: int
    z_ids: list[int]
    finished: bool = True
    logq: float = 0.0  # log q(z|c,x)
    logp_z: float = 0.0  # log p(z|c)
    logp_x: float = 0.0  # log p(x|z,c)
    tokens: int = 0  # of z and x, markers included


def encode(tok: Any, text: str) -> list[int]:
    return list(tok.encode(text, add_special_tokens=False))


def q_row(tok: Any, t: Triple, z_ids: Sequence[int], finished: bool = True) -> Row:
    """One part, z. A rationale that is not finished has no END."""
    prompt = encode(tok, f"{t.c}<|problem|>{t.problem}<|rationale|>")
    ids = [*prompt, *z_ids, *([tok.eos_token_id] if finished else [])]
    return ids, [(len(prompt), len(ids))]


def p_row(tok: Any, t: Triple, z_ids: Sequence[int]) -> Row:
    """Two parts, z and x."""
    c, z = encode(tok, f"{t.c}<|rationale|>"), [*z_ids, *encode(tok, "<|problem|>")]
    ids = [*c, *z, *encode(tok, t.problem), tok.eos_token_id]
    return ids, [(len(c), len(c) + len(z)), (len(c) + len(z), len(ids))]


def token_log_probs(model: Any, rows: Sequence[Row]) -> Any:
    """[B, T-1] log-probs of every token but the first. Padding stands on the right, where no real token sees it."""
    longest = max(len(ids) for ids, _ in rows)
    ids_BT = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows], device=model.device)
    logits_BTV = model(input_ids=ids_BT, use_cache=False).logits[:, :-1].float()
    return logits_BTV.gather(-1, ids_BT[:, 1:, None]).squeeze(-1) - logits_BTV.logsumexp(-1)


def log_probs(model: Any, rows: Sequence[Row], batch: int = 16) -> list[list[float]]:
    """Per row the summed log-prob of each part, all from one forward pass. The token at i is predicted at i - 1."""
    out = []
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        with torch.inference_mode():
            logps_BT = token_log_probs(model, some).double().cpu()
        for logps_T, (_, parts) in zip(logps_BT, some, strict=True):
            out.append([float(logps_T[a - 1 : b - 1].sum()) for a, b in parts])
    return out


def rationales(q: Any, tok: Any, triples: Sequence[Triple], k: int, limit: int) -> list[Candidate]:
    """`k` rationales per (c, x) from the plain distribution of q; the likeliest one where k is 0."""
    # By default `generate` draws from the 50 likeliest tokens only, which is another distribution than q. Padding
    # stands on the left, so that all rows grow at the same place.
    how, end = ({"temperature": 1.0, "top_p": 1.0, "top_k": 0} if k else {}), tok.eos_token_id
    ends = {"eos_token_id": end, "pad_token_id": end, "max_new_tokens": limit}
    out = []
    for numbers in torch.arange(len(triples)).repeat_interleave(k or 1).split(64):
        prompts = [q_row(tok, triples[i], [], finished=False)[0] for i in numbers]
        longest = max(map(len, prompts))
        ids_BT = torch.tensor([[0] * (longest - len(p)) + p for p in prompts], device=q.device)
        mask_BT = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=q.device)
        made_BT = q.generate(ids_BT, attention_mask=mask_BT, do_sample=k > 0, **how, **ends)
        for item, new in zip(numbers.tolist(), made_BT[:, longest:].tolist(), strict=True):
            out.append(Candidate(item, new[: new.index(end)] if end in new else new, finished=end in new))
    return out


def sft(model: Any, rows: Sequence[Row], lr: float, epochs: int, batch: int) -> None:
    """Maximum likelihood of the rows' parts, in place: AdamW, linear decay, gradients clipped at norm 1."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    steps = math.ceil(len(rows) / batch) * epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for numbers in (n for _ in range(epochs) for n in torch.randperm(len(rows)).split(batch)):
        logps_BT = token_log_probs(model, [rows[i] for i in numbers])
        learned_BT = torch.zeros_like(logps_BT)
        for n, i in enumerate(numbers):
            learned_BT[n, rows[i][1][0][0] - 1 : len(rows[i][0]) - 1] = 1  # from the first part to the end
        (-(logps_BT * learned_BT).sum() / learned_BT.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


def log_q(q: Any, tok: Any, triples: Sequence[Triple], found: Sequence[Candidate]) -> list[float]:
    """log q(z|c,x) of rationales, whoever drew them."""
    return [s for (s,) in log_probs(q, [q_row(tok, triples[c.item], c.z_ids, c.finished) for c in found])]


def score(q: Any, p: Any, tok: Any, triples: Sequence[Triple], found: Sequence[Candidate]) -> None:
    """log q, and both terms of Eq. 5 from one pass of p, for every candidate, in place."""
    rows = [p_row(tok, triples[c.item], c.z_ids) for c in found]
    said = log_q(q, tok, triples, found), log_probs(p, rows)
    for c, (_, parts), logq, terms in zip(found, rows, *said, strict=True):
        c.logq, (c.logp_z, c.logp_x), c.tokens = logq, terms, sum(b - a for a, b in parts)


def log_mean_exp(values: Sequence[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).logsumexp(0)) - math.log(len(values))


def rewards(rule: str, found_K: Sequence[Candidate]) -> list[float]:
    """Of one item's candidates, by `joint` (Eq. 5), `iw` (log w), `mean` (per token) or `gain`."""
    joint_K = [c.logp_x + c.logp_z for c in found_K]
    logw_K = [r - c.logq for r, c in zip(joint_K, found_K, strict=True)]
    mean_K = [r / c.tokens for r, c in zip(joint_K, found_K, strict=True)]
    gain_K = [c.logp_x - log_mean_exp(logw_K) for c in found_K]  # log p(x|z,c) less an estimate of log p(x|c)
    return {"joint": joint_K, "iw": logw_K, "mean": mean_K, "gain": gain_K}[rule]


def choose(draw: str, rewards_K: Sequence[float], uniform: float) -> int:
    """Index of the `best`, or of one draw k ~ softmax(rewards): with `iw`, from the posterior p(z|c,x) as K grows."""
    if draw == "best":
        return max(range(len(rewards_K)), key=lambda k: rewards_K[k])
    shares_K = torch.tensor(rewards_K, dtype=torch.float64).softmax(0)
    return min(int((shares_K.cumsum(0) <= uniform).sum()), len(rewards_K) - 1)


def select(found: Sequence[Candidate], rule: str, draw: str) -> list[Candidate]:
    """One candidate for each item that has any; those that are empty or ran into the limit are left out."""
    groups: dict[int, list[Candidate]] = {}
    for c in found:
        if c.finished and c.z_ids:
            groups.setdefault(c.item, []).append(c)
    return [group[choose(draw, rewards(rule, group), float(torch.rand(())))] for group in groups.values()]


def measure(q: Any, p: Any, cold_q: Any, tok: Any, heldout: Sequence[Triple], a: Any) -> str:
    """NLL(x|z,c) given q's greedy z (the paper's measure) and the IWAE bound on log p(x|c), means over items."""
    # Half of the bound's rationales come from q, half from the cold start, weighted against the mean of both: under
    # q alone a change of q would pass for a change of p (promptcot/em/bounds.py).
    greedy = rationales(q, tok, heldout, 0, a.max_tokens)
    drawn = [c for m in (q, cold_q) for c in rationales(m, tok, heldout, max(1, a.k // 2), a.max_tokens)]
    score(q, p, tok, heldout, [*greedy, *drawn])
    logw: list[list[float]] = [[] for _ in heldout]
    for c, cold in zip(drawn, log_q(cold_q, tok, heldout, drawn), strict=True):
        logw[c.item].append(c.logp_z + c.logp_x - log_mean_exp([c.logq, cold]))
    n, nll, tokens = len(heldout), -sum(c.logp_x for c in greedy), sum(len(c.z_ids) for c in greedy)
    bound = sum(map(log_mean_exp, logw))
    return f"NLL(x|z,c) {nll / n:.2f}  bound on log p(x|c) {bound / n:.2f}  rationale tokens {tokens / n:.1f}"


def pocket_triples(count: int, split: str, seed: int) -> Iterator[Triple]:
    """Problems of the packaged world, annotated by its precise and its vague annotator in turn."""
    for n, item in enumerate(items(count, seed, split)):
        if made := annotate(("precise", "vague")[n % 2], item.text, seed):
            yield Triple(made.concepts, made.rationale, item.text, item.level, item.domain)


def read_rows(path: str) -> list[dict[str, Any]]:
    read = parquet.read_table if path.endswith(".parquet") else json.read_json
    return list(read(path).to_pylist())


def main() -> None:
    """Cold start, then EM; one line of held-out measures per iteration."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--select", choices=["joint", "iw", "mean", "gain"], default="joint")
    parser.add_argument("--draw", choices=["best", "resample"], default="best")
    parser.add_argument("--mstep", choices=["greedy", "selected"], default="greedy")
    for name, default in {
        "model": str(MODEL_DIR), "triples": "", "candidates": "", "train": 240, "heldout": 40, "iterations": 2, "k": 4,
        "max-tokens": 64, "batch": 8, "epochs": 2, "lr-cold": 3e-3, "lr-q": 1e-5, "lr-p": 5e-4, "seed": 1,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=type(default), default=default)
    a = parser.parse_args()
    torch.manual_seed(a.seed)
    train, heldout = (list(pocket_triples(getattr(a, s), s, a.seed)) for s in ("train", "heldout"))
    if a.triples:
        read = [Triple(**row) for row in read_rows(a.triples)]
        train, heldout = read[a.heldout :][: a.train], read[: a.heldout]
    tok = AutoTokenizer.from_pretrained(a.model)
    if a.model == str(MODEL_DIR):
        torch.set_num_threads(1)  # more would only wait for each other on so small a model
    device = "cuda" if torch.cuda.is_available() else "cpu"
    q, p = (AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32).to(device) for _ in "qp")
    sft(q, [q_row(tok, t, encode(tok, t.rationale)) for t in train], a.lr_cold, a.epochs, a.batch)
    sft(p, [p_row(tok, t, encode(tok, t.rationale)) for t in train], a.lr_cold, a.epochs, a.batch)
    cold_q = copy.deepcopy(q)
    print("cold start   ", measure(q, p, cold_q, tok, heldout, a), flush=True)
    for t in range(1, a.iterations + 1):
        # E-step: candidates from q, rewarded by p; q learns the chosen ones. A file can stand in for the first draws.
        given = [Candidate(**row) for row in read_rows(a.candidates)] if a.candidates and t == 1 else None
        found = given or rationales(q, tok, train, a.k, a.max_tokens)
        score(q, p, tok, train, found)
        chosen = select(found, a.select, a.draw)
        sft(q, [q_row(tok, train[c.item], c.z_ids) for c in chosen], a.lr_q, 1, a.batch)
        if a.mstep == "greedy":  # M-step: p learns the problems together with q's rationales
            chosen = [c for c in rationales(q, tok, train, 0, a.max_tokens) if c.finished]
        sft(p, [p_row(tok, train[c.item], c.z_ids) for c in chosen], a.lr_p, 1, a.batch)
        print(f"iteration {t:<3}", measure(q, p, cold_q, tok, heldout, a), flush=True)


if __name__ == "__main__":
    main()
