"""What a reranker is: it looks again at the first few candidates of a mention and names which of them come first.

It gets what a linker found and what the knowledge base says, never gold and never the id of a mention, which some
benchmarks derive from gold. It can only reorder: :mod:`melink.rerank.again` puts the candidates that it names first and
leaves the others in the order of the retrieval, so that whatever it says is a permutation, and nothing said changes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from pydantic import Field

from melink import registry
from melink.config import Config
from melink.errors import ConfigError
from melink.methods.base import Context
from melink.records import Entity, Link, Mention, Scored

NO_CHOICE: Final = "no_choice"
"""The failure of an answer that names nothing that was offered; others are those of :mod:`melink.rerank.answer`."""


class Scope(Config):
    """Which mentions a reranker looks at, and how many of their candidates. Settings of rerankers begin with these.

    Attributes:
        k: Candidates shown, the best of the retrieval.
        margin: Leave a mention alone when its first candidate is ahead of the second by more than this score.
        probability: Leave a mention alone when the probability of its first candidate is at least this.
        fitted_on: What ``margin`` was fitted on: file name and sha256; None when it was not fitted.
    """

    k: int = Field(default=5, ge=1)
    margin: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    probability: float | None = Field(default=None, ge=0, le=1)
    fitted_on: dict[str, str] | None = None

    def passed_over(self, link: Link) -> Literal["alone", "sure"] | None:
        """Return why there is nothing to ask: fewer than two candidates, or the retrieval is sure; else None."""
        shown = link.candidates[: self.k]
        if len(shown) < 2:
            return "alone"
        first, second = shown[:2]
        ahead = self.margin is not None and first.score - second.score > self.margin
        known = first.probability is not None and self.probability is not None
        sure = known and first.probability >= self.probability  # type: ignore[operator]
        return "sure" if ahead or sure else None


@dataclass(frozen=True, slots=True)
class Case:
    """One mention to look at again.

    Attributes:
        mention: With an empty id.
        candidates: The best of the retrieval, best first, at least two.
        entities: What the knowledge base says about each of them.
    """

    mention: Mention
    candidates: tuple[Scored, ...]
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What a reranker says about one case.

    Attributes:
        named: Places in ``Case.candidates`` that come first, best first, each once; none after a failure.
        failure: Why nothing is said, or None.
        answer: What was answered, for a person; untrusted.
        agreement: Share of the orders asked whose answers name the same first one; None when it was asked once.
        evidence: Place in ``Case.candidates`` → further reasons for a person.
        probabilities: Of each of ``Case.candidates``, in their order, adding up to what the retrieval gave to them all;
            empty where the reranker has none of its own, as after a failure.
    """

    named: tuple[int, ...] = ()
    failure: str | None = None
    answer: str = ""
    agreement: float | None = None
    evidence: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    probabilities: tuple[float, ...] = ()

    def order(self, count: int) -> list[int]:
        """Return all places: those that are named, then the others as they were.

        Args:
            count: How many candidates the case has.

        Raises:
            ValueError: A place is named twice, or is no place, or there are more or fewer probabilities than
                candidates: the reranker is wrong, not its input.
        """
        if self.probabilities and len(self.probabilities) != count:
            raise ValueError(f"{len(self.probabilities)} probabilities of {count} candidates")
        if len(set(self.named)) < len(self.named) or not set(self.named) <= set(range(count)):
            raise ValueError(f"named {self.named} of {count} candidates")
        return [*self.named, *(place for place in range(count) if place not in self.named)]


class Reranker(Protocol):
    """Looks again. Every registered reranker has this shape."""

    name: str
    paper: str
    scope: Scope

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> Reranker:
        """Make it from the ``rerank`` settings of a run, but for ``name`` (unknown keys are a ConfigError)."""

    @property
    def label(self) -> str:
        """What evidence and reports call it: name and variant."""

    def settings(self) -> dict[str, Any]:
        """Return what :meth:`build` needs to make it again."""

    def states(self) -> dict[str, Any]:
        """Return everything that its answers depend on, as a protocol states it; never a key or an address."""

    def look(self, cases: Sequence[Case]) -> list[Look]:
        """Return what it says about each case, in order."""

    def usage(self) -> dict[str, Any]:
        """Return what it asked and spent so far, as plain values."""


def load_reranker(plan: Mapping[str, Any], context: Context) -> Reranker:
    """Make the reranker that a run names.

    Args:
        plan: ``name``, and its settings.
        context: Knowledge base, features, encoders.

    Raises:
        ConfigError: No name, or settings that it does not have.
        NotFound: No such reranker.
    """
    settings = dict(plan)
    name = settings.pop("name", None)
    if not name:
        raise ConfigError("rerank has settings but no name", "add --rerank NAME, or rerank.name to the run file")
    made: Reranker = registry.load("reranker", str(name)).build(context, settings)
    return made


def named(option: str) -> dict[str, str]:
    """Return the plan that ``NAME`` or ``NAME:VARIANT`` stands for."""
    name, _, variant = option.partition(":")
    return {"name": name, **({"variant": variant} if variant else {})}
