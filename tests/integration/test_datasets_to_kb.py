"""A published layout becomes a knowledge base, and its golds are looked up there."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from melink.cli.datasets import app
from melink.datasets.convert import convert
from melink.datasets.detect import open_dataset
from melink.errors import Problems
from melink.kb.build import build
from melink.kb.store import KnowledgeBase

FIXTURES = Path(__file__).parents[1] / "fixtures" / "datasets"


def test_kgmel_release_to_knowledge_base(tmp_path: Path):
    out, kb = tmp_path / "out", tmp_path / "kb"
    convert(open_dataset("wikidiverse", FIXTURES / "kgmel"), out, Problems())
    build(kb, entities=out / "entities.jsonl", triples=out / "triples.tsv", relations=out / "relations.tsv")
    entity = KnowledgeBase.open(kb).get("Q8002")
    assert (entity.label, entity.description) == ("Port Veld", 'capital called "the Port"')
    assert [triple.words() for triple in entity.triples] == ["country: Veld"]
    assert [Path(image).name for image in KnowledgeBase.open(kb).get("Q8001").images] == ["Q8001_0.jpg"]

    KnowledgeBase.open(kb).delete(["Q8001"])
    folder = str(FIXTURES / "kgmel")
    done = CliRunner().invoke(app, ["check", "wikidiverse", folder, "--kb", str(kb), "--json"])
    splits = json.loads(done.stdout)["splits"]
    assert {name: split["gold_outside"] for name, split in splits.items()} == {"train": 1, "valid": 0, "test": 0}
