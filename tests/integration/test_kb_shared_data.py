"""The whole of the shared benchmark data becomes one knowledge base."""

from __future__ import annotations

from pathlib import Path

import pytest

from melink.errors import Problems
from melink.kb.build import build


@pytest.mark.slow
@pytest.mark.data
def test_counts_of_the_shared_data(shared_data: Path, tmp_path: Path):
    folder, problems = shared_data / "kb", Problems()
    kb = build(
        tmp_path / "kb",
        folder / "entities.jsonl.gz",
        folder / "triples.tsv.gz",
        folder / "relations.tsv",
        shared_data / "images" / "index.csv",
        problems=problems,
    ).kb
    stats = kb.stats()
    expected = {"entities": 134_905, "with_text": 119_707, "with_description": 89_628, "with_attributes": 34_662,
                "with_extract": 19_573, "with_aliases": 40_192, "with_types": 80_451,
                "triples_id": 331_503}  # fmt: skip
    assert {name: stats[name] for name in expected} == expected
    # 1,288 rows of the index: pictures of mentions, without an id, of ids that are not in the file; the rest is stored
    assert stats["images"] == 1288 - 41 - 6 - 3
    assert problems.counts == {
        "picture without id": 6, "picture of unknown entity": 3, "bad relation": 1,
        "unnamed relation": 1,
    }  # fmt: skip
    assert kb.names.num_docs == 134_905
    assert kb.names.exact("Barack Obama") == [("Q76", 1.0)]
    obama = kb.get("Q76")
    assert "spouse: Michelle Obama" in [triple.words() for triple in obama.triples]
    assert len(kb.view()) == 134_905
