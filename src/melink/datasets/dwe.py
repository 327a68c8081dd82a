"""Layout ``dwe``: the files that DWE and DWE+ train on; their knowledge base holds the gold entities of the benchmark.

WikiMEL and RichpediaMEL: ``{train,dev,test}.json`` map an id to ``{sentence, mentions, answer, imgPath, entities,
brief}`` (RichpediaMEL: ``img_list``, of which only JPEGs are used). WikiDiverse: lists of ``{sentence, mention,
mention_type, mention_image, entity}`` with page titles as answers. ``search_top100.json`` maps a mention to QIDs, for
WikiDiverse a *gold title* to titles; gold is not in those lists unless the search found it. ``entity_list.json`` has
the entity ids in the row order of the feature files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from melink.datasets.base import Benchmark, Dataset, Knowledge, Layout, Rows, Split
from melink.datasets.files import json_items, json_records, load_json
from melink.datasets.layout_parts import first, mention_id, splits, text, titled
from melink.errors import Problems
from melink.records import Entity

_NAMED: Final = {"valid": "dev"}


def _expects(benchmark: Benchmark) -> str:
    return "train.json, dev.json, test.json with search_top100.json or entity_list.json"


def _open(folder: Path, benchmark: Benchmark) -> Dataset | None:
    if not first(folder, "search_top100.json", "entity_list.json"):
        return None
    keyed = splits(folder, "{}.json", b"{", _NAMED)
    files = keyed or splits(folder, "{}.json", b"[", _NAMED)
    if not files:
        return None
    release = _Release(benchmark.name, folder, files, bool(keyed))
    found = {name: Split(name, path, partial(release.rows, name)) for name, path in files.items()}
    knowledge = Knowledge(release.entities) if (folder / "entity_list.json").is_file() else None
    lists = release.lists if (folder / "search_top100.json").is_file() else None
    stem = benchmark.stems[LAYOUT.name]
    pictures = first(folder, "images", f"../ImgData/{stem}/images", f"../ImgData/{stem}")
    return Dataset(benchmark, LAYOUT.name, folder, found, pictures, knowledge, lists)


@dataclass(frozen=True)
class _Release:
    """The files of one benchmark; ``keyed`` when mentions have ids (WikiDiverse has a list without)."""

    name: str
    folder: Path
    files: dict[str, Path]
    keyed: bool

    def rows(self, split: str, problems: Problems) -> Rows:
        for number, (place, key, row) in enumerate(json_records(self.files[split], problems)):
            fallback = f"{split}-{number}"
            shaped: dict[str, Any] = {"id": mention_id(self.name, key if self.keyed else fallback, fallback)}
            shaped |= {"sentence": row.get("sentence"), "mention": row.get("mentions", row.get("mention"))}
            # WikiDiverse answers with the title of the entity
            shaped |= {"qid": row.get("answer", row.get("entity")), "entity_title": row.get("entities")}
            shaped |= {"image_file": _picture(row), "img_list": row.get("img_list"), "brief": row.get("brief")}
            shaped |= {
                "mention_type": row.get("mention_type"),
                "sentence_id": key.partition("-")[0] if self.keyed else None,
            }
            yield place, {name: value for name, value in shaped.items() if value is not None}

    def lists(self, split: str, problems: Problems) -> dict[str, list[str]]:
        search = load_json(self.folder / "search_top100.json", dict)
        found = {}
        for _, row in self.rows(split, problems):
            ids = search.get(text(row.get("mention" if self.keyed else "qid")))
            if isinstance(ids, list):
                found[str(row["id"])] = [id for id in ids if isinstance(id, str)]
        return found

    def entities(self, problems: Problems) -> Iterator[Entity]:
        briefs = self._texts("brief.json") | self._texts("entity2desc.json")
        properties, golds = self._texts("property.json"), self._golds()
        for place, _, id in json_items(self.folder / "entity_list.json"):
            if not isinstance(id, str) or not id:
                problems.add(*place, "expected an entity id", kind="bad entity")
                continue
            name, brief = briefs.get(id, ("", ""))
            label = name or golds.get(id, ("", ""))[0] or titled(id)
            yield Entity(
                id, label, description=brief or golds.get(id, ("", ""))[1], attributes=properties.get(id, ("", ""))[1]
            )

    def _texts(self, name: str) -> dict[str, tuple[str, str]]:
        """Read ``name [SEP]. text`` (or only text) by entity id."""
        path = self.folder / name
        return {id: _parted(text(value)) for id, value in load_json(path, dict).items()} if path.is_file() else {}

    def _golds(self) -> dict[str, tuple[str, str]]:
        """Read names and briefs from the mention rows, for releases without ``brief.json``."""
        rows = (row for split in self.files for _, row in self.rows(split, Problems()))
        return {text(row.get("qid")): (text(row.get("entity_title")), text(row.get("brief"))) for row in rows}


def _parted(value: str) -> tuple[str, str]:
    name, separator, rest = value.partition("[SEP].")
    return (name.strip(), "" if rest.strip() == "None" else rest.strip()) if separator else ("", value)


def _picture(row: dict[str, Any]) -> Any:
    """Return the picture of a row: its path, or the first JPEG of a list, as DWE takes them."""
    listed = row.get("img_list")
    jpegs = [name for name in listed if text(name).lower().endswith(".jpg")] if isinstance(listed, list) else []
    return jpegs[0] if jpegs else row.get("imgPath") or row.get("mention_image") or None


LAYOUT = Layout("dwe", _expects, _open)
