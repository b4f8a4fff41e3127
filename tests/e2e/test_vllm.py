"""A real vLLM (`make e2e-vllm`): every log-prob against the model in process, the whole EM through it, stale weights.

Printed lines that begin with `measured` are the figures of docs/engines.md.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptcot.errors import UserError
from promptcot.lm import canary, managed
from promptcot.lm.base import EngineSpec, Failure, Part, Prompt, Sample, SamplingParams
from promptcot.lm.openai import OpenAIEngine
from promptcot.lm.server import VLLM, Server
from promptcot.lm.transformers import TransformersEngine
from promptcot.lm.vllm import VLLMEngine
from promptcot.records import Candidate, Posed, Record, Triple
from promptcot.rundir import folder
from promptcot.runner.worker import Worker
from promptcot.settings import LoRA, Training
from promptcot.stages import em_steps
from promptcot.store import Step
from promptcot.train.common import Row, Start
from promptcot.train.sft import sft

pytestmark = pytest.mark.e2e_vllm
ROOT = Path(__file__).parents[2]
NATS = 1e-4  # a log-prob of a token, and the sum over a row, in float32
START_S = 1800.0  # a quarter of an hour was seen where six others worked on the same two cores
TEXTS = (
    "Find the sum of the first 20 odd numbers.",
    "Concepts: prime numbers; remainders. Let n be the smallest number that leaves 3 when divided by 7.",
    "The answer is \\boxed{42}.",
)


def measured(what: str, value: object) -> None:
    print(f"measured: {what}: {value}", flush=True)


@pytest.fixture(scope="module", autouse=True)
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers of this module are found below its own temporary folder, and none outlives it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("tmp")))
        yield
        managed.stop_idle()


@pytest.fixture(scope="module")
def local(wide: Path) -> TransformersEngine:
    return TransformersEngine(wide, device="cpu")


@pytest.fixture(scope="module")
def vllm(wide: Path, vllm_python: str) -> Iterator[VLLMEngine]:
    """The model under vLLM, started as vLLM does by itself: with what generation_config.json recommends. That must not
    reach what we draw, since requests say what they want."""
    recommended = json.loads((wide / "generation_config.json").read_text())
    recommended |= {"do_sample": True, "top_k": 1, "repetition_penalty": 2.0}
    (wide / "generation_config.json").write_text(json.dumps(recommended))
    args = ("--enforce-eager", "--generation-config", "auto")
    engine = VLLMEngine(
        str(wide), "", "float32", VLLM(python=vllm_python, memory=0.3, start_s=START_S, args=args)
    )
    started = time.monotonic()
    assert engine.can_score, "the self-test at the start"
    measured("start of vLLM with probes and self-test", f"{time.monotonic() - started:.0f} s")
    yield engine
    engine.close()


def inner(engine: VLLMEngine) -> OpenAIEngine:
    """The `openai` engine inside."""
    assert engine._inner is not None
    return engine._inner


def drawn(samples: Sequence[Sample | Failure]) -> list[Sample]:
    assert not [s for s in samples if isinstance(s, Failure)]
    return [s for s in samples if isinstance(s, Sample)]


# the same log-probs as in process


def test_vllm_takes_all_that_is_asked_of_it(vllm: VLLMEngine) -> None:
    able = inner(vllm).completions
    assert (able.prompt_ids, able.token_ids, able.logprobs, able.seed, able.n, able.stop) == (True,) * 6
    assert inner(vllm).scoring.kind == "vllm"
    assert vllm.max_context == 1024


def test_every_log_prob_of_given_tokens(vllm: VLLMEngine, local: TransformersEngine) -> None:
    rows = [
        [Part("start", ids[:1], False), *(Part(str(i), (t,)) for i, t in enumerate(ids[1:]))]
        for ids in map(local.encode, TEXTS)
    ]
    gaps = []
    for mine, theirs in zip(local.score(rows), vllm.score(rows), strict=True):
        assert not isinstance(theirs, Failure)
        assert set(mine) == set(theirs)
        gaps += [abs(mine[k].logp - theirs[k].logp) for k in mine]
    measured(f"largest difference of a token's log-prob, {len(gaps)} tokens", f"{max(gaps):.1e}")
    assert max(gaps) <= NATS


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_log_q_of_samples_is_their_score_in_process_at_any_temperature(
    temperature: float, vllm: VLLMEngine, local: TransformersEngine
) -> None:
    head = local.encode("The sum of 12 and 30")
    prompts = [Prompt(seed, ids=head) for seed in range(12)]
    samples = drawn(vllm.sample(prompts, SamplingParams(temperature, max_tokens=48)))
    ends = {"stop": local.end_ids, "length": ()}
    rows = [[Part("c", head, False), Part("z", (*s.ids, *ends[s.finish]))] for s in samples]
    gaps = [abs((s.logq or 0.0) - mine["z"].logp) for s, mine in zip(samples, local.score(rows), strict=True)]
    measured(
        f"largest difference of log q of a sample at T={temperature}, {len(gaps)} samples", f"{max(gaps):.1e}"
    )
    assert max(gaps) <= NATS
    assert len({s.ids for s in samples}) > 1 or temperature == 0  # top_k 1 was not slipped in
    if temperature == 0:
        same = local.sample(prompts[:1], SamplingParams(0.0, max_tokens=48))
        assert samples[0].ids == same[0].ids


def test_stops_and_chat(vllm: VLLMEngine, local: TransformersEngine) -> None:
    head = local.encode("The sum of 12 and 30")
    for s in drawn(
        vllm.sample([Prompt(i, ids=head) for i in range(8)], SamplingParams(max_tokens=64, stop=(".",)))
    ):
        assert "." not in s.text
        assert local.decode(s.ids) == s.text or s.finish == "stop"
    turns = (("user", "What is 17 + 25? Answer in \\boxed{}."),)
    chats = drawn(vllm.sample([Prompt(i, messages=turns) for i in range(8)], SamplingParams(max_tokens=64)))
    head = local.chat_ids(turns)
    ends = {"stop": local.end_ids, "length": ()}
    rows = [[Part("c", head, False), Part("z", (*s.ids, *ends[s.finish]))] for s in chats]
    gaps = [abs((s.logq or 0.0) - mine["z"].logp) for s, mine in zip(chats, local.score(rows), strict=True)]
    measured(f"largest difference of log q of an answer, {len(gaps)} chats", f"{max(gaps):.1e}")
    assert max(gaps) <= NATS


def test_the_prefix_cache_is_used_and_changes_no_score(vllm: VLLMEngine, local: TransformersEngine) -> None:
    head = local.encode(" ".join(TEXTS) * 3)
    prompts = [Prompt(seed, ids=head) for seed in range(16)]
    before = metric(vllm, "vllm:prefix_cache_hits_total")
    samples = drawn(vllm.sample(prompts, SamplingParams(max_tokens=16)))
    hits = metric(vllm, "vllm:prefix_cache_hits_total") - before
    measured(f"prompt tokens from the prefix cache, of {len(head) * len(prompts)}", int(hits))
    assert hits > len(head) * len(prompts) / 2
    rows = [[Part("c", head, False), Part("z", s.ids)] for s in samples if s.ids]
    for mine, theirs in zip(local.score(rows), vllm.score(rows), strict=True):
        assert not isinstance(theirs, Failure)
        assert theirs["z"].logp == pytest.approx(mine["z"].logp, abs=NATS)


def metric(engine: VLLMEngine, name: str) -> float:
    url = inner(engine).client.server.base_url.removesuffix("/v1")
    with urllib.request.urlopen(f"{url}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


# stale weights


def test_old_weights_are_noticed_after_one_small_step(
    vllm: VLLMEngine, wide: Path, local: TransformersEngine, tmp_path: Path
) -> None:
    rows = [Row(list(ids), list(ids)) for ids in map(local.encode, TEXTS)]
    settings = Training(lr=1e-5, batch_size=4, schedule="constant", warmup_share=0, max_tokens=256)
    assert sft(tmp_path, rows, Start(str(wide), "float32", 1), settings)["steps"] == 1
    assert (tmp_path / canary.FILE).exists()
    url, name = inner(vllm).client.server.base_url, inner(vllm).name
    asked_for_new = OpenAIEngine(Server(base_url=url), name, str(tmp_path), weights=str(tmp_path))
    with pytest.raises(UserError, match="weights are not those in") as refused:
        asked_for_new.sample([Prompt(1, ids=(5, 6, 7))], SamplingParams(max_tokens=2))
    measured("old weights after one step at rate 1e-5", refused.value.seen.rpartition(": ")[2])
    asked_for_new.close()
    asked_for_old = OpenAIEngine(Server(base_url=url), name, str(wide), weights=str(wide))
    drawn(asked_for_old.sample([Prompt(1, ids=(5, 6, 7))], SamplingParams(max_tokens=2)))
    asked_for_old.close()


# adapters


def test_adapters_of_q_and_p_are_served_on_one_base_and_a_new_one_of_the_same_path_is_loaded(
    wide: Path, vllm_python: str, local: TransformersEngine, tmp_path: Path
) -> None:
    def train(name: str, seed: int) -> Path:
        rows = [Row(list(ids), list(ids)) for ids in map(local.encode, TEXTS[seed:])]
        lora = LoRA(rank=4, alpha=8, merge=False)
        settings = Training(lr=1e-2, batch_size=1, micro_batch_size=1, max_tokens=256, lora=lora)
        sft(tmp_path / name, rows, Start(str(wide), "float32", seed), settings)
        return tmp_path / name

    managed.stop_idle()
    settings = VLLM(python=vllm_python, memory=0.3, start_s=START_S, args=("--enforce-eager",))
    head = local.encode("The sum of 12 and 30")
    parts = [[Part("c", head, False), Part("x", local.encode(" is 42. Find it."))]]
    seen: list[float] = []

    def agrees(folder: Path, engine: VLLMEngine) -> None:
        (theirs,), (mine,) = engine.score(parts), TransformersEngine(folder, device="cpu").score(parts)
        assert not isinstance(theirs, Failure)
        seen.append(mine["x"].logp)
        measured(
            f"difference of a score of {mine['x'].tokens} tokens, an adapter on its base and merged",
            f"{abs(theirs['x'].logp - mine['x'].logp):.1e}",
        )
        assert theirs["x"].logp == pytest.approx(mine["x"].logp, abs=NATS)

    q, p = (VLLMEngine(str(train(name, seed)), "", "float32", settings) for seed, name in enumerate("qp"))
    agrees(tmp_path / "q", q)
    agrees(tmp_path / "p", p)
    agrees(tmp_path / "q", q)
    assert len([f for f in managed.place().glob("*/server.json") if managed.running(f.parent)]) == 1
    train("q", 2)
    agrees(tmp_path / "q", q)
    assert len({round(x, 3) for x in seen}) == 3
    drawn(q.sample([Prompt(1, ids=head)], SamplingParams(max_tokens=4)))
    q.close()
    p.close()


# the whole EM


def recipe(tmp_path: Path, model: Path, python: str, trained: str) -> Path:
    """recipes/tiny.yaml up to the EM, its models behind vLLM."""
    data = yaml.safe_load((ROOT / "recipes" / "tiny.yaml").read_text())
    data = {k: data[k] for k in ("name", "templates", "run", "seeds", "annotate", "coldstart", "em")}
    vllm = {"python": python, "memory": 0.2, "start_s": START_S, "args": ["--enforce-eager"]}
    data["coldstart"]["base"] = {"engine": "vllm", "model": str(model), "vllm": vllm}
    if trained == "adapters":
        for section in ("coldstart", "em"):
            data[section]["training"] |= {"lr": 1e-2, "epochs": 4, "lora": {"rank": 16, "merge": False}}
        data["em"] |= {"max_rejected": 1.0, "gates": {"action": "warn"}}
    data["run"]["workers"] = 2
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def start(path: Path, run: Path, tmp: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "promptcot.cli", "run", str(path), "--run-dir", str(run)]
    env = {**os.environ, "TMPDIR": str(tmp), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def until(true: Callable[[], object], within_s: float, what: str) -> None:
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends, f"{what}: not within {within_s:g} s"
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("trained", "starts"),
    [("adapters", 1), ("weights", 5)],  # q and p before and after, and p without the E-step
)
def test_the_whole_em_through_vllm_with_a_kill_in_between(
    trained: str, starts: int, wide: Path, vllm_python: str, tmp_path: Path
) -> None:
    managed.stop_idle()
    tmp, run = tmp_path / "tmp", tmp_path / "run"
    tmp.mkdir()
    path = recipe(tmp_path, wide, vllm_python, trained)

    def servers() -> list[Path]:
        return [
            f.parent for f in tmp.glob("promptcot-servers-*/*/*/server.json") if managed.running(f.parent)
        ]

    if trained == "adapters":
        killed = start(path, run, tmp)
        until(lambda: servers() or killed.poll() is not None, 2 * START_S, "a server for the first step")
        assert killed.poll() is None, killed.communicate()[0]
        assert len(servers()) == 1  # two workers share it
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        until(lambda: not servers(), 60, "the end of the killed run's server")
    started, started_at = time.monotonic(), time.time()
    again = start(path, run, tmp)
    said, _ = again.communicate()
    assert again.returncode == 0, said
    measured(f"seconds of the EM of {trained}", f"{time.monotonic() - started:.0f}")
    until(lambda: not servers(), 60, "the end of the run's servers")
    logs = [f for f in tmp.glob("promptcot-servers-*/*/*/log") if f.stat().st_mtime > started_at]
    assert len(logs) == starts or managed.has_gpu()  # where each training ends them
    usage = [json.loads(p.read_text()) for p in run.glob("04_em/*/done.json")]
    measured("requests", sum(d["usage"].get("requests", 0) for d in usage))
    measured(
        "sampled and scored tokens",
        sum(d["usage"].get(k, 0) for d in usage for k in ("sampled_tokens", "scored_tokens")),
    )
    assert not sum(d["usage"].get("failed", 0) for d in usage)
    compare(run)


def compare(run: Path) -> None:
    """What vLLM said of the ids it drew and scored, against the same models in process."""

    def table(name: str, record: type[Any], stage: str = "em") -> list[Any]:
        return list(Step.load(run / folder(stage) / name, record).rows())

    def model(role: str, t: int) -> EngineSpec:
        at = folder("em") if t else folder("coldstart")
        step = Step.load(run / at / (f"{role}{t}" if t else role), Record)
        return EngineSpec("transformers", str(step.artifact), device="cpu")

    triples = {t.id: t for t in table("triples", Triple, "annotate")}
    worker = Worker(1)

    def posed(rows: Sequence[Candidate]) -> list[Posed]:
        return [Posed(c.id, c, triples[c.item_id]) for c in rows]

    gaps: dict[str, float] = {}
    for name, t in (("e1_samples", 0), ("m1_rationales", 1), ("h1_samples", 1), ("h1_under_cold", 0)):
        rows = table(name, Candidate)
        mine = em_steps.rescore(worker, posed(rows), q=model("q", t), style="compact")
        pairs = [(a, b) for a, b in zip(rows, mine, strict=True) if isinstance(b, Candidate)]
        assert len(pairs) == len(rows) > 0
        gaps[f"log q of {name} ({len(rows)})"] = max(abs(a.logq - b.logq) for a, b in pairs)
    for name, t in (("e1_candidates", 0), ("h0_scores", 0), ("h1_scores", 1)):
        rows = table(name, Candidate)
        mine = em_steps.score(worker, posed(rows), p=model("p", t), style="compact")
        pairs = [(a, b) for a, b in zip(rows, mine, strict=True) if isinstance(b, Candidate)]
        assert len(pairs) == len(rows) > 0
        assert all((a.z_tokens, a.x_tokens) == (b.z_tokens, b.x_tokens) for a, b in pairs)
        gaps[f"log p of {name} ({len(rows)})"] = max(
            max(abs(a.logp_z - b.logp_z), abs(a.logp_x - b.logp_x)) for a, b in pairs
        )
    for name, gap in gaps.items():
        measured(f"largest difference, {name}", f"{gap:.1e}")
    assert max(gaps.values()) <= 5 * NATS  # sums over up to a hundred tokens
