"""Rows of a mentions file, each kept as it is beside the mention that it holds, and grouped by sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from melink.datasets.files import Place, json_rows
from melink.datasets.images import ImageResolver
from melink.datasets.rows import read_rows
from melink.errors import Problems
from melink.records import Mention

MOST_NAMES: Final = 20
"""Most different names of one group; a sentence with more makes several."""


@dataclass(frozen=True, slots=True)
class Row:
    """One usable row: its fields as they were read, with an id, and the mention in it, which holds no gold."""

    fields: dict[str, Any]
    mention: Mention


@dataclass(frozen=True, slots=True)
class Group:
    """The mentions of one sentence, in file order, and its picture."""

    mentions: tuple[Mention, ...]

    @property
    def text(self) -> str:
        """The sentence."""
        return self.mentions[0].text

    @property
    def image(self) -> str | None:
        """Path of its picture."""
        return self.mentions[0].image

    @property
    def surfaces(self) -> list[str]:
        """The different names in it, in file order."""
        return list(dict.fromkeys(mention.surface for mention in self.mentions))


def read(path: str | Path, images: str | Path | None, problems: Problems) -> list[Row]:
    """Read the usable rows of a mentions file; the others are reported (see :mod:`melink.datasets.mentions`)."""
    resolver = ImageResolver(images, beside="" if str(path) == "-" else Path(path).parent)
    latest: list[dict[str, Any]] = [{}]

    def noted() -> Iterator[tuple[Place, dict[str, Any]]]:
        for place, fields in json_rows(path, problems):
            latest[0] = dict(fields)  # reading uses the row up
            yield place, fields

    rows = []
    for labelled in read_rows(noted(), resolver, problems):
        rows.append(Row({**latest[0], "id": latest[0].get("id") or labelled.mention.id}, labelled.mention))
    return rows


def by_sentence(rows: Iterable[Row], most: int = MOST_NAMES) -> list[Group]:
    """Group rows that share sentence id (where there is one), text and picture, in order of their first row.

    The same words under two pictures are two groups: the picture may tell which bearer of the name is meant.
    """
    found: dict[tuple[str, str, str | None], list[Mention]] = {}
    for row in rows:
        key = (str(row.fields.get("sentence_id", "")), row.mention.text, row.mention.image)
        found.setdefault(key, []).append(row.mention)
    return [Group(part) for mentions in found.values() for part in _parts(mentions, most)]


def _parts(mentions: Sequence[Mention], most: int) -> Iterator[tuple[Mention, ...]]:
    names: dict[str, int] = {}
    parts: dict[int, list[Mention]] = {}
    for mention in mentions:
        number = names.setdefault(mention.surface, len(names))
        parts.setdefault(number // most, []).append(mention)
    yield from map(tuple, parts.values())


def placed(row: Row, source: str | Path, images: str | Path | None, folder: Path) -> dict[str, Any]:
    """Return the fields of a row for a file in another folder: the path of a picture that was found beside the source
    is made to lead there.

    Args:
        row: The row.
        source: File that it was read from.
        images: Folder or table of pictures, when one was named: it will be named again, and nothing changes.
        folder: Where the row will be written.
    """
    found = row.mention.image
    if found is None or images is not None or str(source) == "-":
        return row.fields
    if Path(source).resolve().parent == folder.resolve():
        return row.fields
    path, base = Path(found).absolute(), folder.absolute()
    return {**row.fields, "image": str(path.relative_to(base)) if path.is_relative_to(base) else str(path)}
