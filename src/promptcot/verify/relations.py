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
        if is_name(first, loose) and first.op != "pow":
            return Named(first, last)
        if len(sides) == 2 and is_name(last, False):
            return Named(last, first)
        if len(sides) > 2 and not symbols(first):
            return Named(None, last)
    if signs == ["in"] and is_name(sides[0], False):
        return Named(sides[0], sides[1])
    return Named(None, sides[0]) if not signs else Named(None, Node("rel", tuple(sides), " ".join(signs)))


def _said(node: Node) -> tuple[list[Node], list[str]]:
    r"""Sides and signs without the approximations: x = 1/3 \approx 0.33 says 1/3, but x \approx 11 says 11."""
    sides, signs = list(node.args), str(node.value).split()
    if "~" not in signs:
        return sides, signs
    cut = signs.index("~")
    if cut == 0 and is_name(sides[0], True):
        return sides, ["=" if s == "~" else s for s in signs]
    return sides[: cut + 1], signs[:cut]


def identity(node: Node) -> tuple[Node, ...]:
    """The sides of an equation between numbers, as in 12 * 5 = 60; none if it says something about a variable."""
    if node.op != "rel" or symbols(node):
        return ()
    sides, signs = _said(node)
    return tuple(sides) if set(signs) == {"="} and all(_is_number(side) for side in sides) else ()


def numbers_of(node: Node) -> list[Node]:
    """The numbers at the end of a chain, x = 2 + 3 = 5, which have to be one."""
    if node.op != "rel" or set(str(node.value).split()) != {"="} or len(node.args) < 3:
        return []
    return [side for side in node.args if _is_number(side)]


def _is_number(node: Node) -> bool:
    """Is it made of numbers and constants alone? A unit or a percent sign may stand around them."""
    if node.op in ("num", "const", "based"):
        return True
    if node.op == "big":
        return not symbols(node)
    inside = ("add", "mul", "pow", "root", "fn", "degree", "percent", "unit", "pm", "residue")
    return node.op in inside and all(_is_number(a) for a in node.args)


def assignments(node: Node) -> list[Node] | None:
    """(x, y) = (3, 5) as x = 3 and y = 5; None if it is not of that kind."""
    if node.op != "rel" or node.value != "=":
        return None
    names, values = node.args
    if not (names.op == values.op == "tuple" and len(names.args) == len(values.args)):
        return None
    if not all(is_name(n, False) for n in names.args):
        return None
    return [Node("rel", (n, v), "=") for n, v in zip(names.args, values.args)]


def groups(node: Node) -> Node:
    """p = 5, q = 2 and p = 7, q = 2: several solutions, each a list of assignments. Other lists as they are."""
    if node.op != "list" or len(node.args) < 4:
        return node
    names = [
        str(a.args[0]) if a.op == "rel" and a.value == "=" and is_name(a.args[0], False) else ""
        for a in node.args
    ]
    size = names.index(names[0], 1) if names[0] in names[1:] else 0
    if size < 2 or len(names) % size or "" in names:
        return node
    parts = [node.args[i : i + size] for i in range(0, len(names), size)]
    if any(sorted(names[i : i + size]) != sorted(names[:size]) for i in range(0, len(names), size)):
        return node
    return Node("list", tuple(Node("list", part, "and") for part in parts))


def is_name(node: Node, loose: bool) -> bool:
    """x, a_1, f(x), AB, |AB|, V_1 : V_2, NO/BO, (x, y); with `loose` also x + y. Nothing with a number in it."""
    if node.op in ("sym", "text") or (node.op == "const" and node.value in ("e", "i")):
        return True
    if node.op == "pow":
        return node.args[1] == MINUS_ONE and is_name(node.args[0], loose)
    if node.op == "mul" and node.value == "()":  # f(3)
        return True
    if node.op == "big":
        return True
    if node.op == "fn" and node.value == "abs":
        return _is_segment(node.args[0])
    if node.op == "fn" and node.value != "factorial":
        return all(is_name(a, loose) for a in node.args)
    inner = ("mul", "ratio", "tuple", "add") if loose else ("mul", "ratio", "tuple")
    return node.op in inner and all(is_name(a, loose) or (loose and a == MINUS_ONE) for a in node.args)


def _is_segment(node: Node) -> bool:
    """AB, whose |AB| is a length, or A, whose |A| is a size; |x| and |xy| are values of something."""
    letters = node.args if node.op in ("mul", "meet", "union") else (node,)
    return len(letters) <= 2 and all(
        a.op == "sym" and (str(a.value).isupper() or str(a.value).startswith("\\")) for a in letters
    )


def bare_name(name: Node) -> Node:
    """y(x) is y."""
    applied = name.op == "mul" and name.value == "()" and name.args[1].op == "sym"
    return name.args[0] if applied and str(name.args[1].value).islower() else name


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
    if len(sides) == 2 and is_name(sides[1], False) and not is_name(sides[0], False):
        sides, signs = sides[::-1], [_FLIP[signs[0]]]
    if len(sides) == 2 and is_name(sides[0], False):
        return _ray(signs[0], sides[1]) or node
    if len(sides) == 3 and is_name(sides[1], False):
        if set(signs) <= {">", ">="}:
            sides, signs = sides[::-1], [_FLIP[s] for s in reversed(signs)]
        if set(signs) <= {"<", "<="}:
            return _interval(signs[0] == "<=", sides[0], sides[2], signs[1] == "<=")
    return node


def symbols(node: Node) -> set[str]:
    """The names of its free variables."""
    own = {str(node.value)} if node.op == "sym" and not is_reals(node) else set()
    found = own.union(*map(symbols, node.args))
    return found - {str(node.args[1].value)} if node.op == "big" and len(node.args) > 1 else found


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
