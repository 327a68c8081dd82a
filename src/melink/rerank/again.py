"""Letting a reranker look again at links: who is asked, the new order, and what is said about it.

Scores and NIL stay those of the retrieval: a language model's choice is no score. So do probabilities, unless the
reranker has its own; the answer's is that of the candidate that is first now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from melink.kb.store import KnowledgeBase
from melink.records import Link, Scored
from melink.rerank.base import Case, Look, Reranker, Scope

KEY = "rerank"
"""Where the evidence of a link says what became of it."""


def look_again(reranker: Reranker, links: Sequence[Link], kb: KnowledgeBase) -> list[Link]:
    """Return links with the first few candidates in the order that a reranker gives them.

    ``evidence["rerank"]`` says of each link ``by`` whom, the ``outcome`` (``answered``; ``alone`` or ``sure`` when
    nobody was asked; else the failure), and whether the first candidate ``changed``. A candidate that moved up says
    ``reranked_by`` and ``retrieved_at``, its place before; where the reranker has probabilities of its own, all that it
    looked at say ``retrieved_probability``, the one before.

    Args:
        reranker: Who is asked, once for all links.
        links: As the retrieval ranked them, with at least ``reranker.scope.k`` candidates where there are so many.
        kb: The knowledge base of the candidates.
    """
    scope = reranker.scope
    reasons = [scope.passed_over(link) for link in links]
    cases = _cases([link for link, reason in zip(links, reasons, strict=True) if reason is None], scope, kb)
    looks = reranker.look(cases) if cases else []
    if len(looks) != len(cases):
        raise ValueError(f"{reranker.label} said {len(looks)} things about {len(cases)} mentions")
    said = iter(looks)
    return [
        _passed(link, reason, reranker.label) if reason else _again(link, next(said), scope, reranker.label)
        for link, reason in zip(links, reasons, strict=True)
    ]


def cut(link: Link, top: int) -> Link:
    """Return a link with its first ``top`` candidates, at least one."""
    return replace(link, candidates=link.candidates[: max(top, 1)])


@dataclass
class Count:
    """What became of links that were looked at again.

    Attributes:
        mentions: All.
        asked: Given to the reranker.
        answered: It named somebody.
        changed: The first candidate is another one.
        passed_over: Not asked, by reason: ``alone`` or ``sure``.
        failures: Asked without an answer that counts, by failure; the order is that of the retrieval.
        agreements: Of each mention that was asked several times.
    """

    mentions: int = 0
    asked: int = 0
    answered: int = 0
    changed: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    agreements: list[float] = field(default_factory=list)

    def add(self, links: Iterable[Link]) -> None:
        """Count some links; those that no reranker saw count nowhere."""
        for found in (link.evidence[KEY] for link in links if KEY in link.evidence):
            outcome = found["outcome"]
            self.mentions += 1
            self.changed += found["changed"]
            if outcome in ("alone", "sure"):
                self.passed_over[outcome] += 1
                continue
            self.asked += 1
            self.answered += outcome == "answered"
            if outcome != "answered":
                self.failures[outcome] += 1
            if "agreement" in found:
                self.agreements.append(found["agreement"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; ``agreement`` is None where nothing was asked twice."""
        mean = sum(self.agreements) / len(self.agreements) if self.agreements else None
        same = sum(each == 1 for each in self.agreements) / len(self.agreements) if self.agreements else None
        return {
            "mentions": self.mentions,
            "asked": self.asked,
            "answered": self.answered,
            "changed": self.changed,
            "unchanged": self.mentions - self.changed,
            "passed_over": dict(self.passed_over),
            "failures": dict(self.failures),
            "agreement": {"mentions": len(self.agreements), "mean": mean, "unanimous": same},
        }

    def __str__(self) -> str:
        said = f"{self.asked:,} of {self.mentions:,} mentions asked about, {self.answered:,} answered"
        said += f", {self.changed:,} with another first candidate"
        left = {**self.passed_over, **self.failures}
        return said + (f"; left as they were: {', '.join(f'{n:,} {why}' for why, n in left.items())}" if left else "")


def _cases(links: Sequence[Link], scope: Scope, kb: KnowledgeBase) -> list[Case]:
    shown = [link.candidates[: scope.k] for link in links]
    ids = list(dict.fromkeys(candidate.id for own in shown for candidate in own))
    view = kb.take(ids)
    entities = {id: view.entity(row) for row, id in enumerate(ids)}
    return [
        Case(replace(link.mention, id=""), own, tuple(entities[candidate.id] for candidate in own))
        for link, own in zip(links, shown, strict=True)
    ]


def _passed(link: Link, reason: str, label: str) -> Link:
    return replace(link, evidence={**link.evidence, KEY: {"by": label, "outcome": reason, "changed": False}})


def _again(link: Link, look: Look, scope: Scope, label: str) -> Link:
    shown, rest = link.candidates[: scope.k], link.candidates[scope.k :]
    order = look.order(len(shown))
    own = () if look.failure else look.probabilities
    shown = _judged(shown, own)
    moved = tuple(
        _moved(shown[place], now, place, label, look.evidence.get(place, {})) for now, place in enumerate(order)
    )
    found: dict[str, Any] = {"by": label, "outcome": look.failure or "answered", "changed": order[0] != 0}
    found["named"] = [shown[place].id for place in look.named]
    if look.agreement is not None:
        found["agreement"] = round(look.agreement, 6)
    if look.answer:
        found["answer"] = look.answer
    first = moved[0].probability
    sure = link.probability if link.nil or first is None or (order[0] == 0 and not own) else first
    return replace(link, candidates=(*moved, *rest), probability=sure, evidence={**link.evidence, KEY: found})


def _judged(shown: tuple[Scored, ...], probabilities: Sequence[float]) -> tuple[Scored, ...]:
    """Return candidates with the reranker's own probabilities, if it has any."""
    if not probabilities:
        return shown
    return tuple(
        replace(each, probability=sure, evidence={**each.evidence, "retrieved_probability": each.probability})
        for each, sure in zip(shown, probabilities, strict=True)
    )


def _moved(scored: Scored, now: int, before: int, label: str, evidence: Any) -> Scored:
    why = {"reranked_by": label, "retrieved_at": before + 1} if now < before else {}
    return replace(scored, evidence={**why, **evidence, **scored.evidence}) if why or evidence else scored
