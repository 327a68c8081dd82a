"""A retriever alone, with the plain figures, and with the cross-encoder's reading: all mentions and the ambiguous ones.

    python reproductions/cross_encoder/study.py --data ../shared/data -o OUT --seeds 0,1,2
    python reproductions/cross_encoder/study.py --data ../shared/data -o OUT --runs wikimel=RUN --sets wikimel
    python reproductions/cross_encoder/study.py --data ../shared/data -o FIGURES --set settings.encoder=null

Lists are the exact first 16 of the whole knowledge base. Training lists come from ``zeroshot``, which was trained on
nothing. The last word is fitted on validation, so its rows are cross-validated by sentence; ``as it is used`` is what
``melink evaluate --rerank`` prints, fitted on the very mentions. A finished cell is not done again; a stopped training
goes on. Writes OUT/cells/*.json, OUT/table.json and OUT/table.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

from judge import judged
from rich.console import Console

sys.path.append(str(Path(__file__).resolve().parents[1]))

from studies import finished, knowledge, mean_sd, spread

SETS: Final = ("wikimel", "richpediamel")
PARTS: Final = ("all", "ambiguous", "ece", "brier")
ROWS: Final = {
    "own": "+ figures",
    "reading": "+ figures + reading",
    "parts": "+ all of that + parts",
    "used": "as it is used",
}


def main() -> None:
    """Run what is missing, then write the table."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True, help="folder of the benchmark data")
    ask.add_argument("-o", "--output", type=Path, required=True, help="folder of everything that is made")
    ask.add_argument("--sets", default=",".join(SETS), help="benchmarks")
    ask.add_argument("--seeds", default="0")
    ask.add_argument("--runs", default="", help="trained retrievers, SET=RUN,…; a biencoder is trained where none is")
    ask.add_argument("--kb", type=Path, help="knowledge base of persons; built when it is not given")
    ask.add_argument("--set", action="append", default=[], help="override the recipe, as of 'melink train-reranker'")
    asked = ask.parse_args()
    (asked.output / "cells").mkdir(parents=True, exist_ok=True)
    runs = dict(each.split("=", 1) for each in asked.runs.split(",") if each)
    folder = asked.kb or knowledge(asked.data, asked.output / "persons")
    for seed in map(int, asked.seeds.split(",")):
        for name in asked.sets.split(","):
            run = Path(runs[name]) if name in runs else _retriever(asked.data, asked.output, folder, name)
            _run(asked.data, asked.output, folder, run, name, seed, asked.set)
    write_table(asked.output)


def _retriever(data: Path, output: Path, kb: Path, name: str) -> Path:
    """Return a trained biencoder, made as the recorded reproductions make it."""
    from melink.cli.main import app
    from melink.runs import read_run

    folder = output / "runs" / name
    there = (folder / "config.json").is_file()
    if not there or "seconds of fitting" not in (read_run(folder).metrics or {}):  # trained, but stopped before its fit
        files = [word for split in ("train", "valid") for word in (f"--{split}", str(data / name / f"{split}.jsonl"))]
        epochs = "2" if name == "wikimel" else "1"
        settings = ["--set", "image_encoder=null", "--set", f"train.epochs={epochs}"]
        more = ["--resume"] if (folder / "checkpoint").is_dir() else []
        app(["train", "biencoder", str(kb), *files, "-o", str(folder), *settings, *more], standalone_mode=False)
    return folder


def _run(data: Path, output: Path, kb: Path, run: Path, name: str, seed: int, overrides: Sequence[str]) -> None:
    """Train and judge one cell that is not there yet."""
    from melink.config import load_over
    from melink.datasets.mentions import read_mentions
    from melink.kb.disk import write_json
    from melink.kb.store import KnowledgeBase
    from melink.linker import assemble
    from melink.rerank.cross_encoder import NAME
    from melink.runs import read_run
    from melink.train.reranker import Recipe, train_reranker

    file = output / "cells" / f"{name}-{seed}.json"
    if file.is_file():
        return
    store, images = KnowledgeBase.open(kb), data / "images" / "index.csv"
    linker, lister = (
        assemble(read_run(each).model_copy(update={"generators": ("names",), **more}), store)
        for each, more in ((run, {}), ("zeroshot", {"image_encoder": None}))
    )
    train, valid = (list(read_mentions(data / name / f"{split}.jsonl", images)) for split in ("train", "valid"))
    recipe = load_over(Recipe(), None, {"candidates": "full", "train": {"seed": seed}}, overrides)
    folder, lists = output / "rerankers" / f"{name}-{seed}", output / "lists"
    began = time.perf_counter()
    if not (folder / NAME).is_file():
        resume = (folder / "checkpoint").is_dir()
        train_reranker(linker, (train, valid), folder, recipe, lister, resume=resume, lists=lists)
    lines = (data / "slices" / f"{name}_valid_ambiguous.tsv").read_text().splitlines()[1:]
    cell = judged(linker, valid, folder, lists, {line.split("\t")[0] for line in lines})
    write_json(file, {"set": name, "seed": seed, "run": run.name, "seconds": time.perf_counter() - began, **cell})
    Console(stderr=True).print(name, seed, {row: cell["rows"][row]["all"] for row in cell["rows"]})


def write_table(output: Path) -> None:
    """Write mean ± standard deviation over seeds of every row, and print them."""
    from melink.datasets.files import replacing
    from melink.kb.disk import write_json

    cells, rows, lines = list(finished(output)), [], []
    for name in dict.fromkeys(cell["set"] for cell in cells):
        own = [cell for cell in cells if cell["set"] == name]
        first = own[0]
        lines += [
            f"**{name}** validation: {first['n']:,} mentions, {first['n ambiguous']} ambiguous, {first['read']} read"
            f" (of the others {first['wrong among the others']} are wrong)",
            "",
            "| | Hits@1 | ambiguous Hits@1 | ECE | Brier | seeds |",
            "|---|---|---|---|---|---|",
        ]
        for row, label in {"retrieval": "retriever alone", **ROWS}.items():
            if row not in first["rows"]:
                continue
            parts = [part for part in PARTS if part in first["rows"][row]]
            figures = {part: spread([cell["rows"][row][part] for cell in own]) for part in parts}
            rows.append({"set": name, "row": label, "seeds": len(own), **figures})
            shown = [mean_sd(figures[part], 2) if part in figures else "–" for part in PARTS]
            lines.append(f"| {label} | {' | '.join(shown)} | {len(own)} |")
        if first["arithmetic"]:
            lines += ["", "| arithmetic | mentions read per second | Hits@1 | ambiguous |", "|---|---|---|---|"]
        for arithmetic in first["arithmetic"]:
            measured = [cell["arithmetic"][arithmetic] for cell in own]
            values = [fmean(each[key] for each in measured) for key in ("mentions read per second", "all", "ambiguous")]
            rows.append({"set": name, "arithmetic": arithmetic, "seeds": len(own), "values": values})
            lines.append(f"| {arithmetic} | {values[0]:.1f} | {100 * values[1]:.2f} | {100 * values[2]:.2f} |")
        lines.append("")
    write_json(output / "table.json", rows)
    with replacing(output / "table.md") as out:
        out.write("\n".join(lines).encode())
    Console(stderr=True, width=140).print("\n".join(lines), markup=False)


if __name__ == "__main__":
    main()
