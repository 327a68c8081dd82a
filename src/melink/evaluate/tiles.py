"""One candidate on a card: picture, name, description, its part scores as bars, and the evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from melink.evaluate.decide import kind_of
from melink.evaluate.markup import isolated, text
from melink.evaluate.thumbnails import Thumbnails
from melink.links import url
from melink.records import Entity, Scored

_HIDDEN: Final = frozenset({"name_similarity", "matched_image", "kept_triples", "retrieved_probability"})
_KEPT: Final = 4
"""Most kept facts on a tile."""
_WORDS: Final = {"matched_name": "matched name", "matched_triples": "matched fact"}


@dataclass(frozen=True, slots=True)
class Scale:
    """One axis for every bar of a card, so that lengths compare; bars begin at zero, negative ones go left.

    Attributes:
        parts: Names of the parts, in the order they first appear.
        low: Most negative value, or 0.
        high: Largest value.
    """

    parts: tuple[str, ...]
    low: float
    high: float

    @classmethod
    def of(cls, candidates: Iterable[Scored]) -> Scale:
        """Return the scale that holds all parts of some candidates."""
        rows = [candidate.parts for candidate in candidates]
        values = [value for parts in rows for value in parts.values()]
        names = dict.fromkeys(name for parts in rows for name in parts)
        return cls(tuple(names), min(0.0, *values, 0.0), max(0.0, *values, 1e-9))

    def bar(self, value: float, kind: str) -> str:
        """Return one bar; widths are attributes, since the page allows no inline style."""
        width = self.high - self.low
        left, length = 100 * (min(value, 0.0) - self.low) / width, 100 * abs(value) / width
        return (
            '<svg class="track" aria-hidden="true">'
            f'<rect class="k-{kind}" x="{left:.2f}%" width="{length:.2f}%" height="100%" rx="2"/></svg>'
        )


def tile(
    scored: Scored,
    entity: Entity | None,
    scale: Scale,
    pictures: Thumbnails,
    place: str,
    mark: str = "",
    *,
    chosen: bool = False,
    decisive: str = "",
) -> str:
    """Return one candidate as a list item.

    Args:
        scored: The candidate.
        entity: What the knowledge base says about it.
        scale: Of the card.
        pictures: Makes thumbnails.
        place: Its rank, in words.
        mark: ``gold`` for the right answer, ``wrong`` for a wrong one that was chosen.
        chosen: It is the answer given.
        decisive: Part to emphasise.
    """
    label = f"{isolated(scored.label, 90)}"
    page = url(scored.id)
    name = f'<a href="{text(page)}" rel="noopener noreferrer">{label}</a>' if page else label
    about = entity.description or ", ".join(entity.types) or entity.attributes if entity else ""
    image = pictures.html(_picture(scored, entity), f"picture of {scored.label}")
    rows = "".join(_row(part, scored, scale, part == decisive) for part in scale.parts)
    return (
        f'<li class="tile {mark}{" chosen" if chosen else ""}"><div class="head">{image}'
        f'<div><p class="label"><span class="place">{text(place)}</span> {name}</p>'
        f'<p class="id">{isolated(scored.id, 40)}{_flag(mark, chosen)}</p>'
        f'<p class="about" dir="auto">{text(about, 110)}</p></div></div><table class="parts">{rows}'
        f'<tr class="total"><th>total</th><td></td><td>{scored.score:.2f}</td></tr></table>'
        f"{_evidence(scored)}{_kept(scored.evidence.get('kept_triples'))}</li>"
    )


def nil_tile(correct: bool | None) -> str:
    """Return the answer "not in the knowledge base" as a list item."""
    mark = {True: "gold", False: "wrong", None: ""}[correct]
    return (
        f'<li class="tile chosen nil {mark}"><div class="head"><div class="blank">∅</div><div><p class="label">NIL</p>'
        '<p class="about">not in the knowledge base</p></div></div></li>'
    )


def _picture(scored: Scored, entity: Entity | None) -> str | None:
    images = entity.images if entity else ()
    matched = scored.evidence.get("matched_image")
    return matched if isinstance(matched, str) and matched in images else next(iter(images), None)


def _flag(mark: str, chosen: bool) -> str:
    if mark == "gold":
        return ' <b class="flag">right answer</b>'
    return ' <b class="flag">answer given</b>' if chosen and mark == "wrong" else ""


def _row(part: str, scored: Scored, scale: Scale, decisive: bool) -> str:
    value = scored.parts.get(part)
    emphasis = ' class="decisive"' if decisive else ""
    words = text(part.replace("_", "→") if kind_of(part) == "cross" else part.replace("_", " "), 24)
    if value is None:
        return f'<tr class="absent"><th>{words}</th><td><svg class="track"></svg></td><td>none</td></tr>'
    return f"<tr{emphasis}><th>{words}</th><td>{scale.bar(value, kind_of(part))}</td><td>{value:.2f}</td></tr>"


def _evidence(scored: Scored) -> str:
    shown, before = [], scored.evidence.get("retrieved_probability")
    if isinstance(before, float | int) and scored.probability is not None:
        shown.append(f"<li>probability: {scored.probability:.2f}, by the retrieval {before:.2f}</li>")
    for name, value in scored.evidence.items():
        if name in _HIDDEN or value in (None, "", [], (), scored.label):
            continue
        words = ", ".join(map(str, value[:2])) if isinstance(value, list | tuple) else str(value)
        shown.append(f"<li>{text(_WORDS.get(name, name.replace('_', ' ')), 30)}: {isolated(words, 110)}</li>")
    return f'<ul class="evidence">{"".join(shown[:3])}</ul>' if shown else ""


def _kept(found: object) -> str:
    """Return the facts that a reranker was shown, those that it cited first, beside those of the mention."""
    facts = [fact for fact in found if isinstance(fact, Mapping)] if isinstance(found, list | tuple) else []
    shown = sorted(facts, key=lambda fact: not fact.get("supports"))[:_KEPT]
    rows = []
    for fact in shown:
        near = fact.get("similarity")
        answers = f"≈ {isolated(fact['answers'], 80)}" if fact.get("answers") else "≈ the sentence" if near else ""
        amount = f"{near:.2f}" if isinstance(near, float | int) else ""
        cited = ' class="supports"' if fact.get("supports") else ""
        rows.append(
            f"<tr{cited}><td>{isolated(fact.get('triple', ''), 80)}<small>{answers}</small></td><td>{amount}</td></tr>"
        )
    more = f"<tr><td>… {len(facts) - _KEPT} more</td><td></td></tr>" if len(facts) > _KEPT else ""
    head = "<caption>facts shown to the reranker</caption>"
    return f'<table class="kept">{head}{"".join(rows)}{more}</table>' if rows else ""
