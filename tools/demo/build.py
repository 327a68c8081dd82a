"""Draw the pictures and write the data of the demo: ``python tools/demo/build.py [--out DIR]``.

Everything is made here, from the YAML files of ``source/`` and the drawing modules; the same sources give the same
bytes.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import animals  # noqa: F401  (registers emblems)
import cast  # noqa: F401
import goods  # noqa: F401
import places  # noqa: F401
import sky  # noqa: F401
import things  # noqa: F401
import towns  # noqa: F401
import yaml
from emblems import draw_emblem
from flags import draw_flag
from pen import finish
from PIL import Image
from scenes import SCENES

SOURCE = Path(__file__).parent / "source"
PACKAGED = Path(__file__).parents[2] / "src" / "melink" / "demo" / "data"
GROUPS = ("places", "people", "myths", "things", "minor")
ID = re.compile(r"Q\d+|demo:[a-z0-9-]+")
SPAN = re.compile(r"\[([^\]]+)\]")
Row = dict[str, Any]


def load(name: str) -> Any:
    """Return the content of a source file."""
    return yaml.safe_load((SOURCE / f"{name}.yaml").read_text(encoding="utf-8"))


def entity_sources() -> dict[str, Row]:
    """Return all source entities by id; a repeated id is an error."""
    merged: dict[str, Row] = {}
    for group in GROUPS:
        for key, row in load(group).items():
            if key in merged:
                raise ValueError(f"{group}.yaml repeats {key}")
            merged[key] = row
    return merged


def facts(entity: Row, classes: dict[str, str]) -> list[tuple[str, str]]:
    """Return the facts of a source entity as (relation label, value); its types come first, as classes."""
    found = [("instance of", classes[kind]) for kind in entity["types"] if kind in classes]
    for relation, value in entity.get("facts", {}).items():
        found += [(relation, str(v)) for v in (value if isinstance(value, list) else [value])]
    return found


def image_name(picture: str) -> str:
    """Return the file name of a picture such as ``flag georgia``."""
    return picture.replace(" ", "-") + ".png"


def knowledge() -> tuple[list[Row], list[tuple[str, str, str]]]:
    """Return entity rows with their literal facts, and the facts between entities."""
    sources, relations = entity_sources(), load("relations")
    classes = {row["label"]: key for key, row in sources.items() if row["types"] == ["class"]}
    rows, links = [], []
    for key, source in sources.items():
        row: Row = {"id": key, "label": source["label"], "aliases": source.get("aliases", [])}
        row |= {"description": source["about"], "types": source["types"], "triples": []}
        for relation, value in facts(source, classes):
            if not ID.fullmatch(value):
                row["triples"].append({"relation": relation, "tail": value, "literal": True})
            elif value not in sources:
                raise ValueError(f"{key}: {relation} points to {value}, which is not in the sources")
            elif relation not in relations:
                raise ValueError(f"{key}: {relation} points to an entity, so relations.yaml must name it")
            else:
                links.append((key, relations[relation][0], value))
        if "picture" in source:
            row["images"] = ["images/" + image_name(source["picture"])]
        rows.append(row)
    return rows, links


def mentions() -> list[Row]:
    """Return mention rows, the span taken from the brackets of the source text."""
    rows = []
    for number, source in enumerate(load("mentions"), start=1):
        match = SPAN.search(source["text"])
        if match is None:
            raise ValueError(f"mention without brackets: {source['text']}")
        start, name = match.start(), match.group(1)
        row: Row = {"id": f"demo-{number:03}", "text": SPAN.sub(name, source["text"], count=1)}
        row["mention"] = {"text": name, "start": start, "end": start + len(name)}
        if "picture" in source:
            row["image"] = f"images/mention-{number:03}.png"
        row |= {"qid": source["gold"], "decided_by": source["by"], "note": source["note"]}
        rows.append(row)
    return rows


def draw(picture: str) -> Image.Image:
    """Return the finished picture of an entity: ``flag NAME`` or the name of an emblem."""
    kind, _, name = picture.partition(" ")
    return finish(draw_flag(name).image if kind == "flag" else draw_emblem(picture))


def save(image: Image.Image, path: Path) -> None:
    """Write a picture as a small PNG."""
    image.save(path, optimize=True)


def write_pictures(folder: Path) -> None:
    """Draw every picture that the sources name; a picture nobody names any more is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for source in entity_sources().values():
        if "picture" in source:
            save(draw(source["picture"]), folder / image_name(source["picture"]))
    for number, source in enumerate(load("mentions"), start=1):
        if "picture" in source:
            scene, _, name = source["picture"].partition(" ")
            save(finish(SCENES[scene](name)), folder / f"mention-{number:03}.png")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines as UTF-8 with a newline after each."""
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def build(out: Path) -> None:
    """Write the whole data folder."""
    write_pictures(out / "images")
    rows, links = knowledge()
    used = Counter(relation for _, relation, _ in links)
    names = [(pid, label, about, used[pid]) for label, (pid, about) in load("relations").items() if used[pid]]
    write_lines(out / "entities.jsonl", (json.dumps(row, ensure_ascii=False) for row in rows))
    write_lines(out / "triples.tsv", ("\t".join(link) for link in links))
    write_lines(out / "relations.tsv", ["pid\tlabel\tdescription\ttriples", *("\t".join(map(str, n)) for n in names)])
    write_lines(out / "mentions.jsonl", (json.dumps(row, ensure_ascii=False) for row in mentions()))
    (out / "README.md").write_text((SOURCE / "README.md").read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw the pictures and write the data of the demo.")
    parser.add_argument("--out", type=Path, default=PACKAGED, help="folder to write to; the packaged one by default")
    build(parser.parse_args().out)
