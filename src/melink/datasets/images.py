"""Where the picture of a mention is: a directory of pictures, an index CSV, or a path beside the mentions.

Nothing is ever fetched, and a name that comes from data cannot leave the directory that was given.
"""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from melink.datasets.files import open_bytes
from melink.errors import InputError, NotFound

MISSING: Final = "image missing"
REFUSED: Final = "image refused"
URL: Final = "url not fetched"

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_SEPARATORS: Final = re.compile(r"[\s;|,]+")


@dataclass(frozen=True, slots=True)
class Found:
    """Path of a picture, or the kind of problem that left it out (both empty when the mention has none)."""

    path: str | None = None
    problem: str = ""


@dataclass
class ImageResolver:
    """Finds pictures by mention id (index CSV) or by name (directory).

    By name, these are tried in the directory: the path as given, its last part, and its stem with ``.jpg`` (MIMIC and
    KGMEL converted every mention picture to JPEG under the old stem).

    Args:
        source: A directory, an index CSV with the columns ``file`` and ``mention_ids`` (and perhaps ``role``: rows with
            another role than ``mention`` are left out), or None.
        beside: Folder of the mentions file; paths in data that ``source`` does not hold are looked for here.

    Raises:
        NotFound: ``source`` does not exist.
        InputError: ``source`` is a file without those columns.
    """

    source: str | Path | None = None
    beside: str | Path | None = None
    _by_mention: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _by_name: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.source is None:
            return
        source = Path(self.source)
        if not source.exists():
            raise NotFound(f"no images at {source}", "give a directory of pictures or an index CSV")
        index = source / "index.csv" if source.is_dir() else source
        if index.is_file():
            self._read_index(index)

    def find(self, name: str | None, mention_id: str = "") -> Found:
        """Return the picture of a mention.

        Args:
            name: File name or path as the data has it, or None.
            mention_id: Id to look up in the index.
        """
        if path := self._by_mention.get(mention_id):
            return Found(path)
        if not name:
            return Found()
        if _SCHEME.match(name) or name.startswith("//"):
            return Found(problem=URL)
        if path := self._by_name.get(name):
            return Found(path)
        return self._by_path(name)

    def _by_path(self, name: str) -> Found:
        given = None if self.source is None else Path(self.source)
        beside = Path(self.beside or "")
        roots = [beside] if given is None else [root for root in (given, beside) if root.is_dir()]
        problem = REFUSED
        for root in roots:
            plain = os.path.normpath(root / name)
            if given is not None and not _inside(plain, root):
                continue
            problem = MISSING
            base = plain.rpartition(os.sep)[2]
            for guess in (plain, str(root / base), str(root / (base.split(".")[0] + ".jpg"))):
                if _is_file(guess):
                    return Found(guess)
        return Found(problem=problem)

    def _read_index(self, index: Path) -> None:
        with open_bytes(index) as stream:
            rows = csv.DictReader(line.decode("utf-8-sig", "replace") for line in stream)
            try:
                if "file" not in (rows.fieldnames or ()):
                    remedy = "give an index CSV with the columns file and mention_ids"
                    raise InputError(f"{index}: no column 'file'", remedy)
                for row in rows:
                    # pictures of entities must not pass for pictures of mentions that have the same file name
                    if row.get("role") in (None, "", "mention"):
                        self._index(index, row["file"] or "", row.get("mention_ids") or "")
            except csv.Error as error:
                raise InputError(f"{index}: line {rows.line_num}: {error}", "check that this is a CSV file") from error

    def _index(self, index: Path, name: str, mentions: str) -> None:
        path = self._indexed(index, name)
        for mention in filter(None, _SEPARATORS.split(mentions)):
            self._by_mention.setdefault(mention, path)
        if path:
            self._by_name.setdefault(Path(path).name, path)

    @staticmethod
    def _indexed(index: Path, name: str) -> str:
        """Paths of an index are relative to its folder, or to the folder above when they repeat its name."""
        for root in (index.parent, index.parent.parent):
            path = os.path.normpath(root / name)
            if _inside(path, root) and _is_file(path):
                return path
        return ""


def _inside(path: str, root: Path) -> bool:
    return os.pardir not in Path(os.path.relpath(path, root)).parts[:1]


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name that is too long, or has a NUL
        return False
