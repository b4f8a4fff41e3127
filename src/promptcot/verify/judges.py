"""Who compares two values, once their answers are taken apart: exactly here, by SymPy in a worker (`symbolic`)."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

from promptcot.verify.exact import Undecided, constant, proportional, same_value
from promptcot.verify.tree import Node


class Open(Exception):
    """Both answers were read, and whether they are equal depends on how one of them is meant."""


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
