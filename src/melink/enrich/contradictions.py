"""Does a description contradict what the knowledge base knows of the entity?

Years of birth and death, places of birth and death, nationality and occupation are read off the text
(:mod:`melink.enrich.claims`) and held against the entity's facts. What the knowledge base does not know is never a
contradiction, and neither is what is near: a year by one, a place in the same country, an occupation of the same family
(:mod:`melink.enrich.families`). A flag is a reason to look, not a proof: docs/descriptions.md says how often it is
right.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from melink.enrich.claims import Claim, Kind, claims, year
from melink.enrich.families import LANDS, areas, trades
from melink.kb.attributes import attribute_triples
from melink.kb.folding import fold, tokens
from melink.kb.store import KnowledgeBase
from melink.kb.view import EntityView
from melink.records import Entity, Triple

_NEAR: Final = 1
_NEAR_VAGUE: Final = 10
_RELATIONS: Final[dict[Kind, frozenset[str]]] = {
    "birth year": frozenset(("birth date", "date of birth", "p569", "born")),
    "death year": frozenset(("death date", "date of death", "p570", "died")),
    "birth place": frozenset(("birth place", "place of birth", "p19")),
    "death place": frozenset(("death place", "place of death", "p20")),
    "nationality": frozenset(("country of citizenship", "citizenship", "nationality", "p27")),
    "occupation": frozenset(("occupation", "profession", "position held", "p106", "p39")),
}
_PLACES: Final[tuple[Kind, ...]] = ("birth place", "death place")
_COUNTRY: Final = frozenset(("country", "p17"))
_ROUND: Final = re.compile(r"-?0\d00.*")
"""How a century is written where a year is wanted."""
_SMALL: Final = frozenset(
    ("the", "of", "de", "la", "le", "city", "new", "saint", "st", "san", "los", "north", "south", "west", "east")
)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A claim that no known fact agrees with.

    Attributes:
        kind: What about.
        said: What the text says.
        known: What the knowledge base says.
        sentence: Where the text says it.
    """

    kind: Kind
    said: str
    known: tuple[str, ...]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"kind": self.kind, "said": self.said, "known": list(self.known), "sentence": self.sentence}


class Checker:
    """Holds texts against facts.

    Args:
        countries: Folded name of a place → names of the countries that it lies in.
    """

    def __init__(self, countries: Mapping[str, frozenset[str]] | None = None) -> None:
        self._countries = dict(countries or {})

    @classmethod
    def of(cls, *kbs: KnowledgeBase) -> Checker:
        """Make one that knows which places of some knowledge bases lie in which country."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for kb in kbs:
            _places(kb.view(), found)
        return cls({name: frozenset(countries) for name, countries in found.items()})

    def check(self, text: str, entity: Entity) -> list[Contradiction]:
        """Return what a text says against the facts of an entity."""
        known = _known((*entity.triples, *attribute_triples(entity.attributes)))
        found = []
        for claim in claims(text, entity.names):
            facts = known.get(claim.kind, ())
            if facts and self._against(claim, facts, known):
                found.append(Contradiction(claim.kind, ", ".join(claim.values), tuple(facts), claim.sentence))
        return found

    def checkable(self, text: str, entity: Entity) -> bool:
        """Return whether a text says something about which a fact of the entity is known."""
        known = _known((*entity.triples, *attribute_triples(entity.attributes)))
        return any(claim.kind in known for claim in claims(text, entity.names))

    def undecided(self, text: str, entity: Entity) -> set[Kind]:
        """Return of what a text claims something that is neither right nor wrong: places in countries nobody knows."""
        known = _known((*entity.triples, *attribute_triples(entity.attributes)))
        places = (claim for claim in claims(text, entity.names) if claim.kind in _PLACES and claim.kind in known)
        return {claim.kind for claim in places if self._other_place(claim.values, known[claim.kind]) is None}

    def _against(self, claim: Claim, facts: Sequence[str], known: Mapping[Kind, Sequence[str]]) -> bool:
        if claim.kind in ("birth year", "death year"):
            return all(_other_year(int(value), claim.vague, facts) for value in claim.values)
        if claim.kind == "occupation":
            said, own = _all(map(trades, claim.values)), [trades(fact) for fact in facts]
            return bool(said) and all(own) and not said & _all(own)
        if claim.kind == "nationality":
            homes = _all(self._of(place) for place in known.get("birth place", ()))
            ours = _all(map(areas, (*facts, *homes)))
            return not _all(map(areas, claim.values)) & ours
        return bool(self._other_place(claim.values, facts))

    def _other_place(self, said: Sequence[str], facts: Sequence[str]) -> bool | None:
        """Return whether a place lies in another country than every known one; same words are the same place.

        None when the country of one of them is not known.
        """
        ours, theirs = (set(tokens(" ".join(names))) - _SMALL for names in (said, facts))
        if ours & theirs:
            return False
        mine = _all(map(areas, _all(map(self._of, said))))
        other = [_all(map(areas, self._of(fact))) for fact in facts]
        return not mine & _all(other) if mine and all(other) else None

    def _of(self, place: str) -> frozenset[str]:
        """Return the countries of a place, by its whole name, else by the last part of it that has one."""
        for part in (place, *reversed(place.split(","))):
            key = fold(part.strip())
            if key in self._countries:
                return self._countries[key]
            if key in LANDS:
                return frozenset((LANDS[key],))
        return frozenset()


def _other_year(said: int, vague: bool, facts: Sequence[str]) -> bool:
    years = [(-found[0] if fact.startswith("-") else found[0]) for fact in facts if (found := year(fact.lstrip("-")))]
    near = _NEAR_VAGUE if vague else _NEAR
    if len(years) < len(facts) or any("century" in fact or _ROUND.fullmatch(fact) for fact in facts):
        return False
    return all(abs(known - said) > near for known in years)


def _known(triples: Iterable[Triple]) -> dict[Kind, list[str]]:
    """Return what is known, by kind; a tail that has only an id says nothing."""
    found: dict[Kind, list[str]] = {}
    for triple in triples:
        names = {triple.relation.casefold(), triple.relation_label.casefold()}
        words = triple.tail if triple.literal else triple.tail_label
        kind = next((kind for kind, relations in _RELATIONS.items() if names & relations), None)
        if kind is not None and words and words not in found.get(kind, ()):
            found.setdefault(kind, []).append(words)
    return found


def _places(view: EntityView, found: defaultdict[str, set[str]]) -> None:
    for row, counted in enumerate(view.fact_counts):
        if not counted:
            continue
        for triple in view.triples(row):
            if {triple.relation.casefold(), triple.relation_label.casefold()} & _COUNTRY and triple.tail_label:
                found[fold(view.labels[row])].add(triple.tail_label)
                found[fold(triple.tail_label)].add(triple.tail_label)


def _all(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)
