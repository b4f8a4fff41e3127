r"""What stands around a number: currencies before it, percent signs and units behind it."""

from __future__ import annotations

from fractions import Fraction

from promptcot.verify.atoms import Atoms
from promptcot.verify.tokens import Token, Unreadable
from promptcot.verify.tree import Node, is_simple_fraction, number, signed
from promptcot.verify.units import LETTERS, scaled, unit_name

TIMES = {"\\cdot", "\\times", "*"}
OVER = {"/", "\\div"}
UNIT_SIGNS = TIMES | OVER
_UNIT_COMMANDS = {"\\mu", "\\Omega", "\\ell"}


class Measures(Atoms):
    """Adds units to the terms of `latex`."""

    def priced(self) -> Node:
        """A currency sign before a number, which may have a unit of its own: $5 per hour."""
        currency = self.found[self.at].text
        self.at += 1
        sign = self.take("+", "-")
        node = self.product()
        own = str(node.value) if node.op == "unit" else ""
        name = unit_name(f"{currency} {own}")
        if name is None:
            raise Unreadable(f"two units: {currency} and {own}")
        return Node("unit", (signed(sign or "+", node.args[0] if own else node),), name)

    def measured(self, node: Node) -> Node:
        """`node` with the unit behind it, if there is one."""
        if self.take("%"):
            if self.kind() == "number":  # the sign of programming languages
                return Node("fn", (node, self.power()), "mod")
            node = Node("percent", (node,))
        if self.peek() == "of" and (node.op == "percent" or is_simple_fraction(node)):
            self.at += 1
            whole = self.product()
            part = Node("mul", (node.args[0], number(Fraction(1, 100)))) if node.op == "percent" else node
            return Node("mul", (part, whole))
        words = self.unit()
        if not words:
            return node
        scale, rest = scaled(words)
        node = node if scale == 1 else Node("mul", (node, number(scale)))
        name = unit_name(rest) if rest else ""
        if name is None:
            raise Unreadable(f"{words!r} is not a unit")
        return Node("unit", (node,), name) if name else node

    def unit_ahead(self) -> bool:
        """Does a unit stand next, with or without a sign of multiplication or division before it?"""
        at = self.at
        if at < len(self.found) and self.found[at].text in UNIT_SIGNS:
            at += 1
        if at >= len(self.found):
            return False
        kind, text = self.found[at]
        if kind in ("number", "name"):
            return False
        if kind == "text" and len(text) == 1:
            return text in LETTERS or not text.isalpha()
        behind = self.found[at + 1] if at + 1 < len(self.found) else Token("", "")
        if text in _UNIT_COMMANDS and kind == "command":
            return behind.kind == "text" or (text == "\\Omega" and not behind.kind and at > self.at - 1 > -1)
        if text == "\\frac" and kind == "command":
            return behind.text == "{" and [t.kind for t in self.found[at + 2 : at + 3]] in (
                ["text"],
                ["word"],
            )
        return kind in ("text", "word", "currency")

    def unit(self) -> str:
        """The spelling of the unit that stands next; empty if none does."""
        pieces: list[str] = []
        while self.unit_ahead() or (pieces and self.peek() == "^"):
            kind, text = self.found[self.at]
            self.at += 1
            if text == "\\frac" and kind == "command":
                pieces += [self.unit_group(), "/", self.unit_group()]
            elif text == "^":
                pieces.append("^" + "".join(c for c in self.subscript() if c not in "{}"))
            else:
                pieces.append({"\\div": "/", "\\cdot": "*", "\\times": "*"}.get(text, text))
        return " ".join(pieces).replace("{", "").replace("}", "").replace(" ^", "^").replace("\\cdot", "*")

    def unit_group(self) -> str:
        self.expect("{")
        words = self.unit()
        self.expect("}")
        return words
