r"""Shapes of parsed answers: signs written out, factors multiplied in, digits counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product, repeat

from promptcot.verify.tokens import Mismatch, Unreadable
from promptcot.verify.tree import MINUS_ONE, Node, negated, number

_MAX_SIGNS = 6  # of \u00b1 in one answer: 64 values


def spread(node: Node) -> Node:
    r"""`\pm` written out: a value becomes two, four with two of them; a list or set gets more items."""
    if node.op in ("list", "set"):
        items = [x for a in node.args for x in _both_signs(a)]
        return replace(node, args=tuple(items)) if len(items) != len(node.args) else node
    both = _both_signs(node)
    return Node("list", tuple(both)) if len(both) > 1 else node


def _both_signs(node: Node) -> list[Node]:
    r"""Each `\pm` is a choice of its own, unless a `\mp` says that they change together."""
    signs = count(node, "pm")
    if signs > _MAX_SIGNS:
        raise Unreadable(f"more than {_MAX_SIGNS} signs of \u00b1")
    if not signs:
        return [node]
    if count(node, "pm", "mp"):
        return [_signed(node, repeat(1)), _signed(node, repeat(-1))]
    return [_signed(node, iter(choice)) for choice in product((1, -1), repeat=signs)]


def together(node: Node) -> Node:
    """The two points of a tuple whose signs change together."""
    if node.op == "tuple" and count(node, "pm") > 1:
        return Node("list", (_signed(node, repeat(1)), _signed(node, repeat(-1))))
    return node


def count(node: Node, op: str, value: str | None = None) -> int:
    own = node.op == op and value in (None, node.value)
    return own + sum(count(a, op, value) for a in node.args)


def _signed(node: Node, signs: Iterator[int]) -> Node:
    """`node` with the next of `signs` for each `\\pm`, in reading order."""
    if node.op == "pm":
        sign = next(signs)
        inner = _signed(node.args[0], signs)
        return inner if sign > 0 else negated(inner)
    return replace(node, args=tuple(_signed(a, signs) for a in node.args)) if node.args else node


def entries(node: Node) -> Node:
    """A matrix with its factor multiplied in, or turned by a ^T; a sum of lengths as a length."""
    if (
        node.op == "pow"
        and node.args[0].op == "matrix"
        and str(node.args[1].value) in ("T", "\\top", "\\intercal")
    ):
        matrix = node.args[0]
        rows, columns = map(int, str(matrix.value).split("x"))
        cells = [matrix.args[r * columns + c] for c in range(columns) for r in range(rows)]
        return Node("matrix", tuple(cells), f"{columns}x{rows}")
    if (
        node.op == "add"
        and len({(a.op, a.value) for a in node.args}) == 1
        and node.args[0].op in ("unit", "degree")
    ):
        return replace(node.args[0], args=(Node("add", tuple(a.args[0] for a in node.args)),))
    found = [i for i, a in enumerate(node.args) if a.op == "matrix"] if node.op == "mul" else []
    if len(found) != 1:
        return node
    matrix = node.args[found[0]]
    others = node.args[: found[0]] + node.args[found[0] + 1 :]
    return replace(matrix, args=tuple(Node("mul", (*others, cell)) for cell in matrix.args))


def nested(a: Node, b: Node) -> bool:
    """A list of tuples or lists against a bracketed one: ((1,2),(3,4)) is the list (1,2), (3,4)."""
    return all(x.op in ("tuple", "list") for x in (*a.args, *b.args))


def is_set(a: Node, b: Node) -> bool:
    """Does it not matter how often an item is named? So for sets, and for points, which solve something or not."""
    return a.op == b.op == "set" or all(x.op == "tuple" for x in (*a.args, *b.args))


def digits(node: Node) -> int:
    """Significant digits of a written decimal; 0 for everything else."""
    while node.op == "mul" and len(node.args) == 2 and node.args[0] == MINUS_ONE:
        node = node.args[1]
    if node.op != "num" or node.places < 0 or not isinstance(node.value, Fraction):
        return 0
    return max(1, len(str(abs(node.value.numerator) * 10**node.places // node.value.denominator)))


def places(node: Node) -> int:
    while node.op == "mul":
        node = node.args[1]
    return max(node.places, 0)


def quotient(node: Node) -> Node:
    """3:4 next to a number is three quarters."""
    if node.op != "ratio":
        return node
    if len(node.args) != 2:
        raise Mismatch("a ratio of more than two parts is no number")
    return Node("mul", (node.args[0], Node("pow", (node.args[1], MINUS_ONE))))


def radians(node: Node) -> Node:
    if node.op != "degree":
        return node
    return Node("mul", (node.args[0], Node("const", (), "\u03c0"), number(Fraction(1, 180))))
