"""Math families that carry the running number on, finish the problem, ask, or distract."""

from __future__ import annotations

from fractions import Fraction
from math import gcd, isqrt

from promptcot.pocket.math_openers import times
from promptcot.pocket.wording import Family, Slots, Value, integer


def _n(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _a(slots: Slots) -> int:
    return integer(slots, "a")


def _divide(value: Value, slots: Slots) -> Value:
    v, a = _n(value), _a(slots)
    return v // a if a > 0 and v % a == 0 else None


def _remainder_work(value: Value, slots: Slots) -> str:
    v, a = _n(value), _a(slots)
    q = v // a
    return f"{a}*{q}={a * q}, {v}-{a * q}={v % a}"


def _gcd_work(value: Value, slots: Slots) -> str:
    v, a = _n(value), _a(slots)
    return f"{v}%{a}={v % a}, gcd({a},{v % a})={gcd(v, a)}"


def _digit_sum_work(value: Value, _: Slots) -> str:
    digits = str(value)
    return f"{'+'.join(digits)}={sum(map(int, digits))}"


def _triangular_work(value: Value, _: Slots) -> str:
    v = _n(value)
    return f"{times(v, v + 1)}, {v * (v + 1)}/2={v * (v + 1) // 2}"


def divisors(n: int) -> list[int]:
    """The divisors of n >= 1, in order."""
    small = [d for d in range(1, isqrt(n) + 1) if n % d == 0]
    return small + [n // d for d in reversed(small) if d * d != n]


def _divisors_work(value: Value, _: Slots) -> str:
    found = divisors(_n(value))
    return f"divisors {','.join(map(str, found))}: {len(found)}"


def _fraction_of(value: Value, slots: Slots) -> Value:
    v, a, b = _n(value), _a(slots), integer(slots, "b")
    return v // b * a if b > 1 and 0 < a < b and v % b == 0 else None


def _fraction_of_work(value: Value, slots: Slots) -> str:
    v, a, b = _n(value), _a(slots), integer(slots, "b")
    return f"{v}/{b}={v // b}, {times(v // b, a)}"


def _percent(value: Value, slots: Slots) -> Value:
    v, a = _n(value), _a(slots)
    return v * a // 100 if 0 < a <= 100 and v * a % 100 == 0 else None


def _percent_work(value: Value, slots: Slots) -> str:
    share = Fraction(_a(slots), 100)
    top, bottom = share.numerator, share.denominator
    part = Fraction(_n(value), bottom)
    return f"{top}/{bottom}, {value}/{bottom}={part}, {part}*{top}={part * top}"


def _ratio(value: Value, slots: Slots) -> Value:
    b = integer(slots, "b")
    return Fraction(_n(value), b) if b > 0 else None


def _chance(value: Value, slots: Slots) -> Value:
    b = integer(slots, "b")
    return Fraction(_n(value), b) if b >= _n(value) and b > 0 else None


def _ratio_work(value: Value, slots: Slots) -> str:
    v, b = _n(value), integer(slots, "b")
    return f"gcd({v},{b})={gcd(v, b)}, {v}/{b}={Fraction(v, b)}"


def _positive(value: Value) -> bool:
    return _n(value) >= 1


TRANSFORMS: tuple[Family, ...] = (
    Family(
        "addition", "number", "number",
        ("Then {a} more arrive.", "Add {a} to that.", "{name} brings {a} more.", "Increase it by {a}."),
        lambda v, s: _n(v) + _a(s), lambda v, s: f"{v}+{s['a']}={_n(v) + _a(s)}", "add {a}",
        ("addition joins two amounts", "adding more to an amount", "sums of whole numbers"), {"a": range(2, 50)}, 140,
    ),
    Family(
        "subtraction", "number", "number",
        ("Then {a} are given away.", "Subtract {a} from that.", "{name} takes {a} away.", "Decrease it by {a}."),
        lambda v, s: _n(v) - _a(s) if _n(v) >= _a(s) else None, lambda v, s: f"{v}-{s['a']}={_n(v) - _a(s)}",
        "take away {a}",
        ("subtraction removes part of an amount", "taking away from an amount", "differences of whole numbers"),
        {"a": range(2, 50)},
    ),
    Family(
        "scaling", "number", "number",
        ("Multiply it by {a}.", "Each one is worth {a} points, so count points.", "Make {a} copies of everything.",
         "{name} fills {a} such boxes."),
        lambda v, s: _n(v) * _a(s), lambda v, s: times(_n(v), _a(s)), "times {a}",
        ("multiplication scales an amount", "scaling by a whole factor", "repeated equal groups"), {"a": range(2, 10)}, 49,
    ),
    Family(
        "sharing", "number", "number",
        ("Share it equally among {a} friends.", "Divide it by {a}.", "{name} packs it into bags of {a} and counts bags.",
         "Split it into {a} equal parts and keep one."),
        _divide, lambda v, s: f"{v}/{s['a']}={_n(v) // _a(s)}", "share among {a}",
        ("exact division makes equal shares", "sharing equally", "dividing without remainder"), {"a": range(2, 10)},
    ),
    Family(
        "remainder", "number", "number",
        ("Take the remainder after dividing by {a}.", "Group it by {a} and keep what is left.", "Reduce it modulo {a}.",
         "{name} fills rows of {a} and keeps the rest."),
        lambda v, s: _n(v) % _a(s) if _a(s) else None, _remainder_work, "remainder by {a}",
        ("a mod m is what multiples leave", "remainder of a division", "modular reduction"), {"a": range(3, 12)}, 120,
    ),
    Family(
        "gcd", "number", "number",
        ("Take its gcd with {a}.", "Find the greatest common divisor with {a}.", "Keep the largest divisor shared with {a}.",
         "{name} finds the biggest tile fitting it and {a}."),
        lambda v, s: gcd(_n(v), _a(s)) if _a(s) and _positive(v) else None, _gcd_work, "gcd with {a}",
        ("gcd is the largest shared divisor", "greatest common divisor", "Euclid's algorithm"), {"a": range(4, 13)}, 120,
    ),
    Family(
        "digit_sum", "number", "number",
        ("Add up its digits.", "Take its digit sum.", "{name} adds the digits of that.", "Replace it by the sum of its digits."),
        lambda v, s: sum(map(int, str(v))), _digit_sum_work, "digit sum",
        ("digit sum adds all decimal digits", "adding the digits of a number", "sum of decimal digits"),
    ),
    Family(
        "square", "number", "number",
        ("Square it.", "Multiply it by itself.", "Take a square with that side and find its area.", "{name} squares that."),
        lambda v, s: _n(v) ** 2 if _n(v) < 100 else None, lambda v, s: f"{v}*{v}={_n(v) ** 2}", "square it",
        ("a square is a number times itself", "squaring a number", "second powers"), {}, 14,
    ),
    Family(
        "triangular", "number", "number",
        ("Add all whole numbers from 1 up to it.", "Take that triangular number.", "Stack rows of 1, 2 and so on up to it.",
         "{name} sums 1 to that number."),
        lambda v, s: _n(v) * (_n(v) + 1) // 2 if 1 <= _n(v) < 140 else None, _triangular_work, "sum 1 up to it",
        ("1 + ... + n is n(n+1)/2", "triangular numbers", "sum of the first n numbers"), {}, 13,
    ),
    Family(
        "divisor_count", "number", "number",
        ("Count its divisors.", "Find how many numbers divide it.", "{name} counts the divisors of that.",
         "Replace it by its number of divisors."),
        lambda v, s: len(divisors(_n(v))) if _positive(v) else None, _divisors_work, "count divisors",
        ("divisors divide a number without rest", "counting divisors", "number of divisors"), {}, 40,
    ),
    Family(
        "multiples_up_to", "number", "number",
        ("Count the multiples of {a} up to it.", "Find how many times {a} fits into it.", "Mark each multiple of {a} up to it and count marks.",
         "{name} counts full teams of {a} from it."),
        lambda v, s: _n(v) // _a(s) if _a(s) else None, lambda v, s: f"{v}//{s['a']}={_n(v) // _a(s)}",
        "multiples of {a}",
        ("floor(n/k) multiples of k up to n", "counting multiples", "floor division"), {"a": range(3, 10)}, 120,
    ),
    Family(
        "fraction_of", "number", "number",
        ("Take {a}/{b} of it.", "Keep {a}/{b} of that.", "{name} gets {a}/{b} of it.", "Only {a}/{b} of it remains."),
        _fraction_of, _fraction_of_work, "{a}/{b} of it",
        ("a fraction of a number scales it", "part of a whole", "taking a fraction"), {"a": range(2, 8), "b": range(3, 9)},
    ),
    Family(
        "percent_of", "number", "number",
        ("Take {a} percent of it.", "Keep {a} percent of that.", "{name} gets {a} percent of it.", "Only {a} percent remain."),
        _percent, _percent_work, "{a} percent of it",
        ("percent means per hundred", "percentage of a number", "hundredths of a whole"), {"a": (10, 20, 25, 50, 75)},
    ),
)  # fmt: skip

FINALS: tuple[Family, ...] = (
    Family(
        "ratio", "number", "answer",
        ("What is its ratio to {b} in lowest terms?", "What fraction of {b} is that?", "Write it over {b} in lowest terms.",
         "Give it as a reduced part of {b}."),
        _ratio, _ratio_work, "as reduced ratio to {b}",
        ("ratios reduce by the gcd", "reducing a fraction", "fractions in lowest terms"), {"b": range(12, 61, 4)}, 60,
    ),
    Family(
        "probability", "number", "answer",
        ("If so many of {b} tickets win, what is the chance?", "Of {b} balls that many are red, so find P(red).",
         "What is the chance to hit that many of {b} fields?", "Give the probability of that many cases in {b}."),
        _chance, _ratio_work, "as chance among {b}",
        ("probability is favorable over possible cases", "chance of an event", "favorable cases over all cases"),
        {"b": range(12, 61, 4)}, 60,
    ),
)  # fmt: skip

ASK = Family(
    "ask", "number", "answer",
    ("What number results?", "What is the final number?", "Find the result.", "What do we get?"),
    lambda v, s: v, lambda v, s: "",
)  # fmt: skip

DISTRACTOR = Family(
    "distractor", "any", "any",
    ("{name} is {n} years old.", "A painted {place} costs {n} coins.", "The road there is {n} miles long.",
     "Outside it is {n} degrees.", "{name} owns {n} old {thing}.", "The story is on page {n}."),
    lambda v, s: v, lambda v, s: "skip", "distractor {n}", (), {"n": range(2, 99)},
)  # fmt: skip
