"""Facts that others have about an entity, turned round, so that it holds them itself.

(Titanic, cast member, Ann) becomes (Ann, ^P161, Titanic), "cast member of: Titanic": many knowledge bases say what a
person did only where they describe the film, the race or the country. ``^`` is SPARQL's sign for an inverse path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from melink.kb.items import Relation

SIGN: Final = "^"
MOST: Final = 200
"""Facts of one relation that an entity may be the tail of: what is said of more tells nobody apart, and is left out."""
_PREPOSITIONS: Final = "about after against as at by for from in of on to with"
_ENDINGS: Final = frozenset(_PREPOSITIONS.split())

Facts = Mapping[str, Sequence[tuple[str, str]]]
"""Relation and tail of each fact, by head."""


def turned(facts: Facts) -> dict[str, list[tuple[str, str]]]:
    """Return relation and tail of each inverse fact, by what is its head then.

    An entity's facts about itself, and those that its own say already (each is the other's spouse), are left out.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for head, own in facts.items():
        for relation, tail in own:
            if tail != head:
                found.setdefault(tail, {}).setdefault(relation, []).append(head)
    return {
        tail: [
            (SIGN + relation, head)
            for relation, heads in by_relation.items()
            if len(heads) <= MOST
            for head in heads
            if (relation, head) not in facts.get(tail, ())
        ]
        for tail, by_relation in found.items()
    }


def named(relation: Relation) -> Relation:
    """Return the inverse of a relation: "cast member" becomes "cast member of"."""
    ending = relation.label.casefold().rsplit(maxsplit=1)[-1]
    label = f"{relation.label} (inverse)" if ending in _ENDINGS else f"{relation.label} of"
    return Relation(SIGN + relation.id, label, relation.description)
