"""How an entity is laid out as a table row, and the hash of a row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa

from melink.records import Entity, Triple

_TEXTS: Final = pa.list_(pa.string())
ENTITIES: Final = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.string()),
        ("aliases", _TEXTS),
        ("description", pa.string()),
        ("attributes", pa.string()),
        ("extract", pa.string()),
        ("types", _TEXTS),
        ("images", _TEXTS),
        ("triples", pa.list_(pa.struct([("relation", pa.string()), ("tail", pa.string()), ("literal", pa.bool_())]))),
        ("extra", pa.string()),
    ]
)
"""One row per entity. Triples live in the row, so that replacing an entity is one atomic commit."""

RELATIONS: Final = pa.schema([("id", pa.string()), ("label", pa.string()), ("description", pa.string())])
LABELS: Final = pa.schema([("id", pa.string()), ("label", pa.string())])
"""Labels of entities that triples point to and that are not in the knowledge base themselves."""

FIELDS: Final = tuple(ENTITIES.names)
LIGHT: Final = tuple(name for name in FIELDS if name not in ("triples", "extra"))
"""The columns that a view loads at once; triples and extra fields are read when they are asked for."""


def to_table(entities: Iterable[Entity], root: Path) -> pa.Table:
    """Return the rows of some entities; pictures below ``root`` are stored relative to it."""
    rows = list(entities)
    columns: dict[str, list[Any]] = {
        "id": [e.id for e in rows],
        "label": [e.label for e in rows],
        "aliases": [e.aliases for e in rows],
        "description": [e.description for e in rows],
        "attributes": [e.attributes for e in rows],
        "extract": [e.extract for e in rows],
        "types": [e.types for e in rows],
        "images": [[stored_image(i, root) for i in e.images] for e in rows],
        "triples": [[{"relation": t.relation, "tail": t.tail, "literal": t.literal} for t in e.triples] for e in rows],
        "extra": [orjson.dumps(dict(e.extra), option=orjson.OPT_SORT_KEYS).decode() for e in rows],
    }
    return pa.table(columns, schema=ENTITIES)


def to_entity(row: dict[str, Any], root: Path, triples: tuple[Triple, ...]) -> Entity:
    """Return the entity that a row holds, with the triples already resolved."""
    return Entity(
        id=row["id"],
        label=row["label"],
        aliases=tuple(row["aliases"]),
        description=row["description"],
        attributes=row["attributes"],
        extract=row["extract"],
        types=tuple(row["types"]),
        triples=triples,
        images=tuple(image_path(i, root) for i in row["images"]),
        extra=orjson.loads(row.get("extra") or "{}"),
    )


def stored_image(path: str, root: Path) -> str:
    """Return how a picture path is stored: relative when below ``root``, else absolute."""
    full = Path(path).absolute()
    return full.relative_to(root).as_posix() if full.is_relative_to(root) else str(full)


def image_path(stored: str, root: Path) -> str:
    """Return the path to open for a stored picture path."""
    return stored if stored.startswith("/") else str(root / stored)


def row_hashes(table: pa.Table | pa.RecordBatch) -> Iterator[int]:
    """Yield one 256-bit number per row: SHA-256 of the row as JSON with sorted keys.

    Of a picture only the file name counts, so that the same data in another folder has the same hash.
    """
    for row in table.to_pylist():
        row["images"] = [path.replace("\\", "/").rpartition("/")[2] for path in row["images"]]
        yield int.from_bytes(hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).digest(), "big")
