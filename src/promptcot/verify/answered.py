r"""Is an answer worked out? x = 5 and 1 < x <= 3 are, 3x + 7 = 22 and x^2 - x <= 6 repeat the question."""

from __future__ import annotations

from promptcot.verify.relations import is_inequality, is_name, is_reals, symbols
from promptcot.verify.tree import MINUS_ONE, Node

REGIONS = ("tuple", "interval", "union", "meet", "minus", "set")


def solved(node: Node) -> bool:
    """Does it give a value to a variable, or bounds, as x = 5 and 1 < x <= 3 do? x^2 >= 4 and |x| < 1 count as bounds of x."""
    sides = [side for side in node.args if symbols(side)]
    if len(sides) != 1:
        return False
    (side,) = sides
    side = side.args[1] if side.op == "mul" and side.args[0] == MINUS_ONE else side
    simple_form = (side.op == "pow" and side.args[0].op == "sym") or (
        side.op == "fn" and side.value == "abs" and side.args[0].op == "sym"
    )
    return is_name(side, False) or simple_form


def names_all(node: Node) -> bool:
    """Is it a list of values with a name each?"""
    names = [
        str(a.args[0]) for a in node.args if a.op == "rel" and a.value == "=" and is_name(a.args[0], False)
    ]
    return len(names) == len(node.args) == len(set(names))


def is_solved(node: Node) -> bool:
    """Does it say which numbers they are, by itself?"""
    return (
        node.op in REGIONS
        or (node.op == "rel" and solved(node))
        or (node.op == "list" and all(map(is_solved, node.args)))
    )


def repeats(node: Node) -> bool:
    """Does it repeat the question, by a condition that still has to be solved?"""
    if node.op == "rel":
        return not solved(node) and is_inequality(node)
    inside = node.args if node.op in ("union", "meet", "minus", "list") else ()
    return any(repeats(a) or (node.op != "list" and a.op == "rel" and not solved(a)) for a in inside)


def is_region(node: Node) -> bool:
    """Is it a set of numbers, or made of such? An interval plus one is none."""
    if node.op in ("union", "meet", "minus"):
        return all(is_region(a) or a.op in ("rel", "list", "sym") for a in node.args)
    return node.op in REGIONS or is_reals(node)
