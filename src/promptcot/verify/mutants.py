"""Mutants of a program: copies with one small mistake, to see whether tests notice.

Each mutant is the program's syntax tree with one edit: a comparison flipped or moved by its border, an operator, a
call or a condition swapped, a constant off by one or wrong, a statement dropped.

A mutant may mean the same as the program (`<=` for `<` where equality cannot occur), and whether it does is
undecidable. So a kill rate is a lower bound of the share of wrong programs that the tests would notice, and 100% is
often out of reach; docs/verification-programs.md has the share of survivors under full test sets.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import TypeVar

from promptcot.records import UnitTest
from promptcot.verify.programs import run_tests
from promptcot.verify.sandbox import Choice, Limits

T = TypeVar("T")
MAX_CHARS = 64 * 1024
_COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip
_OPERATOR: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.And: ast.Or, ast.Or: ast.And, ast.USub: ast.UAdd,
}  # fmt: skip
_CALL = {"min": "max", "max": "min", "any": "all", "all": "any", "abs": "int", "set": "list"}


@dataclass(frozen=True)
class Mutant:
    """A program with one mistake. kind: `comparison`, `operator`, `condition`, `call`, `off_by_one`, `constant`,
    `statement`."""

    code: str
    kind: str


@dataclass(frozen=True)
class _Edit:
    kind: str
    node: ast.AST
    field: str
    value: object


def mutants(code: str, count: int, seed: int) -> list[Mutant]:
    """Up to `count` different mutants, the kinds in turn, the places at random.

    Args:
        code: A program; one that cannot be parsed, or of more than 64 kB, has no mutants.
        count: Fewer are returned where the program has fewer places to change.
        seed: The same seed gives the same mutants in every process.
    """
    try:
        if len(code) > MAX_CHARS:
            return []
        tree = ast.parse(code)
        seen = {ast.unparse(tree)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    made: list[Mutant] = []
    for edit in _in_turn(list(_edits(tree)), random.Random(seed)):
        if len(made) == count:
            break
        text = _edited(tree, edit)
        if text not in seen:
            seen.add(text)
            made.append(Mutant(text, edit.kind))
    return made


def mutants_of(programs: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """Up to `count` different mutants, the programs in turn."""
    made = (mutants(code, count, seed + i) for i, code in enumerate(programs))
    return list(islice({m.code: m for m in _alternate(made)}.values(), count))


def caught_by(
    made: Sequence[Mutant],
    tests: Sequence[UnitTest],
    limits: Limits | None = None,
    *,
    sandbox: Choice = "auto",
) -> list[int]:
    """For each mutant the index of the first test it fails; -1 if it passes all. A lost run is left out.

    Raises:
        UserError: see `sandbox.run_program`.
    """
    out: list[int] = []
    for mutant in made:
        ends = run_tests(mutant.code, tests, limits, sandbox=sandbox, stop=True)
        if ends[-1] != "lost":
            out.append(-1 if ends[-1] == "passed" else len(ends) - 1)
    return out


def _in_turn(edits: list[_Edit], rng: random.Random) -> Iterator[_Edit]:
    """One edit of each kind, then the second of each, and so on; shuffled within a kind."""
    rng.shuffle(edits)
    kinds: dict[str, list[_Edit]] = {}
    for edit in edits:
        kinds.setdefault(edit.kind, []).append(edit)
    return _alternate(kinds.values())


def _alternate(lists: Iterable[Sequence[T]]) -> Iterator[T]:
    return (x for x in chain.from_iterable(zip_longest(*lists)) if x is not None)


def _edited(tree: ast.AST, edit: _Edit) -> str:
    before = getattr(edit.node, edit.field)
    setattr(edit.node, edit.field, edit.value)
    try:
        return ast.unparse(tree)
    finally:
        setattr(edit.node, edit.field, before)


# --- edits, in the order of the tree


def _edits(tree: ast.AST) -> Iterator[_Edit]:
    silent = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}  # docstrings
    first = _first_lines(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            yield from _comparisons(node)
        elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp | ast.UnaryOp):
            if swap := _OPERATOR.get(type(node.op)):
                yield _Edit("operator", node, "op", swap())
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in _CALL:
            yield _Edit("call", node, "id", _CALL[node.id])
        elif isinstance(node, ast.Constant) and id(node) not in silent:
            yield from _constants(node)
        if isinstance(node, ast.If | ast.While | ast.IfExp):
            yield _Edit("condition", node, "test", ast.UnaryOp(ast.Not(), node.test))
        yield from _dropped(node, first)


def _comparisons(node: ast.Compare) -> Iterator[_Edit]:
    for i, op in enumerate(node.ops):
        for other in _COMPARE[type(op)]:
            yield _Edit("comparison", node, "ops", [*node.ops[:i], other(), *node.ops[i + 1 :]])


def _constants(node: ast.Constant) -> Iterator[_Edit]:
    value = node.value
    if isinstance(value, bool):
        yield _Edit("constant", node, "value", not value)
    elif isinstance(value, int):
        yield _Edit("off_by_one", node, "value", value + 1)
        yield _Edit("off_by_one", node, "value", value - 1)
        yield _Edit("constant", node, "value", 2 * value + 10)
    elif isinstance(value, float):
        yield _Edit("constant", node, "value", 2 * value + 10)
    elif isinstance(value, str):
        yield _Edit("constant", node, "value", "" if value else "x")


def _dropped(node: ast.AST, first: dict[str, int]) -> Iterator[_Edit]:
    for field in ("body", "orelse", "finalbody"):
        body = getattr(node, field, None)
        if not isinstance(body, list):  # a lambda's body is an expression
            continue
        for i, statement in enumerate(body):
            if _droppable(statement, first):
                yield _Edit("statement", node, field, [*body[:i], ast.Pass(), *body[i + 1 :]])


def _droppable(statement: ast.AST, first: dict[str, int]) -> bool:
    """Does the program still make sense without it? Not where a name would be left without a value: any test
    notices that."""
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign):
        names = [n.id for t in statement.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        return all(first[name] < statement.lineno for name in names)
    return isinstance(statement, ast.AugAssign | ast.Break | ast.Continue | ast.Delete)


def _first_lines(tree: ast.AST) -> dict[str, int]:
    """The first line on which each name occurs."""
    lines: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.arg):
            name = node.id if isinstance(node, ast.Name) else node.arg
            lines[name] = min(node.lineno, lines.get(name, node.lineno))
    return lines
