"""Mention cards: a name in its text with its picture, the best candidates beside it, and what decided.

The demo page, ``melink link --html`` and the evaluation report are made of these. All text is escaped, pictures are
embedded, and the page asks nobody for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from melink.evaluate.decide import Decision, decide
from melink.evaluate.markup import document, isolated, sentence, text
from melink.evaluate.outcome import Outcome, judge
from melink.evaluate.thumbnails import Thumbnails
from melink.evaluate.tiles import Scale, nil_tile, tile
from melink.records import Entity, Link, Scored

Lookup = Callable[[str], Entity | None]
"""Entity id → entity, or None when the knowledge base has no such id."""

FILTERS: Final = {
    "all": "all",
    "wrong": "wrong",
    "image": "decided by image",
    "triple": "by fact",
    "text": "by text",
    "name": "by name",
    "nil": "NIL",
}
LEGEND: Final = {
    "name": "name",
    "text": "text",
    "image": "image",
    "triple": "facts",
    "cross": "text with image",
}
_REASONS: Final = {
    "image": "the picture looks more like {first} than {rival}",
    "text": "the sentence fits {first} better than {rival}",
    "name": "the name is closer to {first} than to {rival}",
    "triple": "the sentence agrees with a fact about {first}",
    "cross": "text and picture together fit {first} better than {rival}",
    "other": "it speaks for {first} rather than {rival}",
}
_NOUNS: Final = {"image": "image", "text": "text", "name": "name", "triple": "facts", "cross": "text with image"}


def card(
    answer: Outcome | Link,
    lookup: Lookup,
    *,
    gold: str | None = None,
    top: int = 4,
    expected: str = "",
    note: str = "",
    thumbnails: Thumbnails | None = None,
) -> str:
    """Return one card.

    Args:
        answer: A link, or a judged one.
        lookup: Gives the entity of an id, for descriptions and pictures.
        gold: The right answer of a bare link: entity id, NIL, or None when nobody said.
        top: How many candidates to show.
        expected: What should decide this mention, when its author said so.
        note: The author's remark.
        thumbnails: Shared between cards, so that each picture is made once.
    """
    outcome = answer if isinstance(answer, Outcome) else judge(answer, gold)
    pictures, decision = thumbnails or Thumbnails(), decide(outcome.link)
    own = pictures.html(outcome.mention.image, f"picture of the mention {outcome.mention.surface}")
    return (
        f'<article class="card" data-tags="{" ".join(_tags(outcome, decision))}">'
        f'<div class="mention">{own}'
        f'<div class="said"><p class="sentence" dir="auto">{sentence(outcome.mention)}</p>'
        f"{_chips(expected, note)}</div></div>"
        f'<div class="answer">{_verdict(outcome, decision)}'
        f'<ol class="candidates">{"".join(_tiles(outcome, lookup, top, decision, pictures))}</ol></div></article>'
    )


def page(title: str, intro: str, cards: Iterable[str], summary: Mapping[str, object]) -> str:
    """Return a self-contained page of cards with filter buttons.

    Args:
        title: Plain text.
        intro: Plain text; an empty line begins a new paragraph.
        cards: What :func:`card` returns.
        summary: Name → figure, shown on top.
    """
    paragraphs = "".join(f"<p>{text(part, 2000)}</p>" for part in intro.split("\n\n") if part.strip())
    buttons = "".join(
        f'<button type="button" data-filter="{key}" aria-pressed="{str(key == "all").lower()}">{words} <b></b></button>'
        for key, words in FILTERS.items()
    )
    body = (
        f"<header><h1>{text(title)}</h1>{paragraphs}{figures(summary)}</header>"
        f'<nav class="bar"><div class="filters" hidden>{buttons}</div>{legend()}</nav>'
        f"<main>{''.join(cards)}</main>"
    )
    return document(title, body, scripts=("filter.js",))


def figures(summary: Mapping[str, object]) -> str:
    """Return figures as a row of name and value."""
    cells = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in summary.items())
    return f'<dl class="figures">{cells}</dl>' if cells else ""


def legend() -> str:
    """Return what the colours of the part bars mean."""
    keys = "".join(f'<li><i class="key k-{kind}"></i>{words}</li>' for kind, words in LEGEND.items())
    return f'<ul class="legend">{keys}</ul>'


def _tags(outcome: Outcome, decision: Decision) -> list[str]:
    verdict = {True: ["right"], False: ["wrong"], None: []}[outcome.correct]
    nil = ["nil"] if outcome.is_nil or outcome.link.nil else []
    kind = "image" if decision.kind == "cross" else decision.kind
    return [*verdict, *nil, *([kind] if kind in FILTERS and kind != "nil" else [])]


def _chips(expected: str, note: str) -> str:
    chips = [f"should be decided by: {text(expected)}"] if expected else []
    chips += [text(note)] if note else []
    return f'<p class="chips">{"".join(f"<span>{chip}</span>" for chip in chips)}</p>' if chips else ""


def _verdict(outcome: Outcome, decision: Decision) -> str:
    badge = {True: '<b class="badge right">✓ right</b>', False: '<b class="badge wrong">✗ wrong</b>', None: ""}
    return f'<p class="verdict">{badge[outcome.correct]}{_sentence(outcome.link, decision)}{_truth(outcome)}</p>'


def _sentence(link: Link, decision: Decision) -> str:
    if decision.kind == "nil":
        sure = link.evidence.get("nil_probability", link.probability)
        odds = "" if sure is None else f" (probability {float(sure):.2f})"
        best = f" The best is {isolated(link.candidates[0].label, 80)}." if link.candidates else ""
        return f"<strong>NIL</strong> — nothing in the knowledge base fits well enough{odds}.{best}"
    if decision.kind in ("none", "only", "tie"):
        words = {
            "none": "no candidate was found",
            "only": "it is the only candidate",
            "tie": "a tie: nothing tells the first two apart",
        }
        return f"<strong>Undecided</strong> — {words[decision.kind]}."
    return _because(link, decision)


def _because(link: Link, decision: Decision) -> str:
    first, rival = link.candidates[0], decision.rival
    if decision.kind == "rerank":
        who = text(first.evidence["reranked_by"], 40)
        chosen, favoured = _called(first, rival), _called(rival, first)
        return f"<strong>Decided by: {who}</strong> — it chose {chosen}; the scores favour {favoured}."
    given, other = first.parts.get(decision.part), rival.parts.get(decision.part) if rival else None
    reason = _REASONS[decision.kind].format(first=_called(first, rival), rival=_called(rival, first))
    fact = first.evidence.get("matched_triples") if decision.kind == "triple" else None
    quoted = f": “{isolated(fact[0], 120)}”" if isinstance(fact, list | tuple) and fact else ""
    amounts = f", {_amount(given)} vs {_amount(other)}" if given is not None or other is not None else ""
    switch = f" Without it, the answer would be {_called(decision.without, first)}." if decision.without else ""
    noun = _NOUNS.get(decision.kind) or text(decision.part)
    return f"<strong>Decided by: {noun}</strong> — {reason}{quoted}{amounts}.{switch}"


def _called(candidate: Scored | None, other: Scored | None) -> str:
    """Return what to call a candidate beside another: its label, with its id when both have the same label."""
    if candidate is None:
        return ""
    same = other is not None and other.label == candidate.label
    return isolated(candidate.label, 80) + (f" ({text(candidate.id, 40)})" if same else "")


def _amount(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.2f}"


def _truth(outcome: Outcome) -> str:
    if outcome.correct is not False:
        return ""
    if outcome.is_nil:
        return ' <span class="truth">Right would be NIL: it is not in the knowledge base.</span>'
    if outcome.rank is None:
        return ' <span class="truth">The right answer was not among the candidates.</span>'
    return f' <span class="truth">The right answer is at rank {outcome.rank:g}.</span>'


def _tiles(outcome: Outcome, lookup: Lookup, top: int, decision: Decision, pictures: Thumbnails) -> Iterable[str]:
    shown = list(outcome.link.candidates[:top])
    gold = outcome.gold_scored
    extra = gold if gold is not None and outcome.linkable and all(gold.id != each.id for each in shown) else None
    scale = Scale.of([*shown, *([extra] if extra else [])])
    if outcome.link.nil:
        yield nil_tile(outcome.correct)
    for place, scored in enumerate(shown, start=1):
        first = place == 1 and not outcome.link.nil
        mark = "gold" if scored.id == outcome.gold else "wrong" if first and outcome.correct is False else ""
        decisive = decision.part if first else ""
        yield tile(scored, lookup(scored.id), scale, pictures, str(place), mark, chosen=first, decisive=decisive)
    if extra is not None:
        place_words = "missed" if outcome.rank is None else f"{outcome.rank:g}"
        yield tile(extra, lookup(extra.id), scale, pictures, place_words, "gold")
