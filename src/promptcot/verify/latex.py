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
from promptcot.verify.measures import OVER, TIMES, UNIT_SIGNS, Measures
from promptcot.verify.relations import is_name, symbols
from promptcot.verify.tokens import FUNCTIONS, Token, Unreadable, tokens
from promptcot.verify.tree import MINUS_ONE, Node, is_simple_fraction, is_whole, number, signed
from promptcot.verify.units import LETTERS, denies

_GREEK = {"\\pi", "\\theta", "\\alpha", "\\beta", "\\gamma", "\\delta", "\\lambda", "\\omega"}
_JOINING = {
    ",",
    "_",
    "(",
    ")",
    "{",
    "}",
    *REGIONS,
}  # what keeps letters in a bracket from being an expression
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


class _Parser(Compound, Measures):
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
            if not end or (self.at == end and (is_name(node, False) or not symbols(node))):
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
        if at < len(found) and found[at].text == "(":  # (f \\circ g)(2), (f+g)(2)
            end = self.bracket_end(at)
            maps = {t.text for t in found[at + 1 : end - 1]} <= {*"fghFGH+-", "\\circ", "\\cdot"}
            return self.before_equals(self.bracket_end(end)) if maps and end and end < len(found) else 0
        if [t.text for t in found[at + 1 : at + 2]] == ["\\circ"]:  # g \\circ f(2)
            at += 2
        if at >= len(found) or found[at].kind not in ("name", "text", "word", "command"):
            return 0
        head = found[at].text
        if denies(head):
            return 0
        if head[1:] in FUNCTIONS and (named := self.before_equals(at + 1)):
            return named
        if (
            head == "\\frac"
            and [t.text for t in found[at + 1 : at + 2]] == ["{"]
            and [t.text for t in found[at + 2 : at + 3]] in (["d"], ["\\partial"])
        ):
            return self.evaluated(self.bracket_end(self.bracket_end(at + 1)))
        if found[at].kind == "command" and (
            head in RELATIONS or head in _CLOSING or head in ("\\frac", "\\sqrt", "\\binom")
        ):
            return 0
        if head[1:] in FUNCTIONS and head not in ("\\max", "\\min"):
            return 0
        at += 1
        if head.startswith(("\\math", "\\operatorname")) and at < len(found) and found[at].text == "{":
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

    def evaluated(self, end: int) -> int:
        """Behind the place at which a derivative is taken: |_{x=1}."""
        if [t.text for t in self.found[end : end + 2]] == ["|", "_"]:
            end = self.bracket_end(end + 2)
        return self.before_equals(end)

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
        if len(head) > 1 and head not in _FUNCTION_LETTERS:
            return head not in _GREEK
        if head in ("P", "E", "\\Pr"):
            return True
        own = any(t.text == head for t in argument)
        letters = [t for t in argument if t.kind == "name"]
        plain = not letters or all(t.kind in ("name", "text") or t.text in _JOINING for t in argument)
        if head not in _FUNCTION_LETTERS:
            return head not in "xzbckmrt" and plain and not own
        return plain or own

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
        start, factors = self.at, [self.power()]
        while True:
            if self.unit_ahead():
                break
            if self.peek() == "%" and self.behind_percent():
                self.at += 1
                factors.append(number(Fraction(1, 100)))
                continue
            if self.take(*TIMES):
                factors.append(self.signed_power())
            elif self.take(*OVER):
                factors.append(Node("pow", (self.signed_power(), MINUS_ONE)))
            elif self.take("\\bmod", "\\mod"):
                factors = [Node("fn", (_product(factors), self.signed_power()), "mod")]
            elif self.starts_factor() or self.letter():
                applied = len(factors) == 1 and factors[0].op == "sym" and self.application(start)
                self.juxtaposed(factors)
                if applied:
                    factors = [Node("mul", tuple(factors), "()")]
            else:
                break
        return self.measured(_product(factors))

    def application(self, start: int) -> bool:
        """Does the bracket that stands next hold the argument of the name that began at `start`?"""
        end = self.bracket_end(self.at) if self.peek() == "(" else 0
        return bool(end) and self.applies(self.found[start].text, self.found[self.at + 1 : end - 1])

    def behind_percent(self) -> bool:
        """Does a sign of multiplication or division follow the percent sign?"""
        return self.at + 1 < len(self.found) and self.found[self.at + 1].text in UNIT_SIGNS

    def juxtaposed(self, factors: list[Node]) -> None:
        """A factor without a sign before it: a product, or the fraction of a mixed number."""
        plain = self.found[self.at - 1].kind == "number" and is_whole(factors[-1])
        numeral, is_fraction = self.kind() in ("number", "repeating"), self.peek() == "\\frac"
        start, factor = self.at, self.power()
        powered = factors[-1].op == "pow" and self.found[start - 1].text == "}"
        if numeral and factor.op not in ("pow", "fn") and not powered:
            if not self.behind:
                raise Unreadable("a number behind a factor: x2 may be a product, an index or a power")
            if self.behind == "power":
                factor = Node("pow", (factors.pop(), factor))
        if not (plain and is_fraction and is_simple_fraction(factor)):
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
        if len(self.found) > 1 and denies(text) and self.found[-1].kind not in ("text", "word"):
            raise Unreadable(f"{text!r} takes something back")
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


def _product(factors: list[Node]) -> Node:
    return factors[0] if len(factors) == 1 else Node("mul", tuple(factors))
