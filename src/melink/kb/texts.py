"""Other texts of the entities, kept beside a knowledge base and never in the place of its own.

::

    KB/texts/static.lance      a row per entity: text, what it was made from, and where it comes from
    KB/texts/dynamic.lance

They outlive rebuilds. Each remembers the entity as it was described when the text was made: once the entity is
described otherwise the text is *outdated*, and the entity's own is read again until somebody makes it anew. An empty
text says that one was asked for and that there is none, or keeps beside it what was taken out of use
(:mod:`melink.enrich.checked`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

import orjson
import pyarrow as pa

from melink.errors import NotFound
from melink.kb.disk import locked, storing, sync_tree
from melink.kb.tables import Tables, among, batches, compact, merge, read_ids

EntityText = Literal["original", "static", "dynamic"]
ORIGINAL: Final = "original"
KINDS: Final[tuple[str, ...]] = tuple(name for name in get_args(EntityText) if name != ORIGINAL)
_SCHEMA: Final = pa.schema([(name, pa.string()) for name in ("id", "text", "entity", "made_from", "about")])
_FIELDS: Final = ("label", "description", "attributes", "extract")
_COMPACT_EVERY: Final = 32
CONTRADICTS: Final = "contradicts"
"""Outcome of a text that was taken out of use because it contradicts a fact."""
_OUT: Final = ("outcome", "said", "contradictions", "was")
"""What is noted beside such a text."""


@dataclass(frozen=True, slots=True)
class Described:
    """A text of one entity.

    Attributes:
        id: The entity.
        text: The text; empty when there is none.
        entity: :func:`state` of the entity when it was made.
        made_from: Hash of everything else that it was made from.
        about: Where it comes from: source or model, date, outcome.
    """

    id: str
    text: str
    entity: str
    made_from: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """What the text said before it was taken out of use for contradicting a fact; empty when it was not."""
        return "" if self.text or self.about.get("outcome") != CONTRADICTS else str(self.about.get("said", ""))

    def dropped(self, contradictions: Sequence[Mapping[str, Any]]) -> Described:
        """Return the text out of use: it is empty, and what it said, what against, and its outcome are kept beside."""
        own = {"outcome": CONTRADICTS, "said": self.text, "contradictions": list(contradictions)}
        return replace(self, text="", about={**self.about, **own, "was": self.about.get("outcome")})

    def restored(self) -> Described:
        """Return a text that was dropped as it was before."""
        about = {name: value for name, value in self.about.items() if name not in _OUT}
        was = self.about.get("was")
        return replace(self, text=self.said, about=about if was is None else {**about, "outcome": was})


class Columns(Protocol):
    """The part of :class:`~melink.kb.view.EntityView` that is read here."""

    def column(self, name: str) -> list[Any]:
        """Return one field of every entity."""


def state(label: str, description: str, attributes: str, extract: str) -> str:
    """Return a hash of how an entity is described."""
    return hashlib.sha256("\0".join((label, description, attributes, extract)).encode()).hexdigest()[:32]


def states(view: Columns) -> Iterator[str]:
    """Yield :func:`state` of every entity of a view."""
    return (state(*values) for values in zip(*(view.column(name) for name in _FIELDS), strict=True))


class Texts:
    """The texts of one kind, as they lie on disk.

    Args:
        root: Folder of the knowledge base.
        kind: ``static`` or ``dynamic``.

    Raises:
        NotFound: No such kind.
    """

    def __init__(self, root: Path, kind: str) -> None:
        if kind not in KINDS:
            raise NotFound.among("kind of text", kind, KINDS)
        self.root, self.kind = root, kind
        self._tables = Tables(root / "texts")

    def __bool__(self) -> bool:
        """Whether any were ever made."""
        return any((self.root / "texts" / f"{self.kind}.lance" / "_versions").glob("*.manifest"))

    def put(self, rows: Iterable[Described]) -> None:
        """Insert or replace texts in one atomic commit, which survives a kill once this returns.

        Raises:
            Locked: Somebody else is writing to the knowledge base.
            StoreError: The disk is full.
        """
        table = _to_table(rows)
        if not table.num_rows:
            return
        with locked(self.root / ".lock"), storing(self.root):
            if self:
                stored = self._tables.open(self.kind)
                merge(stored, table)
                if stored.version % _COMPACT_EVERY == 0:
                    compact(stored)
            else:
                self._tables.database.create_table(self.kind, data=table, schema=_SCHEMA)
            sync_tree(self.root / "texts")

    def delete(self, ids: Sequence[str]) -> None:
        """Forget the texts of some entities."""
        if self and ids:
            with locked(self.root / ".lock"), storing(self.root):
                self._tables.open(self.kind).delete(among(ids))

    def rows(self, ids: Sequence[str] | None = None) -> Iterator[Described]:
        """Yield the texts, all or those of some entities, in no particular order."""
        if not self:
            return
        table, names = self._tables.open(self.kind), _SCHEMA.names
        found = batches(table, names) if ids is None else read_ids(table, names, ids).to_batches()
        for batch in found:
            for row in batch.to_pylist():
                yield Described(**{**row, "about": orjson.loads(row["about"])})

    def reading(self) -> Reading:
        """Load the texts for reading.

        Raises:
            NotFound: None were ever made.
        """
        if not self:
            how = f"melink enrich descriptions {self.root} {self.kind}"
            raise NotFound(f"{self.root}: its entities have no {self.kind} text", f"make it: {how}")
        columns = ("id", "text", "entity")
        found = {
            id: (text, entity)
            for batch in batches(self._tables.open(self.kind), columns)
            for id, text, entity in zip(*(batch[name].to_pylist() for name in columns), strict=True)
        }
        return Reading(self.kind, found)


@dataclass(frozen=True, slots=True)
class Share:
    """How many entities of a knowledge base are read by their other text.

    Attributes:
        own: Those that have one.
        outdated: Those whose text was made for another description; they are read as the original.
        entities: All.
    """

    own: int
    outdated: int
    entities: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The texts of one kind in memory, as they were when they were loaded.

    Attributes:
        kind: ``static`` or ``dynamic``.
        found: Id → text and the :func:`state` it was made for.
    """

    kind: str
    found: Mapping[str, tuple[str, str]]

    def texts(self, view: Columns) -> list[str]:
        """Return the text of each entity of a view; empty where the entity's own is to be read."""
        nothing = ("", "")
        chosen = (self.found.get(id, nothing) for id in view.column("id"))
        return [
            text if text and made_for == now else "" for (text, made_for), now in zip(chosen, states(view), strict=True)
        ]

    def share(self, view: Columns) -> Share:
        """Count."""
        texts, ids = self.texts(view), view.column("id")
        own = sum(map(bool, texts))
        return Share(own, sum(bool(self.found.get(id, ("",))[0]) for id in ids) - own, len(ids))

    def number(self, view: Columns) -> int:
        """Return what these texts add to the content hash of a knowledge base: 0 when none of them is read."""
        pairs = (f"{id}\0{text}" for id, text in zip(view.column("id"), self.texts(view), strict=True) if text)
        return sum(int.from_bytes(hashlib.sha256(pair.encode()).digest(), "big") for pair in pairs) % 2**256


def _to_table(rows: Iterable[Described]) -> pa.Table:
    unique = {row.id: row for row in rows}
    values = [
        {
            "id": row.id,
            "text": row.text,
            "entity": row.entity,
            "made_from": row.made_from,
            "about": orjson.dumps(dict(row.about), option=orjson.OPT_SORT_KEYS).decode(),
        }
        for row in unique.values()
    ]
    return pa.Table.from_pylist(values, schema=_SCHEMA)
