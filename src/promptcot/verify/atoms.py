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
    "=": "=", "<": "<", "\\lt": "<", ">": ">", "\\gt": ">", "<=": "<=", "\\le": "<=", "\\leq": "<=", "\\leqslant": "<=",
    "\u2264": "<=", ">=": ">=", "\\ge": ">=", "\\geq": ">=", "\\geqslant": ">=", "\u2265": ">=", "!=": "!=",
    "\\ne": "!=", "\\neq": "!=", "\u2260": "!=", "\\in": "in", "\u2208": "in", "\\approx": "~", "\u2248": "~",
}  # fmt: skip
REGIONS = {
    "\\cup": "union",
    "\u222a": "union",
    "\\cap": "meet",
    "\u2229": "meet",
    "\\setminus": "minus",
    "\\backslash": "minus",
}
SIGNS = {"+", "-", "\\pm", "\\mp", "\u00b1"}
_CLOSERS = {")", "]", "}", "\\}", "\\rangle", "\\rfloor", "\\rceil", "\\rvert"}
_OPERATORS = {*RELATIONS, *REGIONS, *SIGNS, *_CLOSERS, "\\cdot", "\\times", "\\div", "\\degree",
              "\\over", "\\choose", "\\\\", "\\&", "\\_", "\\#"}  # fmt: skip
_CONSTANTS = {"\\pi": "\u03c0", "\u03c0": "\u03c0", "\\infty": "\u221e", "\u221e": "\u221e", "\\imath": "i"}
_REFUSED = {
    "sum", "prod", "int", "iint", "oint", "lim", "limsup", "liminf", "bigcup", "bigcap", "partial",
    "nabla", "forall", "exists", "equiv", "to", "rightarrow", "Rightarrow", "implies", "iff", "mapsto",
    "dots", "ldots", "cdots", "vdots", "mod", "pmod", "bmod", "mid", "land", "lor",
    "neg", "notin", "subset", "subseteq", "begin", "end", "hline", "rule", "label", "tag", "boxed",
}  # fmt: skip
_ACCENTS = {"\\overline", "\\vec", "\\hat", "\\bar", "\\tilde", "\\widehat", "\\overrightarrow", "\\mathbf", "\\mathcal",
            "\\mathbb", "\\boldsymbol", "\\operatorname", "\\overset", "\\underline", "\\widetilde", "\\mathfrak"}  # fmt: skip


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
        if self.kind() in ("mark", "command") and self.peek() in texts:
            self.at += 1
            return self.found[self.at - 1].text
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
    def sum(self) -> Node:
        """An expression."""

    @abstractmethod
    def juxtaposed(self, factors: list[Node]) -> None:
        """Parse one more factor of a product without signs into `factors`."""

    def starts_factor(self) -> bool:
        text, kind = self.peek(), self.kind()
        if kind in ("number", "repeating", "name", "begin"):
            return True
        if kind == "command":
            return text not in _OPERATORS
        return text in ("(", "[", "{") or (text == "|" and not self.bars) or text == "\u03c0"

    def power(self) -> Node:
        self.deeper()
        node = self.atom()
        for _ in range(MAX_CHAIN):
            if self.take("^"):
                node = Node("pow", (node, self.exponent()))
            elif self.take("!"):
                name = "factorial2" if self.take("!") else "factorial"
                node = Node("fn", (node,), name)
            elif self.take("\\degree"):
                node = Node("degree", (node,))
            else:
                self.depth -= 1
                return node
        raise Unreadable("too long a chain of powers")

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
        if text in _CONSTANTS:
            return Node("const", (), _CONSTANTS[text])
        raise Unreadable(f"unexpected {text!r}")

    def numeral(self, kind: str, text: str) -> Node:
        if len(text) > MAX_DIGITS:
            raise Unreadable(f"a number of more than {MAX_DIGITS} digits")
        if kind == "repeating":
            return _repeating(text)
        if self.take("_"):
            return Node("based", (), f"{text}_{self.subscript()}")
        return Node("num", (), Fraction(text), len(text.partition(".")[2]) if "." in text else -1)

    def named(self, letter: str) -> Node:
        if letter in ("e", "i") and self.peek() != "_":
            return Node("const", (), letter)
        name = letter
        if self.take("_"):
            name += "_" + self.subscript()
        while self.take("'"):
            name += "'"
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
        if text[1:] in FUNCTIONS:
            return self.function(text[1:])
        if text in _CONSTANTS:
            return Node("const", (), _CONSTANTS[text])
        return self.enclosed(text)

    def enclosed(self, text: str) -> Node:
        """Commands that open a bracket, and names."""
        if text == "\\{":
            items = () if self.peek() == "\\}" else listed(self.listing())
            self.expect("\\}")
            return Node("set", items)
        if text in ("\\emptyset", "\\varnothing"):
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
        return self.named(text)  # a Greek letter, a triangle: the name of something

    def function(self, name: str) -> Node:
        if name in ("abs", "exp", "max", "min", "gcd", "lcm"):
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
        if self.peek() in ("(", "{", "["):
            self.at += 1
            opening = self.found[self.at - 1].text
            inner = self.listing()
            self.expect({"(": ")", "{": "}", "[": "]"}[opening])
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
        inner = self.listing()
        if infix := self.take("\\over", "\\choose"):
            right = self.listing()
            quotient = Node("mul", (inner, Node("pow", (right, MINUS_ONE))))
            inner = quotient if infix == "\\over" else Node("fn", (inner, right), "binomial")
        self.expect("}")
        return inner

    def absolute(self, bar: str) -> Node:
        self.bars += 1
        inner = self.sum()
        self.expect(bar)
        self.bars -= 1
        return Node("fn", (inner,), "abs")

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

    def matrix(self, environment: str) -> Node:
        if not re.fullmatch(r"[pbBvV]?matrix|smallmatrix|array", environment):
            raise Unreadable(f"the environment {environment}")
        if environment == "array":
            self.subscript()  # its column letters
        rows: list[tuple[Node, ...]] = []
        while self.kind() != "end":
            row = [self.sum()]
            while self.take("&"):
                row.append(self.sum())
            rows.append(tuple(row))
            if not self.take("\\\\"):
                break
        if self.kind() != "end" or not rows or len({len(row) for row in rows}) != 1:
            raise Unreadable("a matrix with rows of unequal length, or without an end")
        self.at += 1
        kind = "det" if environment == "vmatrix" else "matrix"
        return Node(kind, tuple(cell for row in rows for cell in row), f"{len(rows)}x{len(rows[0])}")


def _repeating(text: str) -> Node:
    r"""`149.\overline{3}` is 448/3, exactly."""
    plain, _, period = text.replace("}", "").partition("\\")
    period = period.partition("{")[2]
    whole, _, tail = plain.partition(".")
    value = Fraction(int(whole + tail or "0"), 10 ** len(tail))
    return number(value + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(tail)))
