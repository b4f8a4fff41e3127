"""The nouns: what flows through the corridor, frozen and typed, with their Arrow schemas.

c = concepts (with the level), z = rationale, x = problem (PAPER: arXiv 2509.19894, section 2).
Every record starts with `id`. Token counts end in `_tokens`, log-probabilities are natural-log sums.
Durations never appear in records: they differ between runs and belong to the manifests.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar, Union

if TYPE_CHECKING:
    import pyarrow as pa


class Verdict(StrEnum):
    """How an attempt ended. `unscored` is a failure of the machinery or an unread answer: never a 0 and never a 1."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    NO_ANSWER = "no_answer"
    UNSCORED = "unscored"


@dataclass(frozen=True)
class UnitTest:
    """One stdin/stdout test of a program."""

    input: str
    output: str


@dataclass(frozen=True)
class Record:
    """Base of all rows."""

    id: str

    def row(self) -> dict[str, Any]:
        """The record as plain values for Arrow or JSON (what `dataclasses.asdict` gives, at an eighth of its time)."""
        return {name: _plain(value) for name, value in self.__dict__.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return (
            [_plain(v) for v in value] if value and hasattr(value[0], "__dataclass_fields__") else list(value)
        )
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(v) for name, v in value.__dict__.items()}
    return value


@dataclass(frozen=True)
class Seed(Record):
    """A problem to start from. `split` is "train" or "heldout"."""

    domain: str
    level: str
    problem: str
    split: str = "train"
    answer: str | None = None
    tests: list[UnitTest] = field(default_factory=list)
    concepts: list[str] = field(default_factory=list)
    rationale: str | None = None
    source: str = ""


@dataclass(frozen=True)
class Triple(Record):
    """(c, z, x): concepts, rationale and problem, as one annotator wrote them."""

    seed_id: str
    domain: str
    level: str
    split: str
    annotator: str
    concepts: list[str]
    rationale: str
    problem: str


@dataclass(frozen=True)
class Ask(Record):
    """One unit of sampling: a row (`of`), what is known of it, and which of its samples this is.

    `answer` and `tests` are what an attempt is judged by; they never reach a model or a program. `rationale` is the
    annotator's own, by whose length candidates are bounded.
    """

    of: str
    sample: int
    domain: str
    level: str
    concepts: list[str]
    problem: str
    answer: str | None = None
    tests: list[UnitTest] = field(default_factory=list)
    rationale: str = ""


@dataclass(frozen=True)
class Candidate(Record):
    """One rationale drawn from q for a (c, x), with both terms of the reward (Eq. 5).

    logq: log q(z|c,x) at T=1; logp_z: log p(z|c); logp_x: log p(x|z,c).
    `z_ids` are the sampled token ids without the terminator; they travel into the score and the training.
    """

    item_id: str
    sample: int
    rationale: str
    z_ids: list[int]
    finish: str
    logq: float
    logp_z: float
    logp_x: float
    z_tokens: int
    x_tokens: int


@dataclass(frozen=True)
class Posed(Record):
    """A rationale together with the (c, x) it was written for: what a model is asked to score."""

    candidate: Candidate
    item: Triple


@dataclass(frozen=True)
class HeldOut(Record):
    """One held-out (c, x) after one iteration. Log-probs in nats; shares are 0 or 1; NaN where nothing could be said.

    nll_greedy, nll_sampled: -log p(x|z,c) with z greedy from q, and the mean over draws from q; joint: log p(z,x|c)
    of the greedy one; logp_z, logp_x: the reward's two terms, mean over draws. elbo: under q. bound: IWAE_K on
    log p(x|c) with the mixed proposal of `promptcot.em.bounds`, bound_half: the same with K/2; own_bound: with draws
    of q alone. ess: of the K mixed weights. kl_prior, kl_posterior: of q to p(z|c) and p(z|c,x).
    tokens_greedy, tokens_sampled: of rationales. coverage: share of the concepts that the greedy rationale names;
    written_coverage: that p's own completion names. unfinished, copies: the greedy rationale ran into the length
    limit, or copies x. duplicate: another item has the same greedy rationale. well_formed, in_domain: of p's completion.
    """

    item_id: str
    domain: str
    iteration: int
    nll_greedy: float
    nll_sampled: float
    joint: float
    logp_z: float
    logp_x: float
    elbo: float
    bound: float
    bound_half: float
    own_bound: float
    ess: float
    kl_prior: float
    kl_posterior: float
    tokens_greedy: float
    tokens_sampled: float
    coverage: float
    written_coverage: float
    unfinished: float
    copies: float
    duplicate: float
    well_formed: float
    in_domain: float


@dataclass(frozen=True)
class Decision(Record):
    """How the EM ended: the iteration that is kept (0 = cold start), the last one run, and why it stopped.

    reason: converged | worse | gate | max_iterations. detail: a sentence for people, with the numbers.
    """

    kept: int
    last: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Problem(Record):
    """A problem written by p, with the evidence gathered about it so far.

    label_flags: as of its `Suite`. mutants, mutants_killed: wrong programs tried on its tests, and those that failed.
    """

    domain: str
    level: str
    concepts: list[str]
    rationale: str
    problem: str
    answer: str | None = None
    tests: list[UnitTest] = field(default_factory=list)
    label_votes: int = 0
    label_samples: int = 0
    label_margin: int = 0
    label_histogram: str = ""
    label_flags: list[str] = field(default_factory=list)
    mutants: int = 0
    mutants_killed: int = 0


@dataclass(frozen=True)
class Rollout(Record):
    """One attempt of a solver at a problem, with its verdict (empty while there is nothing to compare with).

    `answer` is the boxed answer or the program.
    """

    problem_id: str
    domain: str
    sample: int
    text: str
    tokens: int
    finish: str
    answer: str | None
    verdict: str
    reason: str

    @property
    def unread(self) -> bool:
        """Has it an answer that the checker cannot read, and that may be right?"""
        return self.verdict == Verdict.UNSCORED and self.reason == "unreadable"

    @property
    def counts(self) -> bool:
        """Does a score count it? An unread answer counts as unsolved; what else has no verdict is left out."""
        return self.verdict != Verdict.UNSCORED or self.unread


@dataclass(frozen=True)
class Pair(Record):
    """A preference pair. `prompt` is the problem's text as the user turn; both answers are assistant turns, complete
    ones unless `truncated` says that the rejected one was cut off at the token limit."""

    problem_id: str
    domain: str
    prompt: str
    chosen: str
    rejected: str
    truncated: bool = False


@dataclass(frozen=True)
class Trace(Record):
    """A teacher's solution to a problem, for supervised fine-tuning."""

    problem_id: str
    domain: str
    prompt: str
    response: str
    tokens: int


@dataclass(frozen=True)
class Round(Record):
    """One round of self-play. planned, drawn: rollouts; unscored, truncated: of those drawn. kept, too_easy,
    never_solved: problems; rows: what was trained on. solved: mean solve rate in the first wave, so the agreement of
    attempts with the labels. voted: problems on whose answer most attempts agree; against: those where it is not the label.
    tracked: mean solve rate on the tracked seeds afterwards; change, change_low, change_high: since the best round
    before, paired, with its 95% interval. NaN where nothing is tracked.
    """

    round: int
    problems: int
    planned: int
    drawn: int
    unscored: int
    truncated: int
    kept: int
    too_easy: int
    never_solved: int
    rows: int
    solved: float
    voted: int
    against: int
    tracked: float
    change: float
    change_low: float
    change_high: float


@dataclass(frozen=True)
class SuiteAsk(Record):
    """A code problem with the programs and the unit tests that were written for it."""

    problem: str
    programs: list[str]
    tests: list[UnitTest]


@dataclass(frozen=True)
class Suite(Record):
    """What unit-test synthesis left of one problem: the accepted tests, and how it came about.

    tests: The first ones catch most wrong programs. proposed, confirmed, relabelled: counts of tests; dropped: of
    the others, by reason, as JSON. programs: that voted; votes, margin: the least of any test; agreement: mean share
    of the valid outputs. failing: different programs that print something and fail a test. mutants,
    mutants_killed: of the programs that pass all. flags: `too_few_tests`, `needs_checker`, `weak`.
    """

    tests: list[UnitTest]
    proposed: int
    confirmed: int
    relabelled: int
    dropped: str
    programs: int
    votes: int
    margin: int
    agreement: float
    failing: int
    mutants: int
    mutants_killed: int
    flags: list[str]


@dataclass(frozen=True)
class Ballot(Record):
    """Where the vote on one problem stands after a wave of samples. decision: `accepted` or `refused` if no further
    sample can change it, else `open`. `id` is the problem's."""

    wave: int
    samples: int
    votes: int
    margin: int
    decision: str


@dataclass(frozen=True)
class Reject(Record):
    """A row that went no further. `id` is the input row's id; `reason` is a short code."""

    reason: str
    detail: str = ""


R = TypeVar("R", bound=Record)


def is_text(value: str) -> bool:
    """Can it be written to a table? Half a surrogate pair, which JSON and Python can escape alone, cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def schema(cls: type[Any]) -> pa.Schema:
    """The Arrow schema of a record type."""
    import pyarrow as pa

    hints = typing.get_type_hints(cls)
    return pa.schema([_field(f.name, hints[f.name]) for f in fields(cls)])


def _field(name: str, hint: Any) -> pa.Field:
    import pyarrow as pa

    optional = False
    if typing.get_origin(hint) in (Union, types.UnionType):
        args = [a for a in typing.get_args(hint) if a is not type(None)]
        (hint,), optional = args, True
    return pa.field(name, _arrow(hint), nullable=optional)


def _arrow(hint: Any) -> pa.DataType:
    import pyarrow as pa

    plain: dict[Any, pa.DataType] = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
    }
    if hint in plain:
        return plain[hint]
    if typing.get_origin(hint) is list:
        return pa.list_(_field("item", typing.get_args(hint)[0]))
    inner = typing.get_type_hints(hint)
    return pa.struct([_field(f.name, inner[f.name]) for f in fields(hint)])


def from_row(cls: type[R], row: dict[str, Any]) -> R:
    """Rebuild a record from plain values (the inverse of `Record.row`).

    Raises:
        TypeError: a field is missing or unknown.
    """
    values = dict(row)
    if values.get("tests"):
        values["tests"] = [t if isinstance(t, UnitTest) else UnitTest(**t) for t in values["tests"]]
    return cls(**values)
