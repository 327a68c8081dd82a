"""Builds the bundled knowledge base, links the bundled mentions, and makes the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from melink.datasets.mentions import read_mentions
from melink.errors import MelinkError, Problems
from melink.evaluate.cards import card, page
from melink.evaluate.outcome import Outcome, judge
from melink.evaluate.thumbnails import Thumbnails
from melink.kb.build import build
from melink.kb.store import KnowledgeBase
from melink.linker import Linker, assemble
from melink.records import Entity, Labelled
from melink.runs import Run

INTRO: Final = (
    "A caption names something and comes with a picture. Which entry of the knowledge base is meant? Many entries "
    "share a name: Georgia is a country and a US state, Mercury a planet, a metal and a god. melink weighs four kinds "
    "of evidence: how alike the names are, how well the text fits the entry's description, how alike the pictures are, "
    "and whether the text states a fact that the knowledge base knows.\n\n"
    "Each card is one mention. On the left what was read, on the right the best candidates with the evidence for each "
    "as bars; the sentence above them says what decided. Some mentions mean nothing in the knowledge base (NIL). The "
    "few that go wrong are left in: they show where each kind of evidence ends."
)


@dataclass(frozen=True)
class Demo:
    """What the demo linked.

    Attributes:
        linker: The linker over the bundled knowledge base.
        samples: The bundled mentions with gold.
        outcomes: The judged links, in the same order.
    """

    linker: Linker
    samples: Sequence[Labelled]
    outcomes: Sequence[Outcome]

    def score(self) -> dict[str, tuple[int, int]]:
        """Return right answers and mentions, by what should decide them."""
        right: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        for sample, outcome in zip(self.samples, self.outcomes, strict=True):
            kind = str(sample.extra.get("decided_by", "other"))
            seen[kind] += 1
            right[kind] += bool(outcome.correct)
        return {kind: (right[kind], seen[kind]) for kind in seen}

    def html(self) -> str:
        """Return the page."""
        kb, thumbnails = self.linker.kb, Thumbnails()
        cards = [
            card(
                outcome,
                lambda id: lookup(kb, id),
                expected=str(sample.extra.get("decided_by", "")),
                note=str(sample.extra.get("note", "")),
                thumbnails=thumbnails,
            )
            for sample, outcome in zip(self.samples, self.outcomes, strict=True)
        ]
        score = self.score()
        total = f"{sum(r for r, _ in score.values())} of {sum(n for _, n in score.values())} right"
        summary = {"all": total, **{kind: f"{right} of {n}" for kind, (right, n) in score.items()}}
        return page("What does this name mean here?", INTRO, cards, summary)


def run(folder: Path) -> Demo:
    """Build the bundled knowledge base into ``folder/kb`` and link the bundled mentions.

    Raises:
        MelinkError: The bundled data could not be used; the installation is damaged.
    """
    problems = Problems()
    with as_file(files("melink.demo") / "data") as data:
        built = build(
            folder / "kb",
            entities=data / "entities.jsonl",
            triples=data / "triples.tsv",
            relations=data / "relations.tsv",
            problems=problems,
        )
        samples = list(read_mentions(data / "mentions.jsonl", problems=problems))
        if problems.total:
            raise MelinkError(f"the bundled data is damaged: {problems.summary(3)}", "install melink again")
        linker = assemble(Run(), built.kb)
        links = linker.link([sample.mention for sample in samples])
    view = built.kb.view()
    outcomes = [
        judge(link, sample.gold, sample.gold is not None and view.row(sample.gold) is not None)
        for sample, link in zip(samples, links, strict=True)
    ]
    return Demo(linker, samples, outcomes)


def lookup(kb: KnowledgeBase, id: str) -> Entity | None:
    """Return an entity of a knowledge base, or None when it has no such id."""
    row = kb.view().row(id)
    return None if row is None else kb.view().entity(row)
