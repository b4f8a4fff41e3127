"""Which sandbox is taken: never one that does not confine, never none without a word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from promptcot import doctor
from promptcot.errors import UserError
from promptcot.verify.sandbox import Choice, backends, choose, probe, run_program
from promptcot.verify.sandbox.job import Report
from promptcot.verify.sandbox.run import Limits, run_batch
from promptcot.verify.sandbox.trial import trial


@pytest.fixture
def unprobed() -> Iterator[None]:
    backends.probe.cache_clear()
    yield
    backends.probe.cache_clear()


def test_a_back_end_that_does_not_confine_is_as_good_as_absent(sandbox: Choice) -> None:
    honest = choose(sandbox)
    assert trial(honest) == ""
    outside = replace(choose("unsafe"), name=sandbox, confine="seccomp", filter=b"\x06\0\0\0\0\0\xff\x7f")
    assert trial(outside).startswith("it starts but does not confine: fork, outside, write, network, signals")


def test_a_filter_the_kernel_refuses_is_an_error_and_runs_nothing(sandbox: Choice) -> None:
    broken = replace(choose(sandbox), filter=b"\xff" * 8)
    assert "unconfined" in trial(broken)
    with pytest.raises(UserError, match="unconfined"):
        run_batch(broken, "print('ran')", [""], Limits())


def test_without_any_sandbox_the_refusal_says_why_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, unprobed: None
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(backends, "landlock_abi", lambda: 0)
    with pytest.raises(UserError) as caught:
        run_program("print(1)", [""])
    for part in ("bwrap: no command 'bwrap'", "landlock: the kernel", "promptcot doctor", "sandbox=unsafe"):
        assert part in str(caught.value)
    assert run_program("print(1)", [""], sandbox="unsafe")[0].stdout == "1\n"
    assert doctor.run(as_json=False) == 1


def test_without_bubblewrap_landlock_is_taken_and_named(
    monkeypatch: pytest.MonkeyPatch, unprobed: None
) -> None:
    if why := probe("landlock").why:
        pytest.skip(f"the back end 'landlock' is absent: {why}")
    monkeypatch.setattr("shutil.which", lambda _: None)
    backends.probe.cache_clear()
    assert choose().name == "landlock"
    with pytest.raises(UserError, match="no command 'bwrap'"):
        choose("bwrap")


def test_on_other_systems_and_machines_it_refuses(monkeypatch: pytest.MonkeyPatch, unprobed: None) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(UserError, match="no system call table for riscv64"):
        choose()
    monkeypatch.setattr("sys.platform", "darwin")
    backends.probe.cache_clear()
    with pytest.raises(UserError, match="needs Linux, this is darwin"):
        choose()


def test_bwrap_without_landlock_has_no_proc(monkeypatch: pytest.MonkeyPatch, unprobed: None) -> None:
    if why := probe("bwrap").why:
        pytest.skip(f"the back end 'bwrap' is absent: {why}")
    monkeypatch.setattr(backends, "landlock_abi", lambda: 0)
    backends.probe.cache_clear()
    backend = choose("bwrap")
    assert backend.confine == "seccomp"
    (run,) = run_batch(backend, "import os; print(os.path.exists('/proc/self'), input())", ["x"], Limits())
    assert run.stdout == "False x\n"


def test_the_doctor_says_what_was_tried(capsys: pytest.CaptureFixture[str]) -> None:
    code = doctor.run(as_json=False)
    said = capsys.readouterr().out
    for name in backends.ORDER:
        why = probe(name).why
        assert f"{name:<9} " + (f"cannot be used: {why}" if why else "works: ") in said
    assert code == (0 if any(not probe(n).why for n in backends.ORDER) else 1)


@pytest.mark.parametrize(
    "line", ["", "start", "start x", "end 0", "end a b c d e f", "nonsense 1", "end 0 0 0 0 0 0 0"]
)
def test_a_malformed_report_is_ignored(line: str) -> None:
    report = Report()
    report.take(line)
    assert report == Report()
