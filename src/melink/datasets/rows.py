"""One mention: a row of JSON to a record, and back.

Two shapes of row, mixed at will::

    {"id": "m1", "sentence": "Jordan scored 38.", "mention": "Jordan", "start": 0, "end": 6, "image_file": "m1.jpg"}
    {"id": "m1", "text": "Jordan scored 38.", "mention": {"text": "Jordan", "start": 0, "end": 6}, "image": "m1.jpg"}

Gold is ``qid``, ``gold`` or ``answer``: an entity id, or ``"NIL"`` in any case for "not in the knowledge base". An
absent, ``null`` or empty gold means that nobody said, because exporters write ``null`` for unknown far more often than
for NIL. Every other field (entity titles, splits, candidate lists …) goes to :attr:`Labelled.extra` and never to the
mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from melink.datasets.files import Place
from melink.datasets.images import MISSING, ImageResolver
from melink.datasets.spans import Span, find_span, repair_span
from melink.errors import Problems
from melink.records import NIL, Labelled, Mention, Triple

GOLD_FIELDS: Final = ("qid", "gold", "answer")

_QID: Final = re.compile(r"Q\d+")


def read_rows(
    rows: Iterable[tuple[Place, dict[str, Any]]], images: ImageResolver, problems: Problems
) -> Iterator[Labelled]:
    """Turn rows into records, each id once; fields that are not read become their extra.

    Args:
        rows: Where each row stands, and the row, which is used up.
        images: Finds the pictures.
        problems: Collects rows that cannot be used and parts of rows that were repaired or left out.
    """
    seen: set[str] = set()
    for place, row in rows:
        labelled = _Row(row, place, problems).read(images)
        if labelled is None:
            continue
        if labelled.mention.id in seen:
            problems.add(*place, "a row before has this id", labelled.mention.id, "duplicate id")
            continue
        seen.add(labelled.mention.id)
        yield labelled


def write_row(labelled: Labelled, folder: Path | None = None) -> dict[str, Any]:
    """Return one row of mentions JSONL; a picture below ``folder`` is written relative to it."""
    mention = labelled.mention
    row: dict[str, Any] = {"id": mention.id, "sentence": mention.text, "mention": mention.surface}
    row |= {"start": mention.start, "end": mention.end}
    if mention.image is not None:
        image = Path(mention.image).absolute()
        row["image"] = str(image.relative_to(folder)) if folder and image.is_relative_to(folder) else str(image)
    if mention.triples:
        row["triples"] = [_triple_row(triple) for triple in mention.triples]
    if mention.attributes:
        row["attributes"] = dict(mention.attributes)
    if labelled.gold is not None:
        row["qid"] = labelled.gold
    return row | {key: value for key, value in labelled.extra.items() if key not in row}


def read_gold(value: object) -> str | None:
    """Read a gold answer: an id, :data:`NIL` for ``nil`` in any case, None where nobody said.

    Raises:
        TypeError: It is neither text nor a whole number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"expected an id, found {type(value).__name__}")
    text = str(value).strip()
    return NIL if text.casefold() == "nil" else text or None


def read_triple(value: object) -> Triple:
    """Read ``[head, relation, tail]`` (KGMEL's generated triples), ``[relation, tail]`` or an object with those keys.

    The head is the mention itself and is not kept. A tail that is no QID is a literal unless the object says otherwise.

    Raises:
        ValueError: Another shape, or an empty relation or tail.
    """
    known: dict[str, Any] = value if isinstance(value, dict) else {}
    if isinstance(value, list) and len(value) in (2, 3):
        known = {"relation": value[-2], "tail": value[-1]}
    relation, tail = known.get("relation"), known.get("tail")
    if not (isinstance(relation, str) and isinstance(tail, str) and relation.strip() and tail.strip()):
        raise ValueError("expected [head, relation, tail], [relation, tail] or {relation, tail}")
    relation, tail = relation.strip(), tail.strip()
    literal = bool(known.get("literal", _QID.fullmatch(tail) is None))
    names = [known.get(key) for key in ("relation_label", "tail_label")]
    return Triple(relation, tail, literal, *(name if isinstance(name, str) else "" for name in names))


def _triple_row(triple: Triple) -> dict[str, Any]:
    row: dict[str, Any] = {"relation": triple.relation, "tail": triple.tail, "literal": triple.literal}
    names = {"relation_label": triple.relation_label, "tail_label": triple.tail_label}
    return row | {key: name for key, name in names.items() if name}


@dataclass
class _Row:
    """One row on its way to a record: fields are taken out as they are read, the rest is extra."""

    fields: dict[str, Any]
    place: Place
    problems: Problems
    id: str = field(default="", init=False)

    def read(self, images: ImageResolver) -> Labelled | None:
        """Return the record, or None after reporting why the row is unusable."""
        self.id = self._id()
        text = self._take_text("sentence", "text")
        if text is None:
            self._report("no text: expected a field 'sentence' or 'text' that is not empty", "no text")
            return None
        surface, start, end = self._mention_fields()
        if not surface and _is_offset(start) and _is_offset(end):
            surface = text[start:end].strip() and text[start:end]
        if not surface:
            self._report("no mention: expected a field 'mention', or start and end", "no mention")
            return None
        span = self._span(text, surface, start, end)
        mention = Mention(
            id=self.id,
            text=text,
            surface=surface,
            start=span[0],
            end=span[1],
            image=self._image(images),
            triples=tuple(self._triples()),
            attributes=self._attributes(),
        )
        return Labelled(mention, self._gold(), self.fields)

    def _report(self, reason: str, kind: str) -> None:
        self.problems.add(*self.place, reason, self.id, kind)

    def _id(self) -> str:
        value = self.fields.get("id")
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            return f"line-{self.place.line}"
        return str(self.fields.pop("id"))

    def _take_text(self, *names: str) -> str | None:
        for name in names:
            value = self.fields.get(name)
            if isinstance(value, str) and value.strip():
                return str(self.fields.pop(name))
        return None

    def _mention_fields(self) -> tuple[str, Any, Any]:
        """Return surface, start and end as the row has them, from either shape."""
        value = self.fields.pop("mention", None)
        start, end = self.fields.pop("start", None), self.fields.pop("end", None)
        if isinstance(value, dict):
            start, end = value.get("start", start), value.get("end", end)
            if "type" in value:
                self.fields.setdefault("mention_type", value["type"])
            value = value.get("text", value.get("surface"))
        return (value if isinstance(value, str) and value.strip() else ""), start, end

    def _span(self, text: str, surface: str, start: Any, end: Any) -> Span:
        if start is None and end is None:
            return find_span(text, surface)
        if _is_offset(start) and _is_offset(end) and text[start:end].casefold() == surface.casefold():
            return start, end
        span = repair_span(text, surface, start if _is_offset(start) else 0)
        if span[0] is not None:
            self._report(f"span {start!r}–{end!r} is not {surface!r}; moved to {span[0]}–{span[1]}", "span repaired")
        else:
            self._report(f"span {start!r}–{end!r}: {surface!r} does not occur in the text", "span not found")
        return span

    def _image(self, images: ImageResolver) -> str | None:
        """Resolve ``image`` (a path) or ``image_file`` (a name in a release, which stays in the extra fields)."""
        own = self.fields.get("image")
        name = own if isinstance(own, str) and own else self.fields.get("image_file")
        found = images.find(name if isinstance(name, str) else None, self.id)
        if found.path is not None:
            self.fields.pop("image", None)
        elif found.problem == MISSING and not own and images.source is None:
            # nobody asked for the release's pictures: count them, without a line for each
            self.problems.counts[MISSING] += 1
        elif found.problem:
            self._report(f"{found.problem}: {name!r}", found.problem)
        return found.path

    def _triples(self) -> Iterator[Triple]:
        values = self.fields.pop("triples", None)
        if values is not None and not isinstance(values, list):
            self._report(f"triples: expected a list, found {type(values).__name__}", "bad triple")
            return
        for value in values or ():
            try:
                yield read_triple(value)
            except ValueError as error:
                self._report(f"triple {value!r:.80}: {error}", "bad triple")

    def _attributes(self) -> dict[str, str]:
        value = self.fields.get("attributes")
        if not isinstance(value, dict):
            return {}
        del self.fields["attributes"]
        return {key: item if isinstance(item, str) else str(item) for key, item in value.items()}

    def _gold(self) -> str | None:
        for name in GOLD_FIELDS:
            if self.fields.get(name) is None:
                continue
            try:
                gold = read_gold(self.fields[name])
            except TypeError as error:
                self._report(f"{name}: {error}", "gold unreadable")
                continue
            if gold is not None:
                del self.fields[name]
                return gold
        return None


def _is_offset(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
