r"""Exact equality of expressions without SymPy: quotients of polynomials with rational coefficients.

The unknowns of the polynomials are variables, pi, i, radicals of primes and, as a last resort, anything else by
its spelling. Radicals p^(k/n) of different primes are linearly independent over the rationals (Besicovitch, J.
London Math. Soc. 15, 1940), i is independent of reals and pi of algebraic numbers; so for those "not the same
polynomial" means "not equal". Where the unknowns may depend on each other, the answer is `Undecided`.
"""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from promptcot.verify.tokens import Mismatch, Unreadable
from promptcot.verify.tree import MINUS_ONE, Node, number

MAX_BITS = 100_000  # of a number: 2004! has 19,000
MAX_TERMS = 300
_MAX_WORK = 20_000  # products of terms in one sum or product: a tenth of a second
_MAX_POWER = 64  # of a sum of several terms
_LARGEST_DIVISOR = 2000  # primes above it stay together in one radical, which is then not independent

_EVALUATED = {
    "factorial",
    "binomial",
    "abs",
    "floor",
    "ceiling",
    "max",
    "min",
    "gcd",
    "lcm",
    "sgn",
    "mod",
    "norm",
}

Monomial = tuple[tuple[str, Fraction], ...]
Poly = dict[Monomial, Fraction]
ONE: Poly = {(): Fraction(1)}


class Undecided(Exception):
    """This module cannot tell; SymPy may."""


class Undefined(Unreadable):
    """An expression without a value: 1/0."""


class TooLarge(Exception):
    """A number of the expression has more than MAX_BITS bits: no reasonable answer is written like that."""


class Form(NamedTuple):
    """num / den."""

    num: Poly
    den: Poly


def same_value(a: Node, b: Node) -> bool:
    """Are two expressions equal?

    Raises:
        Undecided: it takes more than polynomials. TooLarge: see there. Unreadable: not an expression, or 1/0.
    """
    left, right = form(a), form(b)
    difference = _add(_mul(left.num, right.den), _scale(_mul(right.num, left.den), Fraction(-1)))
    if not difference:
        return True
    if not _independent(difference):
        raise Undecided
    return False


def proportional(a: Node, b: Node) -> Fraction | None:
    """The rational number c with a = c b; None if there is none, or b is 0. Raises as `same_value`."""
    left, right = form(a), form(b)
    p, q = _mul(left.num, right.den), _mul(right.num, left.den)
    if not q or not p:
        return None
    lead = next(iter(q))
    factor = p.get(lead, Fraction(0)) / q[lead]
    difference = _add(p, _scale(q, -factor))
    if not difference and factor:
        return factor
    if not (_independent(p) and _independent(q)):
        raise Undecided
    return None


def constant(node: Node) -> Fraction | None:
    """The value of an expression that is a rational number; None if it is another."""
    top, bottom = form(node)
    if set(top) | set(bottom) <= {()}:
        return top.get((), Fraction(0)) / bottom[()]
    return None


# --- expressions


@lru_cache(maxsize=512)  # roots and functions ask again about what is in them: 2^depth questions without it
def form(node: Node) -> Form:
    """`node` as a quotient of polynomials, which nobody changes. Raises as `same_value`."""
    op = node.op
    if op == "num":
        return _number(node.value)  # type: ignore[arg-type]
    if op in ("sym", "const"):
        return Form(
            {((str(node.value) if op == "sym" else f"const {node.value}", Fraction(1)),): Fraction(1)}, ONE
        )
    if op == "based":
        return Form({((f"based {node.value}", Fraction(1)),): Fraction(1)}, ONE)
    if op in ("add", "mul"):
        if any(_infinite(a) for a in node.args) and not (op == "mul" and node.args[:-1] == (MINUS_ONE,)):
            raise Undefined("arithmetic with infinity")
        return _fold(op, [form(a) for a in node.args])
    if op == "pow":
        return _power(node.args[0], node.args[1])
    if op == "root":
        return _root(node.args[0], node.args[1])
    if op == "fn":
        return _function(node)
    if op == "degree":
        return form(Node("mul", (node.args[0], Node("const", (), "\u03c0"), number(Fraction(1, 180)))))
    if op == "big":
        return _opaque(str(node.value), *node.args)
    raise Mismatch(f"a {op} inside an expression")


def _infinite(node: Node) -> bool:
    return node.op == "const" and node.value == "\u221e"


def _number(value: Fraction) -> Form:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise TooLarge
    return Form({(): value} if value else {}, ONE)


def _fold(op: str, parts: list[Form]) -> Form:
    total, work = parts[0], 0
    for part in parts[1:]:
        work += (len(total.num) + len(total.den)) * (len(part.num) + len(part.den))
        if work > _MAX_WORK:
            raise Undecided
        if op == "mul":
            total = Form(_mul(total.num, part.num), _mul(total.den, part.den))
        elif total.den == part.den:
            total = Form(_add(total.num, part.num), total.den)
        else:
            top = _add(_mul(total.num, part.den), _mul(part.num, total.den))
            total = Form(top, _mul(total.den, part.den))
    return _by_rational(total)


def _by_rational(f: Form) -> Form:
    """A rational denominator goes into the coefficients."""
    if set(f.den) == {()} and f.den[()] != 1:
        return Form(_scale(f.num, 1 / f.den[()]), ONE)
    return f


def _power(base: Node, exponent: Node) -> Form:
    raised, by = form(exponent), form(base)
    if not set(raised.num) | set(raised.den) <= {()}:
        return _opaque("pow", base, exponent)
    power = raised.num.get((), Fraction(0)) / raised.den[()]
    if power.denominator == 1:
        return _integer_power(by, int(power))
    return _rational_power(by, power) or _opaque("pow", base, exponent)


def _integer_power(f: Form, n: int) -> Form:
    if n < 0:
        if not f.num:
            raise Undefined("division by zero")
        return _integer_power(Form(f.den, f.num), -n)
    if abs(n) > MAX_BITS:
        if max(len(f.num), len(f.den)) > 1 or any(abs(c) != 1 for c in (*f.num.values(), *f.den.values())):
            raise TooLarge
    elif max(len(f.num), len(f.den)) > 1 and n > _MAX_POWER:
        raise Undecided
    return _by_rational(Form(_poly_power(f.num, n), _poly_power(f.den, n)))


def _poly_power(p: Poly, n: int) -> Poly:
    if len(p) == 1:
        ((monomial, c),) = p.items()
        if max(c.numerator.bit_length() - 1, c.denominator.bit_length() - 1) * n > MAX_BITS:
            raise TooLarge
        return _reduced([(atom, e * n) for atom, e in monomial], c**n)
    result = ONE
    for _ in range(n):
        result = _mul(result, p)
    return result


def _rational_power(f: Form, power: Fraction) -> Form | None:
    """c^(p/q) or (c x)^(p/q) for a positive rational c and plain variables x; i for square roots below 0."""
    if not f.num:
        if power < 0:
            raise Undefined("division by zero")
        return Form({}, ONE)
    if len(f.num) != 1 or f.den != ONE:
        return None
    ((monomial, c),) = f.num.items()
    if len(monomial) > 1 or any(e != 1 or not _may_be_rooted(atom) for atom, e in monomial):
        return None
    atoms = [(atom, power) for atom, _ in monomial]
    if c < 0:
        if power.denominator != 2 or monomial:
            return None
        atoms, c = [("const i", Fraction(power.numerator))], -c
    top = _radical(c.numerator, power)
    bottom = _radical(c.denominator, -power)
    return _as_form(_reduced([*atoms, *top, *bottom], Fraction(1)))


def _may_be_rooted(atom: str) -> bool:
    return atom in ("const \u03c0", "const e") or not (" " in atom or atom.isdigit())


def _as_form(p: Poly) -> Form:
    """Variables with negative exponents move below the line."""
    ((monomial, c),) = p.items()
    above = tuple((atom, e) for atom, e in monomial if e > 0)
    below = tuple((atom, -e) for atom, e in monomial if e < 0)
    return Form({above: c}, {below: Fraction(1)} if below else ONE)


def _radical(n: int, power: Fraction) -> list[tuple[str, Fraction]]:
    """n^power by prime factors."""
    if n.bit_length() > 4000:
        raise Undecided
    found = []
    for p in (2, *range(3, _LARGEST_DIVISOR, 2)):
        if p * p > n:
            break
        k = 0
        while n % p == 0:
            n, k = n // p, k + 1
        if k:
            found.append((str(p), k * power))
    root = math.isqrt(n)
    if root * root == n and n > 1:
        n, power = root, 2 * power
    if n > 1:
        prime = n < _LARGEST_DIVISOR**2
        found.append((str(n) if prime else f"radical {n}", power))
    return found


def _root(radicand: Node, index: Node) -> Form:
    n = constant(index)
    if n is None or n.denominator != 1 or n < 2:
        return _opaque("root", radicand, index)
    value = constant(radicand)
    if value is not None and value < 0 and n % 2:  # the real root, as in school
        inner = _rational_power(_number(-value), 1 / n)
        return (
            _opaque("root", radicand, index)
            if inner is None
            else Form(_scale(inner.num, Fraction(-1)), inner.den)
        )
    return _rational_power(form(radicand), 1 / n) or _opaque("root", radicand, index)


def _function(node: Node) -> Form:
    name = str(node.value)
    values = [constant(a) for a in node.args] if name in _EVALUATED else []
    if not values or None in values:
        return _opaque(name, *node.args)
    known = [v for v in values if v is not None]
    if name in ("max", "min"):
        return _number(max(known) if name == "max" else min(known))
    if name in ("abs", "norm"):
        return _number(abs(known[0]))
    if name == "sgn":
        return _number(Fraction((known[0] > 0) - (known[0] < 0)))
    if name == "mod":
        if not known[1]:
            raise Undefined("a remainder modulo zero")
        return _number(known[0] % known[1])
    if name in ("floor", "ceiling"):
        return _number(Fraction(math.floor(known[0]) if name == "floor" else math.ceil(known[0])))
    if any(v.denominator != 1 or v < 0 for v in known):
        return _opaque(name, *node.args)
    n, *k = map(int, known)
    if name in ("gcd", "lcm"):
        return _number(Fraction(math.gcd(n, *k) if name == "gcd" else math.lcm(n, *k)))
    if n > MAX_BITS or n * math.log2(max(n, 2)) > 2 * MAX_BITS:
        raise TooLarge
    return _number(Fraction(math.comb(n, k[0]) if k else math.factorial(n)))


def _opaque(name: str, *args: Node) -> Form:
    """Something this module only knows by its spelling, or a digest of it: quotes in quotes would double its length."""
    spelling = ", ".join(_spelling(a) for a in args)
    digest = hashlib.blake2b(spelling.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return Form({((f"fn {name} {digest}", Fraction(1)),): Fraction(1)}, ONE)


def _spelling(node: Node) -> str:
    if node.op in ("degree", "rel"):
        return f"{node.op} {node.value} {' '.join(map(_spelling, node.args))}"
    top, bottom = form(node)
    lead = bottom[min(bottom)]
    return "/".join(_terms(_scale(p, 1 / lead)) for p in (top, bottom))


def _terms(p: Poly) -> str:
    # Hexadecimal, as Python refuses to print long decimals.
    return "+".join(f"{c.numerator:x}/{c.denominator:x}{m}" for m, c in sorted(p.items()))


# --- polynomials


def _add(a: Poly, b: Poly) -> Poly:
    total = dict(a)
    _gather(total, b)
    return total


def _gather(total: Poly, more: Poly) -> None:
    for monomial, c in more.items():
        value = total.get(monomial, Fraction(0)) + c
        if value:
            total[monomial] = value
        else:
            del total[monomial]


def _scale(a: Poly, c: Fraction) -> Poly:
    return {monomial: value * c for monomial, value in a.items()} if c else {}


def _mul(a: Poly, b: Poly) -> Poly:
    if a is ONE or b is ONE:
        return b if a is ONE else a
    if len(a) * len(b) > MAX_TERMS:
        raise Undecided
    total: Poly = {}
    for (m, c), (n, d) in product(a.items(), b.items()):
        _gather(total, _reduced([*m, *n], c * d) if m and n else {m or n: c * d})
    _check(total)
    return total


def _check(p: Poly) -> None:
    if any(max(c.numerator.bit_length(), c.denominator.bit_length()) > MAX_BITS for c in p.values()):
        raise TooLarge


def _reduced(factors: list[tuple[str, Fraction]], c: Fraction) -> Poly:
    """One term: exponents of an atom added, whole powers of primes and of i taken into the coefficient."""
    exponents: dict[str, Fraction] = {}
    for atom, e in factors:
        exponents[atom] = exponents.get(atom, Fraction(0)) + e
    for atom, e in list(exponents.items()):
        if atom == "const i":
            turns = int(e) % 4
            c, exponents[atom] = (-c if turns > 1 else c), Fraction(turns % 2)
        elif atom.isdigit() or atom.startswith("radical "):
            whole = math.floor(e)
            value = int(atom.rpartition(" ")[2])
            if abs(whole) * value.bit_length() > MAX_BITS:
                raise TooLarge
            c, exponents[atom] = c * Fraction(value) ** whole, e - whole
    return {tuple(sorted((a, e) for a, e in exponents.items() if e)): c}


def _independent(p: Poly) -> bool:
    """Are the unknowns of `p` independent, so that p = 0 only if it has no terms?"""
    atoms = {atom for monomial in p for atom, _ in monomial}
    if {"const \u03c0", "const e"} <= atoms:
        return False
    return not any(atom.startswith(("fn ", "radical ")) for atom in atoms)
