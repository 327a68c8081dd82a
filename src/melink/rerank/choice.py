"""Every output that names an entity is a choice among the ids that were offered: nothing else is accepted.

A candidate carries a short local id such as ``k47``. It is drawn after the text of the prompt is known, so that it
occurs nowhere in it: text from a knowledge base or a caption can't name the id of any candidate, its own included.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from melink.records import NIL
from melink.rerank.prompt import invisible
from melink.rerank.reading import read_object, without_thoughts

_LETTERS: Final = "bcdfghjkmnpqrstvwxz"
_TRIES: Final = 50


@dataclass(frozen=True)
class Choices:
    """The ids that one prompt offers.

    Attributes:
        ids: Local id → entity id, in the order in which they are offered.
    """

    ids: Mapping[str, str]

    @classmethod
    def offer(
        cls,
        entities: Sequence[str],
        texts: Iterable[str] = (),
        seed: int = 0,
        nil: bool = False,
        last: Iterable[str] = (),
    ) -> Choices:
        """Draw a local id for each entity.

        Args:
            entities: Entity ids, each once.
            texts: All other text of the prompt; no local id occurs in it, not even spaced, or in other letters.
            seed: The same entities, texts and seed give the same local ids.
            nil: Offer :data:`melink.records.NIL` as well, last.
            last: Text that stands behind the candidates, such as the sentence: no local id occurs in it either, but
                the ids change with it only where one would, so that servers can reuse what stands before.

        Raises:
            ValueError: An entity id occurs twice.
        """
        every = [*entities, NIL] if nil else list(entities)
        if len(set(every)) != len(every):
            raise ValueError("an entity is offered twice")
        written = [_bare(text) for text in texts]
        source = hashlib.sha256(repr((seed, every, written)).encode("utf-8", "replace")).digest()
        draw = random.Random(source)
        written += map(_bare, last)
        taken: dict[str, str] = {}
        for entity in every:
            taken[_fresh(draw, taken, written)] = entity
        return cls(taken)

    def local(self, entity: str) -> str:
        """Return the local id of an entity.

        Raises:
            KeyError: It was not offered.
        """
        return self._local[entity]

    @cached_property
    def _local(self) -> dict[str, str]:
        return {entity: local for local, entity in self.ids.items()}

    def schema_of_one(self) -> dict[str, Any]:
        """Return the JSON schema of an answer that names one of them: ``{"id": "k47"}``."""
        return _object({"id": {"type": "string", "enum": list(self.ids)}})

    def schema_of_all(self) -> dict[str, Any]:
        """Return the JSON schema of an answer that names all of them, best first: ``{"ids": ["k47", "k12"]}``."""
        count = len(self.ids)
        item = {"type": "string", "enum": list(self.ids)}
        return _object({"ids": {"type": "array", "items": item, "minItems": count, "maxItems": count}})

    def one(self, text: str, field: str = "id") -> str | None:
        """Return the entity that an answer names: the first offered id that stands in it as a whole token, or None.

        A JSON object that has ``field`` counts by that field alone, or by its list ``ids``; a list names an entity only
        when it is a list of one: which of several is meant, nobody knows.
        """
        found = read_object(text) or {}
        said = found.get(field, found["ids"] if isinstance(found.get("ids"), list) else text)
        if isinstance(said, list):
            said = said[0] if len(said) == 1 else None
        named = self._named(said) if isinstance(said, str) else []
        return self.ids[named[0]] if named else None

    def ranked(self, text: str, field: str = "ids") -> list[str] | None:
        """Return all entities in the order of an answer, or None when it names none.

        As :meth:`listed`; entities that are not named follow in the order in which they were offered.
        """
        named = self.listed(text, field)
        return list(dict.fromkeys([*named, *self.ids.values()])) if named else None

    def listed(self, text: str, field: str = "ids") -> list[str]:
        """Return the entities that an answer names, in its order; unknown ids and repeats are dropped.

        A JSON object that has ``field`` counts by that field alone: a list, or a text.
        """
        found = read_object(text)
        said = found[field] if found is not None and field in found else text
        pieces = said if isinstance(said, list) else [said]
        named = [local for piece in pieces if isinstance(piece, str) for local in self._named(piece)]
        return [self.ids[local] for local in dict.fromkeys(named)]

    def _named(self, text: str) -> list[str]:
        tokens = re.findall("[0-9A-Za-z_]+", without_thoughts(text))
        return [token.lower() for token in tokens if token.lower() in self.ids]


def _fresh(draw: random.Random, taken: Mapping[str, str], written: Sequence[str]) -> str:
    digits = 2
    while True:
        for _ in range(_TRIES):
            local = draw.choice(_LETTERS) + str(draw.randrange(10 ** (digits - 1), 10**digits))
            if local not in taken and not any(local in text for text in written):
                return local
        digits += 1


def _bare(text: str) -> str:
    """Return letters and digits alone, in one form: no spacing, case or look-alike form hides an id."""
    if text.isascii():
        return re.sub("[^0-9a-z]", "", text.lower())
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(str(_digit(letter)) for letter in folded if letter.isalnum() and not invisible(letter))


def _digit(letter: str) -> str | int:
    value = unicodedata.digit(letter, None)
    return letter if value is None else value


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
