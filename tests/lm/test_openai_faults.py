"""Whatever a server does, every row ends as done or as a reject with a reason: none is lost, none counted twice."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.lm.faulty import FAULTS, LONGEST_S, Faulty, Mortal, Plan, Running, is_row

from promptcot.errors import UserError
from promptcot.ids import row_seed
from promptcot.lm import http
from promptcot.lm.base import EngineSpec, Failure, Prompt, Sample, SamplingParams
from promptcot.lm.faults import ServerUnavailable
from promptcot.lm.openai import OpenAIEngine
from promptcot.lm.server import Server
from promptcot.records import Ask, Reject, Rollout
from promptcot.runner.worker import ShardJob, Worker, do_shard
from promptcot.settings import Rules
from promptcot.shards import replies_file
from promptcot.stages.solving import attempt
from promptcot.store import Step

# fault -> the reason of the reject when it never stops; the others are never held against a row
REASONS = {
    "500": "http_500", "400": "http_400", "hang": "timeout", "reset": "connection", "cut_off": "connection",
    "truncated": "bad_reply", "no_json": "bad_reply", "other_json": "bad_reply", "error_200": "bad_reply",
    "no_content": "empty_reply", "empty": "empty_reply", "no_choices": "wrong_choices", "two_choices": "wrong_choices",
    "no_finish": "bad_reply", "filtered": "content_filter", "short_logprobs": "short_logprobs",
    "bad_logprobs": "bad_logprobs", "429": "deadline", "429_bare": "deadline", "503": "deadline",
}  # fmt: skip
FATAL = {"401", "404"}
PASSING = set(REASONS) - {"400", "filtered"}  # a second try helps
KEY = "sk-very-secret"


def test_every_fault_is_tried_here() -> None:
    assert set(REASONS) | FATAL | {"twice", "twice_late"} == set(FAULTS)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_WAIT_S", 0.002)
    monkeypatch.setattr(http, "LONGEST_WAIT_S", 0.01)


def server(running: Running, **limits: Any) -> Server:
    given = {"timeout_s": 30.0, "deadline_s": 30.0, "tries": 3, "patience_s": 0.2, **limits}
    return Server.model_validate({"base_url": running.base_url, **given})


@pytest.fixture
def faulty() -> Iterator[tuple[Faulty, Running]]:
    made = Faulty()
    with Running(made.app()) as running:
        yield made, running


def rows_only(plan: Plan) -> Plan:
    """Probes are answered well."""
    return lambda body, n: plan(body, n) if is_row(body) else None


def number(body: dict[str, Any]) -> int:
    return int(body["messages"][-1]["content"].partition("row ")[2].split()[0])


def prompts(count: int) -> list[Prompt]:
    return [Prompt(seed=100 + i, messages=(("user", f"row {i} !"),)) for i in range(count)]


def draw(engine: OpenAIEngine, count: int) -> list[Sample | Failure]:
    try:
        return engine.sample(prompts(count), SamplingParams(max_tokens=9))
    finally:
        engine.close()


@pytest.mark.parametrize("fault", sorted(PASSING | {"twice"}))
def test_a_passing_fault_costs_a_retry_and_no_row(fault: str, faulty: tuple[Faulty, Running]) -> None:
    made, running = faulty
    made.plan = rows_only(lambda body, n: fault if number(body) == 1 and n == 0 else None)
    engine = OpenAIEngine(server(running, timeout_s=1.0 if fault == "hang" else 30.0), "m")
    found = draw(engine, 6)
    assert [s.text if isinstance(s, Sample) else s for s in found] == [
        f"row {i} !#{100 + i}" for i in range(6)
    ]
    rows = [s.body for s in made.seen if is_row(s.body)]
    if fault != "hang":  # where a try was given up, the server may not have seen it
        assert len(made.seen) == engine.usage()["requests"]
    if fault != "twice":
        assert engine.usage()["retries"] >= 1
        assert made.count(next(b for b in rows if number(b) == 1)) >= 2


@pytest.mark.parametrize("fault", sorted(REASONS))
def test_a_lasting_fault_is_a_reject_with_its_reason_and_harms_no_other_row(
    fault: str, faulty: tuple[Faulty, Running]
) -> None:
    made, running = faulty
    made.plan = rows_only(lambda body, n: fault if number(body) == 1 else None)
    overload = REASONS[fault] == "deadline"
    engine = OpenAIEngine(
        server(running, deadline_s=2.0 if overload else 30.0, timeout_s=1.0 if fault == "hang" else 30.0), "m"
    )
    found = draw(engine, 6)
    assert [isinstance(s, Sample) for s in found] == [True, False, True, True, True, True]
    failure = found[1]
    assert isinstance(failure, Failure)
    assert failure.reason == REASONS[fault]
    assert failure.detail
    sent = sum(number(s.body) == 1 for s in made.seen if is_row(s.body))
    if fault in ("400", "filtered"):
        assert sent == 1  # no other answer would come
    elif not overload:
        assert sent >= 3
    assert engine.usage()["failed"] == 1


def test_half_a_surrogate_pair_in_a_servers_words_becomes_a_character_that_a_table_holds(
    faulty: tuple[Faulty, Running],
) -> None:
    _, running = faulty
    engine = OpenAIEngine(server(running), "m")
    prompt = Prompt(seed=1, messages=(("user", "\ufeffwhole \U0001f600, half \ud83d a, \ude00\ude00"),))
    (found,) = engine.sample([prompt], SamplingParams(max_tokens=9))
    engine.close()
    assert isinstance(found, Sample)
    assert found.text == "\ufeffwhole \U0001f600, half \ufffd a, \ufffd\ufffd#1"

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "not \ud83d"}}, status=400)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", refuse)
    with Running(app) as other, pytest.raises(UserError, match="http_400 not \ufffd"):
        draw(OpenAIEngine(server(other), "m"), 1)


def test_a_reply_that_comes_again_on_an_idle_connection_is_nobody_elses(
    faulty: tuple[Faulty, Running],
) -> None:
    made, running = faulty
    made.plan = rows_only(lambda body, n: "twice_late" if number(body) == 0 else None)
    engine = OpenAIEngine(server(running, max_concurrency=1), "m")
    engine.sample(prompts(1), SamplingParams(max_tokens=9))
    time.sleep(0.1)
    found = engine.sample(prompts(3)[1:], SamplingParams(max_tokens=9))
    engine.close()
    assert [s.text if isinstance(s, Sample) else s for s in found] == ["row 1 !#101", "row 2 !#102"]


def ask(i: int) -> Ask:
    return Ask(f"id{i}", f"p{i}", 0, "math", "1", [], f"row {i} is a problem")


def shard(
    tmp_path: Path, running: Running, count: int, shard_: int = 0, **limits: Any
) -> tuple[list[Rollout], list[Reject]]:
    """The rows of one real shard of attempts, as they stand on disk, and its usage."""
    step = Step(tmp_path / "07_label" / "attempts", Rollout, {}, {})
    spec = EngineSpec("openai", "m", server=server(running, **limits))
    fn = partial(attempt, model=spec, params=SamplingParams(max_tokens=9), style="compact", rules=Rules())
    commit = do_shard(Worker(7), ShardJob(step.path, shard_, Rollout, [ask(i) for i in range(count)], fn))
    step.append(commit)
    step.finish(count)  # asserts rows in = rows out + rejected
    return list(step.rows()), list(step.rejects())


@pytest.mark.parametrize("seed", range(6))
def test_under_random_faults_no_row_is_lost_doubled_or_mixed_up(
    seed: int, tmp_path: Path, faulty: tuple[Faulty, Running]
) -> None:
    made, running = faulty
    rng = random.Random(seed)
    count = 40
    cheap = sorted(PASSING - {"hang"})
    passing = {i: [rng.choice([*cheap, "twice"]) for _ in range(rng.randrange(3))] for i in range(count)}
    lasting = {i: rng.choice([f for f in REASONS if f not in ("429", "429_bare", "503", "hang")])
               for i in rng.sample(range(count), 8)}  # fmt: skip

    def plan(body: dict[str, Any], n: int) -> str | None:
        i = number(body)
        mine = passing[i]
        return mine[n] if n < len(mine) else lasting.get(i)

    made.plan = rows_only(plan)
    done, rejects = shard(tmp_path, running, count, tries=4)
    ids = [r.id for r in done] + [r.id for r in rejects]
    assert sorted(ids) == sorted(ask(i).id for i in range(count))
    # Who is answered twice is answered before the lasting fault.
    assert {r.id for r in rejects} == {f"id{i}" for i in lasting if "twice" not in passing[i]}
    assert all(r.reason in REASONS.values() for r in rejects)
    for row in done:
        assert f"row {row.id[2:]} is a problem" in row.text  # nobody has another's answer
        seed_ = row_seed(7, row.id)
        assert row.text.endswith(f"#{seed_ - (1 << 64) if seed_ >= 1 << 63 else seed_}")
    assert not replies_file(tmp_path / "07_label" / "attempts", 0).exists()


def test_a_server_that_is_down_stops_the_run_and_costs_no_row_when_it_is_back(
    tmp_path: Path, faulty: tuple[Faulty, Running]
) -> None:
    made, running = faulty

    def down(body: dict[str, Any], n: int) -> str | None:
        made.healthy = False
        return "reset"

    made.plan = rows_only(down)
    with pytest.raises(ServerUnavailable, match="does not answer: connection"):
        shard(tmp_path, running, 10)
    rows = [s.body for s in made.seen if is_row(s.body)]
    assert len(rows) <= 10  # nobody was asked again while the server was down
    made.plan, made.healthy = (lambda body, n: None), True
    done, rejects = shard(tmp_path, running, 10)
    assert (len(done), rejects) == (10, [])


def test_a_server_that_restarts_within_patience_goes_unnoticed(faulty: tuple[Faulty, Running]) -> None:
    made, running = faulty

    def plan(body: dict[str, Any], n: int) -> str | None:
        if number(body) == 2 and n == 0:
            made.sick = 3
            return "500"
        return None

    made.plan = rows_only(plan)
    # One try only: what fails while the server is down is not held against the row.
    engine = OpenAIEngine(server(running, tries=1, patience_s=60.0, max_concurrency=1), "m")
    assert all(isinstance(s, Sample) for s in draw(engine, 5))
    assert made.sick < 0


# It goes down before anybody is answered, and after some were: then those in flight are no more to blame.
@pytest.mark.parametrize(("delay_s", "dies_after_s", "most"), [(0.5, 0.02, 64), (0.03, 0.045, 4)])
def test_a_row_that_brings_the_server_down_is_found_and_no_other_is_charged(
    delay_s: float, dies_after_s: float, most: int
) -> None:
    made = Mortal(
        deadly=lambda body: "row 3 " in body["messages"][-1]["content"],
        delay_s=delay_s,
        dies_after_s=dies_after_s,
    )
    with Running(made.app()) as running:
        # One try only, and all are alone in turn for longer than the deadline of one.
        limits = {"tries": 1, "patience_s": 60.0, "deadline_s": 3.0, "max_concurrency": most}
        found = draw(OpenAIEngine(server(running, **limits), "m"), 9)
    failure = found[3]
    assert isinstance(failure, Failure)
    assert failure.reason == "connection"
    assert "went down at 3 tries in a row" in failure.detail
    assert made.deaths == 3
    assert [i for i, s in enumerate(found) if isinstance(s, Failure)] == [3]


def test_a_row_at_which_the_server_goes_down_for_good_is_found_over_several_starts_of_the_run(
    tmp_path: Path,
) -> None:
    made = Mortal(deadly=lambda body: "row 3 " in body["messages"][-1]["content"], first_with=9)
    with Running(made.app()) as running:
        # Nobody starts it again while the run waits; before the next command somebody does.
        for start in (1, 2, 3):
            with pytest.raises(ServerUnavailable, match="does not answer"):
                shard(tmp_path, running, 9, patience_s=1e-3)
            assert made.deaths == start
            made.sick = 0
        journal = replies_file(tmp_path / "07_label" / "attempts", 0).read_text()
        kept = [json.loads(line) for line in journal.splitlines()]
        assert max(e.get("outages", 0) for e in kept) == 3
        assert sum(e.get("outages", 0) == 1 for e in kept) == 9  # all were in flight at the first
        done, rejects = shard(tmp_path, running, 9, patience_s=1e-3)
    assert made.deaths == 3
    assert (len(done), [r.reason for r in rejects]) == (8, ["connection"])
    assert rejects[0].id == ask(3).id


def test_a_lost_connection_is_no_reason_to_forget_the_context() -> None:
    asked = 0

    async def models(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked < 3 and request.transport is not None:
            request.transport.abort()
        return web.json_response({"data": [{"id": "m", "max_model_len": 96}]})

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/v1/models", models), web.get("/health", health)])
    with Running(app) as running:
        assert OpenAIEngine(server(running), "m").max_context == 96


def test_a_server_that_fails_everybody_is_stopped_before_it_wastes_the_table(
    tmp_path: Path, faulty: tuple[Faulty, Running]
) -> None:
    made, running = faulty
    made.plan = rows_only(lambda body, n: "400")
    with pytest.raises(
        ServerUnavailable, match=f"the last {http.MANY_LOST} requests .* all failed; .* http_400"
    ):
        shard(tmp_path, running, http.MANY_LOST + 20)
    assert not list(tmp_path.rglob("part-*"))


@pytest.mark.parametrize("fault", sorted(FATAL))
def test_a_wrong_key_or_model_stops_at_once_and_the_key_stays_out_of_sight(
    fault: str, tmp_path: Path, faulty: tuple[Faulty, Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, running = faulty
    monkeypatch.setenv("SOME_KEY", KEY)
    made.plan = lambda body, n: fault
    with pytest.raises(UserError) as caught:
        shard(tmp_path, running, 3, api_key_env="SOME_KEY")
    assert f"answers {fault}" in str(caught.value)
    assert KEY not in str(caught.value)
    assert made.seen[0].key == f"Bearer {KEY}"  # it was sent
    assert len(made.seen) == 1


def test_a_key_that_a_server_repeats_reaches_no_file(
    tmp_path: Path, faulty: tuple[Faulty, Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, running = faulty
    monkeypatch.setenv("SOME_KEY", KEY)
    made.plan = rows_only(lambda body, n: "400" if number(body) == 1 else None)
    _, (reject,) = shard(tmp_path, running, 3, api_key_env="SOME_KEY")
    assert reject.detail == "the key was Bearer ***"
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


def test_a_missing_key_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(UserError, match="SOME_KEY is empty or not set"):
        OpenAIEngine(Server(base_url="http://127.0.0.1:9/v1", api_key_env="SOME_KEY"), "m")


def test_retry_after_holds_everybody_back(faulty: tuple[Faulty, Running]) -> None:
    made, running = faulty
    made.plan = rows_only(lambda body, n: "429" if number(body) == 0 and n == 0 else None)
    engine = OpenAIEngine(server(running, max_concurrency=1), "m")
    assert all(isinstance(s, Sample) for s in draw(engine, 4))
    rows = [s for s in made.seen if is_row(s.body)]
    refused = next(i for i, s in enumerate(rows) if number(s.body) == 0)
    assert rows[refused + 1].at_s - rows[refused].at_s >= 0.05


def test_never_more_in_flight_than_allowed(faulty: tuple[Faulty, Running]) -> None:
    made, running = faulty
    engine = OpenAIEngine(server(running, max_concurrency=5), "m")
    made.together = 5
    assert all(isinstance(s, Sample) for s in draw(engine, 60))
    assert made.most_inside == 5


def test_processes_share_the_limit(faulty: tuple[Faulty, Running]) -> None:
    made, running = faulty
    engine = OpenAIEngine(server(running, max_concurrency=9), "m")
    engine.attend(None, parallel=3)
    made.together = 3
    assert all(isinstance(s, Sample) for s in draw(engine, 30))
    assert made.most_inside == 3


def test_processes_share_the_rates_where_each_has_one_request_in_flight_anyway(
    faulty: tuple[Faulty, Running],
) -> None:
    _, running = faulty
    limits = {"max_concurrency": 1, "requests_per_minute": 60, "tokens_per_minute": 1200}
    client = OpenAIEngine(server(running, **limits), "m").client
    for parallel in (4, 2, 1):
        client.share(parallel)
        assert client.requests_rate.per_s == 1 / parallel
        assert client.tokens_rate.per_s == 20 / parallel
        assert client.gate.most == 1
    client.close()


def test_after_a_kill_only_what_has_no_reply_is_asked_again(
    tmp_path: Path, faulty: tuple[Faulty, Running]
) -> None:
    made, running = faulty
    # Rows are sent in order, four at a time: when the 25th ends the shard, at least 21 are answered.
    made.plan = rows_only(lambda body, n: "401" if number(body) == 24 and n == 0 else None)
    with pytest.raises(UserError, match="401"):
        shard(tmp_path, running, 30, max_concurrency=4)
    journal = replies_file(tmp_path / "07_label" / "attempts", 0)
    kept = journal.read_bytes().splitlines()
    assert 21 <= len(kept) <= 27
    journal.write_bytes(b"\n".join([*kept[:-1], b"damaged", kept[-1][:10]]))  # and a torn last line
    before = {number(s.body) for s in made.seen if is_row(s.body)}
    made.plan = lambda body, n: None
    first = len(made.seen)
    done, rejects = shard(tmp_path, running, 30, max_concurrency=4)
    assert (len(done), rejects) == (30, [])
    again = [number(s.body) for s in made.seen[first:] if is_row(s.body)]
    assert len(again) == 30 - (len(kept) - 1)
    assert len(set(again) & before) <= 4 + 1  # what was in flight, and the damaged line


def help_out(folder: Path, running: Running, count: int) -> None:
    """A shard of attempts, made by a helper (--shard) in a folder of its own."""
    spec = EngineSpec("openai", "m", server=server(running, max_concurrency=4))
    fn = partial(attempt, model=spec, params=SamplingParams(max_tokens=9), style="compact", rules=Rules())
    commit = do_shard(Worker(7), ShardJob(folder, 0, Rollout, [ask(i) for i in range(count)], fn))
    assert (commit.rows_out, commit.rejected) == (count, 0)


def test_a_helper_makes_the_folder_for_its_replies(tmp_path: Path, faulty: tuple[Faulty, Running]) -> None:
    help_out(tmp_path / "attempts" / "by-1-a", faulty[1], 3)


# Started anew, or done by another helper, or by the leader.
@pytest.mark.parametrize("again", ["by-1-b", "by-2-a", "."])
def test_replies_of_a_killed_helper_are_not_asked_for_again(
    again: str, tmp_path: Path, faulty: tuple[Faulty, Running]
) -> None:
    made, running = faulty
    step = tmp_path / "attempts"
    made.plan = rows_only(lambda body, n: "401" if number(body) == 19 and n == 0 else None)
    with pytest.raises(UserError, match="401"):
        help_out(step / "by-1-a", running, 20)
    kept = len(replies_file(step / "by-1-a", 0).read_bytes().splitlines())
    assert kept >= 16
    first = len(made.seen)
    help_out(step / again, running, 20)
    asked = [s for s in made.seen[first:] if is_row(s.body)]
    assert len(asked) == 20 - kept


def test_a_dropped_engine_leaves_its_count_and_no_open_file(
    tmp_path: Path, faulty: tuple[Faulty, Running]
) -> None:
    made, running = faulty
    specs = [EngineSpec("openai", f"dropped{n}", server=server(running)) for n in range(4)]
    clients: list[http.Client] = []

    def annotate(worker: Worker, rows: list[Ask]) -> list[Reject]:
        for spec in specs:
            engine: Any = worker.engine(spec)
            engine.sample(prompts(1), SamplingParams(max_tokens=9))
            clients.append(engine.client)
        return [Reject(row.id, "tried") for row in rows]

    worker, job = Worker(7), ShardJob(tmp_path / "attempts", 0, Rollout, [ask(0)], annotate)
    job.path.mkdir()
    usage = do_shard(worker, job).usage
    assert (usage["prompt_tokens"], usage["sampled_tokens"]) == (4 * 3, 4 * 5)
    assert usage["requests"] == len(made.seen)
    assert [c.journal is None for c in clients] == [True, True, False, False]
    again = do_shard(worker, job).usage  # every engine is dropped once, and answers from the journal
    assert (again["prompt_tokens"], again["sampled_tokens"]) == (4 * 3, 4 * 5)
    worker.release()
    assert all(c.journal is None for c in clients)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("http dropped")]


def test_it_closes_its_thread_and_connections(faulty: tuple[Faulty, Running]) -> None:
    _, running = faulty
    before = {t.name for t in threading.enumerate()}
    engine = OpenAIEngine(server(running), "gone")
    engine.sample(prompts(3), SamplingParams(max_tokens=9))
    session = engine.client.session
    del engine
    ends = time.monotonic() + LONGEST_S
    while {t.name for t in threading.enumerate()} != before and time.monotonic() < ends:
        time.sleep(0.01)
    assert {t.name for t in threading.enumerate()} == before
    assert session.closed


def test_it_works_inside_a_running_event_loop(faulty: tuple[Faulty, Running]) -> None:
    import asyncio

    _, running = faulty

    async def notebook() -> list[Sample | Failure]:
        return draw(OpenAIEngine(server(running), "m"), 3)

    assert len(asyncio.run(notebook())) == 3
