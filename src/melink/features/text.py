"""What an encoder reads of a mention and of an entity. Protocols record which of these was used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, Protocol, get_args

from melink.errors import ConfigError
from melink.records import Entity, Mention

Source = Literal["auto", "description", "attributes", "extract", "all"]
SOURCES: Final = get_args(Source)

_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "auto": ("description", "attributes"),
    "description": ("description",),
    "attributes": ("attributes",),
    "extract": ("extract",),
    "all": ("description", "attributes", "extract"),
}


class Columns(Protocol):
    """The part of :class:`~melink.kb.view.EntityView` that is read here."""

    @property
    def texts(self) -> list[str] | None:
        """What each entity is read by in place of its own fields, if anything."""

    def column(self, name: str) -> list[str]:
        """Return one field of every entity."""


def mention_text(mention: Mention) -> str:
    """Return ``surface. text``."""
    return _sentence(mention.surface, mention.text)


def entity_text(entity: Entity, source: str = "auto") -> str:
    """Return ``label. field field``.

    Args:
        entity: The entity.
        source: ``auto`` is description and attributes, and the extract where both are missing; ``all`` is all three;
            the other names are one field.

    Raises:
        ConfigError: Unknown source.
    """
    values = [getattr(entity, name) for name in fields(source)]
    if source == "auto" and not any(values):
        values = [entity.extract]
    return _sentence(entity.label, *values)


def entity_texts(view: Columns, source: str = "auto") -> list[str]:
    """Return the text of every entity of a view, as :func:`entity_text` does for one.

    An entity that the view has another text of (``--entity-text``) is read by that one, whatever the source.
    """
    found = list(_rows(view, fields(source), source == "auto"))
    if view.texts is None:
        return found
    labels = view.column("label")
    return [_sentence(head, text) if text else own for head, text, own in zip(labels, view.texts, found, strict=True)]


def fields(source: str) -> tuple[str, ...]:
    """Return the entity fields that a source stands for.

    Raises:
        ConfigError: Unknown source.
    """
    if source not in _FIELDS:
        raise ConfigError(f"unknown entity text {source!r}", f"choose one of: {', '.join(SOURCES)}")
    return _FIELDS[source]


def _rows(view: Columns, wanted: tuple[str, ...], fall_back: bool) -> Iterator[str]:
    columns = [view.column(name) for name in wanted]
    extracts = view.column("extract") if fall_back else view.column("label")
    for label, extract, *values in zip(view.column("label"), extracts, *columns, strict=True):
        if fall_back and not any(values):
            values = [extract]
        yield _sentence(label, *values)


def _sentence(head: str, *rest: str | None) -> str:
    tail = " ".join(part.strip() for part in rest if part and part.strip())
    head = head.strip()
    return f"{head}. {tail}" if head and tail else head or tail
