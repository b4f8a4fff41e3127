r"""The large parts of an answer: sums, integrals, limits, matrices, systems of equations, definitions by cases."""

from __future__ import annotations

import re

from promptcot.verify.atoms import Atoms
from promptcot.verify.tokens import Unreadable
from promptcot.verify.tree import Node, number

_ROWS = re.compile(
    r"(?:[pbBvV]?matrix|smallmatrix|array|cases|dcases|rcases|aligned|align\*?|gathered|gather\*?|split)"
)


class Compound(Atoms):
    """Adds to `Atoms` what commands like \\\\sum and environments open."""

    def big(self, name: str) -> Node:
        """A sum, product, integral or limit: (body, variable, from, to); only the body if it has no bounds."""
        bounds: tuple[Node, ...] = ()
        if self.take("_"):
            low = self.bound() if self.peek() == "{" else self.atom()
            if name == "lim":
                bounds = low.args
            elif self.take("^"):
                high = self.exponent()
                bounds = (*low.args, high) if low.op == "rel" else (low, high)
        if name != "int":
            body = self.product()
        else:
            body, variable = self.integrand()
            bounds = (variable, *bounds)
        if len(bounds) not in (0, 1, 3) + (2,) * (name == "lim"):
            raise Unreadable(f"the bounds of a {name}")
        return Node("big", (body, *bounds), name)

    def bound(self) -> Node:
        """{k=1}, {x \\to 0}"""
        self.expect("{")
        node = self.relation()
        if self.take("\\to"):
            node = Node("rel", (node, self.relation()), "to")
        self.expect("}")
        return node

    def integrand(self) -> tuple[Node, Node]:
        """What stands before dx, and x."""
        at = self.at
        while at + 1 < len(self.found):
            if self.found[at].text == "d" and self.found[at + 1].kind == "name":
                rest, self.found = self.found[at:], self.found[:at]
                body = self.sum() if at > self.at else number(1)
                if self.at != at:
                    raise Unreadable("an integrand that is no sum")
                self.found += rest
                self.at = at + 2
                return body, Node("sym", (), rest[1].text)
            at += 1
        raise Unreadable("an integral without dx")

    def matrix(self, environment: str) -> Node:
        """A matrix, or the lines of a system or of a definition by cases."""
        if not _ROWS.fullmatch(environment):
            raise Unreadable(f"the environment {environment}")
        if environment == "array":
            self.subscript()  # its column letters
        is_matrix = "matrix" in environment or environment == "array"
        rows: list[tuple[Node, ...]] = []
        while self.kind() != "end":
            rows.append(self.row(is_matrix, environment.endswith("cases")))
            if not self.take("\\\\"):
                break
        if self.kind() != "end" or not rows or len({len(row) for row in rows}) != 1:
            raise Unreadable("rows of unequal length, or without an end")
        self.at += 1
        cells = tuple(cell for row in rows for cell in row)
        if any(c.op == "rel" for c in cells) and len(rows[0]) == 1:
            return Node("list", cells, "and") if len(cells) > 1 else cells[0]
        if not is_matrix:
            return (
                Node("cases", tuple(Node("case", row) for row in rows))
                if len(rows[0]) == 2
                else Node("list", cells)
            )
        return Node("det" if environment == "vmatrix" else "matrix", cells, f"{len(rows)}x{len(rows[0])}")

    def row(self, is_matrix: bool, is_case: bool) -> tuple[Node, ...]:
        cells = [self.cell()]
        while self.take("&"):
            if is_case or is_matrix:
                cells.append(self.cell())
            elif sign := self.take("="):  # only aligns: x &= 1
                cells[-1] = Node("rel", (cells[-1], self.cell()), sign)
        return tuple(cells)

    def cell(self) -> Node:
        node = self.condition()
        self.take(",", ";", ".")
        return node

    def condition(self) -> Node:
        """`x > 0`, `\\text{if } x > 0`, `\\text{otherwise}`."""
        while self.kind() in ("text", "word") and self.peek().strip(" ,").casefold() in (
            "if",
            "for",
            "when",
            "as",
        ):
            self.at += 1
        return self.relation()
