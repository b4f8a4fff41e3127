"""Math families that open a problem: they give its first number."""

from __future__ import annotations

from math import comb, gcd, lcm

from promptcot.pocket.wording import Family, Slots, Value, integer


def times(a: int, b: int) -> str:
    """A product as a step; two-digit factors are split into tens and ones, so that every part is a small table."""
    if a >= 10 and a % 10 and b < 10:
        return f"{a}*{b}={a // 10 * 10 * b}+{a % 10 * b}={a * b}"
    return f"{a}*{b}={a * b}"


def _ab(slots: Slots) -> tuple[int, int]:
    return integer(slots, "a"), integer(slots, "b")


def _term(slots: Slots) -> Value:
    a, b = _ab(slots)
    n = integer(slots, "n")
    return a + (n - 1) * b if n >= 1 else None


def _term_work(_: Value, slots: Slots) -> str:
    a, b = _ab(slots)
    n = integer(slots, "n") - 1
    return f"{n}*{b}={n * b}, {n * b}+{a}={a + n * b}"


def _power(slots: Slots) -> Value:
    a, b = _ab(slots)
    n = integer(slots, "n")
    return a * b ** (n - 1) if 1 <= n <= 9 else None


def _power_work(_: Value, slots: Slots) -> str:
    a, b = _ab(slots)
    parts = []
    for _step in range(integer(slots, "n") - 1):
        parts.append(f"{a}*{b}={a * b}")
        a *= b
    return ", ".join(parts) or str(a)


def _linear(slots: Slots) -> Value:
    a, b = _ab(slots)
    rest = integer(slots, "c") - b
    return rest // a if a > 0 and rest >= 0 and rest % a == 0 else None


def _linear_work(_: Value, slots: Slots) -> str:
    a, b = _ab(slots)
    c = integer(slots, "c")
    return f"{c}-{b}={c - b}, {c - b}/{a}={(c - b) // a}"


def _average(slots: Slots) -> Value:
    total = sum(integer(slots, k) for k in "abc")
    return total // 3 if total % 3 == 0 else None


def _average_work(_: Value, slots: Slots) -> str:
    a, b = _ab(slots)
    c = integer(slots, "c")
    return f"{a}+{b}={a + b}, {a + b}+{c}={a + b + c}, {a + b + c}/3={(a + b + c) // 3}"


def _lcm_work(_: Value, slots: Slots) -> str:
    a, b = _ab(slots)
    g = gcd(a, b)
    return f"gcd({a},{b})={g}, {a}/{g}={a // g}, {times(a // g, b)}"


def _third_angle(slots: Slots) -> Value:
    third = 180 - sum(_ab(slots))
    return third if third > 0 and min(_ab(slots)) > 0 else None


def _third_angle_work(_: Value, slots: Slots) -> str:
    a, b = _ab(slots)
    return f"{a}+{b}={a + b}, 180-{a + b}={180 - a - b}"


def _perimeter_work(_: Value, slots: Slots) -> str:
    a, b = _ab(slots)
    return f"{a}+{b}={a + b}, {times(a + b, 2)}"


def _pairs_work(_: Value, slots: Slots) -> str:
    n = integer(slots, "a")
    return f"{n}*{n - 1}={n * (n - 1)}, {n * (n - 1)}/2={comb(n, 2)}"


def _product(_: Value, slots: Slots) -> Value:
    a, b = _ab(slots)
    return a * b if a * b > 0 else None


def _product_work(_: Value, slots: Slots) -> str:
    return times(*_ab(slots))


START = Family(
    "start", "", "number",
    ("{name} has {a} {thing}.", "A {place} holds {a} {thing}.", "{name} counts {a} {thing}.",
     "There are {a} {thing} in a {place}."),
    lambda _, s: integer(s, "a"), lambda _, s: f"{s['a']}", "open with {a} {thing}", (), {"a": range(5, 61)},
)  # fmt: skip

OPENERS: tuple[Family, ...] = (
    Family(
        "rectangle_area", "", "number",
        ("Take the area of a {a} by {b} rectangle.", "A {a} by {b} floor is paved, so count its squares.",
         "{name} paints a {a} by {b} wall and notes the area.", "Find the area of a garden {a} by {b}."),
        _product, _product_work, "area of {a} by {b}",
        ("area of a rectangle is width times height", "rectangle area from its two sides",
         "multiplying sides gives the area"),
        {"a": range(3, 10), "b": range(3, 13)},
    ),
    Family(
        "rectangle_perimeter", "", "number",
        ("Take the perimeter of a {a} by {b} rectangle.", "A fence goes around a {a} by {b} field.",
         "{name} walks once around a {a} by {b} park.", "Find the edge length around a {a} by {b} yard."),
        lambda _, s: 2 * sum(_ab(s)), _perimeter_work, "perimeter of {a} by {b}",
        ("rectangle perimeter is twice the side sum", "going around a rectangle", "length of a rectangular fence"),
        {"a": range(3, 20), "b": range(3, 20)},
    ),
    Family(
        "third_angle", "", "number",
        ("A triangle has angles {a} and {b}, so take the third.", "Find the angle missing beside {a} and {b} degrees.",
         "Two angles of a triangle are {a} and {b}, note the last.", "{name} draws a triangle with {a} and {b} degrees."),
        lambda _, s: _third_angle(s), _third_angle_work, "third angle beside {a} and {b}",
        ("angles of a triangle sum to 180", "third angle of a triangle", "angle sum in triangles"),
        {"a": range(20, 81), "b": range(20, 81)},
    ),
    Family(
        "handshakes", "", "number",
        ("Each two of {a} friends shake hands, so count handshakes.", "Count the pairs among {a} players.",
         "{a} teams all meet once, so count the games.", "Choose 2 of {a} colors in every way."),
        lambda _, s: comb(integer(s, "a"), 2) or None, _pairs_work, "pairs among {a}",
        ("n things have n(n-1)/2 pairs", "counting unordered pairs", "handshakes among n people"),
        {"a": range(4, 13)},
    ),
    Family(
        "product_rule", "", "number",
        ("{name} has {a} hats and {b} coats, so count outfits.", "Count the meals from {a} soups and {b} cakes.",
         "A code is one of {a} letters and one of {b} signs.", "From {a} roads in and {b} roads out count the trips."),
        _product, _product_work, "choices {a} times {b}",
        ("independent choices multiply", "product rule of counting", "combining choices by multiplication"),
        {"a": range(3, 10), "b": range(3, 13)},
    ),
    Family(
        "arithmetic_term", "", "number",
        ("A sequence starts at {a} and grows by {b}, take term {n}.", "Rows have {a} seats, then {b} more each, take row {n}.",
         "{name} saves {a} and each day {b} more, take day {n}.", "Count from {a} in steps of {b} to term {n}."),
        lambda _, s: _term(s), _term_work, "term {n} from {a} by {b}",
        ("arithmetic sequences grow by a fixed step", "nth term of an arithmetic sequence", "constant difference sequences"),
        {"a": range(2, 21), "b": range(2, 10), "n": range(3, 10)},
    ),
    Family(
        "geometric_term", "", "number",
        ("A sequence starts at {a} with ratio {b}, take term {n}.", "From {a} multiply by {b} each time up to term {n}.",
         "Cells start at {a} and grow {b} times hourly, take hour {n}.", "{name} writes {a}, then {b} times more, to term {n}."),
        lambda _, s: _power(s), _power_work, "term {n} from {a} ratio {b}",
        ("geometric sequences grow by a fixed factor", "nth term of a geometric sequence", "constant ratio sequences"),
        {"a": range(2, 8), "b": range(2, 4), "n": range(3, 5)},
    ),
    Family(
        "linear_equation", "", "number",
        ("Solve {a}x + {b} = {c} for x.", "{a} equal bags and {b} kilos weigh {c}, so find one bag.",
         "{name} pays {c} for {a} tickets and a fee of {b}, find one ticket.", "Find x with {a}x plus {b} equal to {c}."),
        lambda _, s: _linear(s), _linear_work, "solve {a}x + {b} = {c}",
        ("linear equations are solved by undoing operations", "solving ax + b = c", "isolating the unknown"),
        {"a": range(2, 10), "b": range(1, 20), "c": range(10, 100)},
    ),
    Family(
        "average", "", "number",
        ("Take the average of {a}, {b} and {c}.", "{name} scores {a}, {b} and {c} and notes the mean.",
         "Three days bring {a}, {b} and {c} guests, take the mean.", "Find the mean of {a}, {b} and {c}."),
        lambda _, s: _average(s), _average_work, "mean of {a}, {b}, {c}",
        ("the average is the sum over the count", "mean of several numbers", "averaging values"),
        {"a": range(3, 41), "b": range(3, 41), "c": range(3, 41)},
    ),
    Family(
        "lcm", "", "number",
        ("Take the lcm of {a} and {b}.", "Buses leave every {a} and {b} minutes, note when both leave again.",
         "Find the least common multiple of {a} and {b}.", "Bells ring every {a} and {b} days, find the next shared day."),
        lambda _, s: lcm(*_ab(s)) or None, _lcm_work, "lcm of {a} and {b}",
        ("lcm is the smallest shared multiple", "least common multiple", "when two cycles meet"),
        {"a": range(3, 13), "b": range(3, 13)},
    ),
)  # fmt: skip
