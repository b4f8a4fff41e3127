r"""From the LaTeX of a final answer to a small tree. A grammar of our own: nothing is ever evaluated as code.

    answer   := group (";" group)*                       group    := relation (("," | and | or) relation)*
    relation := region (("=" | "<" | "\in" | ...) region)*   region   := ratio (("\cup" | "\setminus" | ...) ratio)*
    ratio    := sum (":" sum)*                           sum      := [sign] product (sign product)*
    product  := power (("\cdot" | "/" | nothing) power)* [unit]

What is outside it (sums with a sign, integrals, sentences) is `Unreadable` and can only equal its own spelling.
"""

from __future__ import annotations

import re

from promptcot.verify.atoms import MAX_CHAIN, REGIONS, RELATIONS, SIGNS, Atoms
from promptcot.verify.tokens import Token, Unreadable, tokens
from promptcot.verify.tree import MINUS_ONE, Node, signed

_TIMES = {"\\cdot", "\\times", "*", "\u00b7", "\u00d7"}
_OVER = {"/", "\\div", "\u00f7"}
# Words behind a number that change its value: 5 million is not 5, and 2e or 2x is not 2.
_SCALES = re.compile(
    r"hundred|thousand|million|billion|trillion|dozen|pair|hal[fv]|third|quarter|fifth|tenth|squared|cubed"
    r"|factorial|base|mod|\b(?:pi|and|or|not|(?![mgshlnjwvkcf])[a-z])\b",
    re.IGNORECASE,
)
_ALIASES = {
    "inch": "in", "centimeter": "cm", "millimeter": "mm", "kilometer": "km", "meter": "m", "foot": "ft", "feet": "ft",
    "mile": "mi", "yard": "yd", "hr": "hour", "minute": "min", "second": "sec", "s": "sec", "gram": "g", "kilogram": "kg",
    "pound": "lb", "liter": "l", "mph": "mile/hour", "kph": "km/hour", "km/h": "km/hour", "kmh": "km/hour", "cent": "\u00a2", "dollar": "$", "usd": "$",
}  # fmt: skip
_UNIT_LETTERS = "mgshlnjwvkcf"
_UNIT = re.compile(r"[A-Za-z][A-Za-z ./-]*")


def parse(text: str) -> Node:
    """The tree of a normalised answer (`spelling.normalize`).

    Raises:
        Unreadable: it is outside the grammar.
    """
    parser = _Parser(tokens(text))
    node = parser.listing()
    if parser.at < len(parser.found):
        raise Unreadable(f"unexpected {parser.peek()!r}")
    return node


class _Parser(Atoms):
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
        self.take("=", "\\approx", "\u2248")  # "= 5" answers 5
        sides, signs = [self.region()], []
        while self.kind() in ("mark", "command") and self.peek() in RELATIONS:
            signs.append(RELATIONS[self.found[self.at].text])
            self.at += 1
            sides.append(self.region())
        return Node("rel", tuple(sides), " ".join(signs)) if signs else sides[0]

    def region(self) -> Node:
        node, chain = self.ratio(), 0
        while (self.kind() == "command" and self.peek() in REGIONS) or self.peek() in ("\u222a", "\u2229"):
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
        if self.kind() in ("text", "word"):
            return self.words()
        factors = [self.power()]
        while True:
            if self.take(*_TIMES):
                factors.append(self.signed_power())
            elif self.take(*_OVER):
                factors.append(Node("pow", (self.signed_power(), MINUS_ONE)))
            elif self.kind() in ("text", "word") and not self.letter():
                break
            elif self.starts_factor() or self.letter():
                self.juxtaposed(factors)
            else:
                break
        node = factors[0] if len(factors) == 1 else Node("mul", tuple(factors))
        return self.measured(node)

    def juxtaposed(self, factors: list[Node]) -> None:
        """A factor without a sign before it: a product, or the fraction of a mixed number."""
        plain = self.found[self.at - 1].kind == "number" and _whole(factors[-1])
        if self.kind() in ("number", "repeating"):
            raise Unreadable("a number behind a factor: x2 may be a product, an index or a power")
        is_fraction = self.peek() == "\\frac"
        factor = self.power()
        if not (plain and is_fraction and _simple_fraction(factor)):
            factors.append(factor)
            return
        # 149\frac{1}{3} is a mixed number; 3\frac{5}{2} may be a product: not decided here.
        top, bottom = (a.value for a in (factor.args[0], factor.args[1].args[0]))
        if len(factors) > 1 or not top < bottom:  # type: ignore[operator]
            raise Unreadable("a number before an improper fraction")
        factors[-1] = Node("add", (factors[-1], factor))

    def measured(self, node: Node) -> Node:
        """`node` with the unit behind it, if there is one."""
        if self.take("%"):
            node = Node("percent", (node,))
        if self.kind() not in ("text", "word"):
            return node
        words: list[str] = []
        while self.kind() in ("text", "word"):
            words.append(self.found[self.at].text)
            self.at += 1
        unit = " ".join(words)
        power = "^" + str(self.group_or_token().value) if self.take("^") else ""
        if not _UNIT.fullmatch(unit) or _SCALES.search(unit):
            raise Unreadable(f"{unit!r} is not a unit")
        return Node("unit", (node,), _unit_name(unit, power))

    def letter(self) -> bool:
        r"""Is the next token a letter in a text command that is no unit, as in 3\mathrm{i}?"""
        text = self.peek()
        return (
            self.kind() == "text" and len(text) == 1 and text.isalpha() and text.lower() not in _UNIT_LETTERS
        )

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


def _whole(node: Node) -> bool:
    return node.op == "num" and node.places < 0


def _simple_fraction(node: Node) -> bool:
    """Is it a fraction of two written integers?"""
    return node.op == "mul" and len(node.args) == 2 and _whole(node.args[0]) and _whole(node.args[1].args[0])


def _unit_name(words: str, power: str) -> str:
    name = re.sub(r"\bper\b", "/", words.strip(" .").casefold())
    if over := re.fullmatch(r"(.+?) ?/ ?(.+)", name):
        name = "/".join(_unit_name(part, "") for part in over.groups())
        return _ALIASES.get(name, name) + power
    if raised := re.fullmatch(r"(square|sq\.?|cubic|cu\.?) (.+)", name):
        return _unit_name(raised[2], "^2" if raised[1].startswith("sq") else "^3")
    plural = len(name) > 2 and name.endswith("s") and not name.endswith("ss")
    name = name[:-1] if plural and name != "inches" else name.removesuffix("es")
    return _ALIASES.get(name, name) + power
