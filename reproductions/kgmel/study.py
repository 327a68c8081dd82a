"""KGMEL's retrieval with and without triples, and its ablations, under one protocol, in one table.

    python reproductions/kgmel/study.py --data ../shared/data -o OUT --jobs 2
    python reproductions/kgmel/study.py --data ../shared/data -o OUT --seeds 0 --systems "full,without triples"

Mentions get facts from the offline generator (``melink enrich triples --with patterns --kb``), once, into OUT. Encoders
are frozen and the whole knowledge base is ranked, exactly; every row reads the same texts as the matchers of
docs/matchers.md. A finished cell is not done again. Writes OUT/cells/*.json, OUT/table.json and OUT/table.md.

With ``--sample FOLDER``, the folder of ``reproductions/kgmel_rerank/study.py``, the full system also ranks that study's
ambiguous mentions: without generated facts, with those of the patterns, and with those of its language model.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

sys.path.append(str(Path(__file__).resolve().parents[1]))

from studies import finished, knowledge, mean_sd, spread

TEXTS: Final = {
    "mention_template": "{surface} [SEP] {text}",
    "entity_template": "{label} [SEP] {description} {attributes} {extract}",
    "asides": True,
}
SHORT: Final = {**TEXTS, "entity_template": "{label}: {description}", "asides": False}
PAPER: Final = {
    **SHORT,
    "sentence": False,
    "names": False,
    "top": 3,
}
BATCH: Final = {"negatives": {"hard": 0, "group": 1, "easy": 1.0}}
"""Negatives of the batch alone, mentions in any order, as published."""
PLAN: Final = {"checkpoint_every": 1000, "valid_mentions": 200}
SYSTEMS: Final[dict[str, tuple[dict[str, Any], bool, dict[str, Any]]]] = {
    "full": ({}, True, {}),
    "without triples": ({"triples": 0}, True, {}),
    "without generated triples": ({}, False, {}),
    "without the sentence": ({"sentence": False}, True, {}),
    "label and description": (SHORT, True, {}),
    "label and description, without triples": ({**SHORT, "triples": 0}, True, {}),
    "without image": ({"images": False}, True, {}),
    "without gate": ({"gate": False}, True, {}),
    "without L_ME": ({"losses": {"mention_entity": 0.0}}, True, {}),
    "without L_MM": ({"losses": {"mention_mention": 0.0}}, True, {}),
    "without L_EE": ({"losses": {"entity_entity": 0.0}}, True, {}),
    "p 1": ({"top": 1}, True, {}),
    "p 3": ({"top": 3}, True, {}),
    "p 5": ({"top": 5}, True, {}),
    "beta 0": ({"beta": 0.0}, True, {}),
    "beta 1": ({"beta": 1.0}, True, {}),
    "as published": (PAPER, True, BATCH),
    "as published, without triples": ({**PAPER, "triples": 0}, True, BATCH),
    "as published, with the sentence": ({**PAPER, "sentence": True}, True, BATCH),
}
"""Row → settings, whether mentions have generated facts, and what differs in the plan."""
SETS: Final = ("wikimel", "richpediamel")
KS: Final = ("hits@1", "hits@3", "hits@5", "mrr")


def main() -> None:
    """Run what is missing, then write the table."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True, help="folder of the benchmark data")
    ask.add_argument("-o", "--output", type=Path, required=True, help="folder of mentions, cells and the table")
    ask.add_argument("--kb", type=Path, help="knowledge base of the 34,662 persons; built in OUT when not given")
    ask.add_argument("--sets", default=",".join(SETS), help="benchmarks")
    ask.add_argument("--seeds", default="0,1,2")
    ask.add_argument("--systems", default=",".join(SYSTEMS).replace(", ", " "), help="rows")
    ask.add_argument("--jobs", type=int, default=1, help="processes, of one thread each when more than one")
    ask.add_argument("--sample", type=Path, help="folder of the reranking study: its mentions are ranked as well")
    asked = ask.parse_args()
    systems = [name for name in SYSTEMS if name.replace(", ", " ") in asked.systems.split(",")]
    folder = asked.kb or knowledge(asked.data, asked.output / "kb")
    for name in asked.sets.split(","):
        _enriched(asked.data, asked.output, folder, name)
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    work = [(asked.data, asked.output, folder, name, seeds, systems, asked.sample) for name in asked.sets.split(",")]
    if asked.jobs == 1:
        for each in work:
            _run(*each)
    else:
        os.environ["OMP_NUM_THREADS"] = "1"
        with multiprocessing.get_context("spawn").Pool(asked.jobs, maxtasksperchild=1) as pool:
            pool.starmap(_run, work, chunksize=1)
    write_table(asked.output)


def _enriched(data: Path, output: Path, kb: Path, name: str) -> None:
    """Write the mentions of a benchmark with facts, when they are not there."""
    from melink.cli.main import app

    (output / "mentions").mkdir(parents=True, exist_ok=True)
    for split in ("train", "valid"):
        file = output / "mentions" / f"{name}-{split}.jsonl"
        if not file.is_file():
            asked = ["enrich", "triples", str(data / name / f"{split}.jsonl"), "-o", str(file)]
            images = ["--images", str(data / "images/index.csv")]
            app([*asked, "--with", "patterns", "--kb", str(kb), *images], standalone_mode=False)


def _run(
    data: Path,
    output: Path,
    kb_folder: Path,
    name: str,
    seeds: Sequence[int],
    systems: Sequence[str],
    folder: Path | None,
) -> None:
    """Do the cells of one benchmark that are not there yet; all seeds of a row, which share what is read and mined."""
    import orjson

    from melink.datasets.mentions import read_mentions
    from melink.kb.disk import write_json
    from melink.kb.store import KnowledgeBase

    files = {
        (system, seed): output / "cells" / f"{name}-{_plain(system)}-{seed}.json"
        for system in systems
        for seed in seeds
    }
    sample = _sample(folder, name)

    def lacks(cell: tuple[str, int]) -> bool:
        file = files[cell]
        if not file.is_file():
            return True
        return cell[0] == "full" and bool(sample) and "sample" not in orjson.loads(file.read_bytes())

    missing = [cell for cell in files if lacks(cell)]
    if not missing:
        return
    (output / "cells").mkdir(parents=True, exist_ok=True)
    kb, images = KnowledgeBase.open(kb_folder), data / "images" / "index.csv"
    sources = {
        True: {split: output / "mentions" / f"{name}-{split}.jsonl" for split in ("train", "valid")},
        False: {split: data / name / f"{split}.jsonl" for split in ("train", "valid")},
    }
    slices = (data / "slices" / f"{name}_valid_ambiguous.tsv").read_text().splitlines()[1:]
    ambiguous = {line.split("\t")[0] for line in slices}
    shared: dict[str, Any] = {}
    for system, seed in missing:
        began, cpu = time.perf_counter(), time.process_time()
        settings, facts, plan = SYSTEMS[system]
        train, valid = (list(read_mentions(sources[facts][split], images)) for split in ("train", "valid"))
        asked = sample if system == "full" else {}
        cell = _cell(kb, train, valid, ambiguous, {**TEXTS, **settings}, {**PLAN, **plan, "seed": seed}, shared, asked)
        took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
        write_json(files[system, seed], {"set": name, "system": system, "seed": seed, **took, **cell})
        Console(stderr=True).print(name, seed, system, cell["all"]["hits@1"], cell["ambiguous"]["hits@1"], took)


READ: Final = (*TEXTS, "description", "triples", "sentence", "images", "most_triples")
"""Settings on which it depends what is prepared for training."""


def _cell(
    kb: Any,
    train: list[Any],
    valid: list[Any],
    ambiguous: set[str],
    settings: dict[str, Any],
    planned: dict[str, Any],
    shared: dict[str, Any],
    sample: dict[str, list[Any]],
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

    kind = registry.load("method", "kgmel")
    context = context_of(Run(method="kgmel", settings=settings, text_encoder="minilm?max_tokens=40"), kb)
    torch.manual_seed(planned["seed"])
    method = kind.build(context, settings)
    plan = parse(Plan, {**kind.plan, **planned}, "train")
    facts = sum(len(sample.mention.triples) for sample in train)
    read = repr([facts, plan.negatives, *(method.settings()[name] for name in READ)])
    if read not in shared:  # what is read and mined is the same for many rows
        shared.clear()
        pooled = load_generators(plan.negatives.generators, kb, context.store, context.text)
        judges = load_generators(CHEAP, kb, context.store)
        shared[read] = Course(method, kb, pooled, judges, train, valid, plan)
    course = copy.copy(shared[read])
    course.plan = plan
    with tempfile.TemporaryDirectory() as folder:
        found = learn(method, course, plan, Path(folder))
        method = kind.build(_saved(context, method, Path(folder)), settings)
    view = kb.view()
    gold = view.rows([sample.gold or "" for sample in valid])
    asked = [place for place, row in enumerate(gold) if row >= 0]
    ranked = rank(method, kb, [valid[place].mention for place in asked], 1, gold[asked])
    ranks = [None if place != place else float(place) for place in ranked.ranks]
    pairs = [(r, valid[place].mention) for r, place in zip(ranks, asked, strict=True)]
    return {
        "steps": found.steps,
        "train_seconds": found.seconds,
        "candidates_hits@1": found.best["hits@1"],
        "all": summarise(ranks),
        "ambiguous": summarise([r for r, mention in pairs if mention.id in ambiguous]),
        "with generated triples": summarise([r for r, mention in pairs if mention.triples]),
        **({"sample": {who: _ranked(method, kb, own) for who, own in sample.items()}} if sample else {}),
    }


def _ranked(method: Any, kb: Any, asked: Sequence[Any]) -> dict[str, Any]:
    """Return figures of the whole knowledge base ranked for mentions of a sample."""
    from melink.evaluate.metrics import summarise
    from melink.ranking.rank import rank

    gold = kb.view().rows([each.gold or "" for each in asked])
    some = [place for place, row in enumerate(gold) if row >= 0]
    ranks = rank(method, kb, [asked[place].mention for place in some], 1, gold[some]).ranks
    facts = sum(len(asked[place].mention.triples) for place in some)
    return {"facts": facts, **summarise([None if place != place else float(place) for place in ranks])}


def _sample(folder: Path | None, name: str) -> dict[str, list[Any]]:
    """Return the mentions of the reranking study by who made their facts; none when it has not made them yet."""
    from melink.datasets.mentions import read_mentions

    made = [] if folder is None else [file for file in folder.glob(f"{name}-*.model.jsonl") if file.stat().st_size]
    if not made:
        return {}
    largest = max(made, key=lambda file: int(file.name.split("-")[1].split(".")[0]))
    plain = largest.with_name(largest.name.replace(".model", ""))
    files = {"none": plain, "patterns": largest.with_name(largest.name.replace("model", "patterns")), "model": largest}
    return {who: list(read_mentions(file)) for who, file in files.items()}


def _plain(system: str) -> str:
    return system.replace(",", "").replace(" ", "_")


def _saved(context: Any, method: Any, folder: Path) -> Any:
    from dataclasses import replace

    method.save(folder)
    return replace(context, folder=folder)


def write_table(output: Path) -> None:
    """Write mean ± standard deviation over seeds of every row."""
    from melink.datasets.files import replacing
    from melink.kb.disk import write_json

    cells, rows, lines = list(finished(output)), [], []
    heads = ("", "Hits@1", "Hits@3", "Hits@5", "MRR", "ambiguous Hits@1", "ambiguous MRR", "seeds")
    for name in SETS:
        own = [cell for cell in cells if cell["set"] == name]
        if not own:
            continue
        counts = f"{own[0]['all']['n']:,} mentions, {own[0]['ambiguous']['n']} ambiguous"
        lines += [f"**{name}** validation: {counts}", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for system in SYSTEMS:
            same = [cell for cell in own if cell["system"] == system]
            if not same:
                continue
            asked = [*(("all", k) for k in KS), ("ambiguous", "hits@1"), ("ambiguous", "mrr")]
            figures = {f"{part} {k}": spread([cell[part][k] for cell in same]) for part, k in asked}
            rows.append({"set": name, "system": system, "seeds": len(same), "n": same[0]["all"]["n"], **figures})
            values = [system, *(mean_sd(value) for value in figures.values()), str(len(same))]
            lines.append("| " + " | ".join(values) + " |")
        lines += ["", *_of_sample([cell["sample"] for cell in own if "sample" in cell]), ""]
    write_json(output / "table.json", rows)
    with replacing(output / "table.md") as out:
        out.write("\n".join(lines).encode())
    Console().print("\n".join(lines), markup=False)


def _of_sample(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of the sample by who made the facts of its mentions."""
    if not cells:
        return []
    lines = [
        f"{cells[0]['none']['n']} ambiguous mentions",
        "",
        "| facts by | facts | Hits@1 | MRR |",
        "|---|---|---|---|",
    ]
    for who in cells[0]:
        own = [cell[who] for cell in cells]
        figures = [mean_sd(spread([cell[key] for cell in own])) for key in ("hits@1", "mrr")]
        lines.append(f"| {who} | {own[0]['facts']} | {figures[0]} | {figures[1]} |")
    return lines


if __name__ == "__main__":
    main()
