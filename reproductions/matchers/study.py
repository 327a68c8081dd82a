"""MIMIC, MELOV and MELOV's ablations beside ``zeroshot`` and ``biencoder``, under one protocol, in one table.

    python reproductions/matchers/study.py --data ../shared/data -o OUT --jobs 2
    python reproductions/matchers/study.py --data ../shared/data -o OUT --sets wikimel --seeds 0 --systems mimic,melov

Every system has the same frozen encoders and ranks the whole knowledge base, exactly. All but ``zeroshot`` read the
same texts; those that are trained see the same mentions, three seeds each. A finished cell is not done again. Writes
OUT/cells/*.json, OUT/table.json and OUT/table.md. For the sake of two cores, the matchers read 24 tokens of a text
instead of the paper's 40, and make one pass over the training mentions. Where no training mention has a picture, MELOV
is MIMIC with ``absent: neutral`` by construction, and its rows are left out.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).resolve().parents[1]))

from studies import finished, knowledge, mean_sd, spread

TEXTS: Final = {
    "mention_template": "{surface} [SEP] {text}",
    "entity_template": "{label} [SEP] {description} {attributes} {extract}",
}
MATCHER: Final = {**TEXTS, "tokens": 24, "names": True}
PLAN: Final = {"epochs": 1, "checkpoint_every": 1000, "valid_mentions": 200}
HARD: Final = {"negatives": {"hard": 1}}
BATCH: Final = {"negatives": {"hard": 0, "group": 1, "easy": 1.0}}
"""Negatives of the batch alone, mentions in any order, as published: without names, they must be told apart as well."""
Systems = dict[str, tuple[str, dict[str, Any], dict[str, Any]]]
SYSTEMS: Final[Systems] = {
    "text cosine": ("biencoder", {**TEXTS, "tune": 0, "weights": {"name": 0.0}}, {}),
    "zeroshot": ("zeroshot", {}, {}),
    "zeroshot, no facts": ("zeroshot", {"weights": {"triples": 0.0}}, {}),
    "biencoder": ("biencoder", {**TEXTS, "tune": 0}, {"batch": 32, "head_lr": 2e-2, **PLAN, "epochs": 2}),
    "mimic as published": ("mimic", {**MATCHER, "names": False, "sharpness": 50}, {**PLAN, **BATCH}),
    "mimic": ("mimic", MATCHER, {**PLAN, **HARD}),
    "mimic, neutral": ("mimic", {**MATCHER, "absent": "neutral"}, {**PLAN, **HARD}),
    "melov": ("melov", MATCHER, {**PLAN, **HARD}),
    "melov w/o inter": ("melov", {**MATCHER, "inter": False}, {**PLAN, **HARD}),
    "melov w/o intra": ("melov", {**MATCHER, "intra": False}, {**PLAN, **HARD}),
    "melov w/o threshold": ("melov", {**MATCHER, "threshold": False}, {**PLAN, **HARD}),
    "melov filter": ("melov", {**MATCHER, "filter": 0.2}, {**PLAN, **HARD}),
    "melov dot": ("melov", {**MATCHER, "similarity": "dot"}, {**PLAN, **HARD}),
    "melov cosine": ("melov", {**MATCHER, "similarity": "cosine"}, {**PLAN, **HARD}),
    "melov euclidean": ("melov", {**MATCHER, "similarity": "euclidean"}, {**PLAN, **HARD}),
}
"""Row → method, settings, plan (empty: nothing to train)."""
SETS: Final = {"wikimel": "attributes", "richpediamel": "attributes", "wikidiverse": "text"}
"""Benchmark → which entities of the shared knowledge base it is linked to."""
KS: Final = ("hits@1", "hits@3", "hits@5", "mrr")


def main() -> None:
    """Run what is missing, then write the table."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True, help="folder of the benchmark data")
    ask.add_argument("-o", "--output", type=Path, required=True, help="folder of knowledge bases, cells and the table")
    ask.add_argument("--sets", default=",".join(SETS), help="benchmarks")
    ask.add_argument("--seeds", default="0,1,2")
    ask.add_argument("--systems", default=",".join(SYSTEMS).replace(", ", " "))
    ask.add_argument("--jobs", type=int, default=1, help="processes, of one thread each when more than one")
    asked = ask.parse_args()
    systems = [name for name in SYSTEMS if name.replace(", ", " ") in asked.systems.split(",")]
    work = [(name, int(seed), systems) for seed in asked.seeds.split(",") for name in asked.sets.split(",")]
    for name in asked.sets.split(","):
        knowledge(asked.data, asked.output / "kb" / SETS[name], SETS[name])
    if asked.jobs == 1:
        for each in work:
            _run(asked.data, asked.output, *each)
    else:
        os.environ["OMP_NUM_THREADS"] = "1"
        with multiprocessing.get_context("spawn").Pool(asked.jobs, maxtasksperchild=1) as pool:
            pool.starmap(_run, [(asked.data, asked.output, *each) for each in work], chunksize=1)
    write_table(asked.output)


def _run(data: Path, output: Path, name: str, seed: int, systems: Sequence[str]) -> None:
    """Do the cells of one benchmark and one seed that are not there yet."""
    from melink.datasets.mentions import read_mentions
    from melink.kb.disk import write_json
    from melink.kb.store import KnowledgeBase

    files = {
        system: output / "cells" / f"{name}-{system.replace(' ', '_').replace('/', '')}-{seed}.json"
        for system in systems
    }
    missing = [system for system in systems if not files[system].is_file() and (SYSTEMS[system][2] or seed == 0)]
    if not missing:
        return
    (output / "cells").mkdir(parents=True, exist_ok=True)
    kb = KnowledgeBase.open(knowledge(data, output / "kb" / SETS[name], SETS[name]))
    images = data / "images" / "index.csv"
    train, valid = (list(read_mentions(data / name / f"{split}.jsonl", images)) for split in ("train", "valid"))
    ambiguous = {
        line.split("\t")[0] for line in (data / "slices" / f"{name}_valid_ambiguous.tsv").read_text().splitlines()[1:]
    }
    shared: dict[str, Any] = {}
    pictures = any(sample.mention.image is not None for sample in train)
    for system in missing:
        if system.startswith("melov") and not pictures:
            continue  # nothing to learn pictures from: melov is "mimic, neutral"
        began = time.perf_counter()
        cell = _cell(kb, train, valid, ambiguous, system, seed, shared)
        write_json(
            files[system], {"set": name, "system": system, "seed": seed, "seconds": time.perf_counter() - began, **cell}
        )
        Console(stderr=True).print(name, seed, system, cell["all"]["hits@1"], f"{time.perf_counter() - began:.0f} s")


def _cell(
    kb: Any, train: list[Any], valid: list[Any], ambiguous: set[str], system: str, seed: int, shared: dict[str, Any]
) -> dict[str, Any]:
    """Train one system with one seed and rank the knowledge base for every validation mention with gold in it."""
    import torch

    from melink import registry
    from melink.candidates.load import CHEAP, load_generators
    from melink.config import parse
    from melink.evaluate.metrics import summarise
    from melink.linker import context_of
    from melink.ranking.rank import rank
    from melink.runs import Run
    from melink.train.course import Course
    from melink.train.loop import train as learn
    from melink.train.plan import Plan

    method_name, settings, plan = SYSTEMS[system]
    encoder = "minilm" if method_name == "zeroshot" else "minilm?max_tokens=40"  # zeroshot reads its own texts, whole
    run = Run(method=method_name, settings=settings, text_encoder=encoder)
    context = context_of(run, kb)
    torch.manual_seed(seed)
    method = registry.load("method", method_name).build(context, settings)
    figures: dict[str, Any] = {}
    if plan:
        method.start_training()
        full = parse(Plan, {**getattr(method, "plan", {}), **plan, "seed": seed}, "train")
        family = "biencoder" if method_name == "biencoder" else "matcher"
        if family not in shared:  # what is read and mined is the same for a whole family
            reader = registry.load("method", "melov" if family == "matcher" else method_name).build(
                context, settings if family == "biencoder" else MATCHER
            )
            pooled = load_generators(full.negatives.generators, kb, context.store, context.text)
            shared[family] = Course(reader, kb, pooled, load_generators(CHEAP, kb, context.store), train, valid, full)
        course = copy.copy(shared[family])
        course.plan = full
        with tempfile.TemporaryDirectory() as folder:
            found = learn(method, course, full, Path(folder))
        figures = {"steps": found.steps, "train_seconds": found.seconds, "candidates_hits@1": found.best["hits@1"]}
        if hasattr(method, "_deploy"):
            method._deploy()
    view = kb.view()
    gold = view.rows([sample.gold or "" for sample in valid])
    asked = [place for place, row in enumerate(gold) if row >= 0]
    ranked = rank(method, kb, [valid[place].mention for place in asked], 1, gold[asked])
    ranks = [None if place != place else float(place) for place in ranked.ranks]
    hard = [r for r, place in zip(ranks, asked, strict=True) if valid[place].mention.id in ambiguous]
    seen = [r for r, place in zip(ranks, asked, strict=True) if valid[place].mention.image is not None]
    share = sum(ranked.scored) / max(1, ranked.pairs)
    return {
        **figures,
        "all": summarise(ranks),
        "ambiguous": summarise(hard),
        "with picture": summarise(seen),
        "scored": share,
    }


def write_table(output: Path) -> None:
    """Write mean ± standard deviation over seeds of every row, and print them."""
    from melink.datasets.files import replacing
    from melink.kb.disk import write_json

    cells = list(finished(output))
    rows = []
    for name in SETS:
        for system in SYSTEMS:
            own = [cell for cell in cells if cell["set"] == name and cell["system"] == system]
            if own:
                figures = {
                    f"{part} {k}": spread([cell[part][k] for cell in own]) for part in ("all", "ambiguous") for k in KS
                }
                rows.append(
                    {
                        "set": name,
                        "system": system,
                        "seeds": len(own),
                        "n": own[0]["all"]["n"],
                        "n ambiguous": own[0]["ambiguous"]["n"],
                        "n with picture": own[0]["with picture"]["n"],
                        **figures,
                    }
                )
    write_json(output / "table.json", rows)
    heads = ("", "Hits@1", "Hits@3", "Hits@5", "MRR", "ambiguous Hits@1", "seeds")
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        counts = (
            f"{own[0]['n']:,} mentions, {own[0]['n ambiguous']} ambiguous, {own[0]['n with picture']} with a picture"
        )
        lines += [f"**{name}** validation: {counts}", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        screen = Table(*heads, title=name)
        for row in own:
            values = [
                row["system"],
                *(mean_sd(row[f"all {k}"]) for k in KS),
                mean_sd(row["ambiguous hits@1"]),
                str(row["seeds"]),
            ]
            lines.append("| " + " | ".join(values) + " |")
            screen.add_row(*values)
        lines.append("")
        Console(stderr=True, width=140).print(screen)
    with replacing(output / "table.md") as out:
        out.write("\n".join(lines).encode())


if __name__ == "__main__":
    main()
