"""Packages that programs are given: they work, they are all that is seen, and a missing one is refused at once."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from promptcot.errors import UserError
from promptcot.records import UnitTest
from promptcot.verify.programs import run_tests
from promptcot.verify.sandbox import Choice, Limits, choose, packages, run_program, server
from promptcot.verify.sandbox.packages import Packages, find, installed, names
from promptcot.verify.sandbox.server import Server

LIMITS = Limits(wall_s=30.0, cpu_s=30.0)
SITE = Path(pytest.__file__).parents[1]

USES = {
    "numpy": [
        ("import numpy as np; print(int(np.array(input().split(), dtype=int).sum()))", "7"),
        ("import numpy as np; a = np.eye(200) * 4; print(np.linalg.solve(a, np.ones(200))[3])", "0.25"),
        ("from numpy.linalg import matrix_power; print(matrix_power([[1, 1], [1, 0]], 50)[0][1])", "12586269025"),
        ("import numpy as np; np.random.seed(1); print(np.random.randint(10), np.fft.fft([1, 1])[0].real)", "5 2.0"),
    ],
    "sortedcontainers": [
        ("from sortedcontainers import SortedList\ns = SortedList([5, 1, 3]); s.add(2); print(*s, s.bisect(3))", "1 2 3 5 3"),
    ],
    "sympy": [
        ("from sympy import factorint, symbols, solve\nx = symbols('x')\nprint(factorint(360), solve(x**2 - 4))", "{2: 3, 3: 2, 5: 1} [-2, 2]"),
        ("import mpmath; mpmath.mp.dps = 30; print(mpmath.mpf(2) ** 0.5)", "1.41421356237309504880168872421"),
    ],
    "networkx": [
        ("import networkx as nx\ng = nx.path_graph(5); g.add_edge(0, 4)\nprint(nx.shortest_path(g, 0, 3))", "[0, 4, 3]"),
    ],
}  # fmt: skip
PROGRAMS = [(name, code, output) for name, cases in USES.items() for code, output in cases]


@pytest.fixture(autouse=True)
def there(request: pytest.FixtureRequest) -> None:
    """Skips what needs a package that is not installed here."""
    wanted = request.node.callspec.params.get("name") if hasattr(request.node, "callspec") else None
    if wanted in USES and not installed([wanted])[wanted]:
        pytest.skip(f"not installed: {wanted}")


@pytest.mark.parametrize(("name", "code", "output"), PROGRAMS)
def test_a_package_that_is_named_works_and_one_that_is_not_is_absent(
    name: str, code: str, output: str, runner: Choice
) -> None:
    (run,) = run_program(code, ["3 4"], replace(LIMITS, packages=(name,)), sandbox=runner)
    assert (run.status, run.stdout) == ("ok", f"{output}\n"), run.stderr
    (run,) = run_program(code, ["3 4"], LIMITS, sandbox=runner)
    assert (run.status, "ModuleNotFoundError" in run.stderr) == ("error", True)


@pytest.mark.parametrize("name", ["numpy"])
def test_tests_calls_and_both_modes_have_the_packages(name: str, sandbox: Choice) -> None:
    limits = replace(LIMITS, packages=(name,))
    script = "import numpy\nprint(numpy.prod([2, 3]))"
    call = "import numpy as np\nclass Solution:\n    def f(self, a): return np.cumsum(a).tolist()"
    for mode in ("judge", "lcb"):
        assert run_tests(script, [UnitTest("", "6")], limits, sandbox=sandbox, mode=mode) == ["passed"]
    tests = [UnitTest("[1, 2]", "[1, 3]")]
    assert run_tests(call, tests, limits, sandbox=sandbox, mode="lcb", function="f") == ["passed"]


@pytest.mark.parametrize("name", ["numpy"])
def test_a_call_may_return_the_numbers_of_a_package(name: str, sandbox: Choice) -> None:
    limits = replace(LIMITS, packages=(name, "sympy") if installed()["sympy"] else (name,))
    for result, expected, end in (
        ("np.sum([1, 2])", "3", "passed"),
        ("[np.int8(1), (np.float32(0.5), np.bool_(True))]", "[1, [0.5, true]]", "passed"),
        ("np.float64(0.1) + 0.2", "0.3", "wrong_output"),
        ("{'a': np.uint64(2 ** 63)}", '{"a": 9223372036854775808}', "passed"),
        ("np.array([1, 2])", "[1, 2]", "wrong_output"),  # for LiveCodeBench neither equal nor unequal
        ("type('I', (), {'__index__': lambda s: 3})()", "3", "passed"),
        ("type('I', (), {'__index__': lambda s: 1 / 0})()", "3", "error"),
        *(
            [("__import__('sympy').Integer(3) ** 70", str(3**70), "passed")]
            if "sympy" in limits.packages
            else []
        ),
    ):
        code = f"import numpy as np\nclass Solution:\n    def f(self): return {result}"
        ends = run_tests(code, [UnitTest("", expected)], limits, sandbox=sandbox, mode="lcb", function="f")
        assert ends == [end], result


@pytest.mark.parametrize("name", ["numpy"])
def test_too_large_an_array_is_a_matter_of_memory(name: str, sandbox: Choice) -> None:
    limits = replace(LIMITS, packages=(name,))
    (run,) = run_program("import numpy\nnumpy.zeros(1 << 30)", [""], limits, sandbox=sandbox)
    assert run.status == "memory", run


SEES = """
import os, sys
site = {site!r}
seen = set()
for name in {names!r}:
    place = os.path.join(site, name)
    try:
        os.listdir(place) if os.path.isdir(place) else open(place).close()
        seen.add(name)
    except OSError: pass
print(*sorted(seen))
"""


def test_nothing_else_of_the_installed_packages_is_seen(sandbox: Choice) -> None:
    everything = sorted(os.listdir(SITE))
    places = [str(SITE), "/packages"] if sandbox == "bwrap" else [str(SITE)]
    code = "\n".join(SEES.format(site=place, names=everything) for place in places)
    (run,) = run_program(code, [""], LIMITS, sandbox=sandbox)
    assert not run.stdout.split()
    (run,) = run_program(code, [""], replace(LIMITS, packages=("numpy",)), sandbox=sandbox)
    assert sorted(run.stdout.split()) == sorted({"numpy", "numpy.libs"} & set(everything))


@pytest.mark.parametrize("name", ["numpy"])
def test_what_one_program_does_to_a_package_the_next_does_not_see(name: str, sandbox: Choice) -> None:
    limits = replace(LIMITS, packages=(name,))
    spoil = "import numpy\nnumpy.sum = len\nnumpy.spoilt = True\nprint(numpy.sum([1, 2, 3]))"
    assert run_program(spoil, [""], limits, sandbox=sandbox)[0].stdout == "3\n"
    look = "import numpy\nprint(numpy.sum([1, 2, 3]), hasattr(numpy, 'spoilt'))"
    assert run_program(look, [""], limits, sandbox=sandbox)[0].stdout == "6 False\n"


@pytest.mark.parametrize("name", ["numpy"])
def test_every_program_has_a_random_state_of_its_own(name: str, sandbox: Choice) -> None:
    limits = replace(LIMITS, packages=("pandas",) if installed()["pandas"] else ("numpy",))
    code = "import numpy\nprint(numpy.random.random())"
    drawn = [run.stdout for run in run_program(code, [""] * 5, limits, sandbox=sandbox)]
    assert len(set(drawn)) == 5


@pytest.mark.parametrize("name", ["numpy"])
def test_a_server_with_packages_has_one_thread_and_serves_nobody_else(name: str, sandbox: Choice) -> None:
    server.shut()
    limits = replace(LIMITS, packages=(name,))
    run_program("print(1)", [""], limits, sandbox=sandbox)
    ((backend, _), idle), *others = server._mine.idle.items()
    assert (backend.packages.asked, others) == (("numpy",), [])
    family = psutil.Process(idle.process.pid)
    assert {p.num_threads() for p in [family, *family.children(recursive=True)]} == {1}
    run_program("print(1)", [""], LIMITS, sandbox=sandbox)
    assert {key[0].packages.asked for key in server._mine.idle} == {("numpy",), ()}
    (run,) = run_program("import os; print(dict(os.environ))", [""], LIMITS, sandbox=sandbox)
    assert run.stdout == "{}\n"


def test_a_package_that_starts_threads_is_refused(tmp_path: Path) -> None:
    """Forks would lack them. A folder that stands for a package, as no usual one does that."""
    (tmp_path / "threads_at_import.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
    )
    module = ("threads_at_import", str(tmp_path / "threads_at_import.py"))
    for name in ("bwrap", "landlock"):
        try:
            backend = choose(name)
        except UserError:
            continue
        paths = (module[1],)
        odd = Packages(("threads_at_import",), (module,), paths, "odd 1")
        outer = backend.outer and (*backend.outer[:1], "--ro-bind", *paths * 2, *backend.outer[1:])
        if "--proc" not in backend.outer and outer:
            continue  # nothing says how many threads there are
        with pytest.raises(UserError, match="starts threads when it is imported"):
            Server(replace(backend, packages=odd, outer=outer, readable=(*backend.readable, *paths)), 0)


# --- names


def test_names_are_compared_as_pip_does() -> None:
    assert names(["SymPy", "numpy", "sympy", "more_itertools"]) == ("more-itertools", "numpy", "sympy")
    for bad in ("", "a b", "../numpy", "numpy==2", "-r"):
        with pytest.raises(UserError, match="package name"):
            names([bad])
    if installed(["numpy"])["numpy"]:
        assert find(("NumPy",)) == find(("numpy",))


def test_what_a_package_requires_comes_with_it() -> None:
    if not installed(["sympy"])["sympy"]:
        pytest.skip("not installed: sympy")
    found = find(("sympy",))
    assert (found.asked[:1], "mpmath" in dict(found.modules)) == (
        ("isympy",) if "isympy" in found.asked else ("sympy",),
        True,
    )
    assert "pytest" not in dict(found.modules)  # an extra's
    version = importlib.metadata.version("mpmath")
    assert f"mpmath {version}" in found.about
    assert f"mpmath {version}" in str(choose("unsafe", ("sympy",)))


def test_a_package_that_is_missing_is_named_with_what_to_type() -> None:
    with pytest.raises(UserError, match="'no-such-package' for programs is not installed") as error:
        choose("unsafe", ("No_such.package",))
    assert error.value.do == f"{sys.executable} -m pip install no-such-package"
    with pytest.raises(UserError, match="there is 'PyYAML', which brings the module") as error:
        find(("yaml",))
    assert error.value.do == "name PyYAML instead"


def install(folder: Path, name: str, *requires: str, record: str = "{0}.py,,\n") -> None:
    """A distribution of one empty module in this folder."""
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (folder / f"{name}.py").write_text("")
    lines = [f"Name: {name}", "Version: 1", *(f"Requires-Dist: {r}" for r in requires)]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    outside = ("../../../bin/x", "/etc/passwd", "/", ".", "..", "./../x", "__pycache__/x.pyc", f"{name}.pth")
    (info / "RECORD").write_text(record.format(name) + "".join(f"{path},,\n" for path in outside))


def test_a_dependency_that_is_missing_is_named_unless_a_marker_excuses_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    excused = ("absent; sys_platform == 'win32'", "gone; extra == 'x'")
    install(tmp_path, "odd_one", "odd_two[more]>=1; python_version >= '3'", *excused)
    install(tmp_path, "odd_two", "odd_one")
    install(tmp_path, "odd_three", "odd_two", "absent>=2")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = find(("odd-one",))
    assert found.modules == tuple((n, str(tmp_path / f"{n}.py")) for n in ("odd_one", "odd_two"))
    assert found.paths == tuple(path for _, path in found.modules)
    assert (found.asked, found.about) == (("odd_one",), "odd-one 1, odd-two 1")
    with pytest.raises(UserError, match="'absent' for programs is not installed"):
        find(("odd-three",))


def test_a_package_whose_files_lie_elsewhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(tmp_path, "odd_linked", record="")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="'odd-linked' lists no module among its files") as error:
        find(("odd-linked",))
    assert "editable" in error.value.do


def test_a_package_that_cannot_be_imported_in_there_is_an_error_that_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Choice
) -> None:
    (tmp_path / "broken.py").write_text("raise ImportError('libodd.so.3: not there')\n")
    odd = Packages(
        ("broken",), (("broken", str(tmp_path / "broken.py")),), (str(tmp_path / "broken.py"),), "broken 1"
    )
    monkeypatch.setattr("promptcot.verify.sandbox.backends.find", lambda _: odd)
    with pytest.raises(
        UserError, match=f"cannot import broken in the sandbox '{runner}': .*libodd.so.3: not there"
    ):
        choose(runner, ("broken",))


# --- commands


@pytest.mark.parametrize("verb", ["code", "run", "gold"])
def test_the_commands_refuse_a_missing_package_before_the_first_row(verb: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"gold": "2"}\n')
    command = [
        sys.executable,
        "-m",
        "promptcot.cli",
        "verify",
        verb,
        "--in",
        str(file),
        "--packages",
        "no-such-package",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "-m pip install no-such-package" in done.stderr


@pytest.mark.parametrize("name", ["numpy"])
def test_the_commands_give_packages_to_programs(name: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = {"solution": "import numpy\nprint(numpy.sum([1, 2]))", "inputs": [""], "outputs": ["3"]}
    file.write_text(json.dumps({**row, "code": row["solution"]}) + "\n")

    def verdicts(*more: str) -> list[str]:
        out = []
        for verb, key in (("code", "verdict"), ("run", "status"), ("gold", "verdict")):
            command = [sys.executable, "-m", "promptcot.cli", "verify", verb, "--in", str(file), *more]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            out.append(json.loads(done.stdout)[key])
        return out

    assert verdicts() == ["incorrect", "error", "flawed"]
    assert verdicts("--packages", " NumPy ") == ["correct", "ok", "sound"]


def test_doctor_says_which_packages_are_there() -> None:
    command = [sys.executable, "-m", "promptcot.cli", "doctor"]
    told = json.loads(
        subprocess.run([*command, "--json"], capture_output=True, text=True, check=False).stdout
    )
    assert told["packages"] == installed()
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert all(f"{name} {version}" in said for name, version in installed().items() if version)
    assert set(packages.KNOWN) == set(told["packages"])
