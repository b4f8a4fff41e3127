r"""What an answer consists of: names, lists, tuples, sets, intervals, relations, matrices, units.

`same_answer` takes two parsed answers apart until only values are left; a `Judge` compares those. Rules:

* a bare list and a set have no order, a tuple has; `\{1,2\}` is not (1,2), and a bare list may stand for either;
* brackets of an interval count; (a,b) is a tuple and an open interval alike; `\pm` stands for two values;
* `x =` may be missing on one side, a unit or a percent sign too, but two different ones are different answers;
* a chain `x = 2 + 3 = 5` answers with its last value, and what follows `\approx` is only said by the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

from promptcot.verify.exact import Undecided, constant, proportional, same_value
from promptcot.verify.latex import MINUS_ONE, Node, negated, number
from promptcot.verify.tokens import Unreadable

APPROX_DIGITS = 15  # what a double prints; a decimal with as many correct digits is taken for the exact value
_MAX_ITEMS = 200
_FLIP = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!=", "in": "in", "~": "~"}
_SEQUENCES = ("list", "set", "tuple")
_REGIONS = ("tuple", "interval", "union", "meet", "minus", "set")
INFINITY = Node("const", (), "\u221e")


class Judge(Protocol):
    """Decides about values and about sets of reals; raises `Undecided` where it cannot."""

    def value(self, a: Node, b: Node) -> bool: ...
    def ratio(self, a: Node, b: Node) -> int: ...
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

    def region(self, a: Node, b: Node) -> bool:
        """Sets spelled differently need set algebra."""
        raise Undecided


@dataclass(frozen=True)
class Named:
    """`x = 5`: the name and the value. `name` is None for a bare value; an equation keeps its relation."""

    name: Node | None
    value: Node


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
        if _has_inequality(a) or _has_inequality(b):
            return self.inequality_lists(a, b)
        if a.op in _SEQUENCES or b.op in _SEQUENCES:
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
        if (a.op not in _REGIONS and not _is_reals(a)) or (b.op not in _REGIONS and not _is_reals(b)):
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
        left, right = _named(a, loose=False), _named(b, loose=self.loose and a.op != "rel")
        if a.op == b.op and (left.name is None or right.name is None) and self.equations(a, b):
            return True
        if left.name and right.name and left.name != right.name:
            return a.op == b.op == "rel" and self.equations(a, b)
        if "rel" not in (left.value.op, right.value.op):
            return self.same(left.value, right.value)
        return self.inequalities(left.value, right.value)

    def inequalities(self, a: Node, b: Node) -> bool:
        """At least one of the two is a relation that is no assignment."""
        if a.op == b.op == "rel":
            return self.equations(a, b) or (
                _is_inequality(a) and _is_inequality(b) and self.judge.region(a, b)
            )
        if not _is_inequality(a) and not _is_inequality(b):
            return False
        a, b = (_as_region(n) if n.op == "rel" else n for n in (a, b))
        if "rel" in (a.op, b.op):
            return all(n.op == "rel" or n.op in _REGIONS for n in (a, b)) and self.judge.region(a, b)
        return self.same(a, b)

    def equations(self, a: Node, b: Node) -> bool:
        """Each simple relation of `a` is one of `b`, up to the side it stands on and a constant factor."""
        left, right = _simple(a), _simple(b)
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
        if (
            _has_inequality(a)
            and _has_inequality(b)
            and a.value == b.value
            and self.any_order(a.args, b.args)
        ):
            return True
        a, b = (_or_union(n) for n in (a, b))
        return self.same(a, b) if "list" not in (a.op, b.op) else self.judge.region(a, b)

    # --- single values

    def measured(self, a: Node, b: Node) -> bool:
        units = {n.value for n in (a, b) if n.op == "unit"}
        if units:
            a, b = (n.args[0] if n.op == "unit" else n for n in (a, b))
            return len(units) == 1 and self.same(a, b)
        if a.op == "percent" or b.op == "percent":
            return self.percent(a, b)
        if a.op == "degree" or b.op == "degree":
            return self.same(*(n.args[0] if n.op == "degree" else n for n in (a, b)))
        if a.op == b.op in ("matrix", "det", "ratio") and a.value == b.value:
            return len(a.args) == len(b.args) and self.in_order(a.args, b.args)
        if "text" in (a.op, b.op) or "matrix" in (a.op, b.op) or "ratio" in (a.op, b.op):
            return False
        return self.value(a, b)

    def percent(self, a: Node, b: Node) -> bool:
        """10% is 10 where the question asks for percent, and 0.1; but 10 is not 0.1."""
        x, y = (n.args[0] if n.op == "percent" else n for n in (a, b))
        if self.same(x, y):
            return True
        if a.op == b.op:
            return False
        hundredth = number(Fraction(1, 100))
        return self.same(*(Node("mul", (n.args[0], hundredth)) if n.op == "percent" else n for n in (a, b)))

    def value(self, a: Node, b: Node) -> bool:
        for exact, decimal in ((a, b), (b, a)):
            if _digits(decimal) >= self.digits and _digits(exact) == 0:
                return self.close(exact, decimal)
        return self.judge.value(a, b)

    def close(self, exact: Node, decimal: Node) -> bool:
        """Is the decimal the exact value, rounded or cut after its last place?"""
        value, shown = constant(exact), constant(decimal)
        if value is None or shown is None:
            raise Undecided
        return abs(value - shown) < Fraction(1, 10 ** _places(decimal))


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


def _is_reals(node: Node) -> bool:
    return node.op == "sym" and str(node.value) in ("\\mathbbR", "\\mathbfR")


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


# --- names and relations


def _named(node: Node, loose: bool) -> Named:
    """The value a relation gives to a name. An equation or inequality is its own value."""
    if node.op != "rel":
        return Named(None, node)
    sides, signs = _said(node)
    if "=" in signs and set(signs) == {"="}:
        first, last = sides[0], sides[-1]
        if _is_name(first, loose):
            return Named(first, last)
        if len(sides) == 2 and _is_name(last, False):
            return Named(last, first)
        if len(sides) > 2:
            return Named(None, last)
    if signs == ["in"] and _is_name(sides[0], False):
        return Named(sides[0], sides[1])
    return Named(None, sides[0]) if not signs else Named(None, Node("rel", tuple(sides), " ".join(signs)))


def _said(node: Node) -> tuple[list[Node], list[str]]:
    r"""Sides and signs without the approximations: x = 1/3 \approx 0.33 says 1/3, but x \approx 11 says 11."""
    sides, signs = list(node.args), str(node.value).split()
    if "~" not in signs:
        return sides, signs
    cut = signs.index("~")
    if cut == 0 and _is_name(sides[0], True):
        return sides, ["=" if s == "~" else s for s in signs]
    return sides[: cut + 1], signs[:cut]


def _is_name(node: Node, loose: bool) -> bool:
    """x, a_1, f(x), AB, V_1 : V_2, NO/BO, (x, y); with `loose` also x + y. Nothing with a number in it."""
    if node.op in ("sym", "text") or (node.op == "const" and node.value in ("e", "i")):
        return True
    if node.op == "pow":
        return node.args[1] == MINUS_ONE and _is_name(node.args[0], loose)
    if node.op == "fn" and node.value not in ("abs", "factorial"):
        return all(_is_name(a, loose) for a in node.args)
    inner = ("mul", "ratio", "tuple", "add") if loose else ("mul", "ratio", "tuple")
    return node.op in inner and all(_is_name(a, loose) or (loose and a == MINUS_ONE) for a in node.args)


def _is_inequality(node: Node) -> bool:
    return node.op == "rel" and not set(str(node.value).split()) & {"=", "~"}


def _has_inequality(node: Node) -> bool:
    return node.op == "list" and any(_is_inequality(a) and "in" not in str(a.value) for a in node.args)


def _simple(node: Node) -> list[tuple[str, Node]]:
    """A chain as simple relations `difference sign 0`, the sign one of = != < <=."""
    found = []
    sides, signs = _said(node)
    for left, sign, right in zip(sides, signs, sides[1:]):
        if sign in (">", ">="):
            left, sign, right = right, _FLIP[sign], left
        found.append((sign, Node("add", (left, negated(right)))))
    return found


def _as_region(node: Node) -> Node:
    """A simple inequality as an interval; any other relation as it is."""
    sides, signs = list(node.args), str(node.value).split()
    if len(sides) == 2 and _is_name(sides[1], False) and not _is_name(sides[0], False):
        sides, signs = sides[::-1], [_FLIP[signs[0]]]
    if len(sides) == 2 and _is_name(sides[0], False):
        return _ray(signs[0], sides[1]) or node
    if len(sides) == 3 and _is_name(sides[1], False):
        if set(signs) <= {">", ">="}:
            sides, signs = sides[::-1], [_FLIP[s] for s in reversed(signs)]
        if set(signs) <= {"<", "<="}:
            return _interval(signs[0] == "<=", sides[0], sides[2], signs[1] == "<=")
    return node


def _ray(sign: str, end: Node) -> Node | None:
    if sign in ("<", "<="):
        return _interval(False, negated(INFINITY), end, sign == "<=")
    if sign in (">", ">="):
        return _interval(sign == ">=", end, INFINITY, False)
    if sign == "!=":
        rays = _interval(False, negated(INFINITY), end, False), _interval(False, end, INFINITY, False)
        return Node("union", rays)
    return end if sign == "in" else None


def _interval(closed_left: bool, low: Node, high: Node, closed_right: bool) -> Node:
    if not closed_left and not closed_right:
        return Node("tuple", (low, high))
    return Node("interval", (low, high), ("[" if closed_left else "(") + ("]" if closed_right else ")"))


def _or_union(node: Node) -> Node:
    """`x < 1 or x > 3` as a union of intervals, where each part is one."""
    if node.op != "list" or node.value != "or" or not all(a.op == "rel" for a in node.args):
        return node
    parts = [_as_region(a) for a in node.args]
    return Node("union", tuple(parts)) if all(p.op != "rel" for p in parts) else node
