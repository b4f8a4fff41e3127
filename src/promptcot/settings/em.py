"""The cold start and the EM loop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from promptcot.settings.base import Positive, Section, Share, free
from promptcot.settings.models import Model, Sampling
from promptcot.settings.training import Training


class ColdStart(Section):
    """MLE of q(z|c,x) and p(z,x|c) on the triples."""

    base: Model
    training: Training


class Gates(Section):
    """When an iteration counts as a collapse, each against the cold start on the held-out items.

    length: largest relative change of the mean rationale length. concepts, domain, format: largest fall of the
    shares of concepts mentioned, of problems in the asked domain, of completions of the right form. duplicates,
    copies: largest rise of the shares of rationales that other items share, or that copy the problem.
    action, which may be changed until the EM is decided: "return" stops and goes back to the iteration before (with
    `stop` the best one); "fail" ends the stage with an error; "warn" goes on.
    """

    length: Positive = 0.5
    concepts: Share = 0.2
    domain: Share = 0.1
    format: Share = 0.1
    duplicates: Share = 0.3
    copies: Share = 0.1
    action: Literal["return", "fail", "warn"] = free("return")


SELECT = ("joint", "iw", "mean", "gain")


class Estimator(Section):
    """How candidates become training rows: the defaults are the paper's (promptcot.em.rewards, .select).

    select "joint" is Eq. 5. draw: the arg max, or one draw by softmax(reward / temperature).
    mstep_rationale: what p learns from: q's "greedy" rationale (the paper), the "selected" one that q learned, or
    a draw of its own by the same weights ("resample"). estep False leaves q at the cold start.
    """

    select: Literal["joint", "iw", "mean", "gain"] = "joint"
    draw: Literal["best", "resample"] = "best"
    temperature: Positive = 1.0
    mstep_rationale: Literal["greedy", "selected", "resample"] = "greedy"
    estep: bool = True


class EM(Estimator):
    """The EM loop: up to `iterations`, `k` candidates per item, q learns the chosen ones, p learns q's rationales.

    k_first > 0: draw that many, and the rest only where the leader holds less than `settled` of the weight.
    items: (c, x) used per iteration, one triple per seed (0 = all). measure: held-out items (0 = all), each with
    `measure_draws` rationales. sampling: of candidates and p's completions; held-out rationales are always drawn plainly
    (temperature 1, top_p 1, top_k 0), for the bound, the ELBO, ESS and KL are those of the plain q.
    stop: end when an iteration does not clearly raise the held-out "bound" on log p(x|c) (or lower the "nll" of x given
    a greedy rationale), by paired bootstrap, and keep the best one; "none" runs all and keeps the last. training is q's;
    p_training is p's where it differs (the paper uses one setting for both).
    without_estep: run the iterations that are kept once more with q left at the cold start and p learning its greedy
    rationales, for the report's curve.
    """

    iterations: Annotated[int, Field(ge=0)] = 2
    k: PositiveInt = 8
    k_first: Annotated[int, Field(ge=0)] = 0
    settled: Share = 0.99
    items: Annotated[int, Field(ge=0)] = 0
    measure: Annotated[int, Field(ge=0)] = 0
    measure_draws: Annotated[int, Field(ge=2, multiple_of=2)] = 8
    stop: Literal["bound", "nll", "none"] = "none"
    gates: Gates = Gates()
    sampling: Sampling = Sampling()
    training: Training
    p_training: Training | None = None
    max_repetition: Share = 0.5
    max_copy: Share = 0.6
    min_length: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    max_length: Annotated[float, Field(ge=1.0)] = 1000.0
    max_rejected: Share = free(0.5)
    ablation: list[str] = free([])
    without_estep: bool = free(False)

    @model_validator(mode="after")
    def _possible(self) -> EM:
        if self.k_first >= self.k and self.k_first:
            raise ValueError(f"k_first={self.k_first} must be below k={self.k} (0 draws all k at once)")
        if self.sampling != self.plain and (
            self.select == "iw" or "resample" in (self.draw, self.mstep_rationale)
        ):
            raise ValueError(
                "importance weights need em.sampling at temperature 1, top_p 1, top_k 0: "
                "log q is the log-prob of the plain distribution"
            )
        if self.stop != "none" and self.iterations > 1 and self.measure == 1:
            raise ValueError("a stop rule needs more than one held-out item (em.measure)")
        return self

    @property
    def plain(self) -> Sampling:
        """How held-out rationales are drawn, whatever `sampling` says: from the very distribution whose log q they have."""
        return Sampling(max_tokens=self.sampling.max_tokens)

    def left_alone(self) -> EM:
        """These settings without the E-step: q stays at the cold start, and nothing chooses among its rationales, for the
        choice is the E-step's. p learns the greedy ones."""
        return self.model_copy(update={"estep": False, "mstep_rationale": "greedy"})
