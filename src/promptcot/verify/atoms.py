r"""The parts of an answer that bind most tightly: numbers, names, functions, brackets, matrices, powers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from fractions import Fraction

from promptcot.verify.tokens import FUNCTIONS, Token, Unreadable
from promptcot.verify.tree import MINUS_ONE, Node, listed, number, signed

MAX_DEPTH = 60
MAX_CHAIN = 20  # of signs like x!!! or A \\ B \\ C, which nest
MAX_DIGITS = 1000  # Python itself refuses to parse integers above 4,300 digits
RELATIONS = {
    "=": "=", "\\equiv": "=", "<": "<", ">": ">", "<=": "<=", "\\le": "<=", ">=": ">=", "\\ge": ">=", "!=": "!=",
    "\\ne": "!=", "\\in": "in", "\\approx": "~",
}  # fmt: skip
REGIONS = {"\\cup": "union", "\\cap": "meet", "\\setminus": "minus", "\\backslash": "minus"}
SIGNS = {"+", "-", "\\pm", "\\mp"}
BIG = {"\\sum": "sum", "\\prod": "prod", "\\int": "int", "\\lim": "lim"}
_BARS = ("\\mid", "|", ":")
_CLOSERS = {")", "]", "}", "\\}", "\\rangle", "\\rfloor", "\\rceil", "\\rvert"}
_OPERATORS = {*RELATIONS, *REGIONS, *SIGNS, *_CLOSERS, "\\cdot", "\\times", "\\div", "\\degree", "\\bmod", "\\mod", "\\pmod",
              "\\over", "\\choose", "\\to", "\\\\", "\\&", "\\_", "\\#"}  # fmt: skip
_CONSTANTS = {"\\pi": "\u03c0", "\\infty": "\u221e", "\\imath": "i"}
_REFUSED = {
    "iint", "oint", "limsup", "liminf", "bigcup", "bigcap", "partial", "nabla", "forall", "exists", "to", "Rightarrow",
    "Leftrightarrow", "mapsto", "vdots", "mid", "neg", "notin", "subset", "subseteq", "begin", "end", "hline", "rule",
}  # fmt: skip
# Commands that are the name of something.
_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega Gamma"
    " Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar Re Im aleph triangle angle measuredangle star det Pr deg"
    " dim ker arg sup inf rank top odot oplus bot diamond clubsuit varrho varsigma varpi digamma complement"
)
_LETTERS = frozenset(_NAMES.split())
_ACCENTS = {"\\overline", "\\vec", "\\hat", "\\bar", "\\tilde", "\\widehat", "\\overrightarrow", "\\mathbf", "\\mathcal",
            "\\mathbb", "\\operatorname", "\\overset", "\\widetilde", "\\mathfrak"}  # fmt: skip


class Atoms(ABC):
    """Recursive descent over the tokens; `at` is the next one. `latex.py` adds what binds more loosely."""

    def __init__(self, found: list[Token]) -> None:
        self.found, self.at, self.depth, self.bars = found, 0, 0, 0

    def peek(self) -> str:
        return self.found[self.at].text if self.at < len(self.found) else ""

    def kind(self) -> str:
        return self.found[self.at].kind if self.at < len(self.found) else ""

    def take(self, *texts: str) -> str:
        """The next token if it is a mark or command among `texts`, else an empty string."""
        if self.at < len(self.found):
            kind, text = self.found[self.at]
            if text in texts and kind in ("mark", "command"):
                self.at += 1
                return text
        return ""

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise Unreadable(f"expected {text!r}, got {self.peek()!r}")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")

    @abstractmethod
    def listing(self) -> Node:
        """A whole answer, or what stands in brackets."""

    @abstractmethod
    def relation(self) -> Node:
        """An expression, or several with signs of relation between them."""

    @abstractmethod
    def region(self) -> Node:
        """An expression, or sets with signs of union, intersection and difference between them."""

    @abstractmethod
    def sum(self) -> Node:
        """An expression."""

    @abstractmethod
    def product(self) -> Node:
        """A term of a sum."""

    @abstractmethod
    def big(self, name: str) -> Node:
        """A sum, product, integral or limit."""

    @abstractmethod
    def matrix(self, environment: str) -> Node:
        """A matrix, a system, a definition by cases."""

    @abstractmethod
    def juxtaposed(self, factors: list[Node]) -> None:
        """Parse one more factor of a product without signs into `factors`."""

    def starts_factor(self) -> bool:
        text, kind = self.peek(), self.kind()
        if kind in ("number", "repeating", "name", "begin"):
            return True
        if kind == "command":
            return text not in _OPERATORS and not (text == "\\|" and self.bars)
        return text in ("(", "[", "{") or (text == "|" and not self.bars)

    def power(self) -> Node:
        self.deeper()
        start = self.at
        node = self.atom()
        if self.take("_"):  # behind a bracket; names and numbers have taken theirs
            self.subscript()
            node = Node("sym", (), "".join(t.text for t in self.found[start : self.at]))
        for _ in range(MAX_CHAIN):
            if self.take("^"):
                node = Node("pow", (node, self.exponent()))
            elif self.take("!"):
                name = "factorial2" if self.take("!") else "factorial"
                node = Node("fn", (node,), name)
            elif self.take("\\degree"):
                node = self.temperature(node) or Node("degree", (node,))
            else:
                self.depth -= 1
                return node
        raise Unreadable("too long a chain of powers")

    def temperature(self, node: Node) -> Node | None:
        """25 degrees C; None for a plain degree."""
        scale = self.peek() if self.kind() in ("text", "name") else ""
        if scale not in ("C", "F") or (
            self.at + 1 < len(self.found) and self.found[self.at + 1].kind == "name"
        ):
            return None
        self.at += 1
        return Node("unit", (node,), f"\u00b0{scale}")

    def exponent(self) -> Node:
        if self.peek() == "{":
            return self.braced()
        sign = self.take("+", "-")
        node = self.power() if self.kind() != "command" or self.peek() == "\\frac" else self.atom()
        return signed(sign or "+", node)

    # --- atoms

    def atom(self) -> Node:
        kind, text = self.kind(), self.peek()
        if not kind:
            raise Unreadable("it ends too early")
        self.at += 1
        if kind in ("number", "repeating"):
            return self.numeral(kind, text)
        if kind == "name" or (kind == "text" and len(text) == 1 and text.isalpha()):
            return self.named(text)
        if kind == "begin":
            return self.matrix(text)
        if kind == "command":
            return self.command(text)
        if text in ("(", "["):
            return self.bracketed(text)
        if text == "{":
            self.at -= 1
            return self.braced()
        if text == "|":
            return self.absolute("|")
        raise Unreadable(f"unexpected {text!r}")

    def numeral(self, kind: str, text: str) -> Node:
        if len(text) > MAX_DIGITS:
            raise Unreadable(f"a number of more than {MAX_DIGITS} digits")
        if kind == "repeating":
            return _repeating(text)
        if self.take("_"):
            return _based(text, self.subscript().strip("()"))
        return Node("num", (), Fraction(text), len(text.partition(".")[2]) if "." in text else -1)

    def named(self, letter: str) -> Node:
        if letter in ("e", "i") and self.peek() != "_":
            return Node("const", (), letter)
        name = letter
        if self.take("_"):
            name += "_" + self.subscript()
        while self.take("'"):
            name += "'"
        if self.peek() == "^" and self.at + 1 < len(self.found) and self.found[self.at + 1].text == "*":
            self.at += 2
            name += "*"
        return Node("sym", (), name)

    def subscript(self) -> str:
        """The spelling of a subscript, braces left out."""
        start, open_braces = self.at, 0
        while self.at < len(self.found):
            text = self.peek()
            open_braces += (text == "{") - (text == "}")
            self.at += 1
            if not open_braces:
                return "".join(t.text for t in self.found[start : self.at]).strip("{}")
        raise Unreadable("a subscript without an end")

    def command(self, text: str) -> Node:
        if text == "\\frac":
            top, bottom = self.group_or_token(), self.group_or_token()
            return Node("mul", (top, Node("pow", (bottom, MINUS_ONE))))
        if text == "\\sqrt":
            index = number(2)
            if self.take("["):
                index = self.sum()
                self.expect("]")
            return Node("root", (self.group_or_token(), index))
        if text in ("\\binom", "\\dbinom", "\\tbinom"):
            return Node("fn", (self.group_or_token(), self.group_or_token()), "binomial")
        if text in BIG:
            return self.big(BIG[text])
        if text[1:] in FUNCTIONS:
            return self.function(text[1:])
        if text in _CONSTANTS:
            return Node("const", (), _CONSTANTS[text])
        return self.enclosed(text)

    def enclosed(self, text: str) -> Node:
        """Commands that open a bracket, and names."""
        if text == "\\{":
            return self.set()
        if text == "\\emptyset":
            return Node("set")
        if text == "\\langle":
            items = listed(self.listing())
            self.expect("\\rangle")
            return Node("tuple", items)
        if text in ("\\lfloor", "\\lceil", "\\lvert"):
            inner = self.sum()
            self.expect(text.replace("\\l", "\\r"))
            return Node("fn", (inner,), {"\\lfloor": "floor", "\\lceil": "ceiling"}.get(text, "abs"))
        if text == "\\|":
            return self.absolute("\\|")
        if text in _ACCENTS:
            return Node("sym", (), f"{text}{self.subscript()}")
        if text[1:] in _REFUSED or not text[1:].isalpha() or text in _OPERATORS:
            raise Unreadable(f"{text} is outside the grammar")
        if text[1:] not in _LETTERS:
            raise Unreadable(f"{text} is outside the grammar")
        return self.named(text)

    def set(self) -> Node:
        """{1, 2}, or {x : x > 2}, which is what its relation says."""
        start, depth, bars = self.at, self.depth, self.bars
        self.bars += 1  # a bar separates here, it opens no absolute value
        try:
            bound = self.power()
            domain = self.power() if self.take("\\in") else None
        except Unreadable:
            bound, domain = Node("text"), None
        self.bars = bars
        if bound.op in ("sym", "tuple") and self.take(*_BARS):
            said = self.listing()
            self.expect("\\}")
            real = bound.op == "sym" and (domain is None or domain.value in ("\\mathbbR", "\\mathbfR"))
            return said if real else Node("builder", (bound, *([domain] if domain else []), said))
        self.at, self.depth = start, depth
        items = () if self.peek() == "\\}" else listed(self.listing())
        self.expect("\\}")
        return Node("set", items)

    def function(self, name: str) -> Node:
        if name in ("abs", "exp", "max", "min", "gcd", "lcm", "sgn"):
            return Node("fn", listed(self.argument()), name)
        base: tuple[Node, ...] = ()
        power: Node | None = None
        if name == "log" and self.take("_"):
            base = (self.group_or_token(),)
        if self.take("^"):
            power = self.exponent()
        inverse = power is not None and power == MINUS_ONE and name in ("sin", "cos", "tan")
        name = "arc" + name if inverse else name
        node = Node("fn", (self.argument(), *base), name)
        return node if power is None or inverse else Node("pow", (node, power))

    def argument(self) -> Node:
        """What a function is applied to: a bracket, or the factors up to the next sign or function."""
        closing = {"(": ")", "{": "}", "[": "]", "\\{": "\\}"}.get(self.peek())
        if closing:
            self.at += 1
            inner = self.listing()
            self.expect(closing)
            return inner
        factors = [self.power()]
        while self.starts_factor() and self.peek()[1:] not in FUNCTIONS and self.kind() != "begin":
            self.juxtaposed(factors)
        return factors[0] if len(factors) == 1 else Node("mul", tuple(factors))

    def group_or_token(self) -> Node:
        """A LaTeX argument: braces, or one token."""
        return self.braced() if self.peek() == "{" else self.atom()

    def braced(self) -> Node:
        self.expect("{")
        inner = self.quotient(self.listing())
        self.expect("}")
        return inner

    def quotient(self, top: Node) -> Node:
        r"""`top` with what stands behind \over or \choose, the fractions of plain TeX."""
        infix = self.take("\\over", "\\choose")
        if not infix:
            return top
        bottom = self.listing()
        if infix == "\\choose":
            return Node("fn", (top, bottom), "binomial")
        return Node("mul", (top, Node("pow", (bottom, MINUS_ONE))))

    def absolute(self, bar: str) -> Node:
        self.bars += 1
        inner = self.region()
        self.expect(bar)
        self.bars -= 1
        return Node("fn", (inner,), "abs" if bar == "|" else "norm")

    def bracketed(self, opening: str) -> Node:
        """A parenthesis around one expression, a tuple, or an interval."""
        bars, self.bars = self.bars, 0
        items = listed(self.listing())
        self.bars = bars
        closing = self.take(")", "]")
        if not closing:
            raise Unreadable(f"expected a closing bracket, got {self.peek()!r}")
        if len(items) == 1 and opening + closing in ("()", "[]"):
            return items[0]
        if opening + closing == "()":
            return Node("tuple", items)
        if opening + closing != "[]" and len(items) != 2:
            raise Unreadable("brackets that do not match")
        return Node("interval", items, opening + closing)


def _based(digits: str, base: str) -> Node:
    """A number in another base; ten is none, and leading zeros say nothing."""
    if base == "10" and digits.isdigit():
        return number(int(digits))
    return Node("based", (), f"{digits.lstrip('0') or '0'}_{base}")


def _repeating(text: str) -> Node:
    r"""`149.\overline{3}`, `149.(3)` and `149.\dot3` are 448/3, exactly; `0.\dot12\dot3` is 41/333."""
    plain = re.sub(r"\s", "", text)
    whole, _, rest = plain.partition(".")
    tail, period = re.match(r"(\d*)(.*)", rest).groups()  # type: ignore[union-attr]
    period = re.sub(r"\D", "", period)
    value = Fraction(int(whole + tail or "0"), 10 ** len(tail))
    return number(value + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(tail)))
