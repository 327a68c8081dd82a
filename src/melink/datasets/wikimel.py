"""WikiMEL: captions of people from Wikipedia, one or more mentions each (called Wikidata-MEL in its first release)."""

from __future__ import annotations

from typing import Final

from melink.datasets.base import Benchmark, Published

WIKIMEL: Final = Benchmark(
    name="wikimel",
    title="WikiMEL",
    paper="Wang et al., Multimodal Entity Linking with Gated Hierarchical Fusion and Contrastive Training, SIGIR 2022",
    stems={
        "jsonl": "wikimel",
        "mimic": "WIKIMEL",
        "kgmel": "WikiMEL",
        "drin": "WIKIMEL",
        "dwe": "wikipedia",
        "melbench": "Wikidata-MEL",
    },
    published=(
        Published(
            "MIMIC, KGMEL, DRIN: split by mention",
            ("jsonl", "mimic", "kgmel", "drin"),
            {"train": 18092, "valid": 2585, "test": 5169},
        ),
        Published("GHMFC: split by sentence", ("dwe",), {"train": 18088, "valid": 2627, "test": 5131}),
        Published("MELBench: no splits", ("melbench",), {"all": 25846}),
    ),
    notes="The split by mention puts mentions of one caption, with one picture, into train and test.",
)
