"""What an encoder reads, as a template that a person can see and change.

Mentions:  {surface} {text} {left} {right}      text left and right of the name; all of it on the left without a span
Entities:  {label} {aliases} {description} {attributes} {types} {triples} {extract}

An empty field leaves nothing behind: spaces are collapsed. ``{triples}`` are the facts with an entity as tail, in
words, that ``{attributes}`` do not state already; the shortest come first so that most facts fit.

Where entities are read by another text (``--entity-text static``), it stands in the place of the first of
``{description}``, ``{attributes}`` and ``{extract}``; the other two are empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from string import Formatter
from typing import Final

from melink.errors import ConfigError
from melink.kb.view import EntityView
from melink.records import Mention, Triple

MENTION_FIELDS: Final = ("surface", "text", "left", "right")
PROSE: Final = ("description", "attributes", "extract")
ENTITY_FIELDS: Final = ("label", "aliases", "description", "attributes", "types", "triples", "extract")
_BLANK: Final = re.compile(r"\s+")


def check(template: str, known: Iterable[str], what: str) -> None:
    """Check the fields of a template.

    Raises:
        ConfigError: Not a template, an unknown field, or none at all.
    """
    known = tuple(known)
    try:
        fields = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
        template.format_map({**dict.fromkeys(fields, ""), **dict.fromkeys(known, "")})
    except (ValueError, LookupError, AttributeError) as error:
        raise ConfigError(f"{what} {template!r}: {error}", "write fields as {label}, braces in pairs") from error
    unknown = [name for name in fields if name not in known]
    if unknown or not fields:
        problem = f"unknown field {{{unknown[0]}}}" if unknown else "has no field"
        raise ConfigError(f"{what} {template!r}: {problem}", f"use some of {', '.join(f'{{{n}}}' for n in known)}")


def read_mention(template: str, mention: Mention) -> str:
    """Return what is read of a mention."""
    start, end = mention.start, mention.end
    left, right = (mention.text, "") if start is None or end is None else (mention.text[:start], mention.text[end:])
    return _filled(template, {"surface": mention.surface, "text": mention.text, "left": left, "right": right})


def read_entities(template: str, view: EntityView, most_triples: int = 6) -> list[str]:
    """Return what is read of every entity of a view.

    Args:
        template: See the module; only its fields are read from disk.
        view: The entities.
        most_triples: How many facts ``{triples}`` holds.

    Raises:
        ConfigError: The view has another text of its entities, and the template reads none.
    """
    wanted = [name for _, name, _, _ in Formatter().parse(template) if name]
    others, prose = view.texts or [""] * len(view), [name for name in wanted if name in PROSE]
    if view.texts is not None and not prose:
        raise ConfigError(f"entity_template {template!r} reads no text of an entity", "add {description}")
    texts = []
    columns = {name: view.column(name) for name in wanted if name not in ("triples", "attributes")}
    stated = view.column("attributes") if {"attributes", "triples"} & set(wanted) else [""] * len(view)
    for row, other in enumerate(others):
        values = {name: _words(column[row]) for name, column in columns.items()}
        values["attributes"] = stated[row] or ""
        if other:
            values |= {**dict.fromkeys(prose, ""), prose[0]: other}
        if "triples" in wanted:
            known = other or values["attributes"]
            values["triples"] = _facts(view.triples(row), known.casefold(), most_triples)
        texts.append(_filled(template, values))
    return texts


def _facts(triples: Iterable[Triple], stated: str, most: int) -> str:
    known = {
        triple.words(): triple.tail_label
        for triple in triples
        if not triple.literal and triple.tail_label and triple.tail_label.casefold() not in stated
    }
    chosen = sorted(known, key=lambda words: (len(words), words))[:most]
    return " ".join(f"{words}." for words in chosen)


def _words(value: str | list[str] | None) -> str:
    return (value or "") if not isinstance(value, list) else ", ".join(value)


def _filled(template: str, values: dict[str, str]) -> str:
    return _BLANK.sub(" ", template.format_map(values)).strip()
