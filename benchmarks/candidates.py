"""Candidates for WikiMEL and RichpediaMEL validation over the persons, mentions encoded afresh."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from common import data_folder, main
from melink.candidates.fusion import fused
from melink.candidates.load import DEFAULT, load_generators
from melink.datasets.mentions import read_mentions
from melink.features.load import load_text
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase

K, BATCH = 100, 256


def measure(scratch: Path) -> dict[str, Any]:
    """Return recall@100 and mentions per minute of the fused generators, everything but process start included."""
    kb = KnowledgeBase.open(scratch / "persons")
    generators = load_generators(DEFAULT, kb, FeatureStore(kb.features_dir), load_text("minilm"))
    fused(generators, [], K)  # reads what it searches
    result: dict[str, Any] = {"k": K, "entities": len(kb), "generators": list(DEFAULT)}
    for name in ("wikimel", "richpediamel"):
        samples = list(read_mentions(data_folder() / name / "valid.jsonl"))
        began, found = time.perf_counter(), 0
        for start in range(0, len(samples), BATCH):
            batch = samples[start : start + BATCH]
            lists = fused(generators, [s.mention for s in batch], K).ids
            found += sum(s.gold in ids for s, ids in zip(batch, lists, strict=True))
        seconds = time.perf_counter() - began
        result[name] = {
            "mentions": len(samples),
            f"recall@{K}": round(found / len(samples), 5),
            "mentions_per_minute": round(60 * len(samples) / seconds),
        }
    return result


if __name__ == "__main__":
    main(measure)
