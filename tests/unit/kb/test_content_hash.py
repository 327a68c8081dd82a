"""The content hash is of what a knowledge base holds, not of where it or its pictures lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson

from melink.kb.build import build
from melink.kb.disk import write_json
from melink.kb.store import KnowledgeBase
from melink.records import Entity

ROWS = ({"id": "Q1", "label": "Ann", "description": "a person"}, {"id": "Q2", "label": "Bern"})


def inputs(folder: Path) -> dict[str, Path]:
    (folder / "pictures").mkdir(parents=True)
    (folder / "entities.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in ROWS))
    for name in ("Q1.jpg", "Q1_1.jpg", "Q2.jpg"):
        (folder / "pictures" / name).write_bytes(b"a picture")
    return {"entities": folder / "entities.jsonl", "images": folder / "pictures"}


def test_the_same_data_in_another_folder_has_the_same_hash(tmp_path: Path):
    one, other = (build(tmp_path / name / "kb", **inputs(tmp_path / name / "data")) for name in ("one", "other"))
    assert one.kb.get("Q1").images != other.kb.get("Q1").images
    assert one.content_hash == other.content_hash == one.kb.content_hash()


def test_pictures_inside_and_outside_the_knowledge_base_hash_alike(tmp_path: Path):
    hashes = set()
    for place, folder in enumerate((f"{tmp_path}/kb-0/pictures/", f"{tmp_path}/elsewhere/", "C:\\data\\")):
        kb = KnowledgeBase.create(tmp_path / f"kb-{place}")
        kb.upsert([Entity("Q1", "Ann", images=(f"{folder}a.jpg",))])
        hashes.add(kb.content_hash())
    assert len(hashes) == 1


def test_another_picture_is_another_content(tmp_path: Path):
    kb = KnowledgeBase.create(tmp_path / "kb")
    hashes = set()
    for images in ((), ("x/a.jpg",), ("x/b.jpg",), ("x/a.jpg", "x/b.jpg"), ("x/b.jpg", "x/a.jpg")):
        kb.upsert([Entity("Q1", "Ann", images=images)])
        hashes.add(kb.content_hash())
    assert len(hashes) == 5


def test_a_knowledge_base_of_an_earlier_melink_opens_and_says_its_present_hash(tmp_path: Path):
    given = inputs(tmp_path / "data")
    first = build(tmp_path / "kb", **given)
    manifest = orjson.loads((tmp_path / "kb" / "manifest.json").read_bytes())
    manifest["built"]["content_hash"] = "0" * 64  # as another recipe might have hashed it
    write_json(tmp_path / "kb" / "manifest.json", manifest)
    again = build(tmp_path / "kb", **given)
    assert not again.fresh
    assert again.content_hash == first.content_hash == KnowledgeBase.open(tmp_path / "kb").content_hash()
    shutil.rmtree(tmp_path / "data")
    assert KnowledgeBase.open(tmp_path / "kb").content_hash() == first.content_hash
