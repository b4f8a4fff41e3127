"""The judge that uses SymPy. It runs only inside a worker process (`worker.py`), which may be killed at any time.

Trees become SymPy expressions node by node; no text is ever given to `sympify` or a parser. A difference of two
values is first evaluated to 50 digits at a few points: that can only reject. What survives must be proven zero;
what agrees in all digits and cannot be proven is `Unproven`, neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, product
from typing import Any

from promptcot.verify.exact import TooLarge, Undecided, Undefined, proportional, same_value
from promptcot.verify.relations import is_reals, symbols
from promptcot.verify.tokens import Mismatch, Unreadable
from promptcot.verify.tree import Node

DIGITS = 50
_AGREE = 40  # as many equal digits count as agreement
_POINTS = ((17, 13), (41, 7))  # variable k gets +-(p/q + k/q), with every choice of signs
_ORTHANTS = 8  # of the signs of variables; with more than three variables only some choices are tried


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
            top, bottom = sympy.simplify(convert(a)), sympy.simplify(convert(b))
            if top.is_zero is not False or bottom.is_zero is not False:
                return 0  # an equation that says nothing, or may say nothing, is no multiple of another
            quotient = sympy.simplify(top / bottom)
            if not quotient.is_number or not quotient.is_finite or quotient.is_zero is not False:
                return 0
            return 1 if quotient.is_positive else -1 if quotient.is_negative else 0

    def region(self, a: Node, b: Node) -> bool:
        """Sets of reals, written as intervals, unions, differences or relations in one variable."""
        if len(symbols(a) | symbols(b)) > 1:
            raise Unreadable("sets in several variables")
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
    """Are two SymPy expressions equal? Variables are real; where both sides are not, nothing is asked of them.

    Raises:
        Unproven: they agree wherever they were tried, but no step here proves it.
    """
    import sympy
    from sympy.core.function import AppliedUndef

    difference = a - b
    if difference == 0:
        return True
    alive = []
    for signs in _orthants(difference.free_symbols):
        seen = [_compared(a, b, point) for point in _points(signs)]
        if False in seen:
            return False
        if True in seen:
            alive.append(signs)
    if difference.has(sympy.Sum, sympy.Product, sympy.Integral, sympy.Limit):
        raise Unproven
    if difference.atoms(AppliedUndef) and a.free_symbols != b.free_symbols:
        return False  # a sum of other things
    if any(step == 0 for step in _simplified(difference)):
        return True
    if not difference.free_symbols and difference.is_algebraic:
        x = sympy.Dummy("x")
        return bool(sympy.minimal_polynomial(difference, x) == x)
    if not difference.free_symbols or not alive:
        raise Unproven
    for signs in alive:
        positive = {s: sign * sympy.Dummy(s.name, positive=True) for s, sign in signs.items()}
        if not any(step == 0 for step in _simplified(difference.subs(positive))):
            raise Unproven
    return True


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


def _orthants(symbols: set[Any]) -> list[dict[Any, int]]:
    """Choices of a sign for each variable: all of up to three variables, else some."""
    ordered = sorted(symbols, key=str)
    return [dict(zip(ordered, signs)) for signs in islice(product((1, -1), repeat=len(ordered)), _ORTHANTS)]


def _points(signs: dict[Any, int]) -> list[dict[Any, Any]]:
    import sympy

    if not signs:
        return [{}]
    return [
        {s: sign * sympy.Rational(p + k, q) for k, (s, sign) in enumerate(signs.items())} for p, q in _POINTS
    ]


def _compared(a: Any, b: Any, point: dict[Any, Any]) -> bool | None:
    """Do the values agree at this point? Relative to their size, so 2^-99 is not 2^-98; None if that cannot be said,
    or if neither is real though no i is written."""
    import sympy

    x, y = (sympy.N(e.subs(point), DIGITS) for e in (a, b))
    if not (x.is_number and y.is_number) or not (x.is_finite and y.is_finite):
        return None
    if point and not a.has(sympy.I) and not b.has(sympy.I) and not x.is_real and not y.is_real:
        return None
    size = max(abs(x), abs(y))
    return bool(size == 0 or abs(x - y) <= size * sympy.Float(10) ** -_AGREE)


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
    if op == "big":
        return _big(node)
    raise Mismatch(f"a {op} inside an expression")


def _rational(value: Fraction) -> Any:
    import sympy

    return sympy.Rational(value.numerator, value.denominator)


def _power(base: Any, exponent: Any) -> Any:
    import sympy

    if base == 0 and exponent.is_negative:
        raise Undefined("division by zero")
    if exponent.is_number and exponent.is_finite and abs(sympy.N(exponent)) > 10_000:
        raise TooLarge
    return sympy.Pow(base, exponent)


def _root(radicand: Any, index: Any) -> Any:
    import sympy

    if radicand.is_negative and index.is_odd:
        return -sympy.root(-radicand, index)
    return sympy.root(radicand, index)


_DIRECT = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "arcsin": "asin",
    "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec", "arccsc": "acsc", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "norm": "Abs", "sinh": "sinh",
    "cosh": "cosh", "tanh": "tanh", "coth": "coth", "log": "log", "ln": "log", "exp": "exp", "abs": "Abs", "max": "Max",
    "min": "Min", "gcd": "gcd", "lcm": "lcm", "floor": "floor", "ceiling": "ceiling", "factorial": "factorial",
    "factorial2": "factorial2", "binomial": "binomial", "sgn": "sign", "mod": "Mod",
}  # fmt: skip
_ARGUMENTS = {
    "log": (1, 2),
    "binomial": (2,),
    "mod": (2,),
    "max": range(1, 99),
    "min": range(1, 99),
    "gcd": (2,),
    "lcm": (2,),
}


def _function(name: str, args: list[Any]) -> Any:
    import sympy

    if name == "arccot" and args[0] != 0:
        return sympy.atan(1 / args[0])
    if name == "lg":
        return sympy.log(args[0], 10)
    if name.startswith(("factorial", "binomial")) and any(a.is_number and sympy.N(a) > 10_000 for a in args):
        raise TooLarge
    if len(args) not in _ARGUMENTS.get(name, (1,)):
        raise Mismatch(f"{name} of {len(args)} arguments")
    return getattr(sympy, _DIRECT[name])(*args)


def _big(node: Node) -> Any:
    """A sum, product, integral or limit, worked out where SymPy can."""
    import sympy

    body, *bounds = node.args
    name = {"sum": "Sum", "prod": "Product", "int": "Integral", "lim": "Limit"}[str(node.value)]
    if not bounds:
        return sympy.Function(name)(convert(body))
    variable, *ends = map(convert, bounds)
    if node.value == "lim":
        return sympy.Limit(convert(body), variable, *ends, dir="+-").doit()
    return getattr(sympy, name)(convert(body), (variable, *ends) if ends else variable).doit()


# --- sets of reals


def region(node: Node) -> Any:
    """A SymPy set. Raises Unreadable."""
    import sympy

    op, args = node.op, node.args
    if op in ("tuple", "interval"):
        if len(args) != 2:
            raise Mismatch(f"an interval with {len(args)} ends")
        brackets = str(node.value or "()")
        low, high = map(convert, args)
        if (low > high) == True:  # noqa: E712
            raise Mismatch("an interval whose ends are in the wrong order")
        return sympy.Interval(low, high, brackets[0] == "(", brackets[1] == ")")
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
    raise Mismatch(f"a {op} is no set of numbers")


def _pairs(node: Node) -> list[tuple[Node, str, Node]]:
    return list(zip(node.args, str(node.value).split(), node.args[1:]))


def _solutions(left: Node, sign: str, right: Node) -> Any:
    import sympy

    if sign == "in":
        if left.op != "sym":
            raise Unreadable("a set that holds an expression")
        return region(right)
    if sympy.simplify(convert(left) - convert(right)) == 0:
        raise Unreadable("a relation that says nothing")
    relation = {"=": "==", "!=": "!="}.get(sign, sign)
    expression = sympy.Rel(convert(left), convert(right), relation)
    symbols = sorted(expression.free_symbols, key=str)
    if len(symbols) != 1:
        raise Unreadable(f"a relation in {len(symbols)} variables is no set of numbers")
    x = sympy.Symbol("x", real=True)
    return sympy.solveset(expression.subs(symbols[0], x), x, sympy.S.Reals)
