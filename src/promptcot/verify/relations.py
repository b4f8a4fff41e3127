r"""What relations say: a name and its value, an equation, an inequality, a set of reals."""

from __future__ import annotations

from dataclasses import dataclass

from promptcot.verify.tree import MINUS_ONE, Node, negated

_FLIP = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!=", "in": "in", "~": "~"}
INFINITY = Node("const", (), "\u221e")


@dataclass(frozen=True)
class Named:
    """`x = 5`: the name and the value. `name` is None for a bare value; an equation keeps its relation."""

    name: Node | None
    value: Node


def named(node: Node, loose: bool) -> Named:
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
    """x, a_1, f(x), AB, |AB|, V_1 : V_2, NO/BO, (x, y); with `loose` also x + y. Nothing with a number in it."""
    if node.op in ("sym", "text") or (node.op == "const" and node.value in ("e", "i")):
        return True
    if node.op == "pow":
        return node.args[1] == MINUS_ONE and _is_name(node.args[0], loose)
    if node.op == "fn" and node.value == "abs":
        return _is_segment(node.args[0])
    if node.op == "fn" and node.value != "factorial":
        return all(_is_name(a, loose) for a in node.args)
    inner = ("mul", "ratio", "tuple", "add") if loose else ("mul", "ratio", "tuple")
    return node.op in inner and all(_is_name(a, loose) or (loose and a == MINUS_ONE) for a in node.args)


def _is_segment(node: Node) -> bool:
    """AB, whose |AB| is a length; |x| and |xy| are values of something."""
    return (
        node.op == "mul"
        and len(node.args) == 2
        and all(a.op == "sym" and str(a.value).isupper() for a in node.args)
    )


def is_inequality(node: Node) -> bool:
    return node.op == "rel" and not set(str(node.value).split()) & {"=", "~"}


def has_inequality(node: Node) -> bool:
    return node.op == "list" and any(is_inequality(a) and "in" not in str(a.value) for a in node.args)


def simple(node: Node) -> list[tuple[str, Node]]:
    """A chain as simple relations `difference sign 0`, the sign one of = != < <=."""
    found = []
    sides, signs = _said(node)
    for left, sign, right in zip(sides, signs, sides[1:]):
        if sign in (">", ">="):
            left, sign, right = right, _FLIP[sign], left
        found.append((sign, Node("add", (left, negated(right)))))
    return found


def as_region(node: Node) -> Node:
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


def symbols(node: Node) -> set[str]:
    """The names of its variables."""
    own = {str(node.value)} if node.op == "sym" else set()
    return own.union(*map(symbols, node.args))


def is_reals(node: Node) -> bool:
    r"""\mathbb{R}"""
    return node.op == "sym" and node.value in ("\\mathbbR", "\\mathbfR")


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


def or_union(node: Node) -> Node:
    """`x < 1 or x > 3` as a union of intervals, where each part is one."""
    if node.op != "list" or node.value != "or" or not all(a.op == "rel" for a in node.args):
        return node
    parts = [as_region(a) for a in node.args]
    return Node("union", tuple(parts)) if all(p.op != "rel" for p in parts) else node
