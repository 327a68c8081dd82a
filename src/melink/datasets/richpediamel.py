"""RichpediaMEL: sentences about people; every entity is the answer of one mention only, so test entities are unseen."""

from __future__ import annotations

from typing import Final

from melink.datasets.base import Benchmark, Published

RICHPEDIAMEL: Final = Benchmark(
    name="richpediamel",
    title="RichpediaMEL",
    paper="Zhou et al., Weibo-MEL, Wikidata-MEL and Richpedia-MEL: Multimodal Entity Linking Benchmark, CCKS 2021",
    stems={
        "jsonl": "richpediamel",
        "mimic": "RichpediaMEL",
        "kgmel": "RichpediaMEL",
        "dwe": "richpedia",
        "melbench": "Richpedia-MEL",
    },
    published=(
        Published("MIMIC, KGMEL", ("jsonl", "mimic", "kgmel"), {"train": 12463, "valid": 1780, "test": 3562}),
        Published("MELBench: no splits", ("melbench",), {"all": 17805}),
    ),
    notes="The release names rows and pictures after the gold entity; no method may read ids or file names.",
)
