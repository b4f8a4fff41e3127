"""The tree of a parsed answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Node:
    """One node of an answer's tree; `value` is the number, the name, or the spelling of the brackets.

    `places` is the number of decimal places a number was written with, -1 for an integer.
    """

    op: str
    args: tuple[Node, ...] = ()
    value: Fraction | str = ""
    places: int = -1


def number(value: Fraction | int) -> Node:
    """An exact number."""
    return Node("num", (), Fraction(value))


MINUS_ONE = number(-1)


def negated(node: Node) -> Node:
    """Minus `node`; a number stays a number."""
    if node.op in ("unit", "percent", "degree"):
        return replace(node, args=(negated(node.args[0]),))
    if node.op == "num" and isinstance(node.value, Fraction):
        return Node("num", (), -node.value, node.places)
    return Node("mul", (MINUS_ONE, node))


def listed(node: Node) -> tuple[Node, ...]:
    """What stands in a list; a single thing stands alone."""
    return node.args if node.op == "list" else (node,)


def signed(sign: str, node: Node) -> Node:
    """`node` behind one of + - \\pm \\mp; "mp" ties the signs of an answer to each other."""
    if sign == "\\pm":
        return Node("pm", (node,))
    if sign == "\\mp":
        return Node("pm", (negated(node),), "mp")
    return negated(node) if sign == "-" else node


def is_whole(node: Node) -> bool:
    """Is it an integer, written without a point?"""
    return node.op == "num" and node.places < 0


def is_simple_fraction(node: Node) -> bool:
    """Is it a fraction of two written integers?"""
    return (
        node.op == "mul"
        and len(node.args) == 2
        and node.args[1].op == "pow"
        and is_whole(node.args[0])
        and is_whole(node.args[1].args[0])
    )
