"""Building the knowledge base: 134,905 entities, 331,503 triples, 1,288 pictures; then the 34,662 persons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import data_folder, main, timed
from melink.errors import Problems
from melink.kb.build import build


def measure(scratch: Path) -> dict[str, Any]:
    """Build everything, build it again, and build the persons for the benchmarks that follow."""
    data, result = data_folder(), {}
    files = {
        "entities": data / "kb" / "entities.jsonl.gz",
        "triples": data / "kb" / "triples.tsv.gz",
        "relations": data / "kb" / "relations.tsv",
        "images": data / "images" / "index.csv",
    }
    problems = Problems()
    with timed(result, "build_all"):
        kb = build(scratch / "all", **files, problems=problems).kb
    result["entities"] = len(kb)
    result["entities_per_second"] = round(len(kb) / result["build_all_seconds"])
    result["problems"] = dict(problems.counts)
    result["bytes_on_disk"] = kb.stats()["bytes"]
    with timed(result, "build_again"):
        build(scratch / "all", **files)
    with timed(result, "build_persons"):
        result["persons"] = len(build(scratch / "persons", **files, where="attributes").kb)
    return result


if __name__ == "__main__":
    main(measure)
