"""The judge that uses SymPy. It runs only inside a worker process (`worker.py`), which may be killed at any time.

Trees become SymPy expressions node by node; no text is ever given to `sympify` or a parser. A difference of two
values is first evaluated to 50 digits at a few points: that can only reject. What survives must be proven zero;
what agrees in all digits and cannot be proven is `Unproven`, neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from promptcot.verify.exact import TooLarge, Undecided, proportional, same_value
from promptcot.verify.relations import is_reals
from promptcot.verify.tokens import Unreadable
from promptcot.verify.tree import Node

DIGITS = 50
_AGREE = 40  # as many equal digits count as agreement
_POINTS = ((17, 13), (-23, 19), (41, 7), (5, 11))  # variable k of n gets p/q + k/q at each of these


class Unproven(Exception):
    """The values agree to 40 digits, but nothing here proves them equal."""


class Symbolic:
    """Compares by SymPy where `exact` cannot decide."""

    def value(self, a: Node, b: Node) -> bool:
        """Raises Unproven, TooLarge, Unreadable."""
        try:
            return same_value(a, b)
        except Undecided:
            return equal(convert(a), convert(b))

    def between(self, value: Node, low: Fraction, high: Fraction) -> bool:
        """By evaluation to 50 digits."""
        import sympy

        known = sympy.N(convert(value), DIGITS)
        return bool(known.is_real and _rational(low) <= known < _rational(high))

    def ratio(self, a: Node, b: Node) -> int:
        """Sign of the constant c with a = c b, 0 if there is none or its sign is unknown."""
        import sympy

        try:
            c = proportional(a, b)
            return 0 if c is None else 1 if c > 0 else -1
        except Undecided:
            quotient = sympy.simplify(convert(a) / convert(b))
            if not quotient.is_number or quotient.is_positive is None:
                return 0
            return 1 if quotient.is_positive else -1

    def region(self, a: Node, b: Node) -> bool:
        """Sets of reals, written as intervals, unions, differences or relations in one variable."""
        left, right = region(a), region(b)
        if left == right:
            return True
        rest = left.symmetric_difference(right)
        if rest.is_empty is None:
            raise Unproven
        return bool(rest.is_empty)


class Tolerant(Symbolic):
    """The released code's: numbers are equal if they differ by 1e-4 of the reference."""

    def value(self, a: Node, b: Node) -> bool:
        """Also False where equality is not proven, as there."""
        import sympy

        x, y = convert(a), convert(b)
        if x.is_number and y.is_number and x.is_finite and y.is_finite:
            return bool(abs(sympy.N(x) - sympy.N(y)) <= 1e-4 * max(abs(sympy.N(x)), abs(sympy.N(y))))
        try:
            return super().value(a, b)
        except Unproven:
            return False


def equal(a: Any, b: Any) -> bool:
    """Are two SymPy expressions equal? Raises Unproven."""
    import sympy

    difference = a - b
    if difference == 0:
        return True
    if any(_differ(a, b, point) for point in _points(difference.free_symbols)):
        return False
    if any(step == 0 for step in _simplified(difference)):
        return True
    if not difference.free_symbols and difference.is_algebraic:
        x = sympy.Dummy("x")
        return bool(sympy.minimal_polynomial(difference, x) == x)
    raise Unproven


def _simplified(difference: Any) -> Iterator[Any]:
    """From cheap to dear; the first zero is a proof."""
    import sympy

    yield sympy.expand(difference)
    yield sympy.simplify(difference)
    yield sympy.simplify(sympy.expand_trig(difference))
    yield sympy.simplify(sympy.expand_log(difference, force=False))
    yield sympy.sqrtdenest(sympy.expand(difference))
    yield sympy.radsimp(difference)
    yield sympy.simplify(sympy.powsimp(sympy.expand(difference.rewrite(sympy.exp))))


def _points(symbols: set[Any]) -> list[dict[Any, Any]]:
    import sympy

    if not symbols:
        return [{}]
    ordered = sorted(symbols, key=str)
    return [{s: sympy.Rational(p + k, q) for k, s in enumerate(ordered)} for p, q in _POINTS]


def _differ(a: Any, b: Any, point: dict[Any, Any]) -> bool:
    """Do the values surely differ at this point? Relative to their size, so 2^-99 is not 2^-98."""
    import sympy

    x, y = (sympy.N(e.subs(point), DIGITS) for e in (a, b))
    if not (x.is_number and y.is_number) or not (x.is_finite and y.is_finite):
        return False
    size = max(abs(x), abs(y))
    return bool(size != 0 and abs(x - y) > size * sympy.Float(10) ** -_AGREE)


# --- trees to SymPy


def convert(node: Node) -> Any:
    """A SymPy expression. Raises TooLarge, Unreadable."""
    import sympy

    op, args = node.op, node.args
    if op == "num":
        assert isinstance(node.value, Fraction)
        return _rational(node.value)
    if op == "sym":
        return sympy.Symbol(str(node.value), real=True)
    if op == "const":
        return {"\u03c0": sympy.pi, "e": sympy.E, "i": sympy.I, "\u221e": sympy.oo}[str(node.value)]
    if op == "based":
        return sympy.Symbol(f"based {node.value}", positive=True)
    if op == "add":
        return sympy.Add(*map(convert, args))
    if op == "mul":
        return sympy.Mul(*map(convert, args))
    if op == "pow":
        return _power(convert(args[0]), convert(args[1]))
    if op == "root":
        return _root(convert(args[0]), convert(args[1]))
    if op == "degree":
        return convert(args[0]) * sympy.pi / 180
    if op == "fn":
        return _function(str(node.value), list(map(convert, args)))
    raise Unreadable(f"a {op} inside an expression")


def _rational(value: Fraction) -> Any:
    import sympy

    return sympy.Rational(value.numerator, value.denominator)


def _power(base: Any, exponent: Any) -> Any:
    import sympy

    if base == 0 and exponent.is_negative:
        raise Unreadable("division by zero")
    if exponent.is_number and exponent.is_finite and abs(sympy.N(exponent)) > 10_000:
        raise TooLarge
    return sympy.Pow(base, exponent)


def _root(radicand: Any, index: Any) -> Any:
    import sympy

    if radicand.is_negative and index.is_odd:
        return -sympy.root(-radicand, index)
    return sympy.root(radicand, index)


def _function(name: str, args: list[Any]) -> Any:
    import sympy

    direct = {
        "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "arcsin": "asin",
        "arccos": "acos", "arctan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "log": "log", "ln": "log",
        "exp": "exp", "abs": "Abs", "max": "Max", "min": "Min", "gcd": "gcd", "lcm": "lcm", "floor": "floor",
        "ceiling": "ceiling", "factorial": "factorial", "factorial2": "factorial2", "binomial": "binomial",
    }  # fmt: skip
    if name == "lg":
        return sympy.log(args[0], 10)
    if name.startswith(("factorial", "binomial")) and any(a.is_number and sympy.N(a) > 10_000 for a in args):
        raise TooLarge
    expected = {
        "log": (1, 2),
        "binomial": (2,),
        "max": range(1, 99),
        "min": range(1, 99),
        "gcd": (2,),
        "lcm": (2,),
    }
    if len(args) not in expected.get(name, (1,)):
        raise Unreadable(f"{name} of {len(args)} arguments")
    return getattr(sympy, direct[name])(*args)


# --- sets of reals


def region(node: Node) -> Any:
    """A SymPy set. Raises Unreadable."""
    import sympy

    op, args = node.op, node.args
    if op in ("tuple", "interval"):
        if len(args) != 2:
            raise Unreadable(f"an interval with {len(args)} ends")
        brackets = str(node.value or "()")
        return sympy.Interval(*map(convert, args), brackets[0] == "(", brackets[1] == ")")
    if op == "set":
        return sympy.FiniteSet(*map(convert, args))
    if op == "union":
        return sympy.Union(*map(region, args))
    if op == "meet":
        return sympy.Intersection(*map(region, args))
    if op == "minus":
        return sympy.Complement(region(args[0]), region(args[1]))
    if op == "list" and all(a.op == "rel" for a in args):
        return (sympy.Union if node.value == "or" else sympy.Intersection)(*map(region, args))
    if op == "rel":
        return sympy.Intersection(*(_solutions(*simple) for simple in _pairs(node)))
    if is_reals(node):
        return sympy.S.Reals
    raise Unreadable(f"a {op} is no set of numbers")


def _pairs(node: Node) -> list[tuple[Node, str, Node]]:
    return list(zip(node.args, str(node.value).split(), node.args[1:]))


def _solutions(left: Node, sign: str, right: Node) -> Any:
    import sympy

    if sign == "in":
        return region(right)
    relation = {"=": "==", "!=": "!="}.get(sign, sign)
    expression = sympy.Rel(convert(left), convert(right), relation)
    symbols = sorted(expression.free_symbols, key=str)
    if len(symbols) != 1:
        raise Unreadable(f"a relation in {len(symbols)} variables is no set of numbers")
    x = sympy.Symbol("x", real=True)
    return sympy.solveset(expression.subs(symbols[0], x), x, sympy.S.Reals)
