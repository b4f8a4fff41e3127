"""Check answers, take a vote, run a program: the verifiers on their own.

python examples/verify_answer.py
"""

from __future__ import annotations

from promptcot.records import UnitTest
from promptcot.verify.answers import check_answer, compare, equivalent, extract_boxed
from promptcot.verify.programs import check_program
from promptcot.verify.vote import tally


def main() -> None:
    """Print verdicts with their reasons."""
    for text in ("So \\boxed{\\frac{1}{2}}.", "So \\boxed{0.50}.", "So \\boxed{0.51}.", "The answer is 0.5"):
        verdict, reason = check_answer("1/2", text)
        print(f"{verdict:<10} {reason:<10} {text}")
    # Math beyond fractions: decided exactly, or by SymPy in a worker process (pip install 'promptcot[verify]').
    for gold, prediction in (
        ("2\\sqrt{3}", "\\sqrt{12}"),
        ("\\{1, 2\\}", "(1, 2)"),
        ("\\cos 36^\\circ", "\\frac{1+\\sqrt{5}}{4}"),
        ("5", "(10^9)!"),
    ):
        verdict, reason = compare(gold, prediction)
        print(f"{verdict:<10} {reason:<10} {gold} and {prediction}")
    attempts = ["\\boxed{12}", "\\boxed{12.0}", "\\boxed{13}", "no box", "\\boxed{24/2}"]
    vote = tally([extract_boxed(a) for a in attempts], equivalent)
    print(f"vote: {vote.winner} with {vote.votes} of {vote.samples}, margin {vote.margin}")
    tests = [UnitTest("1 2 3", "6"), UnitTest("5", "5")]
    for program in ("print(sum(map(int, input().split())))", "print(max(map(int, input().split())))"):
        verdict, reason, passed = check_program(program, tests)
        print(f"{verdict:<10} {reason:<13} {passed} {program}")


if __name__ == "__main__":
    main()
