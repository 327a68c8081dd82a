"""Mutated mentions files and layouts: nothing crashes, and every row is either imported or reported."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from melink.datasets.detect import open_dataset
from melink.datasets.mentions import PASSED_OVER, read_mentions
from melink.errors import InputError, NotFound, Problems
from melink.records import Mention

FIXTURES = Path(__file__).parents[2] / "fixtures" / "datasets"
ODD: list[Any] = [
    None, True, -1, 2**40, 1e308, "", " ", "\0", "nil", [], {}, [[]], {"text": "Ada"}, [1, 2], "../../etc/passwd",
    "http://169.254.169.254/", "Q9001", "é", "x" * 3000, {"start": -5, "end": 3}, [["r", "t"]], "/dev/zero", "~root",
]  # fmt: skip
ROW = {
    "id": "m",
    "sentence": "Ada Quill opens the bridge with Tass.",
    "mention": "Tass",
    "start": 32,
    "end": 36,
    "image_file": "1.png",
    "qid": "Q9002",
    "triples": [["Tass", "occupation", "sculptor"]],
    "attributes": {"sex": "male"},
}


def mutated_value(value: Any, rng: random.Random) -> Any:
    """Change one thing somewhere inside a JSON value."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        choice = rng.random()
        if choice < 0.2:
            return {name: item for name, item in value.items() if name != key}
        return value | {key if choice < 0.9 else "text": mutated_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], mutated_value(value[at], rng), *value[at + 1 :]]
    return rng.choice(ODD)


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut, double or insert bytes, but no line ends."""
    line = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(line) + 1)
        kind = rng.randrange(4)
        if kind == 0 and at < len(line):
            line[at] = rng.choice([c for c in range(256) if c not in b"\n\r"])
        elif kind == 1:
            del line[at:]
        elif kind == 2:
            line[at:at] = line[at : at + rng.randrange(30)]
        else:
            line[at:at] = rng.choice([b'"', b"{", b"\\ud800", b"\xff", b"[" * 2000, b"NaN", b"\\u0000"])
    return bytes(line)


def test_two_thousand_mutated_rows(tmp_path: Path):
    rng = random.Random(20)
    lines = []
    for number in range(2000):
        row = ROW | {"id": f"m{number}"} if rng.random() < 0.9 else ROW
        if rng.random() < 0.6:
            lines.append(json.dumps(mutated_value(row, rng)).encode())
        else:
            lines.append(mutated_bytes(json.dumps(row).encode(), rng))
    rows = sum(bool(line.strip()) for line in lines)
    path = tmp_path / "fuzz.jsonl"
    path.write_bytes(b"\n".join(lines))
    problems = Problems()
    found = list(read_mentions(path, FIXTURES / "jsonl" / "images", problems))
    passed_over = sum(problems.counts[kind] for kind in PASSED_OVER)
    assert len(found) + passed_over == rows
    assert len(found) > 500
    assert passed_over > 200
    for item in found:
        check_mention(item.mention)


def check_mention(mention: Mention) -> None:
    assert mention.text.strip()
    assert mention.surface.strip()
    if mention.start is not None:
        assert mention.end is not None
        assert mention.text[mention.start : mention.end].casefold() == mention.surface.casefold()
    if mention.image is not None:
        assert Path(mention.image).resolve().is_relative_to(FIXTURES / "jsonl")
    assert all(isinstance(value, str) for value in mention.attributes.values())


LAYOUTS = [
    ("wikimel", "mimic"),
    ("wikidiverse", "kgmel_generated"),
    ("wikidiverse", "kgmel"),
    ("wikimel", "drin_wikimel"),
    ("wikidiverse", "drin_wikidiverse"),
    ("wikimel", "dwe_wikimel"),
    ("richpediamel", "dwe_richpediamel"),
    ("wikidiverse", "dwe_wikidiverse"),
    ("wikimel", "melbench"),
    ("wikidiverse", "passages"),
]


@pytest.mark.parametrize(("name", "fixture"), LAYOUTS)
def test_mutated_layouts(tmp_path: Path, name: str, fixture: str):
    """Damaged releases give records, problems, or an error that names the file; never anything else."""
    rng = random.Random(fixture)
    folder = shutil.copytree(FIXTURES / fixture, tmp_path / fixture)
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".tsv"))
    for _ in range(100):
        path = rng.choice(files)
        original = path.read_bytes()
        if path.suffix == ".json" and rng.random() < 0.8:
            path.write_text(json.dumps(mutated_value(json.loads(original), rng)))
        else:
            path.write_bytes(mutated_bytes(original, rng))
        try:
            read_everything(name, folder)
        except (InputError, NotFound) as error:
            assert error.remedy
        path.write_bytes(original)
    read_everything(name, folder)


def read_everything(name: str, folder: Path) -> None:
    problems = Problems()
    dataset = open_dataset(name, folder)
    for split in dataset.splits:
        for item in dataset.mentions(split, problems=problems):
            assert item.mention.surface
        for ids in dataset.candidates_for(split, problems).values():
            assert all(isinstance(id, str) for id in ids)
    if dataset.knowledge is not None:
        assert all(entity.id and entity.label for entity in dataset.knowledge.entities(problems))
        list(dataset.knowledge.triples(problems) if dataset.knowledge.triples else ())
        list(dataset.knowledge.relations(problems) if dataset.knowledge.relations else ())
