"""Entities from JSON lines.

Fields: ``id`` (or ``qid``, ``entity_id``), ``label`` (or ``name``), ``aliases``, ``description``, ``attributes``,
``extract``, ``types`` (or ``entity_type``), ``images`` and ``image`` (paths relative to the file), ``triples`` (pairs
``[relation, tail id]`` or objects with ``relation``, ``tail`` and perhaps ``literal``). An ``image`` that is no file
is taken as the name of a Commons file and kept as ``extra["commons_image"]``. Every other field goes to ``extra``.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from melink.kb.attributes import attribute_triples
from melink.kb.items import Unusable
from melink.records import Entity, Triple

_IDS: Final = ("id", "qid", "entity_id")
_LABELS: Final = ("label", "name")
_KNOWN: Final = {
    *_IDS, *_LABELS, "aliases", "description", "attributes", "extract", "types", "entity_type", "images", "image",
    "triples", "extra",
}  # fmt: skip
MAX_NAME: Final = 1_000
MAX_TEXT: Final = 200_000
MAX_ITEMS: Final = 20_000
MAX_EXTRA: Final = 1_000_000
"""Longest id, label, alias or type; longest other text (in characters); longest list; most bytes of other fields."""


@dataclass(frozen=True)
class JsonRows:
    """Reads one entity per line.

    Args:
        folder: Where relative picture paths start.
    """

    folder: Path

    def __call__(self, raw: bytes) -> Entity | None:
        """Return the entity of a line, or None for an empty one.

        Raises:
            Unusable: Not a JSON object, no id, no label, a wrong type, or a value out of bounds.
        """
        if not raw.strip():
            return None
        try:
            row = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise Unusable(f"not JSON: {error}", "not JSON") from error
        if not isinstance(row, dict):
            raise Unusable(f"expected an object, found {type(row).__name__}", "not an object")
        return self.entity(row)

    def entity(self, row: dict[str, Any]) -> Entity:
        """Return the entity that an object describes."""
        id = _identifier(row)
        try:
            return self._checked(id, row)
        except Unusable as problem:
            raise Unusable(str(problem), problem.kind, id) from problem

    def _checked(self, id: str, row: dict[str, Any]) -> Entity:
        label = next((text for name in _LABELS if (text := _text(row, name, MAX_NAME))), "")
        if not label:
            raise Unusable("no label", "no label")
        attributes = _text(row, "attributes")
        extra = dict(row["extra"]) if isinstance(row.get("extra"), dict) else {}
        extra |= {name: value for name, value in row.items() if name not in _KNOWN and value is not None}
        _check_extra(extra)
        images = [str(self.folder / path) for path in _texts(row, "images")]
        for name in _texts(row, "image"):
            if os.path.isfile(path := str(self.folder / name)):  # noqa: PTH113 - unlike Path, never raises on odd names
                images.append(path)
            else:
                extra["commons_image"] = name
        return Entity(
            id=id,
            label=label,
            aliases=tuple(dict.fromkeys(alias for alias in _texts(row, "aliases") if alias != label)),
            description=_text(row, "description"),
            attributes=attributes,
            extract=_text(row, "extract"),
            types=_texts(row, "types") or _texts(row, "entity_type"),
            triples=tuple(dict.fromkeys((*_triples(row), *attribute_triples(attributes)))),
            images=tuple(dict.fromkeys(images)),
            extra=extra,
        )


def _identifier(row: dict[str, Any]) -> str:
    id = next((row[name] for name in _IDS if row.get(name) not in (None, "")), None)
    if id is None:
        raise Unusable("no id", "no id")
    if isinstance(id, int) and not isinstance(id, bool):
        id = str(id)
    if not isinstance(id, str):
        raise Unusable(f"id is {type(id).__name__}, not text", "wrong type")
    if problem := bad_id(id):
        raise Unusable(problem, "bad id")
    return id


def bad_id(id: str) -> str:
    """Return what is wrong with an id, or an empty string."""
    if not 0 < len(id) <= MAX_NAME:
        return f"id is empty or longer than {MAX_NAME} characters"
    if id != id.strip() or any(unicodedata.category(c) in ("Cc", "Cs") for c in id):
        return "id has a control character, a lone surrogate, or a space at an end"
    return ""


def _check_extra(extra: dict[str, Any]) -> None:
    try:
        size = len(orjson.dumps(extra))
    except TypeError as error:
        raise Unusable(f"other fields cannot be kept: {error}", "bad field") from error
    if size > MAX_EXTRA:
        raise Unusable(f"other fields have {size:,} bytes, more than {MAX_EXTRA:,}", "too long")


def _text(row: dict[str, Any], name: str, longest: int = MAX_TEXT) -> str:
    value = row.get(name)
    return "" if value is None else checked_text(value, name, longest).strip()


def checked_text(value: Any, name: str, longest: int) -> str:
    """Return a text after checks of type, length and characters."""
    if not isinstance(value, str):
        raise Unusable(f"{name} is {type(value).__name__}, not text", "wrong type")
    if len(value) > longest:
        raise Unusable(f"{name} has {len(value):,} characters, more than {longest:,}", "too long")
    if "\0" in value:
        raise Unusable(f"{name} holds a NUL character", "NUL character")
    return value


def _texts(row: dict[str, Any], name: str) -> tuple[str, ...]:
    value = row.get(name)
    values = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(values, list) or len(values) > MAX_ITEMS:
        raise Unusable(f"{name} is not a list of at most {MAX_ITEMS:,} texts", "wrong type")
    return tuple(text for item in values if (text := checked_text(item, name, MAX_NAME).strip()))


def _triples(row: dict[str, Any]) -> list[Triple]:
    values = row.get("triples") or []
    if not isinstance(values, list) or len(values) > MAX_ITEMS:
        raise Unusable(f"triples is not a list of at most {MAX_ITEMS:,}", "wrong type")
    return [_triple(value) for value in values]


def _triple(value: Any) -> Triple:
    if isinstance(value, dict):
        literal = value.get("literal", False)
        parts = [value.get("relation"), value.get("tail")]
    else:
        literal = False
        parts = value if isinstance(value, list) else []
    if len(parts) != 2 or not isinstance(literal, bool):
        raise Unusable("a triple is not [relation, tail] or an object with relation and tail", "bad triple")
    relation, tail = (checked_text(part, "triples", MAX_NAME).strip() for part in parts)
    if not relation or not tail:
        raise Unusable("a triple has an empty relation or tail", "bad triple")
    return Triple(relation, tail, literal)
