"""WikiDiverse in the layout of DRIN.

``{train,valid,test}_w_10cands.json`` have rows of eleven values: caption, image URL, mention, type, tokens left, tokens
right, gold URL, candidate URLs, topic, start, end. Entities are page titles (the last part of the URL);
``entity2brief_{split}.json`` describes them. Pictures are stored under the MD5 of the last part of their URL;
``wikipedia_entity2imgs.tsv`` (``name@@@@url[AND]url``, first line skipped) lists those of the entities.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from melink.datasets.base import Benchmark, Dataset, Knowledge, Rows, Split
from melink.datasets.drin_answers import check_answers
from melink.datasets.files import json_items, lines
from melink.datasets.images import ImageResolver
from melink.datasets.layout_parts import first, splits, text, titled
from melink.errors import Problems
from melink.records import Entity

EXPECTS: Final = "train_w_10cands.json, valid_w_10cands.json, test_w_10cands.json"

_COLUMNS: Final = 11
_STEM: Final = re.compile(r"\S+(?=\.(?:jpg|JPG|png|PNG|svg|SVG|jpeg|JPEG))")


def open_folder(folder: Path, benchmark: Benchmark, layout: str) -> Dataset | None:
    """Return the dataset in a folder, or None when these are other files."""
    files = splits(folder, "{}_w_10cands.json", b"[")
    if not files:
        return None
    release = _Release(benchmark.name, folder, files)
    found = {name: Split(name, path, partial(release.rows, name)) for name, path in files.items()}
    knowledge = Knowledge(release.entities) if any(folder.glob("entity2brief_*.json")) else None
    return Dataset(benchmark, layout, folder, found, first(folder, "images", "image"), knowledge, release.lists)


def image_name(url: str) -> str:
    """Return the name under which DRIN stores a picture: MD5 of the last part of its URL, SVG rendered to PNG."""
    last = url.rsplit("/", 1)[-1]
    stem = _STEM.match(last)
    suffix = last[stem.end() :] if stem else last
    name = hashlib.md5(last.encode(), usedforsecurity=False).hexdigest() + suffix
    return name.replace(".svg", ".png").replace(".SVG", ".png")


@dataclass(frozen=True)
class _Release:
    name: str
    folder: Path
    files: dict[str, Path]

    def rows(self, split: str, problems: Problems) -> Rows:
        for place, number, row in json_items(self.files[split]):
            if not isinstance(row, list) or len(row) != _COLUMNS:
                problems.add(*place, f"expected a list of {_COLUMNS} values", kind="bad row")
                continue
            sentence, url, mention, type_, _, _, gold, candidates, topic, start, end = row
            shaped: dict[str, Any] = {"id": f"{self.name}-{split}-{number}", "sentence": sentence, "mention": mention}
            shaped |= {"start": start, "end": end, "mention_type": type_, "topic": topic, "qid": _title(gold)}
            shaped |= {"image_url": url, "image_file": image_name(url) if text(url) else None}
            yield place, shaped | {"candidates": _titles(candidates)}

    def lists(self, split: str, problems: Problems) -> dict[str, list[str]]:
        rows = [row for _, row in self.rows(split, problems)]
        found: dict[str, list[str]] = {row["id"]: row["candidates"] for row in rows}
        golds = {row["id"]: row["qid"] for row in rows}
        check_answers(first(self.folder, f"answer_{split}.npy"), golds, found, problems)
        return found

    def entities(self, problems: Problems) -> Iterator[Entity]:
        briefs: dict[str, str] = {}
        for path in sorted(self.folder.glob("entity2brief_*.json")):
            briefs |= {name: text(brief) for _, name, brief in json_items(path) if name}
        for split in self.files:
            for _, row in self.rows(split, Problems()):
                for name in row["candidates"]:
                    briefs.setdefault(name, "")
        images = ImageResolver(first(self.folder, "images", "image"), beside=self.folder)
        pictures = self._pictures(problems)
        for name, brief in briefs.items():
            paths = (images.find(image_name(url)).path for url in pictures.get(name, ()))
            yield Entity(name, titled(name), description=brief, images=tuple(path for path in paths if path))

    def _pictures(self, problems: Problems) -> dict[str, list[str]]:
        path = first(self.folder, "wikipedia_entity2imgs.tsv")
        found = {}
        for number, line in lines(path, problems) if path else ():
            name, separator, urls = line.decode("utf-8", "replace").partition("@@@@")
            if number > 1 and separator:
                found[name] = urls.split("[AND]")
            elif number > 1:
                problems.add(path or "", number, "expected name@@@@url", kind="bad row")
        return found


def _title(url: object) -> object:
    """Return the title that DRIN's own code reads from a URL: its last part, decoded."""
    return unquote(url.rsplit("/", 1)[-1]) if isinstance(url, str) else url


def _titles(urls: object) -> list[str]:
    """Return the titles of the URLs that name one."""
    found = [_title(url) for url in urls] if isinstance(urls, list) else []
    return [title for title in found if isinstance(title, str) and title.strip()]
