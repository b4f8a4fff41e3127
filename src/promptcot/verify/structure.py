r"""What an answer consists of: names, lists, tuples, sets, intervals, relations, matrices, units.

`same_answer` takes two parsed answers apart until only values are left; a `Judge` compares those. Rules:

* a bare list and a set have no order, a tuple has; `\{1,2\}` is not (1,2), and a bare list may stand for either;
* brackets of an interval count; (a,b) is a tuple and an open interval alike; `\pm` stands for two values;
* `x =` may be missing on one side, a unit or a percent sign too, but two different ones are different answers;
* a chain `x = 2 + 3 = 5` answers with its last value, and what follows `\approx` is only said by the way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from promptcot.verify.answered import REGIONS, is_region, is_solved, names_all, repeats
from promptcot.verify.exact import constant
from promptcot.verify.judges import Judge, Open
from promptcot.verify.relations import (
    Named,
    as_region,
    assignments,
    bare_name,
    groups,
    has_inequality,
    identity,
    is_inequality,
    is_name,
    is_reals,
    named,
    numbers_of,
    or_union,
    simple,
    symbols,
)
from promptcot.verify.shapes import (
    count,
    digits,
    entries,
    is_set,
    nested,
    places,
    quotient,
    radians,
    spread,
    together,
)
from promptcot.verify.tokens import Unreadable
from promptcot.verify.tree import Node, listed, negated, number
from promptcot.verify.units import same_unit

APPROX_DIGITS = 15  # what a double prints; a decimal with as many correct digits is taken for the exact value
_DOUBLE_DIGITS = 17  # what names a double among all others
_MAX_ITEMS = 200
_LARGEST = 2**1000
_SEQUENCES = ("list", "set", "tuple")


def same_answer(
    gold: Node, prediction: Node, judge: Judge, digits: int = APPROX_DIGITS, loose: bool = False
) -> bool:
    """Do two parsed answers say the same? Symmetric unless `loose`.

    Args:
        gold: The reference.
        prediction: The answer in question.
        judge: Compares values and sets of reals.
        digits: As many correct significant digits make a decimal equal to an exact value.
        loose: The prediction may name what it computed by a sum, too: `x + y = 5` for 5.

    Raises:
        Undecided, TooLarge, Unreadable: see `exact`.
    """
    return _Comparison(judge, digits, loose).same(gold, prediction)


class _Comparison:
    def __init__(self, judge: Judge, digits: int, loose: bool) -> None:
        self.judge, self.digits, self.loose = judge, digits, loose

    def same(self, a: Node, b: Node) -> bool:
        if a == b:
            return True
        if self.tied(a, b):
            raise Open("two signs of \u00b1 may belong together or not")
        a, b = self.settled(a), self.settled(b)
        if a == b:
            return a.op != "false"
        if "false" in (a.op, b.op):
            return False
        if self.loose and is_solved(a) and repeats(b):
            if self.strictly().same(a, b):
                raise Open("one side is not solved")
            return False
        if has_inequality(a) or has_inequality(b):
            return self.inequality_lists(a, b)
        if "rel" in (a.op, b.op):
            return self.relations(a, b)
        if (a.op in _SEQUENCES or b.op in _SEQUENCES) and not (is_reals(a) or is_reals(b)):
            return self.sequences(a, b)
        if a.op in REGIONS or b.op in REGIONS:
            return self.regions(a, b)
        return self.measured(a, b)

    def settled(self, node: Node) -> Node:
        """What a node stands for: both values of a `\\pm`, the value of an identity, single assignments."""
        if sides := identity(node):
            return sides[-1] if self.all_same(sides) else Node("false")
        if not self.all_same(numbers_of(node)):
            return Node("false")
        if (
            node.op == "mul"
            and len(node.args) == 2
            and node.args[1].op == "tuple"
            and str(node.args[0].value).isupper()
        ):
            return node.args[1]  # the point A(2,3)
        if found := assignments(node):
            return Node("list", tuple(found), "and")
        return entries(groups(spread(node)))

    def all_same(self, sides: Sequence[Node]) -> bool:
        """Are the sides of a chain one number? The class 4 modulo 7 holds the number before it."""
        return all(
            self.congruent(x, y) if y.op == "residue" and x.op != "residue" else self.same(x, y)
            for x, y in pairwise(sides)
        )

    def tied(self, a: Node, b: Node) -> bool:
        """Are two points equal only if the signs of their coordinates change together?"""
        if not any(n.op == "tuple" and count(n, "pm") > 1 for n in (a, b)):
            return False
        return not self.same(spread(a), spread(b)) and self.same(together(a), together(b))

    # --- sequences

    def sequences(self, a: Node, b: Node) -> bool:
        ops = {a.op, b.op}
        if ops == {"list"} and names_all(a) != names_all(b) and len(a.args) == len(b.args):
            return self.in_order(a.args, b.args)  # x = 1, y = 2 is 1, 2 and not 2, 1
        if a.op == b.op == "tuple" or ops == {"list", "tuple"}:
            if len(a.args) == len(b.args) and self.in_order(a.args, b.args):
                return True
            return ops == {"list", "tuple"} and nested(a, b) and self.any_order(a.args, b.args)
        if ops <= {"list", "set"}:
            return self.any_order(a.args, b.args) or (
                is_set(a, b) and self.covered(a, b) and self.covered(b, a)
            )
        if ops & {"interval", "union", "meet", "minus"}:
            return self.regions(a, b)
        if (a.op == "set" and len(a.args) == 1) != (b.op == "set" and len(b.args) == 1):
            return self.same(*(n.args[0] if n.op == "set" and len(n.args) == 1 else n for n in (a, b)))
        return False  # one value against several; a set against a tuple

    def in_order(self, a: Sequence[Node], b: Sequence[Node]) -> bool:
        self = self.strictly()
        return all(self.same(x, y) for x, y in zip(a, b, strict=True))

    def any_order(self, a: Sequence[Node], b: Sequence[Node]) -> bool:
        """Each item of `a` has one of its own in `b` (equality is transitive, so greedy matching is enough)."""
        if max(len(a), len(b)) > _MAX_ITEMS:
            raise Unreadable(f"more than {_MAX_ITEMS} items")
        if len(a) != len(b):
            return False
        left, self = list(b), self.strictly()
        for item in a:
            match = next((i for i, other in enumerate(left) if self.same(item, other)), None)
            if match is None:
                return False
            del left[match]
        return True

    def strictly(self) -> _Comparison:
        """For what stands inside: x + y = 5 names a value only where it is the whole answer."""
        return _Comparison(self.judge, self.digits, False) if self.loose else self

    def covered(self, a: Node, b: Node) -> bool:
        return all(any(self.same(x, y) for y in b.args) for x in a.args)

    # --- sets of reals

    def regions(self, a: Node, b: Node) -> bool:
        if not is_region(a) or not is_region(b):
            return False
        if a.op == b.op == "union" and len(a.args) == len(b.args) and self.any_order(a.args, b.args):
            return True
        if a.op == b.op and a.op in ("minus", "meet") and self.in_order(a.args, b.args):
            return True
        if a.op in ("interval", "tuple") and b.op in ("interval", "tuple"):
            brackets = [n.value or "()" for n in (a, b)]
            return brackets[0] == brackets[1] and len(a.args) == len(b.args) and self.in_order(a.args, b.args)
        return self.judge.region(a, b)

    # --- relations

    def relations(self, a: Node, b: Node) -> bool:
        if self.worked_out(a, b) or self.worked_out(b, a):
            return True
        left, right = named(a, loose=False), named(b, loose=self.loose and a.op != "rel")
        if (left.name is None) != (right.name is None) and not self.is_answer(left, right):
            return False
        if a.op == b.op and (left.name is None or right.name is None) and self.equations(a, b):
            return True
        if left.name and right.name and bare_name(left.name) != bare_name(right.name):
            return a.op == b.op == "rel" and self.equations(a, b)
        if "rel" not in (left.value.op, right.value.op):
            return self.same(left.value, right.value)
        return self.inequalities(left.value, right.value)

    def worked_out(self, value: Node, chain: Node) -> bool:
        """5x - 2x + 2 = 3x + 2 answers 3x + 2: a chain of expressions that are equal, ending in the value."""
        if (
            value.op in ("rel", *REGIONS, "list")
            or chain.op != "rel"
            or set(str(chain.value).split()) != {"="}
        ):
            return False
        sides = chain.args
        if any(is_name(side, True) for side in sides) or not symbols(chain):
            return False
        return self.same(value, sides[-1]) and self.all_same(sides)

    def is_answer(self, left: Named, right: Named) -> bool:
        """Of a solved equation, x = 5, and one that is not, can the second stand for the first? Only where the value is
        an expression, as in y = 2x + 1: 3x + 7 = 22 repeats the question."""
        known, other = (left, right) if left.name else (right, left)
        return other.value.op != "rel" or is_inequality(other.value) or bool(symbols(known.value))

    def inequalities(self, a: Node, b: Node) -> bool:
        """At least one of the two is a relation that is no assignment."""
        if a.op == b.op == "rel" and self.equations(a, b):
            return True
        if not is_inequality(a) and not is_inequality(b):
            return False
        if a.op == b.op and symbols(a) != symbols(b):
            return False
        if any(n.value == "in" and not is_name(n.args[0], False) for n in (a, b)):
            return False  # 2x in a set: no set of x is written here
        a, b = (as_region(n) if n.op == "rel" else n for n in (a, b))
        if "rel" in (a.op, b.op):
            return all(n.op == "rel" or n.op in REGIONS for n in (a, b)) and self.judge.region(a, b)
        return self.same(a, b)

    def equations(self, a: Node, b: Node) -> bool:
        """Each simple relation of `a` is one of `b`, up to the side it stands on and a constant factor."""
        if "in" in f"{a.value} {b.value}".split():
            return a.value == b.value and self.in_order(a.args, b.args)
        left, right = simple(a), simple(b)
        if len(left) != len(right):
            return False
        for sign, e in left:
            match = next(
                (i for i, (s, f) in enumerate(right) if s == sign and self.same_relation(sign, e, f)), None
            )
            if match is None:
                return False
            del right[match]
        return True

    def same_relation(self, sign: str, e: Node, f: Node) -> bool:
        if not symbols(e) or not symbols(f):
            return False  # it says nothing: numbers differ by a factor whatever they are
        c = self.judge.ratio(e, f)
        return c > 0 or (c < 0 and sign in ("=", "!="))

    def inequality_lists(self, a: Node, b: Node) -> bool:
        """`x < 1 or x > 3` against the same in another order, or against a set."""
        if has_inequality(a) and has_inequality(b) and a.value == b.value and self.any_order(a.args, b.args):
            return True
        if symbols(a) and symbols(b) and symbols(a) != symbols(b):
            return False
        if any(n.op == "rel" and not is_inequality(n) for n in (*listed(a), *listed(b))):
            return False  # an equation among the conditions of one side alone
        a, b = (or_union(n) for n in (a, b))
        return self.same(a, b) if "list" not in (a.op, b.op) else self.judge.region(a, b)

    # --- single values

    def measured(self, a: Node, b: Node) -> bool:
        units = [str(n.value) or "degree" for n in (a, b) if n.op in ("unit", "degree")]
        if len(units) == 2 and not same_unit(*units):
            return False
        if {a.op, b.op} == {"unit", "percent"}:
            return a.args[0] == b or b.args[0] == a
        if "unit" in (a.op, b.op):
            return self.same(*(n.args[0] if n.op in ("unit", "degree") else n for n in (a, b)))
        if a.op == "percent" or b.op == "percent":
            return self.percent(a, b)
        if a.op == "degree" or b.op == "degree":
            x, y = (n.args[0] if n.op == "degree" else n for n in (a, b))
            return self.same(x, y) or (a.op != b.op and self.value(radians(a), radians(b)))
        if a.op == b.op in ("matrix", "det", "ratio", "builder") and a.value == b.value:
            return len(a.args) == len(b.args) and self.in_order(a.args, b.args)
        if a.op == b.op == "case":
            return self.in_order(a.args, b.args)
        if a.op == b.op == "cases":
            return self.cases(a, b)
        if "residue" in (a.op, b.op):
            return self.residues(a, b)
        if {a.op, b.op} & {"text", "matrix", "cases", "builder"}:
            return False
        if a.op == b.op == "ratio":
            return False  # a time of day may be one: 8:30 is not 17:60
        return self.value(quotient(a), quotient(b))

    def cases(self, a: Node, b: Node) -> bool:
        """A definition by cases: the same values under the same conditions, in any order."""
        if len(a.args) != len(b.args):
            return False
        if self.any_order(a.args, b.args):
            return True
        worded = any(x.args[1].op == "text" for x in (*a.args, *b.args))
        if worded and self.any_order([x.args[0] for x in a.args], [y.args[0] for y in b.args]):
            raise Open("the values of the cases are the same, their conditions are written in other ways")
        return False

    def residues(self, a: Node, b: Node) -> bool:
        """Classes of numbers, or (a prediction only) the class of the number that was asked for."""
        if a.op == b.op:
            remainder = Node("fn", (Node("add", (a.args[0], negated(b.args[0]))), a.args[1]), "mod")
            return self.same(a.args[1], b.args[1]) and self.value(remainder, number(0))
        return self.loose and b.op == "residue" and self.same(a, b.args[0]) and self.least(b)

    def congruent(self, number_: Node, class_: Node) -> bool:
        """Is the number one of the class?"""
        difference = Node("add", (number_, negated(class_.args[0])))
        return self.value(Node("fn", (difference, class_.args[1]), "mod"), number(0))

    def least(self, class_: Node) -> bool:
        """Is a class named by its remainder? 5 modulo 2 is not the answer 5."""
        remainder = Node("fn", class_.args, "mod")
        return self.value(remainder, class_.args[0])

    def percent(self, a: Node, b: Node) -> bool:
        """10% is 0.1, and 10 where a question asks for percent; but 0.5% is not 0.5, nor is 10 the same as 0.1."""
        x, y = (n.args[0] if n.op == "percent" else n for n in (a, b))
        if a.op == b.op:
            return self.same(x, y)
        bare = constant(b if a.op == "percent" else a) if not {a.op, b.op} & set(REGIONS) else None
        if bare is not None and (abs(bare) >= 1 or not bare) and self.same(x, y):
            return True
        hundredth = number(Fraction(1, 100))
        return self.same(*(Node("mul", (n.args[0], hundredth)) if n.op == "percent" else n for n in (a, b)))

    def value(self, a: Node, b: Node) -> bool:
        for exact, decimal in ((a, b), (b, a)):
            if digits(decimal) >= self.digits and digits(exact) == 0:
                return self.close(exact, decimal)
        return self.judge.value(a, b)

    def close(self, exact: Node, decimal: Node) -> bool:
        """Is the decimal the exact value, rounded or cut after its last place, or the double nearest to it?"""
        shown, place = constant(decimal), Fraction(1, 10 ** places(decimal))
        if shown is None:
            return False
        if shown < 0:
            exact, shown = negated(exact), -shown
        low, high = shown - place / 2, shown + place
        if APPROX_DIGITS < digits(decimal) <= _DOUBLE_DIGITS and shown < _LARGEST:
            # All digits of a double: what is nearest to it prints so.
            half = Fraction(math.ulp(float(shown))) / 2
            low, high = min(low, Fraction(float(shown)) - half), max(high, Fraction(float(shown)) + half)
        return self.judge.between(exact, low, high)
