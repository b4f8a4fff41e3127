"""`promptcot serve` and the engine that talks to it: together they are the in-process engine. And servers that lie."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp import web
from tests.lm.faulty import Running

from promptcot.errors import UserError
from promptcot.lm import canary, probe
from promptcot.lm.base import EngineSpec, Failure, Part, Prompt, Sample, SamplingParams
from promptcot.lm.batcher import Batcher
from promptcot.lm.openai import OpenAIEngine
from promptcot.lm.serve import application
from promptcot.lm.server import Server
from promptcot.lm.transformers import TransformersEngine
from promptcot.pocket import MODEL_DIR
from promptcot.records import Ask, Candidate, Posed, Rollout, Triple
from promptcot.runner.worker import Worker
from promptcot.settings import EM, Rules, Sampling, Training
from promptcot.stages import em_steps
from promptcot.stages.solving import attempt

Change = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any] | None]
NATS = 1e-4


@pytest.fixture(scope="module")
def local() -> TransformersEngine:
    torch.set_num_threads(1)  # with more, rounding depends on the company of a row
    return TransformersEngine(MODEL_DIR, device="cpu")


@pytest.fixture(scope="module")
def served(local: TransformersEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    below = tmp_path_factory.mktemp("below")
    with Running(application("pocket", local, TransformersEngine, below)) as running:
        yield running


def remote(running: Running, model: str = "pocket", **kind: Any) -> OpenAIEngine:
    return OpenAIEngine(Server(base_url=running.base_url, patience_s=1.0), model, str(MODEL_DIR), **kind)


@pytest.fixture(scope="module")
def http(served: Running) -> Iterator[OpenAIEngine]:
    engine = remote(served)
    yield engine
    engine.close()


def ask(running: Running, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        running.base_url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())


# the same as in process


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(max_tokens=12),
        SamplingParams(max_tokens=16, stop=("\n", ". ")),
        SamplingParams(temperature=0.0, max_tokens=12),
        SamplingParams(temperature=1.3, top_p=0.9, top_k=20, max_tokens=12),
    ],
)
def test_samples_are_those_of_the_engine_in_process(
    params: SamplingParams, local: TransformersEngine, http: OpenAIEngine
) -> None:
    turns = (("user", "What is 17 + 25? Answer in \\boxed{}."),)
    prompts = [
        *(Prompt(seed << 60 | 5, messages=turns) for seed in (0, 3, 9, 15)),  # above 2**63 too
        *(Prompt(seed, ids=local.encode("The sum of 3 and 4")) for seed in range(4)),
        Prompt(5, text="Let n be"),
    ]
    mine, theirs = local.sample(prompts, params), http.sample(prompts, params)
    assert theirs == mine
    assert len({s.finish for s in mine}) >= 1
    assert all(
        s.logq is None for s in http.sample(prompts, replace(params, logq=False)) if isinstance(s, Sample)
    )


def test_scores_are_those_of_the_engine_in_process(local: TransformersEngine, http: OpenAIEngine) -> None:
    encode = local.encode
    sequences = [
        [
            Part("c", encode(f"Concepts: {i}, sums"), False),
            Part("z", encode("z" * i)),
            Part("x", encode("Find it.")),
        ]
        for i in range(5)
    ]
    for mine, theirs in zip(local.score(sequences), http.score(sequences), strict=True):
        assert not isinstance(theirs, Failure)
        for name in ("z", "x"):
            assert theirs[name].tokens == mine[name].tokens
            assert theirs[name].logp == pytest.approx(mine[name].logp, abs=NATS)


def test_the_stages_make_the_same_rows(served: Running) -> None:
    worker, style = Worker(3), "compact"
    specs = (
        EngineSpec("transformers", "pocket", device="cpu"),
        EngineSpec("openai", "pocket", server=Server(base_url=served.base_url)),
    )
    items = [
        Triple(
            f"t{i}",
            f"s{i}",
            "math",
            "1",
            "train",
            "a",
            ["sums", "remainders"],
            "Add them.",
            f"What is {i} + 7?",
        )
        for i in range(3)
    ]
    asked = [
        Ask(f"{t.id}.{k}", t.id, k, t.domain, t.level, t.concepts, t.problem, answer=str(7 + n))
        for n, t in enumerate(items)
        for k in (em_steps.GREEDY, 0)
    ]
    em = EM(sampling=Sampling(max_tokens=16), training=Training(lr=1.0, max_tokens=24))
    rows: list[list[Any]] = []
    for spec in specs:
        drawn = em_steps.sample(worker, asked, q=spec, settings=em, style=style, keep_all=True)
        posed = [Posed(c.id, c, items[int(c.item_id[1:])]) for c in drawn if isinstance(c, Candidate)]
        rows.append([
            attempt(worker, asked, model=spec, params=SamplingParams(max_tokens=12), style=style, rules=Rules()),
            drawn,
            em_steps.write(worker, asked, p=spec, settings=em, style=style),
            em_steps.score(worker, posed, p=spec, style=style),
            em_steps.rescore(worker, posed, q=spec, style=style),
        ])  # fmt: skip
    for mine, theirs in zip(rows[0][:3], rows[1][:3], strict=True):
        assert mine == theirs
    assert all(isinstance(r, Rollout) and r.verdict for r in rows[1][0])
    for mine, theirs in zip(rows[0][3:], rows[1][3:], strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert (b.logp_z, b.logp_x, b.logq) == pytest.approx((a.logp_z, a.logp_x, a.logq), abs=NATS)


# the server


def test_choices_after_the_first_have_streams_of_their_own(served: Running) -> None:
    body = {"model": "pocket", "prompt": "The sum of", "max_tokens": 8, "seed": 4, "n": 3}
    _, three = ask(served, "/completions", body)
    singles = [ask(served, "/completions", {**body, "n": 1, "seed": 4 + i})[1] for i in range(3)]
    assert [c["text"] for c in three["choices"]] == [s["choices"][0]["text"] for s in singles]
    assert [c["index"] for c in three["choices"]] == [0, 1, 2]
    assert three["usage"]["completion_tokens"] == sum(s["usage"]["completion_tokens"] for s in singles)


def test_echo_scores_the_prompt_and_several_prompts_go_at_once(
    served: Running, local: TransformersEngine
) -> None:
    ids = list(local.encode("What is 3 + 4?"))
    body = {"model": "pocket", "prompt": [ids, ids[:4]], "max_tokens": 0, "echo": True, "logprobs": 1}
    _, reply = ask(served, "/completions", body)
    for choice, head in zip(reply["choices"], (ids, ids[:4]), strict=True):
        told = choice["logprobs"]["token_logprobs"]
        (score,) = local.score([[Part("a", tuple(head[:1]), False), Part("x", tuple(head[1:]))]])
        assert told[0] is None
        assert sum(told[1:]) == pytest.approx(score["x"].logp, abs=NATS)
        assert choice["text"] == local.decode(head)


@pytest.mark.parametrize(
    ("path", "change", "status", "says"),
    [
        ("/completions", {"best_of": 3}, 400, "best_of"),
        ("/completions", {"stream": True}, 400, "stream"),
        ("/completions", {"logit_bias": {"1": 2}}, 400, "logit_bias"),
        ("/completions", {"logprobs": 5}, 400, "log-probs"),
        ("/completions", {"temperature": -1}, 400, "temperature"),
        ("/completions", {"max_tokens": "9"}, 400, "max_tokens"),
        ("/completions", {"stop": [3]}, 400, "stop"),
        ("/completions", {"prompt": []}, 400, "prompt"),
        ("/completions", {"prompt": [5] * 2000}, 400, "1024"),
        ("/completions", {"model": "other"}, 404, "other"),
        ("/completions", {"model": str(MODEL_DIR)}, 404, "does not exist"),
        ("/chat/completions", {"prompt": None, "messages": []}, 400, "messages"),
        ("/chat/completions", {"prompt": "x", "messages": [{"role": "user", "content": "a"}]}, 400, "prompt"),
    ],
)
def test_what_it_cannot_do_is_refused_and_never_ignored(
    path: str, change: dict[str, Any], status: int, says: str, served: Running
) -> None:
    body = {"model": "pocket", "prompt": "ab", "max_tokens": 2, **change}
    got, reply = ask(served, path, {k: v for k, v in body.items() if v is not None})
    assert got == status
    assert says in reply["error"]["message"]


def test_neutral_values_of_foreign_parameters_are_fine(served: Running) -> None:
    body = {
        "model": "pocket",
        "prompt": "ab",
        "max_tokens": 2,
        "stream": False,
        "best_of": 1,
        "logit_bias": None,
    }
    assert ask(served, "/completions", body)[0] == 200


def test_a_key_is_asked_for_and_other_machines_need_one(
    local: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptcot.lm import serve

    with Running(application("pocket", local, TransformersEngine, key="sesame")) as running:
        assert ask(running, "/completions", {"model": "pocket", "prompt": "a", "max_tokens": 1})[0] == 401
        monkeypatch.setenv("DOOR", "sesame")
        engine = OpenAIEngine(Server(base_url=running.base_url, api_key_env="DOOR"), "pocket")
        (sample,) = engine.sample([Prompt(1, text="a")], SamplingParams(max_tokens=1))
        engine.close()
        assert isinstance(sample, Sample)
    with pytest.raises(UserError, match="without a key"):
        serve.main("pocket", "0.0.0.0", 0, "pocket", None, "", "float32", "cpu", 1024)


def test_a_directory_below_is_served_by_its_path_and_reloaded_when_it_changes(
    local: TransformersEngine, tmp_path: Path
) -> None:
    loads: list[str] = []

    def load(path: str) -> TransformersEngine:
        loads.append(path)
        return local

    below = tmp_path / "runs"
    (below / "q1").mkdir(parents=True)
    weights = below / "q1" / "model.safetensors"
    weights.write_bytes(b"1")
    body = {"prompt": "a", "max_tokens": 1}
    with Running(application("pocket", local, load, below)) as running:
        for _ in range(2):
            assert ask(running, "/completions", {**body, "model": str(below / "q1")})[0] == 200
        assert len(loads) == 1
        weights.touch()
        assert ask(running, "/completions", {**body, "model": str(below / "q1")})[0] == 200
        assert len(loads) == 2
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "model.safetensors").write_bytes(b"1")
        assert ask(running, "/completions", {**body, "model": str(below / ".." / "out")})[0] == 404


# servers that lie


def tampered(local: TransformersEngine, change: Change, generate: bool = False) -> Running:
    """`promptcot serve` with its replies changed: `change(body, reply)`; None is status 400. generate: SGLang's own
    endpoint is there too."""

    @web.middleware  # type: ignore[untyped-decorator]
    async def lie(request: web.Request, handler: Any) -> web.StreamResponse:
        answer = await handler(request)
        if request.method != "POST" or answer.status != 200:
            return answer
        changed = change(await request.json(), json.loads(answer.body))
        return web.json_response(changed) if changed else web.json_response({"error": "no"}, status=400)

    app = application("pocket", local, TransformersEngine)
    app.middlewares.append(lie)
    if generate:
        app.router.add_post("/generate", partial(_sglang, Batcher(local)))
    return Running(app)


async def _sglang(batcher: Batcher, request: web.Request) -> web.Response:
    """SGLang's own endpoint, as far as scoring needs it."""
    body = await request.json()
    ids, sampling = body["input_ids"], body["sampling_params"]
    params = SamplingParams(sampling["temperature"], max_tokens=sampling["max_new_tokens"])
    (draw,) = await batcher.draws([Prompt(1, ids=tuple(ids))], params)
    rows = [[p, t, None] for p, t in zip(await batcher.logps(ids), ids, strict=True)]
    drawn = [[p, t, None] for p, t in zip(draw.logps, draw.drawn, strict=True)]
    return web.json_response({"meta_info": {"input_token_logprobs": rows, "output_token_logprobs": drawn}})


def without(reply: dict[str, Any], name: str) -> dict[str, Any]:
    for choice in reply.get("choices", []):
        choice.pop(name, None)
    return reply


def off_by_one(body: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
    """llama-cpp-python: the prompt's log-prob of a token comes from the logits behind it; no prompt_logprobs, no n."""
    for choice in without(reply, "prompt_logprobs").get("choices", []):
        if body.get("echo"):
            told = choice["logprobs"]["token_logprobs"]
            told[1:-1] = told[2:]
    return {k: v for k, v in reply.items() if k != "meta_info"}


def silent(body: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
    """Transformers' own server: n, logprobs, prompt_logprobs and token ids are ignored without a word."""
    for name in ("prompt_logprobs", "logprobs", "token_ids"):
        without(reply, name)
    return {**{k: v for k, v in reply.items() if k != "meta_info"}, "choices": reply.get("choices", [])[:1]}


def hosted(body: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any] | None:
    """An API that knows no additions."""
    strange = set(probe.WITH_IDS[0]) | set(probe.WITH_IDS[1]) | set(probe.LLAMA_CPP) | {"prompt_logprobs"}
    strange &= set(body)
    return None if strange or "meta_info" in reply else reply


@pytest.mark.parametrize(
    ("change", "why"),
    [(off_by_one, "off by one token"), (silent, "does not honour or give token ids of samples, log-probs of samples, n"),
     (hosted, "does not honour or give token ids of samples")],
    ids=["llama.cpp", "transformers", "hosted"],
)  # fmt: skip
def test_a_server_that_fails_the_self_test_may_not_score_but_samples_where_it_is_right(
    change: Change, why: str, local: TransformersEngine
) -> None:
    with tampered(local, change) as running:
        engine = remote(running)
        assert not engine.can_score
        with pytest.raises(UserError, match=f"may not score: .*{why}"):
            engine.score([[Part("c", (1, 2), False), Part("x", (3,))]])
        turns = (("user", "What is 1 + 2?"),)
        mine = local.sample([Prompt(3, messages=turns)], SamplingParams(max_tokens=9))
        (sample,) = engine.sample([Prompt(3, messages=turns)], SamplingParams(max_tokens=9))
        assert isinstance(sample, Sample)
        if change is hosted:
            assert sample.text == local.tokenizer.decode(mine[0].ids, skip_special_tokens=True)
        else:
            assert sample.text == mine[0].text
        if change is off_by_one:
            assert sample == mine[0]
        else:
            assert (sample.ids, sample.logq) == ((), None)
            assert sample.tokens > 0
            with pytest.raises(UserError, match="does not return token ids"):
                engine.sample([Prompt(3, ids=(1, 2, 3))], SamplingParams(max_tokens=9))
        engine.close()


def by_its_own_defaults(
    names: dict[str, Any], body: dict[str, Any], reply: dict[str, Any]
) -> dict[str, Any] | None:
    """A server without token ids that penalises and truncates where it is not told, by these names, to let it be."""
    if body.get("top_k", 0) < names["top_k"]:  # llama-cpp-python refuses -1
        return None
    for choice in without(reply, "token_ids").get("choices", []):
        if not names.items() <= body.items():
            said = choice.get("message", choice)
            said["content" if "message" in choice else "text"] += ", not as asked"
    return reply


@pytest.mark.parametrize("names", [probe.PLAINLY, probe.LLAMA_CPP], ids=["sglang", "llama.cpp"])
def test_a_server_without_token_ids_is_told_too_to_draw_plainly(
    names: dict[str, Any], local: TransformersEngine
) -> None:
    turns = (("user", "What is 1 + 2?"),)
    with tampered(local, partial(by_its_own_defaults, names)) as running:
        engine = remote(running)
        for prompt in (Prompt(3, messages=turns), Prompt(3, text="The sum")):
            mine, theirs = (e.sample([prompt], SamplingParams(max_tokens=9))[0] for e in (local, engine))
            assert isinstance(mine, Sample)
            assert isinstance(theirs, Sample)
            assert theirs.text == mine.text
        engine.close()


@pytest.mark.parametrize("kind", ["vllm", "echo", "sglang"])
def test_every_way_to_score_gives_the_scores_in_process(kind: str, local: TransformersEngine) -> None:
    def only(body: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
        if kind != "vllm":
            without(reply, "prompt_logprobs")
        if kind == "sglang":  # its OpenAI endpoint returns no token ids
            without(reply, "token_ids")
            if body.get("echo"):
                without(reply, "logprobs")
        return reply

    with tampered(local, only, generate=True) as running:
        engine = remote(running)
        assert engine.can_score
        assert engine.scoring.kind == kind
        sequence = [
            [Part("c", local.encode("Concepts: sums"), False), Part("x", local.encode("Find 3 + 4."))]
        ]
        (mine,), (theirs,) = local.score(sequence), engine.score(sequence)
        assert not isinstance(theirs, Failure)
        assert theirs["x"].logp == pytest.approx(mine["x"].logp, abs=NATS)
        engine.close()


def test_seeds_that_a_server_ignores_are_counted(local: TransformersEngine) -> None:
    seen: list[int] = []

    def forgetful(body: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
        seen.append(1)
        for choice in reply.get("choices", []):
            if "text" in choice:
                choice["text"] += str(len(seen))
        return reply

    with tampered(local, forgetful) as running:
        engine = remote(running)
        engine.sample([Prompt(i, text="a") for i in range(5)], SamplingParams(max_tokens=2))
        assert engine.usage()["unseeded"] == 5
        engine.close()


def test_other_weights_than_the_trainers_are_noticed(
    local: TransformersEngine, served: Running, tmp_path: Path
) -> None:
    canary.write(tmp_path, local)
    engine = remote(served)
    assert engine.can_score
    canary.verify(str(tmp_path), engine._score_all, "float32")
    rows = json.loads((tmp_path / canary.FILE).read_text())
    rows[0]["logp"] += 0.004 * sum(
        len(r["ids"]) - 1 for r in rows
    )  # as after one small step (docs/engines.md)
    (tmp_path / canary.FILE).write_text(json.dumps(rows))
    with pytest.raises(UserError, match=r"not those in .*differ by 0\.0040 nats"):
        canary.verify(str(tmp_path), engine._score_all, "float32")
    canary.verify(str(tmp_path), engine._score_all, "bfloat16")
    engine.close()
    for prompt in (Prompt(1, ids=(5, 6, 7)), Prompt(1, messages=(("user", "Hello"),))):
        asked = remote(served, weights=str(tmp_path))
        with pytest.raises(UserError, match="not those in"):
            asked.sample([prompt], SamplingParams(max_tokens=1))
        asked.close()


def test_replies_kept_from_other_weights_do_not_vouch_for_the_server(
    local: TransformersEngine, served: Running, tmp_path: Path
) -> None:
    canary.write(tmp_path, local)
    first = remote(served, weights=str(tmp_path))
    first.attend(tmp_path / ".replies-00000.jsonl", 1)
    parts = [Part("c", local.encode("Concepts: sums"), False), Part("x", local.encode("Find it."))]
    first.score([parts])
    first.close()
    trained = TransformersEngine(MODEL_DIR, device="cpu")
    weights = trained.model.state_dict()
    weights["model.norm.weight"] *= 1.05
    trained.model.load_state_dict(weights)
    with Running(application("pocket", trained, TransformersEngine)) as running:  # killed and started anew
        second = remote(running, weights=str(tmp_path))
        second.attend(tmp_path / ".replies-00000.jsonl", 1)
        with pytest.raises(UserError, match="not those in"):
            second.score([parts])
        second.close()
