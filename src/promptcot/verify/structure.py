r"""What an answer consists of: names, lists, tuples, sets, intervals, relations, matrices, units.

`same_answer` takes two parsed answers apart until only values are left; a `Judge` compares those. Rules:

* a bare list and a set have no order, a tuple has; `\{1,2\}` is not (1,2), and a bare list may stand for either;
* brackets of an interval count; (a,b) is a tuple and an open interval alike; `\pm` stands for two values;
* `x =` may be missing on one side, a unit or a percent sign too, but two different ones are different answers;
* a chain `x = 2 + 3 = 5` answers with its last value, and what follows `\approx` is only said by the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

from promptcot.verify.exact import Undecided, constant, proportional, same_value
from promptcot.verify.relations import (
    as_region,
    has_inequality,
    is_inequality,
    is_reals,
    named,
    or_union,
    simple,
    symbols,
)  # fmt: skip
from promptcot.verify.tokens import Unreadable
from promptcot.verify.tree import MINUS_ONE, Node, negated, number

APPROX_DIGITS = 15  # what a double prints; a decimal with as many correct digits is taken for the exact value
_MAX_ITEMS = 200
_SEQUENCES = ("list", "set", "tuple")
_REGIONS = ("tuple", "interval", "union", "meet", "minus", "set")


class Judge(Protocol):
    """Decides about values and about sets of reals; raises `Undecided` where it cannot."""

    def value(self, a: Node, b: Node) -> bool: ...
    def ratio(self, a: Node, b: Node) -> int: ...
    def between(self, value: Node, low: Fraction, high: Fraction) -> bool: ...
    def region(self, a: Node, b: Node) -> bool: ...


class Exact:
    """The judge that needs no SymPy."""

    def value(self, a: Node, b: Node) -> bool:
        """`exact.same_value`."""
        return same_value(a, b)

    def ratio(self, a: Node, b: Node) -> int:
        """Sign of the constant c with a = c b, 0 if there is none."""
        c = proportional(a, b)
        return 0 if c is None else 1 if c > 0 else -1

    def between(self, value: Node, low: Fraction, high: Fraction) -> bool:
        """low <= value < high, only for rational numbers."""
        known = constant(value)
        if known is None:
            raise Undecided
        return low <= known < high

    def region(self, a: Node, b: Node) -> bool:
        """Sets spelled differently need set algebra."""
        raise Undecided


def same_answer(
    gold: Node, prediction: Node, judge: Judge, digits: int = APPROX_DIGITS, loose: bool = False
) -> bool:
    """Do two parsed answers say the same? Symmetric unless `loose`.

    Args:
        gold: The reference.
        prediction: The answer in question.
        judge: Compares values and sets of reals.
        digits: As many correct significant digits make a decimal equal to an exact value.
        loose: The prediction may name what it computed by a sum, too: `x + y = 5` for 5.

    Raises:
        Undecided, TooLarge, Unreadable: see `exact`.
    """
    return _Comparison(judge, digits, loose).same(gold, prediction)


class _Comparison:
    def __init__(self, judge: Judge, digits: int, loose: bool) -> None:
        self.judge, self.digits, self.loose = judge, digits, loose

    def same(self, a: Node, b: Node) -> bool:
        a, b = _spread(a), _spread(b)
        if a == b:
            return True
        if "rel" in (a.op, b.op):
            return self.relations(a, b)
        if has_inequality(a) or has_inequality(b):
            return self.inequality_lists(a, b)
        if (a.op in _SEQUENCES or b.op in _SEQUENCES) and not (is_reals(a) or is_reals(b)):
            return self.sequences(a, b)
        if a.op in _REGIONS or b.op in _REGIONS:
            return self.regions(a, b)
        return self.measured(a, b)

    # --- sequences

    def sequences(self, a: Node, b: Node) -> bool:
        ops = {a.op, b.op}
        if a.op == b.op == "tuple" or ops == {"list", "tuple"}:
            if len(a.args) == len(b.args) and self.in_order(a.args, b.args):
                return True
            return ops == {"list", "tuple"} and _nested(a, b) and self.any_order(a.args, b.args)
        if ops <= {"list", "set"}:
            return self.any_order(a.args, b.args) or (
                _is_set(a, b) and self.covered(a, b) and self.covered(b, a)
            )
        if ops & {"interval", "union", "meet", "minus"}:
            return self.regions(a, b)
        if (a.op == "set" and len(a.args) == 1) != (b.op == "set" and len(b.args) == 1):
            return self.same(*(n.args[0] if n.op == "set" and len(n.args) == 1 else n for n in (a, b)))
        return False  # one value against several; a set against a tuple

    def in_order(self, a: Sequence[Node], b: Sequence[Node]) -> bool:
        return all(self.same(x, y) for x, y in zip(a, b, strict=True))

    def any_order(self, a: Sequence[Node], b: Sequence[Node]) -> bool:
        """Each item of `a` has one of its own in `b` (equality is transitive, so greedy matching is enough)."""
        if max(len(a), len(b)) > _MAX_ITEMS:
            raise Unreadable(f"more than {_MAX_ITEMS} items")
        if len(a) != len(b):
            return False
        left = list(b)
        for item in a:
            match = next((i for i, other in enumerate(left) if self.same(item, other)), None)
            if match is None:
                return False
            del left[match]
        return True

    def covered(self, a: Node, b: Node) -> bool:
        return all(any(self.same(x, y) for y in b.args) for x in a.args)

    # --- sets of reals

    def regions(self, a: Node, b: Node) -> bool:
        if (a.op not in _REGIONS and not is_reals(a)) or (b.op not in _REGIONS and not is_reals(b)):
            return False
        if a.op == b.op == "union" and len(a.args) == len(b.args) and self.any_order(a.args, b.args):
            return True
        if a.op == b.op and a.op in ("minus", "meet") and self.in_order(a.args, b.args):
            return True
        if a.op in ("interval", "tuple") and b.op in ("interval", "tuple"):
            brackets = [n.value or "()" for n in (a, b)]
            return brackets[0] == brackets[1] and len(a.args) == len(b.args) and self.in_order(a.args, b.args)
        return self.judge.region(a, b)

    # --- relations

    def relations(self, a: Node, b: Node) -> bool:
        left, right = named(a, loose=False), named(b, loose=self.loose and a.op != "rel")
        if a.op == b.op and (left.name is None or right.name is None) and self.equations(a, b):
            return True
        if left.name and right.name and left.name != right.name:
            return a.op == b.op == "rel" and self.equations(a, b)
        if "rel" not in (left.value.op, right.value.op):
            return self.same(left.value, right.value)
        return self.inequalities(left.value, right.value)

    def inequalities(self, a: Node, b: Node) -> bool:
        """At least one of the two is a relation that is no assignment."""
        if a.op == b.op == "rel" and self.equations(a, b):
            return True
        if not is_inequality(a) and not is_inequality(b):
            return False
        if a.op == b.op and symbols(a) != symbols(b):
            return False
        a, b = (as_region(n) if n.op == "rel" else n for n in (a, b))
        if "rel" in (a.op, b.op):
            return all(n.op == "rel" or n.op in _REGIONS for n in (a, b)) and self.judge.region(a, b)
        return self.same(a, b)

    def equations(self, a: Node, b: Node) -> bool:
        """Each simple relation of `a` is one of `b`, up to the side it stands on and a constant factor."""
        left, right = simple(a), simple(b)
        if len(left) != len(right):
            return False
        for sign, e in left:
            match = next(
                (i for i, (s, f) in enumerate(right) if s == sign and self.same_relation(sign, e, f)), None
            )
            if match is None:
                return False
            del right[match]
        return True

    def same_relation(self, sign: str, e: Node, f: Node) -> bool:
        c = self.judge.ratio(e, f)
        return c > 0 or (c < 0 and sign in ("=", "!="))

    def inequality_lists(self, a: Node, b: Node) -> bool:
        """`x < 1 or x > 3` against the same in another order, or against a set."""
        if has_inequality(a) and has_inequality(b) and a.value == b.value and self.any_order(a.args, b.args):
            return True
        if has_inequality(a) and has_inequality(b) and symbols(a) != symbols(b):
            return False
        a, b = (or_union(n) for n in (a, b))
        return self.same(a, b) if "list" not in (a.op, b.op) else self.judge.region(a, b)

    # --- single values

    def measured(self, a: Node, b: Node) -> bool:
        units = {"degree" if n.op == "degree" else n.value for n in (a, b) if n.op in ("unit", "degree")}
        if len(units) > 1:
            return False
        if "unit" in (a.op, b.op):
            return self.same(*(n.args[0] if n.op in ("unit", "degree") else n for n in (a, b)))
        if a.op == "percent" or b.op == "percent":
            return self.percent(a, b)
        if a.op == "degree" or b.op == "degree":
            x, y = (n.args[0] if n.op == "degree" else n for n in (a, b))
            return self.same(x, y) or (a.op != b.op and self.value(_radians(a), _radians(b)))
        if a.op == b.op in ("matrix", "det", "ratio") and a.value == b.value:
            return len(a.args) == len(b.args) and self.in_order(a.args, b.args)
        if {a.op, b.op} & {"text", "matrix"} or a.op == b.op == "ratio":
            return False
        return self.value(_quotient(a), _quotient(b))

    def percent(self, a: Node, b: Node) -> bool:
        """10% is 0.1, and 10 where a question asks for percent; but 0.5% is not 0.5, nor is 10 the same as 0.1."""
        x, y = (n.args[0] if n.op == "percent" else n for n in (a, b))
        if a.op == b.op:
            return self.same(x, y)
        bare = constant(b if a.op == "percent" else a) if not {a.op, b.op} & set(_REGIONS) else None
        if bare is not None and (abs(bare) >= 1 or not bare) and self.same(x, y):
            return True
        hundredth = number(Fraction(1, 100))
        return self.same(*(Node("mul", (n.args[0], hundredth)) if n.op == "percent" else n for n in (a, b)))

    def value(self, a: Node, b: Node) -> bool:
        for exact, decimal in ((a, b), (b, a)):
            if _digits(decimal) >= self.digits and _digits(exact) == 0:
                return self.close(exact, decimal)
        return self.judge.value(a, b)

    def close(self, exact: Node, decimal: Node) -> bool:
        """Is the decimal the exact value, rounded or cut after its last place?"""
        shown, place = constant(decimal), Fraction(1, 10 ** _places(decimal))
        if shown is None:
            return False
        if shown < 0:
            exact, shown = negated(exact), -shown
        return self.judge.between(exact, shown - place / 2, shown + place)


# --- shapes


def _spread(node: Node) -> Node:
    r"""`\pm` written out: a value becomes two, a list or set gets more items."""
    if node.op in ("list", "set"):
        items = [x for a in node.args for x in _both_signs(a)]
        return replace(node, args=tuple(items)) if len(items) != len(node.args) else node
    both = _both_signs(node)
    return Node("list", tuple(both)) if len(both) > 1 else node


def _both_signs(node: Node) -> list[Node]:
    return [_signed(node, 1), _signed(node, -1)] if _contains(node, "pm") else [node]


def _contains(node: Node, op: str) -> bool:
    return node.op == op or any(_contains(a, op) for a in node.args)


def _signed(node: Node, sign: int) -> Node:
    if node.op == "pm":
        inner = _signed(node.args[0], sign)
        return inner if sign > 0 else negated(inner)
    return replace(node, args=tuple(_signed(a, sign) for a in node.args)) if node.args else node


def _nested(a: Node, b: Node) -> bool:
    """A list of tuples or lists against a bracketed one: ((1,2),(3,4)) is the list (1,2), (3,4)."""
    return all(x.op in ("tuple", "list") for x in (*a.args, *b.args))


def _is_set(a: Node, b: Node) -> bool:
    """Does it not matter how often an item is named? So for sets, and for points, which solve something or not."""
    return a.op == b.op == "set" or all(x.op == "tuple" for x in (*a.args, *b.args))


def _digits(node: Node) -> int:
    """Significant digits of a written decimal; 0 for everything else."""
    while node.op == "mul" and len(node.args) == 2 and node.args[0] == MINUS_ONE:
        node = node.args[1]
    if node.op != "num" or node.places < 0 or not isinstance(node.value, Fraction):
        return 0
    return max(1, len(str(abs(node.value.numerator) * 10**node.places // node.value.denominator)))


def _places(node: Node) -> int:
    while node.op == "mul":
        node = node.args[1]
    return max(node.places, 0)


def _quotient(node: Node) -> Node:
    """3:4 next to a number is three quarters."""
    if node.op != "ratio":
        return node
    if len(node.args) != 2:
        raise Unreadable("a ratio of more than two parts is no number")
    return Node("mul", (node.args[0], Node("pow", (node.args[1], MINUS_ONE))))


def _radians(node: Node) -> Node:
    if node.op != "degree":
        return node
    return Node("mul", (node.args[0], Node("const", (), "\u03c0"), number(Fraction(1, 180))))
