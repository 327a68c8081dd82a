"""DWE+, its ablations and DWE on two benchmarks and on real portraits, in one table.

    python reproductions/dwe/study.py --data ../shared/data -o OUT
    python reproductions/dwe/study.py --data ../shared/data -o OUT --sets wikimel --seeds 0 --systems dwe+
    python reproductions/dwe/study.py --data ../shared/data -o OUT --sets portraits --seeds 0 --quick

Encoders are frozen. On the benchmarks every system reads the same texts and ranks the whole knowledge base, exactly,
and 100 fuzzy candidates (protocol C of docs/evaluation.md, but over all 34,662 names; gold that is not listed is a
miss). On the portraits (portraits.py) it ranks 756 people. A finished cell is not done again. Writes OUT/cells/*.json,
OUT/table.json, OUT/table.md and OUT/portraits.svg.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import portraits
from lessons import Course, full_ranks, fuzzy, listed_ranks, timed, trained
from rich.console import Console

sys.path.append(str(Path(__file__).resolve().parents[1]))

from studies import knowledge, mean_sd, spread

TEXTS: Final = {
    "mention_template": "{surface} [SEP] {text}",
    "entity_template": "{label} [SEP] {description} {attributes} {extract}",
}
PICTURE: Final = {"regions": "regions", "faces": "faces"}
PLAN: Final = {"valid_mentions": 200, "checkpoint_every": 1000}
PUBLISHED: Final = {"ranking": "triplet", "shortcut": False, "width": 512, "dropout": 0.4}
SHORTER: Final = {"objects": "both", "fusion": "concatenated", "losses": {"coarse": 0.0}, "positive": "kept"}
NONE: Final = {"objects": "none", "faces": None, "looks": False, "identity": "none"}
Systems = dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]
SYSTEMS: Final[Systems] = {
    "text cosine": ({"method": "biencoder"}, {**TEXTS, "tune": 0, "weights": {"name": 0.0}}, {}),
    "text cosine and names": ({}, NONE, {}),
    "zeroshot, no facts": ({"method": "zeroshot", "text_encoder": "minilm"}, {"weights": {"triples": 0.0}}, {}),
    "biencoder": ({"method": "biencoder"}, {**TEXTS, "tune": 0}, {"batch": 32, "head_lr": 2e-2, "epochs": 2, **PLAN}),
    "dwe+": ({}, PICTURE, PLAN),
    "dwe+ without faces": ({}, {**PICTURE, "faces": None, "looks": False, "identity": "none"}, PLAN),
    "dwe+ without picture": ({}, NONE, PLAN),
    "dwe+ without text": ({}, {**PICTURE, "text": False}, PLAN),
    "dwe+ mention only": ({}, {**NONE, "text": False}, PLAN),
    "dwe+ whole image": ({}, {**PICTURE, "objects": "whole"}, PLAN),
    "dwe+ without L_f": ({}, {**PICTURE, "losses": {"fine": 0.0}}, PLAN),
    "dwe+ without L_c": ({}, {**PICTURE, "losses": {"coarse": 0.0}}, PLAN),
    "dwe+ L_f of faces": ({}, {**PICTURE, "fine": "faces"}, PLAN),
    "dwe+ without shortcut": ({}, {**PICTURE, "shortcut": False}, PLAN),
    "dwe+ triplet": ({}, {**PICTURE, "ranking": "triplet"}, PLAN),
    "dwe+ as published": ({}, {**PICTURE, **PUBLISHED, "names": False}, PLAN),
    "dwe+ as published, names": ({}, {**PICTURE, **PUBLISHED}, PLAN),
    "dwe": ({}, {**PICTURE, **PUBLISHED, **SHORTER, "ranking": "softmax", "names": False}, PLAN),
    "dwe, names": ({}, {**PICTURE, **PUBLISHED, **SHORTER, "ranking": "softmax"}, PLAN),
    "dwe+, static texts": ({"entity_text": "static"}, PICTURE, PLAN),
    "zeroshot, no facts, static texts": (
        {"method": "zeroshot", "text_encoder": "minilm", "entity_text": "static"},
        {"weights": {"triples": 0.0}},
        {},
    ),
}
"""Row → what of a run differs, settings, plan (empty: nothing to train)."""
BENCHMARKS: Final = ("wikimel", "richpediamel")
SETS: Final = (*BENCHMARKS, "portraits")
KS: Final = ("hits@1", "hits@5", "mrr")


def main() -> None:
    """Run what is missing, then write the table."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True, help="folder of the benchmark data")
    ask.add_argument("-o", "--output", type=Path, required=True, help="folder of knowledge bases, cells and the table")
    ask.add_argument("--kb", type=Path, help="knowledge base of the persons, built before")
    ask.add_argument("--sets", default=",".join(SETS), help="separated by ','")
    ask.add_argument("--seeds", default="0,1,2")
    ask.add_argument("--systems", default="", help="separated by ';'; all when left out")
    ask.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    ask.add_argument("--quick", action="store_true", help="portraits: a few people, to see that it works")
    asked = ask.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    wanted = [name.strip() for name in asked.systems.split(";") if name.strip()]
    sets = [name for name in asked.sets.split(",") if name]
    kb = asked.kb or (_knowledge(asked.data, asked.output) if set(sets) & set(BENCHMARKS) else None)
    work = [
        (asked.data, asked.output, kb, name, int(s), wanted, asked.quick)
        for s in asked.seeds.split(",")
        for name in sets
    ]
    if asked.jobs == 1:
        for each in work:
            run(*each)
    else:
        with multiprocessing.get_context("spawn").Pool(asked.jobs, maxtasksperchild=1) as pool:
            pool.starmap(run, work, chunksize=1)
    write_table(asked.output)


def run(data: Path, output: Path, kb: Path | None, name: str, seed: int, wanted: list[str], quick: bool) -> None:
    """Do the cells of one set and one seed that are not there yet."""
    import torch

    torch.set_num_threads(1)
    (output / "cells").mkdir(parents=True, exist_ok=True)
    if name == "portraits":
        _portraits(data, output, seed, wanted, quick)
    else:
        assert kb is not None
        _benchmark(data, output, kb, name, seed, wanted)


def _benchmark(data: Path, output: Path, folder: Path, name: str, seed: int, wanted: list[str]) -> None:
    from melink.datasets.mentions import read_mentions
    from melink.evaluate.metrics import summarise
    from melink.kb.store import KnowledgeBase
    from melink.kb.texts import Texts

    missing = [s for s in SYSTEMS if (not wanted or s in wanted) and (SYSTEMS[s][2] or seed == 0)]
    missing = [s for s in missing if not _file(output, name, s, seed).is_file()]
    if not missing:
        return
    kb, index = KnowledgeBase.open(folder), data / "images" / "index.csv"
    lessons, asked = (list(read_mentions(data / name / f"{split}.jsonl", index)) for split in ("train", "valid"))
    lines = (data / "slices" / f"{name}_valid_ambiguous.tsv").read_text().splitlines()[1:]
    ambiguous = {line.split("\t")[0] for line in lines}
    asked = [sample for sample in asked if kb.view().row(sample.gold or "") is not None]
    lists, courses = fuzzy(kb, asked), dict[str, Course]()
    for system in missing:
        began, wall = time.process_time(), time.perf_counter()
        differs, settings, plan = SYSTEMS[system]
        given = {"method": "dwe", "text_encoder": "minilm?max_tokens=40", "settings": settings, **differs}
        text = given.get("entity_text", "original")
        if text != "original" and not Texts(kb.path, text):
            continue  # this knowledge base has none
        course = courses.setdefault(text, Course(kb.reading(text), lessons, asked))
        method, figures = trained(course, given, plan, seed)
        full, listed = full_ranks(method, course.kb, asked), listed_ranks(method, course.kb, asked, lists)
        hard = [sample.mention.id in ambiguous for sample in asked]
        seen = [sample.mention.image is not None for sample in asked]
        _write(output, name, system, seed, began, wall, {
            **figures,
            "full": summarise(full),
            "ambiguous": summarise([rank for rank, own in zip(full, hard, strict=True) if own]),
            "with picture": summarise([rank for rank, own in zip(full, seen, strict=True) if own]),
            "fuzzy": summarise(listed),
        })  # fmt: skip


def _portraits(data: Path, output: Path, seed: int, wanted: list[str], quick: bool) -> None:
    systems = portraits.SYSTEMS
    missing = [s for s in systems if (not wanted or s in wanted) and not _file(output, "portraits", s, seed).is_file()]
    if not missing:
        return
    folder = output / f"pictures-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    sitters = portraits.Sitters(data, folder, seed, quick)
    lessons, valid, test = sitters.lessons("train"), sitters.lessons("valid"), sitters.test()
    courses = dict[str, Course]()
    for system in missing:
        began, wall = time.process_time(), time.perf_counter()
        model, name, settings = systems[system]
        if model not in courses:
            courses[model] = Course(portraits.knowledge_base(sitters, output, model), lessons, valid)
        every = [sample for own in test.values() for sample in own]
        if name:
            given = {"method": name, "text_encoder": "minilm?max_tokens=40", "settings": settings}
            method, figures = trained(courses[model], given, portraits.PLAN if name == "dwe" else {}, seed)
            ranks = iter(full_ranks(method, courses[model].kb, every))
        else:
            figures, ranks = {}, portraits.by_regions(courses[model].kb, sitters, every)
        by_case = {case: [next(ranks) for _ in own] for case, own in test.items()}
        _write(output, "portraits", system, seed, began, wall, {
            **figures,
            "hits@1": portraits.hits(by_case),
            "ranks": by_case,
            "counts": {part: len(own) for part, own in sitters.parts().items()},
            "guessing": portraits.guessing(sitters),
        })  # fmt: skip


def _file(output: Path, name: str, system: str, seed: int) -> Path:
    plain = "".join(letter if letter.isalnum() else "-" for letter in system.replace("+", "plus"))
    return output / "cells" / f"{name}-{plain}-{seed}.json"


def _write(output: Path, name: str, system: str, seed: int, began: float, wall: float, cell: dict[str, Any]) -> None:
    from melink.kb.disk import write_json

    about = {"set": name, "system": system, "seed": seed, "cpu_seconds": timed(began)}
    write_json(_file(output, name, system, seed), {**about, "seconds": round(time.perf_counter() - wall, 1), **cell})
    told = cell["hits@1"] if name == "portraits" else [cell[part]["hits@1"] for part in ("full", "ambiguous", "fuzzy")]
    Console(stderr=True, width=200).print(name, seed, system, told, f"{about['cpu_seconds']:.0f} s", markup=False)


def _knowledge(data: Path, output: Path) -> Path:
    """Return the knowledge base of persons with static texts, built when it is not there."""
    import orjson

    from melink.cli.main import app
    from melink.datasets.files import open_bytes, replacing

    folder, abstracts = output / "kb" / "persons", output / "kb" / "abstracts.jsonl"
    if (folder / "texts" / "static.lance").is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    knowledge(data, folder)
    with open_bytes(data / "kb" / "entities.jsonl.gz") as lines, replacing(abstracts) as out:
        for line in lines:
            row = orjson.loads(line)
            if row.get("extract"):
                out.write(orjson.dumps({"qid": row["qid"], "text": row["extract"]}, option=orjson.OPT_APPEND_NEWLINE))
    app(["enrich", "descriptions", str(folder), "static", "--abstracts", str(abstracts)], standalone_mode=False)
    return folder


def write_table(output: Path) -> None:
    """Write mean ± standard deviation over seeds of every row, and the curves of the portraits."""
    import orjson

    from melink.datasets.files import replacing
    from melink.kb.disk import write_json

    cells = [orjson.loads(file.read_bytes()) for file in sorted((output / "cells").glob("*.json"))]
    rows, lines = [], list[str]()
    for name in SETS:
        systems = portraits.SYSTEMS if name == "portraits" else SYSTEMS
        own = {s: [c for c in cells if c["set"] == name and c["system"] == s] for s in systems}
        own = {system: found for system, found in own.items() if found}
        if own:
            made = [_row(name, system, found) for system, found in own.items()]
            rows += made
            lines += _lines(name, made, next(iter(own.values()))[0])
            if name == "portraits":
                with replacing(output / "portraits.svg") as out:
                    out.write(_curves(made).encode())
    write_json(output / "table.json", rows)
    with replacing(output / "table.md") as out:
        out.write("\n".join(lines).encode())
    Console(width=200).print("\n".join(lines), markup=False)


def _row(name: str, system: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if name == "portraits":
        figures = {case: spread([cell["hits@1"][case] for cell in found]) for case in found[0]["hits@1"]}
    else:
        figures = {
            f"{part} {k}": spread([cell[part][k] for cell in found])
            for part in ("full", "ambiguous", "fuzzy")
            for k in KS
        }
        figures["fuzzy recall"] = spread([cell["fuzzy"]["candidate_recall"] for cell in found])
    return {"set": name, "system": system, "seeds": len(found), "figures": figures}


def _lines(name: str, rows: Sequence[Mapping[str, Any]], one: Mapping[str, Any]) -> list[str]:
    if name == "portraits":
        heads = ["one", "two", "three", "degraded", "second photograph"]
        about = f"{one['counts']['test']} people; guessing among all who bear the name {100 * one['guessing']:.1f}"
    else:
        heads = ["full hits@1", "full hits@5", "full mrr", "ambiguous hits@1", "fuzzy hits@1", "fuzzy hits@5"]
        recall = 100 * rows[0]["figures"]["fuzzy recall"]["mean"]
        n = [one[part]["n"] for part in ("full", "ambiguous", "with picture")]
        about = f"{n[0]:,} mentions, {n[1]} ambiguous, {n[2]} with a picture; {recall:.1f} % have gold among the fuzzy"
    lines = [f"**{name}**: {about}", "", f"| | {' | '.join(heads)} | seeds |", "|---" * (len(heads) + 2) + "|"]
    for row in rows:
        values = [mean_sd(row["figures"][head]) if head in row["figures"] else "–" for head in heads]
        lines.append(f"| {row['system']} | {' | '.join(values)} | {row['seeds']} |")
    return [*lines, ""]


def _curves(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return Hits@1 by how many people are in the picture, and by how degraded it is."""
    from melink.evaluate.trends import COLOURS, HEIGHT, WIDTH, Dot, Line, Tick, trend

    hows = dict.fromkeys(case.split()[0] for case in portraits.POOR)
    crowd, poor = list[Line](), list[Line]()
    for place, row in enumerate(rows):
        means, look = {case: own["mean"] for case, own in row["figures"].items()}, (place % COLOURS, place // COLOURS)
        many = tuple(Dot(n, means[case]) for n, case in enumerate(("one", "two", "three"), 1))
        name = portraits.SHORT.get(row["system"], row["system"])
        crowd.append(Line(name, many, *look))
        dots = [Dot(0, means["one"])]
        for severity in (1, 2, 3):
            own = [means[f"{how} {severity}"] for how in hows if f"{how} {severity}" in means]
            dots += [Dot(severity, fmean(own))] if own else []
        poor.append(Line(name, tuple(dots), *look))
    plots = [
        trend(crowd, [Tick(n, (str(n),)) for n in (1, 2, 3)], "people in the picture"),
        trend(poor, [Tick(n, (str(n),)) for n in (0, 1, 2, 3)], f"severity, mean of {', '.join(hows)}"),
    ]
    style = (files("melink.evaluate") / "assets" / "curve.css").read_text(encoding="utf-8").partition(".trends")[0]
    size = f'width="{2 * WIDTH}" height="{HEIGHT}"'
    panels = [
        plot.replace('<svg class="trend"', f'<svg x="{place * WIDTH}" y="0" width="{WIDTH}" height="{HEIGHT}"', 1)
        for place, plot in enumerate(plots)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {2 * WIDTH} {HEIGHT}">'
        f'<style>{style}</style><rect {size} fill="#fff"/><g class="trend">{"".join(panels)}</g></svg>\n'
    )


if __name__ == "__main__":
    main()
