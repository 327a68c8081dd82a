"""One judged mention: what was linked, what is right, and where gold came."""

from __future__ import annotations

from dataclasses import dataclass

from melink.records import NIL, Link, Mention, Scored


@dataclass(frozen=True, slots=True)
class Outcome:
    """The link of one mention, judged.

    Attributes:
        mention: What the linker saw.
        gold: Entity id, :data:`~melink.records.NIL`, or None when nobody said.
        gold_in_kb: Whether ``gold`` is an entity of the knowledge base.
        rank: Rank of gold, from 1, fractional under ties; None when gold is not among the candidates: a miss.
        n_candidates: How many candidates were ranked.
        link: The answer with its best candidates, for reports.
        gold_scored: Gold with its scores, when it is an entity of the knowledge base.
        seconds: Time spent on this mention; 0 when nobody measured.
        sentence: Id of its sentence, which other mentions may share; None where the data names none.
    """

    mention: Mention
    gold: str | None
    gold_in_kb: bool
    rank: float | None
    n_candidates: int
    link: Link
    gold_scored: Scored | None = None
    seconds: float = 0.0
    sentence: str | None = None

    @property
    def labelled(self) -> bool:
        """Whether somebody said what is right."""
        return self.gold is not None

    @property
    def linkable(self) -> bool:
        """Whether gold is in the knowledge base, so that ranks count this mention."""
        return self.labelled and self.gold_in_kb and self.gold != NIL

    @property
    def is_nil(self) -> bool:
        """Whether the right answer is NIL: gold says so, or gold is an entity that the knowledge base lacks."""
        return self.labelled and not self.linkable

    @property
    def correct(self) -> bool | None:
        """Whether the answer given is right, NIL included; None when nobody said what is right."""
        if not self.labelled:
            return None
        return self.link.id == (NIL if self.is_nil else self.gold)


def judge(link: Link, gold: str | None = None, gold_in_kb: bool = True) -> Outcome:
    """Judge a link by the candidates that it carries.

    The rank counts the listed candidates only, with the mean tie rule, or the place where a reranker had a say; a full
    ranking knows better and makes its own outcome.

    Args:
        link: The answer.
        gold: Entity id, NIL, or None when nobody said.
        gold_in_kb: Whether a gold entity id is in the knowledge base.
    """
    found = next((candidate for candidate in link.candidates if candidate.id == gold), None)
    rank = None
    if found is not None:
        better = sum(other.score > found.score for other in link.candidates)
        equal = sum(other.score == found.score for other in link.candidates) - 1
        rank = 1 + better + equal / 2
        if link.evidence.get("rerank", {}).get("named"):
            rank = 1 + link.candidates.index(found)
    inside = gold is not None and gold != NIL and gold_in_kb
    return Outcome(link.mention, gold, inside, rank, len(link.candidates), link, found)
