"""How often the check of descriptions is right: real descriptions of persons, and the same with one fact corrupted.

    python benchmarks/contradictions.py KB [--places KB2] [--seed 0]

The descriptions come from Wikidata, the facts they are held against from the property strings of the benchmarks: two
sources that were written apart. "Born in" sentences are made from the facts themselves, and corrupted with the place of
somebody else, who may come from the same country.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from melink.enrich.claims import claims
from melink.enrich.contradictions import Checker
from melink.enrich.wording import NATIONS
from melink.kb.attributes import attribute_triples
from melink.kb.store import KnowledgeBase
from melink.records import Entity

KINDS = ("birth year", "death year", "nationality", "occupation", "birth place")


@dataclass(frozen=True)
class Sample:
    """A text about an entity, and what was corrupted in it; ``made`` from the facts themselves."""

    entity: Entity
    text: str
    kind: str = ""
    made: bool = False


def main() -> None:
    """Print a table on standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kb")
    parser.add_argument("--places")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kb = KnowledgeBase.open(options.kb)
    checker = Checker.of(kb, *([KnowledgeBase.open(options.places)] if options.places else []))
    view = kb.view()
    rows = [
        row
        for row, (own, facts) in enumerate(zip(view.column("description"), view.column("attributes"), strict=True))
        if own and facts
    ]
    draw = random.Random(options.seed)
    entities = [view.entity(row) for row in rows]
    true = [sample for entity in entities for sample in _true(entity)]
    wrong = [sample for entity in entities for sample in _corrupted(entity, entities, draw)]
    alarms, said = Counter[str](), Counter[str]()
    for sample in true:
        alarms.update(each.kind for each in checker.check(sample.text, sample.entity))
        said.update(claim.kind for claim in claims(sample.text, sample.entity.names))
    described = [sample for sample in true if not sample.made]
    flagged = [sample for sample in described if checker.check(sample.text, sample.entity)]
    told = [f"{sample.text} AGAINST {sample.entity.attributes[:160]}" for sample in flagged]
    print(json.dumps({"descriptions": len(described), "flagged": len(flagged), "they are": told}, indent=1))
    for kind in KINDS:
        own = [sample for sample in wrong if sample.kind == kind]
        seen = sum(kind in {each.kind for each in checker.check(sample.text, sample.entity)} for sample in own)
        row = {"kind": kind, "true": said[kind], "alarms": alarms[kind], "corrupted": len(own), "found": seen}
        right, wrongly = seen / max(len(own), 1), alarms[kind] / max(said[kind], 1)
        for part in (0.05, 0.5):
            found = part * right
            row[f"precision, {part:.0%} corrupted"] = round(found / max(found + (1 - part) * wrongly, 1e-9), 3)
        print(json.dumps(row | {"recall": round(right, 3)}))


def _true(entity: Entity) -> Iterator[Sample]:
    yield Sample(entity, _sentence(entity, entity.description))
    if places := _facts(entity, "birth place"):
        yield Sample(entity, f"{entity.label} was born in {places[0]}.", made=True)


def _sentence(entity: Entity, description: str) -> str:
    article = (
        ""
        if re.match(r"(?:an?|the) ", description, re.IGNORECASE)
        else "an "
        if description[0].lower() in "aeiou"
        else "a "
    )
    return f"{entity.label} {'was' if _facts(entity, 'death date') else 'is'} {article}{description}."


def _facts(entity: Entity, relation: str) -> list[str]:
    return [triple.tail for triple in attribute_triples(entity.attributes) if triple.relation == relation]


def _corrupted(entity: Entity, entities: list[Entity], draw: random.Random) -> Iterator[Sample]:
    """Yield the text with one fact replaced by another that is wrong for this entity."""
    text = _sentence(entity, entity.description)
    for claim in claims(text, entity.names):
        other = draw.choice(entities)
        if claim.kind in ("birth year", "death year") and _facts(entity, claim.kind.replace("year", "date")):
            moved = int(claim.values[0]) + draw.choice((-1, 1)) * draw.randint(2, 60)
            yield Sample(entity, text.replace(claim.values[0].lstrip("-"), str(abs(moved))), claim.kind)
        elif claim.kind == "nationality" and any("citizenship" in t.relation_label for t in entity.triples):
            words = [word for word, country in NATIONS.items() if country == claim.values[0]]
            chosen = draw.choice([word for word, country in NATIONS.items() if country not in claim.values])
            changed = re.sub("|".join(rf"\b{word}\b" for word in words), chosen.title(), text, flags=re.IGNORECASE)
            yield Sample(entity, changed, claim.kind)
        elif claim.kind == "occupation" and _facts(entity, "occupation"):
            job = (_facts(other, "occupation") or ["plumber"])[0]
            if job not in _facts(entity, "occupation"):
                yield Sample(entity, f"{entity.label} is a {job}.", claim.kind)
    places, others = _facts(entity, "birth place"), _facts(draw.choice(entities), "birth place")
    if places and others and others[0] not in places:
        yield Sample(entity, f"{entity.label} was born in {others[0]}.", "birth place")


if __name__ == "__main__":
    main()
