"""WikiDiverse: captions from Wikinews with entities of many kinds; gold may be NIL."""

from __future__ import annotations

from typing import Final

from melink.datasets.base import Benchmark, Published

WIKIDIVERSE: Final = Benchmark(
    name="wikidiverse",
    title="WikiDiverse",
    paper="Wang et al., WikiDiverse: A Multimodal Entity Linking Dataset with Diversified Contextual Topics, ACL 2022",
    stems={
        "jsonl": "wikidiverse",
        "mimic": "wiki_diverse",
        "kgmel": "WikiDiverse",
        "drin": "wikidiverse",
        "dwe": "wikidiverse",
        "passages": "wikidiverse",
    },
    published=(
        Published("MIMIC, KGMEL papers", ("mimic", "kgmel"), {"train": 11351, "valid": 1664, "test": 2078}),
        Published(
            "KGMEL release, each sentence in one split", ("jsonl",), {"train": 11151, "valid": 1656, "test": 2044}
        ),
        Published("DRIN", ("drin",), {"train": 12268, "valid": 1459, "test": 1459}),
    ),
    notes="Gold is a QID in the layouts jsonl, mimic and kgmel, and a Wikipedia title in the others.",
)
