"""The suite's own temporary directory, which must be empty at its end.

Every process of the suite (each worker of xdist) has a folder below `<root>/TMPDIR` as its TMPDIR, which its children
inherit. The run fails with the names of what is left there. The root is removed; `--basetemp DIR` keeps `tmp_path`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(OwnTemporaryDirectory(config, os.environ.get("PYTEST_XDIST_WORKER")))


class OwnTemporaryDirectory:
    """That of this process. The process that is nobody's worker makes the root, and looks for what is left at the end."""

    def __init__(self, config: pytest.Config, worker: str | None) -> None:
        self.leads = worker is None
        if worker is None:
            self.root = Path(
                tempfile.mkdtemp(prefix="pt-")
            )  # short: a socket's path has 107 characters at most
            config.option.basetemp = config.option.basetemp or str(self.root / "tmp_path")
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(self.root / "torch")  # which importing torch makes
        else:
            self.root = Path(os.environ["TMPDIR"]).parents[1]
        self.all, self.seen = self.root / "TMPDIR", self.root / "seen"
        self.own = self.all / (worker or "main")
        self.own.mkdir(parents=True)
        self.known: set[str] = set()
        self.left: list[str] = []
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.own)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note after which test something was first seen."""
        done = yield
        new = {entry.name for entry in self.own.iterdir()} - self.known
        self.known |= new
        with self.seen.open("a") as f:
            f.writelines(f"{self.own.name}/{name}\t{item.nodeid}\n" for name in sorted(new))
        return done

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        yield  # the workers have ended
        if not self.leads:
            return
        lines = self.seen.read_text().splitlines() if self.seen.exists() else []
        after = dict(line.split("\t") for line in lines)
        names = sorted(str(path.relative_to(self.all)) for path in self.all.glob("*/*"))
        self.left = [f"{name}, first seen after {after.get(name, 'the last test')}" for name in names]
        if self.left and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what is left."""
        if self.left:
            terminalreporter.write_sep("=", "left behind in the temporary directory", red=True)
            terminalreporter.write_line("\n".join(self.left))

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Remove all of it."""
        if self.leads:
            shutil.rmtree(self.root, ignore_errors=True)
