"""The packaged demo data: complete, consistent, small, and exactly what the drawing code makes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[3]
DATA = ROOT / "src" / "melink" / "demo" / "data"
TABLES = ("entities.jsonl", "mentions.jsonl", "triples.tsv", "relations.tsv", "README.md")


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def entities() -> dict[str, dict[str, Any]]:
    found = rows("entities.jsonl")
    assert len({e["id"] for e in found}) == len(found)
    return {e["id"]: e for e in found}


@pytest.fixture(scope="module")
def mentions() -> list[dict[str, Any]]:
    return rows("mentions.jsonl")


@pytest.fixture(scope="module")
def links() -> list[list[str]]:
    return [line.split("\t") for line in (DATA / "triples.tsv").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def owners(entities: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
    """Ids by lower-case name."""
    named = defaultdict(set)
    for e in entities.values():
        for name in (e["label"], *e["aliases"]):
            named[name.casefold()].add(e["id"])
    return named


@pytest.fixture(scope="module")
def fact_tails(entities: dict[str, dict[str, Any]], links: list[list[str]]) -> dict[str, set[str]]:
    """Words of the facts of each entity: labels of tails and literal texts."""
    tails = defaultdict(set)
    for head, _, tail in links:
        tails[head].add(entities[tail]["label"])
    for e in entities.values():
        tails[e["id"]] |= {t["tail"] for t in e["triples"]}
    return tails


def test_is_large_enough_and_names_collide(
    entities: dict[str, dict[str, Any]], owners: dict[str, set[str]], mentions: list[dict[str, Any]]
) -> None:
    shared = {name: ids for name, ids in owners.items() if len(ids) > 1}
    assert len(shared) >= 40
    assert len(set().union(*shared.values())) >= 150
    assert sum("images" in e for e in entities.values()) >= 0.7 * len(entities)
    assert sum("images" not in e for e in entities.values()) >= 10
    decided = Counter(m["decided_by"] for m in mentions)
    assert set(decided) == {"image", "triple", "text", "name", "nil"}
    assert min(decided["image"], decided["triple"], decided["text"]) >= 10
    assert decided["nil"] >= 6
    assert 40 <= len(mentions) <= 80


def test_names_collide_across_kinds(entities: dict[str, dict[str, Any]], owners: dict[str, set[str]]) -> None:
    for name, least in {
        "georgia": 2,
        "jordan": 4,
        "mercury": 5,
        "paris": 4,
        "amazon": 4,
        "java": 3,
        "apple": 3,
    }.items():
        kinds = {kind for key in owners[name] for kind in entities[key]["types"]}
        assert len(owners[name]) >= least, name
        assert len(kinds) >= 2, name


def test_entities_are_complete(entities: dict[str, dict[str, Any]]) -> None:
    for key, e in entities.items():
        assert e["label"].strip() == e["label"] != "", key
        assert e["description"].endswith("."), key
        assert e["types"], key
        assert e["label"] not in e["aliases"], key
        assert all(t["literal"] and t["relation"] and t["tail"] for t in e["triples"]), key


def test_references_resolve(
    entities: dict[str, dict[str, Any]], links: list[list[str]], mentions: list[dict[str, Any]]
) -> None:
    header, *lines = (DATA / "relations.tsv").read_text(encoding="utf-8").splitlines()
    assert header == "pid\tlabel\tdescription\ttriples"
    counts = {line.split("\t")[0]: int(line.split("\t")[3]) for line in lines}
    assert counts == Counter(relation for _, relation, _ in links)
    assert len({tuple(link) for link in links}) == len(links)
    for head, _, tail in links:
        assert head in entities and tail in entities and head != tail, (head, tail)
    used = {name for e in entities.values() for name in e.get("images", [])}
    used |= {m["image"] for m in mentions if "image" in m}
    assert used == {f"images/{path.name}" for path in (DATA / "images").iterdir()}
    assert all(m["qid"] == "NIL" or m["qid"] in entities for m in mentions)


def test_spans_are_the_names(mentions: list[dict[str, Any]]) -> None:
    assert len({m["id"] for m in mentions}) == len(mentions)
    for m in mentions:
        span = m["mention"]
        assert m["text"][span["start"] : span["end"]] == span["text"], m["id"]
        assert m["note"].endswith("."), m["id"]
        assert "[" not in m["text"], m["id"]


def test_only_the_picture_decides(
    entities: dict[str, dict[str, Any]], owners: dict[str, set[str]], mentions: list[dict[str, Any]]
) -> None:
    own = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (DATA / "images").iterdir() if "mention" not in p.name}
    for m in (m for m in mentions if m["decided_by"] == "image"):
        assert len(owners[m["mention"]["text"].casefold()]) >= 2, m["id"]
        assert "images" in entities[m["qid"]], m["id"]
        assert hashlib.sha256((DATA / m["image"]).read_bytes()).hexdigest() not in own, m["id"]
    twins = Counter(m["text"] for m in mentions if m["decided_by"] == "image")
    assert sum(n for n in twins.values() if n > 1) >= 10


def test_only_a_fact_decides(
    entities: dict[str, dict[str, Any]],
    owners: dict[str, set[str]],
    fact_tails: dict[str, set[str]],
    mentions: list[dict[str, Any]],
) -> None:
    for m in (m for m in mentions if m["decided_by"] == "triple"):
        assert "image" not in m, m["id"]
        rivals = owners[m["mention"]["text"].casefold()] - {m["qid"]}
        assert rivals, m["id"]
        said = {tail for tail in fact_tails[m["qid"]] if tail in m["text"]}
        assert said, m["id"]
        assert not any(tail in entities[m["qid"]]["description"] for tail in said), m["id"]
        for rival in rivals:
            assert not said <= fact_tails[rival], (m["id"], rival)


def test_nil_mentions_name_nobody_or_say_so(owners: dict[str, set[str]], mentions: list[dict[str, Any]]) -> None:
    missing = [m for m in mentions if m["decided_by"] == "nil"]
    assert all(m["qid"] == "NIL" for m in missing)
    assert all(m["qid"] != "NIL" for m in mentions if m["decided_by"] != "nil")
    unknown = [m for m in missing if m["mention"]["text"].casefold() not in owners]
    assert len(unknown) >= 5
    assert len(missing) > len(unknown)


def test_is_small_and_its_pictures_are_palette_pngs() -> None:
    files = [path for path in DATA.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_000_000
    for path in (DATA / "images").iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG" and image.mode == "P" and max(image.size) == 256, path.name


def test_states_its_licence() -> None:
    text = (DATA / "README.md").read_text(encoding="utf-8")
    assert "CC0" in text and "Apache-2.0" in text and "own work" in text


@pytest.mark.slow
def test_drawing_code_reproduces_the_packaged_data(tmp_path: Path) -> None:
    script = ROOT / "tools" / "demo" / "build.py"
    subprocess.run([sys.executable, str(script), "--out", str(tmp_path)], check=True, timeout=300)
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes(), f"run tools/demo/build.py: {name} is old"
    made = {path.name for path in (tmp_path / "images").iterdir()}
    assert made == {path.name for path in (DATA / "images").iterdir()}
    for name in sorted(made):
        with Image.open(tmp_path / "images" / name) as new, Image.open(DATA / "images" / name) as old:
            a, b = (np.asarray(image.convert("RGB"), dtype=np.int16) for image in (new, old))
        assert a.shape == b.shape, name
        # Releases of Pillow differ by a rounding step in scaling and palettes; a changed drawing differs by far more.
        assert np.abs(a - b).mean() < 1.0, f"run tools/demo/build.py: {name} is old"
