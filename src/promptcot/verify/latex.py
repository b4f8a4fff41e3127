r"""From the LaTeX of a final answer to a small tree. A grammar of our own: nothing is ever evaluated as code.

    answer   := group (";" group)*                       group    := relation (("," | and | or) relation)*
    relation := region (("=" | "<" | "\in" | ...) region)*   region   := ratio (("\cup" | "\setminus" | ...) ratio)*
    ratio    := sum (":" sum)*                           sum      := [sign] product (sign product)*
    product  := [currency] power (("\cdot" | "/" | "\bmod" | nothing) power)* ["%"] [unit]

What is outside it (derivatives, sentences) is `Unreadable` and can only equal its own spelling.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Literal

from promptcot.verify.atoms import MAX_CHAIN, REGIONS, RELATIONS, SIGNS
from promptcot.verify.compound import Compound
from promptcot.verify.relations import is_name
from promptcot.verify.tokens import FUNCTIONS, Token, Unreadable, tokens
from promptcot.verify.tree import MINUS_ONE, Node, number, signed
from promptcot.verify.units import LETTERS, scaled, unit_name

_TIMES = {"\\cdot", "\\times", "*"}
_OVER = {"/", "\\div"}
_UNIT_SIGNS = _TIMES | _OVER
_UNIT_COMMANDS = {"\\mu", "\\Omega", "\\ell"}
_FUNCTION_LETTERS = {
    *"fghFGHPQEVpquvw",
    "\\phi",
    "\\varphi",
    "\\psi",
    "\\Phi",
    "\\tau",
    "\\mu",
    "\\Gamma",
    "\\zeta",
    "\\Pr",
}
_CLOSING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}


@lru_cache(maxsize=1024)  # asked several times about the same gold
def parse(text: str, behind: Literal["", "product", "power"] = "") -> Node:
    """The tree of a normalised answer (`spelling.normalize`).

    Args:
        text: The answer.
        behind: How to read what can be read in several ways: a number behind a factor (x2 is 2x or x^2) and an
            improper fraction behind a number (a product, or a mixed number). Empty to refuse it.

    Raises:
        Unreadable: it is outside the grammar.
    """
    parser = _Parser(tokens(text))
    parser.behind = behind
    node = parser.quotient(parser.listing())
    if parser.at < len(parser.found):
        raise Unreadable(f"unexpected {parser.peek()!r}")
    return node


class _Parser(Compound):
    behind: str = ""

    def listing(self) -> Node:
        self.deeper()
        groups = [self.group()]
        while self.take(";"):
            groups.append(self.group())
        self.depth -= 1
        return groups[0] if len(groups) == 1 else Node("list", tuple(groups))

    def group(self) -> Node:
        items, joint = [self.relation()], ""
        while separator := self.take(",", "and", "or"):
            joint = "or" if "or" in (separator, self.take("and", "or")) else joint
            items.append(self.relation())
        return items[0] if len(items) == 1 else Node("list", tuple(items), joint)

    def relation(self) -> Node:
        self.take("=", "\\approx")  # "= 5" answers 5
        bare = (
            self.kind() in ("mark", "command") and self.peek() in RELATIONS
        )  # "> 5" says it of what was asked for
        sides, signs = [Node("sym", (), "") if bare else self.side()], []
        while self.kind() in ("mark", "command") and self.peek() in RELATIONS:
            signs.append(RELATIONS[self.found[self.at].text])
            self.at += 1
            sides.append(self.side())
        return Node("rel", tuple(sides), " ".join(signs)) if signs else sides[0]

    def side(self) -> Node:
        """One side of a relation: an expression, or the name of a value, as in P(A \\mid B) = 0.5 or f(3) = 7."""
        start, depth, bars = self.at, self.depth, self.bars
        end = self.value_name()
        try:
            node = self.region()
        except Unreadable:
            if not end:
                raise
        else:
            if not end or (self.at == end and is_name(node, False)):
                return self.residue(node)
        self.at, self.depth, self.bars = end, depth, bars
        return Node("sym", (), "".join(t.text for t in self.found[start:end]))

    def residue(self, node: Node) -> Node:
        """`3 \\pmod 5` is a class of numbers."""
        if not self.take("\\pmod"):
            return node
        return Node("residue", (node, self.group_or_token()))

    def value_name(self) -> int:
        """Where a name like f^{-1}(3), P(X = 2), Var(X) or #S ends, if an equals sign follows it; else 0."""
        at, found = self.at, self.found
        if at < len(found) and found[at].text == "\\#":
            return self.before_equals(at + 1 + (at + 1 < len(found) and found[at + 1].kind == "name"))
        if at < len(found) and found[at].text == "(":  # (f \\circ g)(2)
            end = self.bracket_end(at)
            composed = any(t.text == "\\circ" for t in found[at:end])
            return self.before_equals(self.bracket_end(end)) if composed and end < len(found) else 0
        if at >= len(found) or found[at].kind not in ("name", "text", "word", "command"):
            return 0
        head = found[at].text
        if head[1:] in FUNCTIONS and (named := self.before_equals(at + 1)):
            return named
        if found[at].kind == "command" and (head in RELATIONS or head in _CLOSING or head == "\\frac"):
            return 0
        at += 1
        if head.startswith("\\math") and at < len(found) and found[at].text == "{":
            at = self.bracket_end(at)
        raised = False
        while at and at < len(found) and found[at].text in ("_", "^", "'"):
            raised |= found[at].text == "^"
            at += 1
            if found[at - 1].text != "'":
                at = self.bracket_end(at) if at < len(found) and found[at].text == "{" else at + 1
        if not at or at >= len(found):
            return 0
        if found[at].text not in ("(", "[", "\\{"):
            return 0 if raised else self.before_equals(at)
        end = self.bracket_end(at)
        return self.before_equals(end) if end and self.applies(head, found[at + 1 : end - 1]) else 0

    def before_equals(self, end: int) -> int:
        return end if end < len(self.found) and self.found[end].text == "=" else 0

    def bracket_end(self, at: int) -> int:
        """The place behind the bracket that opens at `at`; 0 if it does not close."""
        depth = 0
        for i in range(at, len(self.found)):
            text = self.found[i].text
            depth += (text in _CLOSING) - (text in _CLOSING.values())
            if not depth:
                return i + 1
        return 0

    @staticmethod
    def applies(head: str, argument: list[Token]) -> bool:
        """Is `head` applied to what is in the bracket behind it, and not multiplied by it as in n(n+1)?"""
        if len(head) > 1 and head not in ("\\pi", "\\theta"):
            return True
        own = any(t.text == head for t in argument)
        sums = any(t.text in SIGNS for t in argument[1:])
        return not own or head in "fgh" if head in _FUNCTION_LETTERS else not own and not sums

    def region(self) -> Node:
        node, chain = self.ratio(), 0
        while self.kind() == "command" and self.peek() in REGIONS:
            op = REGIONS[self.found[self.at].text]
            self.at += 1
            right = self.ratio()
            chain += node.op != "union"
            if chain > MAX_CHAIN:
                raise Unreadable("too long a chain of sets")
            node = Node(op, (*node.args, right) if node.op == op == "union" else (node, right))
        return node

    def ratio(self) -> Node:
        parts = [self.sum()]
        while self.take(":"):
            parts.append(self.sum())
        return parts[0] if len(parts) == 1 else Node("ratio", tuple(parts))

    # --- arithmetic

    def sum(self) -> Node:
        sign = self.take(*SIGNS) or "+"
        terms = [signed(sign, self.product())]
        while sign := self.take(*SIGNS):
            terms.append(signed(sign, self.product()))
        return terms[0] if len(terms) == 1 else Node("add", tuple(terms))

    def product(self) -> Node:
        if self.kind() == "currency":
            return self.priced()
        if self.kind() in ("text", "word"):
            return self.words()
        factors = [self.power()]
        while True:
            if self.unit_ahead():
                break
            if self.peek() == "%" and self.behind_percent():
                self.at += 1
                factors.append(number(Fraction(1, 100)))
                continue
            if self.take(*_TIMES):
                factors.append(self.signed_power())
            elif self.take(*_OVER):
                factors.append(Node("pow", (self.signed_power(), MINUS_ONE)))
            elif self.take("\\bmod", "\\mod"):
                factors = [Node("fn", (_product(factors), self.signed_power()), "mod")]
            elif self.starts_factor() or self.letter():
                self.juxtaposed(factors)
            else:
                break
        return self.measured(_product(factors))

    def behind_percent(self) -> bool:
        """Does a sign of multiplication or division follow the percent sign?"""
        return self.at + 1 < len(self.found) and self.found[self.at + 1].text in _UNIT_SIGNS

    def juxtaposed(self, factors: list[Node]) -> None:
        """A factor without a sign before it: a product, or the fraction of a mixed number."""
        plain = self.found[self.at - 1].kind == "number" and _whole(factors[-1])
        numeral, is_fraction = self.kind() in ("number", "repeating"), self.peek() == "\\frac"
        start, factor = self.at, self.power()
        powered = factors[-1].op == "pow" and self.found[start - 1].text == "}"
        if numeral and factor.op not in ("pow", "fn") and not powered:
            if not self.behind:
                raise Unreadable("a number behind a factor: x2 may be a product, an index or a power")
            if self.behind == "power":
                factor = Node("pow", (factors.pop(), factor))
        if not (plain and is_fraction and _simple_fraction(factor)):
            factors.append(factor)
            return
        # 149\frac{1}{3} is a mixed number; 3\frac{5}{2} may be a product: not decided here.
        top, bottom = (a.value for a in (factor.args[0], factor.args[1].args[0]))
        if len(factors) > 1 or not top < bottom:  # type: ignore[operator]
            if not self.behind:
                raise Unreadable("a number before an improper fraction")
            if self.behind == "product":
                factors.append(factor)
                return
        factors[-1] = Node("add", (factors[-1], factor))

    def letter(self) -> bool:
        r"""Is the next token a letter in a text command that is no unit, as in 3\mathrm{i}?"""
        text = self.peek()
        return self.kind() == "text" and len(text) == 1 and text.isalpha() and text not in LETTERS

    def words(self) -> Node:
        """Words that are the whole element, or one letter that is a name."""
        text = self.found[self.at].text
        if self.kind() == "text" and len(text) == 1 and text.isalpha():
            self.found[self.at] = Token("name", text)
            return self.product()
        start = self.at
        while self.kind() in ("text", "word", "name"):
            self.at += 1
        return Node("text", (), " ".join(t.text for t in self.found[start : self.at]).strip(" .").casefold())

    def signed_power(self) -> Node:
        sign = self.take(*SIGNS)
        return signed(sign or "+", self.power())

    # --- units

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
        if self.peek() == "of" and (node.op == "percent" or _simple_fraction(node)):
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
        if at < len(self.found) and self.found[at].text in _UNIT_SIGNS:
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
            return behind.text == "{" and self.found[at + 2].kind in ("text", "word")
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


def _product(factors: list[Node]) -> Node:
    return factors[0] if len(factors) == 1 else Node("mul", tuple(factors))


def _whole(node: Node) -> bool:
    return node.op == "num" and node.places < 0


def _simple_fraction(node: Node) -> bool:
    """Is it a fraction of two written integers?"""
    return (
        node.op == "mul"
        and len(node.args) == 2
        and node.args[1].op == "pow"
        and _whole(node.args[0])
        and _whole(node.args[1].args[0])
    )
