"""Comparing what programs print and return: LiveCodeBench's rules, large integers, and work in proportion to the texts."""

from __future__ import annotations

import json
import sys
from decimal import Decimal, InvalidOperation

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.errors import UserError
from promptcot.records import UnitTest, Verdict
from promptcot.verify import programs
from promptcot.verify.gold import GoldSuite, suite_flaw
from promptcot.verify.outputs import read_json, same_output, same_result
from promptcot.verify.programs import MAX_OUTPUT_BYTES, check_program, pair_tests, room_for, run_tests
from promptcot.verify.sandbox import Choice, Limits, Run, run_program
from promptcot.verify.sandbox.backends import MAX_DIGITS

LIMITS = Limits(wall_s=20.0, cpu_s=20.0)


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("6\n", "6", True),
        ("1 2", "  1 2  \n\n", True),
        ("0.50", "0.5", True),
        ("1 2", "1   2", True),
        ("10", "1_0", True),
        ("inf", "Infinity", True),
        ("nan", "nan", True),
        ("1\n2", "1 \r\n2", True),
        ("a b", "a  b", False),
        ("YES", "Yes", False),
        ("1\n2", "1\n\n2", False),
        ("1\n2", "1 2", False),
        ("0.333333", "0.333334", False),
        ("1 1", "sNaN 1", False),
        ("1", "1e999999999", False),
        ("1", "", False),
    ],
)
def test_outputs_are_compared_as_livecodebench_does(expected: str, actual: str, same: bool) -> None:
    assert same_output(expected, actual) is same
    assert same_output(actual, expected) is same


def stated(expected: str, actual: str) -> bool:
    """The rule as docs/verification-programs.md has it, without a thought of its cost."""

    def same(a: str, b: str) -> bool:
        try:
            return a == b or [Decimal(w) for w in a.split()] == [Decimal(w) for w in b.split()]
        except InvalidOperation:
            return False

    left, right = ([line.strip() for line in text.strip().split("\n")] for text in (expected, actual))
    return len(left) == len(right) and all(map(same, left, right))


PRINTED = st.text(alphabet="01.a -\n\r\t\x1f\xa0e", max_size=12)


@settings(max_examples=500)
@given(PRINTED, PRINTED)
def test_the_comparison_is_the_stated_one(a: str, b: str) -> None:
    assert same_output(a, b) is stated(a, b)
    assert same_output(a, a)
    assert same_output(a, "0".join(a.split("0"))) is True


def test_words_are_compared_beyond_what_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptcot.verify.outputs._AT_ONCE", 3)
    line = " ".join(map(str, range(10)))
    assert same_output(line, line.replace("7", "7.0"))
    assert not same_output(line, line.replace("7", "8.0"))
    assert not same_output(line, line.replace("0 1", "0.0 1") + " 10")
    assert not same_output(line + " x", line.replace("0 1", "0.0 1") + " x")


# --- integers of more digits than Python converts


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("1" * 5000, "1" * 5000, True),
        ("1" * 5000, "1" * 4999 + "2", False),
        ("1" * 5000, "1" * 5001, False),
        ("-" + "7" * 5000, "7" * 5000, False),
        ("[" + "9" * 6000 + ", 1]", "[" + "9" * 6000 + ",1.0]", True),
        ('{"a": ' + "9" * 6000 + "}", '{"a":' + "9" * 6000 + "}", True),
        ('"' + "9" * 6000 + '"', "9" * 6000, False),
        ('["' + "9" * 6000 + '"]', "[" + "9" * 6000 + "]", False),
        ("1" + "0" * 5000, "1e5000", False),  # which is infinite
        ("9" * 4300, "9" * 4300, True),
        ("9" * 4301, "9" * 4301, True),
        ("9" * MAX_DIGITS, "9" * MAX_DIGITS, True),
        ("9" * (MAX_DIGITS + 1), "9" * (MAX_DIGITS + 1), False),
        ("-" + "9" * MAX_DIGITS, "-" + "9" * MAX_DIGITS, True),
    ],
)
def test_results_with_long_integers_are_compared_by_their_digits(
    expected: str, actual: str, same: bool
) -> None:
    assert same_result(expected, actual) is same
    assert same_result(actual, expected) is same


def test_short_integers_are_read_as_ever() -> None:
    assert read_json("[1, -0, 1.5, true]") == [1, 0, 1.5, True]
    assert same_result("1", "1.0")
    assert sys.get_int_max_str_digits() == 4300, "the limit of this process is its caller's"
    sys.set_int_max_str_digits(0)
    try:
        assert same_result("9" * 10**6, "9" * 10**6) is False, "refused, not converted"
        assert same_result("9" * 5000, "9" * 5000)
    finally:
        sys.set_int_max_str_digits(4300)


BIG = 10**5000 + 7


def digits(value: int) -> str:
    """Its decimal digits, by arithmetic that knows no limit."""
    high, low = divmod(value, 10**4000)
    return (digits(high) if high else "") + (f"{low:04000d}" if high else str(low))


@pytest.mark.parametrize("mode", ["judge", "lcb"])
def test_programs_read_and_print_long_integers(mode: programs.Mode, sandbox: Choice) -> None:
    tests = pair_tests([digits(BIG)], [digits(2 * BIG)])
    assert run_tests("print(2 * int(input()))", tests, LIMITS, sandbox=sandbox, mode=mode) == ["passed"]
    assert run_tests("print(2 * int(input()) + 1)", tests, LIMITS, sandbox=sandbox, mode=mode) == [
        "wrong_output"
    ]


@pytest.mark.parametrize("mode", ["judge", "lcb"])
def test_calls_take_and_return_long_integers(mode: programs.Mode, sandbox: Choice) -> None:
    tests = pair_tests([digits(BIG) + "\n2"], [json.dumps([1]).replace("1", digits(2 * BIG))], "f")
    for result, end in (
        ("[a * b]", "passed"),
        ("[a * b + 1]", "wrong_output"),
        ("[str(a * b)]", "wrong_output"),
    ):
        code = f"class Solution:\n    def f(self, a, b):\n        return {result}"
        assert run_tests(code, tests, LIMITS, sandbox=sandbox, mode=mode, function="f") == [end]


def test_the_limit_on_digits_is_livecodebenchs_and_programs_may_lift_it(sandbox: Choice) -> None:
    code = "import sys\nn = int(input())\nprint(len(str(10 ** n)), sys.get_int_max_str_digits())"
    fine, long = run_program(code, [str(MAX_DIGITS - 1), str(MAX_DIGITS)], LIMITS, sandbox=sandbox)
    assert fine.stdout == f"{MAX_DIGITS} {MAX_DIGITS}\n"
    assert (long.status, "ValueError" in long.stderr) == ("error", True)
    (lifted,) = run_program(
        "import sys; sys.set_int_max_str_digits(0)\n" + code, ["60000"], LIMITS, sandbox=sandbox
    )
    assert lifted.stdout == "60001 0\n"


def test_the_gold_of_long_integers_is_perturbed_and_judged(sandbox: Choice) -> None:
    for function, code in (("", "print(3 ** int(input()))"), ("f", "def f(n): return 3 ** n")):
        suite = GoldSuite("s", pair_tests(["10000"], [digits(3**10000)], function), code, function)
        assert suite_flaw(suite, LIMITS, sandbox=sandbox) == ""
        assert suite_flaw(
            GoldSuite("s", suite.tests, code.replace("3", "5"), function), LIMITS, sandbox=sandbox
        )


@pytest.mark.parametrize(
    ("given_", "output"), [("9" * 60_000, "1"), ("1", "9" * 60_000), ("1", "[-" + "9" * 60_000 + "]")]
)
def test_tests_of_a_call_with_integers_that_no_program_reads_are_refused(given_: str, output: str) -> None:
    with pytest.raises(UserError, match="an integer of 60,000 digits; programs have at most 50,000"):
        pair_tests([given_], [output], "f")
    pair_tests([given_], [output])  # as text it is what any program can print


# --- how much may be printed


def test_the_room_for_output_follows_what_is_expected_and_says_little_of_it() -> None:
    def room(size: int, function: str = "", output_bytes: int = 1000) -> int:
        limits = Limits(output_bytes=output_bytes)
        return room_for([UnitTest("", "x"), UnitTest("", "y" * size)], limits, function).output_bytes

    assert [room(n) for n in (0, 500, 501, 1000, 1001, 100_000)] == [1000, 1000, 2000, 2000, 4000, 256_000]
    assert [room(n, "f") for n in (250, 251, 1001)] == [1000, 2000, 8000]
    assert room(1 << 24) == MAX_OUTPUT_BYTES
    assert room(10, output_bytes=2 * MAX_OUTPUT_BYTES) == 2 * MAX_OUTPUT_BYTES
    assert len({room(n) for n in range(1, 100_000)}) == 9


@pytest.mark.parametrize("function", ["", "f"])
def test_a_right_program_passes_however_much_it_has_to_print(function: str, sandbox: Choice) -> None:
    many = json.dumps(list(range(40_000))) if function else "\n".join(map(str, range(40_000)))
    small = Limits(wall_s=20.0, cpu_s=20.0, output_bytes=1000)
    suite = GoldSuite("s", pair_tests(["40000", "3"], [many, "[0,1,2]" if function else "0\n1\n2"], function))
    right = (
        "def f(n): return list(range(n))"
        if function
        else "for i in range(int(input())): print(i, end=' \\n')"
    )
    assert run_tests(right, suite.tests, small, sandbox=sandbox, function=function) == ["passed"] * 2
    wrong = right.replace("range(n)", "range(1, n + 1)").replace("print(i,", "print(i + 1,")
    assert run_tests(wrong, suite.tests, small, sandbox=sandbox, function=function) == ["wrong_output"] * 2
    endless = (
        "import os\nwhile True: os.write(1, b'x' * 9999)"
        if not function
        else "def f(n): return 'x' * 10 ** 7"
    )
    assert set(run_tests(endless, suite.tests, small, sandbox=sandbox, function=function)) == {"output_limit"}
    assert suite_flaw(GoldSuite("s", suite.tests, right, function), small, sandbox=sandbox) == ""


def test_megabytes_of_expected_output_pass_in_the_smallest_room(sandbox: Choice) -> None:
    code = "import sys\nsys.stdout.write('\\n'.join(map(str, range(300000))))"
    tests = [UnitTest("", "\n".join(map(str, range(300_000))))] * 3
    assert run_tests(code, tests, Limits(wall_s=20.0, output_bytes=1), sandbox=sandbox) == ["passed"] * 3


@pytest.mark.parametrize(("function", "most"), [("", MAX_OUTPUT_BYTES // 2), ("f", MAX_OUTPUT_BYTES // 4)])
def test_expected_outputs_that_are_never_compared_are_refused_by_all_who_read_tests(
    function: str, most: int
) -> None:
    fits, large = (UnitTest("1", f'"{"x" * (n - 2)}"') for n in (most, most + 1))
    said = f"test 1 expects an output of {most + 1:,} bytes; at most {most:,} are compared"
    assert len(pair_tests(["1"], [fits.output], function)) == 1
    with pytest.raises(UserError, match=said):
        pair_tests(["1", "2"], [fits.output, large.output], function)
    assert suite_flaw(GoldSuite("s", [fits], None, function)) == ""
    assert suite_flaw(GoldSuite("s", [fits, large], None, function)) == said
    assert check_program("print(1)", [large], function=function) == (Verdict.UNSCORED, "output_too_large", [])


def test_few_large_outputs_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []

    def run(code: str, stdins: list[str], limits: Limits, **_: object) -> list[Run]:
        batches.append(len(stdins) * limits.output_bytes)
        return [Run("ok", "", "", 0)] * len(stdins)

    monkeypatch.setattr(programs, "run_program", run)
    for size in (10, 1 << 20, 1 << 24):
        run_tests("", [UnitTest("", "x" * size)] * 20, LIMITS)
    assert sum(batches[:2]) == 20 * LIMITS.output_bytes
    assert max(batches) <= 2 * MAX_OUTPUT_BYTES
