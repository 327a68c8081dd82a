"""Pictures of entities from a folder of files named by id, or from an index table."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from melink.errors import InputError, Problems

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_NUMBERED: Final = re.compile(r"(.+)_\d+")
_ID_COLUMNS: Final = ("qids", "ids", "qid", "id")


def read_images(path: Path, problems: Problems) -> dict[str, list[str]]:
    """Return the picture paths of each entity id.

    Args:
        path: A folder with files named ``<id>.jpg`` or ``<id>_0.png``, at any depth; or a CSV file with the columns
            ``file`` and ``qids`` (several ids between spaces or semicolons). Paths in the CSV start at its folder or,
            as in the shared data, at the folder above. Rows with the role ``mention`` are pictures of mentions and are
            left out.
        problems: Receives rows without an id, missing files and files that are no pictures.

    Raises:
        InputError: No such file or folder, or a CSV without those columns.
    """
    if path.is_dir():
        index = path / "index.csv"
        return _from_index(index, problems) if index.is_file() else _from_folder(path, problems)
    if not path.is_file():
        raise InputError(f"{path}: no such folder or index file", "give a folder of pictures or an index.csv")
    return _from_index(path, problems)


def _from_folder(folder: Path, problems: Problems) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in SUFFIXES:
            numbered = _NUMBERED.fullmatch(file.stem)
            found.setdefault(numbered[1] if numbered else file.stem, []).append(str(file.absolute()))
        elif file.is_file() and not file.name.startswith("."):
            problems.add(file, None, "not a picture by its name", kind="not a picture")
    return found


def _from_index(path: Path, problems: Problems) -> dict[str, list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", "check the path") from error
    rows = csv.DictReader(io.StringIO(text.replace("\0", "�")))
    column = next((name for name in _ID_COLUMNS if name in (rows.fieldnames or ())), None)
    if column is None or "file" not in (rows.fieldnames or ()):
        raise InputError(f"{path}: no columns 'file' and 'qids'", "add a header line such as: file,qids,role")
    found: dict[str, list[str]] = {}
    try:
        for row in rows:
            file, ids, role = (str(row.get(name) or "").strip() for name in ("file", column, "role"))
            if role == "mention":
                continue
            if not ids:
                problems.add(path, rows.line_num, f"{file}: no entity id", kind="picture without id")
            elif (picture := _resolve(path.parent, file)) is None:
                problems.add(path, rows.line_num, f"{file}: no such file", kind="missing picture")
            else:
                for id in re.split(r"[\s;|]+", ids):
                    found.setdefault(id, []).append(picture)
    except csv.Error as error:
        problems.add(path, rows.line_num, f"the table cannot be read further: {error}", kind="bad table")
    return found


def _resolve(folder: Path, file: str) -> str | None:
    for start in (folder, folder.parent):
        if file and os.path.isfile(start / file):  # noqa: PTH113 - unlike Path, never raises on odd names
            return str((start / file).absolute())
    return None


def report_unknown(path: Path, ids: Iterable[str], problems: Problems) -> None:
    """Report pictures of ids that are not in the knowledge base."""
    for id in ids:
        problems.add(path, None, "picture of an unknown entity", id, "picture of unknown entity")
