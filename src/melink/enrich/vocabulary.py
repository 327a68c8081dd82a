"""The types and relations that a generator may use, and how other spellings of them are understood.

The defaults are those of KGMEL (20 types as named-entity recognisers know them, 20 relations of Wikidata). A knowledge
base can offer its own most frequent relations instead.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from melink.kb.folding import fold
from melink.rerank.prompt import plain

if TYPE_CHECKING:
    from melink.kb.store import KnowledgeBase

TYPES: Final = (
    "person", "nationality", "religious group", "political group", "organization", "country", "city", "state",
    "building", "airport", "highway", "bridge", "company", "agency", "institution", "product", "event", "work of art",
    "law", "language",
)  # fmt: skip
RELATIONS: Final = (
    "instance of", "subclass of", "part of", "has characteristic", "field of work", "occupation", "sex or gender",
    "country of citizenship", "position held", "religion or worldview", "member of", "owner of", "country", "capital",
    "continent", "located in", "industry", "participant", "genre", "named after",
)  # fmt: skip
INSTANCE: Final = "instance of"
"""Relation of a mention to its type."""

_SYNONYMS: Final = {
    "instance of": ("is a", "is an", "type", "is instance of"),
    "subclass of": ("is subclass of", "kind of"),
    "part of": ("is part of",),
    "has characteristic": ("characteristic", "characteristics"),
    "occupation": ("profession", "job", "has occupation", "works as", "occupations"),
    "sex or gender": ("gender", "sex"),
    "sex": ("gender", "sex or gender"),
    "country of citizenship": ("citizenship", "nationality", "citizen of"),
    "position held": ("position", "office", "office held", "holds position", "held position"),
    "religion or worldview": ("religion", "faith"),
    "religion": ("religion or worldview", "faith"),
    "member of": ("is member of", "membership"),
    "owner of": ("owns",),
    "capital": ("has capital", "capital city"),
    "located in": ("location", "is located in", "located at", "located in the administrative territorial entity"),
    "participant": ("participants", "has participant"),
    "named after": ("is named after",),
    "place of birth": ("birth place", "birthplace", "born in"),
    "birth place": ("place of birth", "birthplace", "born in"),
    "person": ("human", "people", "individual", "man", "woman"),
    "organization": ("organisation",),
    "city": ("town",),
    "work of art": ("artwork", "film", "book", "song", "creative work"),
}
_CODE: Final = re.compile(r"\(?\bP\d+\b\)?")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PARTS: Final = re.compile(r"[(),;:/|\[\]]|\s[-–—]\s")
_PREPOSITIONS: Final = frozenset(
    [
        "of",
        "in",
        "at",
        "on",
        "from",
        "by",
        "for",
        "with",
        "to",
        "near",
        "that",
        "who",
        "which",
        "whose",
        "where",
        "based",
    ]
)
_LONGEST: Final = 60
"""Most characters of a relation's name."""


@dataclass(frozen=True)
class Vocabulary:
    """What a generator may say.

    Attributes:
        types: Kinds of things, most specific spelling as it is written out.
        relations: Relations, as they are written out.
    """

    types: tuple[str, ...] = TYPES
    relations: tuple[str, ...] = RELATIONS

    def relation(self, said: str) -> str | None:
        """Return the offered relation that is meant, whatever its case and signs, or None.

        >>> Vocabulary().relation("Instance_Of (P31)")
        'instance of'
        """
        key = fold(_CAMEL.sub(" ", _CODE.sub(" ", said[:200])))
        return self._relations.get(key)

    def type(self, said: str) -> str | None:
        """Return the offered type that is meant, or None.

        A part that is a type counts before a part whose head is one: what stands in brackets, behind a comma and so on
        is a part of its own.

        >>> Vocabulary().type("law professor (person)"), Vocabulary().type("a capital city of the state")
        ('person', 'city')
        """
        parts = [fold(part) for part in (said[:200], *_PARTS.split(said[:200]))]
        whole = (self._types.get(part) for part in parts)
        heads = (self._head(part) for part in parts)
        return next((found for found in (*whole, *heads) if found is not None), None)

    def _head(self, words: str) -> str | None:
        """Return the type that is the head of a few words: the last of them that stands before any preposition."""
        ends = []
        for key, name in self._types.items():
            before, found, after = f" {words} ".partition(f" {key} ")
            if found and not _PREPOSITIONS & set(before.split()) and (after.split() or ["of"])[0] in _PREPOSITIONS:
                ends.append((len(key), name))
        return max(ends, default=(0, None))[1]

    @cached_property
    def _relations(self) -> dict[str, str]:
        return _spellings(self.relations)

    @cached_property
    def _types(self) -> dict[str, str]:
        return _spellings(self.types)


def _spellings(names: Iterable[str]) -> dict[str, str]:
    own = {fold(name): name for name in names}
    other = {fold(synonym): own[key] for key in own for synonym in _SYNONYMS.get(key, ())}
    return other | own


def kb_relations(kb: KnowledgeBase, most: int) -> tuple[str, ...]:
    """Return the names of the most frequent relations of a knowledge base, most frequent first.

    A relation id and a literal relation of the same name count together; ids without a name are left out. The names
    become part of the instruction, so each is one short harmless line.
    """
    counts: Counter[str] = Counter()
    for triple, rows in kb.view().distinct_facts():
        if name := plain(triple.relation_label or (triple.relation if triple.literal else ""), _LONGEST):
            counts[name] += rows
    return tuple(sorted(counts, key=lambda name: (-counts[name], name))[:most])
