"""FissFuse and its ablations beside ``zeroshot``, ``biencoder`` and MIMIC on the same lists of 100 candidates.

    python reproductions/fissfuse/study.py --data ../shared/data -o OUT --jobs 2
    python reproductions/fissfuse/study.py --data ../shared/data -o OUT --sets wikimel --seeds 0 --systems fissfuse

Every system ranks, of each mention, the 100 candidates that all generators together propose; gold that is not listed
is a miss, in training a mention less. All have the same frozen encoders, all but ``zeroshot`` read the same texts.
Then learning curves: shares of the training mentions, whole sentences. Then rerankers behind the trained FissFuse: KAR
with a language model on ambiguous mentions (``--mentions``, ``--url``, ``--model``; a bundled small one when no server
is named), and the cross-encoder, of figures alone and reading, its last word fitted on other sentences. A finished
cell is not done again. Writes OUT/lists/*.jsonl, OUT/cells/*.json, OUT/table.json, OUT/table.md and OUT/curve-SET.svg.
For the sake of two cores, FissFuse and MIMIC read 24 tokens of a text, and an epoch meets 15 % of the mentions that
names alone decide.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

from again import RERANKERS, Asked, save
from rich.console import Console

sys.path.append(str(Path(__file__).resolve().parents[1]))

from studies import finished, knowledge, mean_sd, spread

TEXTS: Final = {
    "mention_template": "{surface} [SEP] {text}",
    "entity_template": "{label} [SEP] {description} {attributes} {extract}",
}
PAIRED: Final = {**TEXTS, "tokens": 24, "names": True}
FAST: Final = {"checkpoint_every": 1000, "valid_mentions": 1000, "valid_candidates": 24}
LISTS: Final = {**FAST, "epochs": 3, "negatives": {"listwise": True, "pool": 100, "hard": 15, "easy": 0.15}}
HARD: Final = {**FAST, "epochs": 1, "negatives": {"pool": 48, "hard": 1}}
FISSION: Final = ("fission_text", "fission_image", "fission_both")
FUSION: Final = ("fusion_text", "fusion_image", "fusion_both")
BOTH: Final = ("fission_both", "fusion_both")
EVERY: Final = (*FISSION, *FUSION)
ABLATIONS: Final[dict[str, dict[str, Any]]] = {
    "(a) w/o fission": {"scores": FUSION},
    "(b) w/o fusion": {"scores": FISSION},
    "(c) w/o S₁*, S₂*": {"scores": [score for score in EVERY if score not in BOTH]},
    "(d) w/o S₁ᵀ, S₁ⱽ": {"scores": ("fission_both", *FUSION)},
    "(e) w/o S₂ᵀ, S₂ⱽ": {"scores": (*FISSION, "fusion_both")},
    "(f) only S₁*, S₂*": {"scores": BOTH},
    "(g) w/o vision": {"vision": False},
}
"""The rows of the paper's table, as settings."""


class System(NamedTuple):
    """A row: which method, its settings, its plan (empty: nothing to train)."""

    method: str
    settings: dict[str, Any]
    plan: dict[str, Any]


SYSTEMS: Final = {
    "zeroshot": System("zeroshot", {}, {}),
    "zeroshot, no facts": System("zeroshot", {"weights": {"triples": 0.0}}, {}),
    "biencoder": System(
        "biencoder",
        {**TEXTS, "tune": 0},
        {**FAST, "batch": 32, "head_lr": 2e-2, "epochs": 2, "negatives": {"pool": 48}},
    ),
    "mimic": System("mimic", PAIRED, HARD),
    "fissfuse": System("fissfuse", PAIRED, LISTS),
    **{name: System("fissfuse", {**PAIRED, **off}, LISTS) for name, off in ABLATIONS.items()},
}
RERANKED: Final = {f"fissfuse + {name}": name for name in RERANKERS}
"""Rows that look again at the lists of the trained FissFuse."""
CURVES: Final = ("biencoder", "mimic", "fissfuse")
"""Systems that are trained on shares of the training mentions, too."""
SETS: Final = ("wikimel", "richpediamel")
K: Final = 100
KS: Final = (1, 2, 3, 5)
BLOCK: Final = 64
"""Mentions scored at once."""


class Cell(NamedTuple):
    """What is done at once: one system, trained with one seed on one share of the training mentions."""

    name: str
    system: str
    seed: int
    share: int = 100

    def file(self, output: Path) -> Path:
        """Return where its figures are kept."""
        words = "".join(c if c.isascii() and c.isalnum() else " " for c in self.system).split()
        return output / "cells" / f"{self.name}-{'_'.join(words)}-{self.share}-{self.seed}.json"


def main() -> None:
    """Run what is missing, then write the table and the curves."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True, help="folder of the benchmark data")
    ask.add_argument("-o", "--output", type=Path, required=True, help="folder of everything that is written")
    ask.add_argument("--kb", type=Path, help="knowledge base of persons; built in the output folder when not given")
    ask.add_argument("--sets", default=",".join(SETS), help="benchmarks")
    ask.add_argument("--seeds", default="0,1,2")
    ask.add_argument("--systems", help="rows, by the start of their names, separated by semicolons; all by default")
    ask.add_argument("--shares", default="10,25,50", help="per cent of the training mentions, beside 100; '' for none")
    ask.add_argument("--jobs", type=int, default=1, help="processes, of one thread each when more than one")
    ask.add_argument(
        "--mentions", type=int, default=200, help="ambiguous mentions that the language model is asked about"
    )
    ask.add_argument("--url", help="an OpenAI-compatible server; the bundled small model when left out")
    ask.add_argument("--model", default="smollm2", help="its name there")
    ask.add_argument(
        "--readers", type=Path, help="folder of reproductions/cross_encoder/study.py: its networks read, seed 0"
    )
    asked = ask.parse_args()
    starts = asked.systems.split(";") if asked.systems else [""]
    every = (*SYSTEMS, *RERANKED)
    systems = [name for name in every if name in starts]
    systems += [name for name in every for s in starts if s not in every and name.startswith(s) and name not in systems]
    names, shares = asked.sets.split(","), [int(share) for share in asked.shares.split(",") if share]
    kb = asked.kb or knowledge(asked.data, asked.output / "kb")
    work = [(asked.data, asked.output, kb, name) for name in names]
    model = asked.mentions, asked.url, asked.model, asked.readers
    parts = [(*each, int(seed), systems, shares, model) for seed in asked.seeds.split(",") for each in work]
    if asked.jobs == 1:
        for each in work:
            lists(*each)
        for part in parts:
            run(*part)
    else:
        os.environ["OMP_NUM_THREADS"] = "1"
        with multiprocessing.get_context("spawn").Pool(asked.jobs, maxtasksperchild=1) as pool:
            pool.starmap(lists, work, chunksize=1)
            pool.starmap(run, parts, chunksize=1)
    write_table(asked.output)
    write_curves(asked.output)


def samples(data: Path, name: str, split: str) -> list[Any]:
    """Return the mentions of a split."""
    from melink.datasets.mentions import read_mentions

    return list(read_mentions(data / name / f"{split}.jsonl", data / "images" / "index.csv"))


def lists(data: Path, output: Path, kb: Path, name: str) -> None:
    """Write the fused candidates of every mention of both splits, as ``melink candidates`` does; once."""
    import orjson

    from melink import registry
    from melink.candidates.fusion import fused
    from melink.candidates.load import DEFAULT, load_generators
    from melink.datasets.files import replacing
    from melink.kb.store import KnowledgeBase
    from melink.linker import context_of
    from melink.runs import Run

    base, settings = KnowledgeBase.open(kb), {**TEXTS, "tune": 0}
    context = context_of(Run(method="biencoder", settings=settings, text_encoder="minilm?max_tokens=40"), base)
    reader = registry.load("method", "biencoder").build(context, settings)  # untrained: the cosine of those texts
    generators = load_generators(DEFAULT, base, context.store, context.text, reader)
    (output / "lists").mkdir(parents=True, exist_ok=True)
    for split in ("train", "valid"):
        file = output / "lists" / f"{name}-{split}.jsonl"
        if file.is_file():
            continue
        rows, every = [], [sample.mention for sample in samples(data, name, split)]
        for start in range(0, len(every), 256):
            block = every[start : start + 256]
            for mention, ids in zip(block, fused(generators, block, K).ids, strict=True):
                rows.append(orjson.dumps({"id": mention.id, "candidates": list(ids)}))
        with replacing(file) as out:
            out.write(b"\n".join(rows) + b"\n")


class Data:
    """A benchmark over the knowledge base: mentions, their lists, and what systems share."""

    def __init__(self, data: Path, output: Path, kb: Path, name: str) -> None:
        from melink.candidates.given import Given
        from melink.kb.store import KnowledgeBase
        from melink.train.shares import linkable

        self.kb = KnowledgeBase.open(kb)
        self.view = self.kb.view()
        self.train, valid = (samples(data, name, split) for split in ("train", "valid"))
        self.train, self.valid = linkable(self.train, self.view), linkable(valid, self.view)
        known = frozenset(self.view.ids)
        self.given = {
            split: Given.read(output / "lists" / f"{name}-{split}.jsonl", known) for split in ("train", "valid")
        }
        found = self.given["valid"].search([sample.mention for sample in self.valid], K)
        self.lists = [[id for id, _ in hits] for hits in found]
        rows = (data / "slices" / f"{name}_valid_ambiguous.tsv").read_text().splitlines()[1:]
        self.ambiguous = {line.split("\t")[0] for line in rows}
        self.courses: dict[Any, Any] = {}

    def made(self, system: System, seed: int) -> Any:
        """Return a method, untrained."""
        import torch

        from melink import registry
        from melink.linker import context_of
        from melink.runs import Run

        own = "minilm" if system.method == "zeroshot" else "minilm?max_tokens=40"  # zeroshot reads its own texts, whole
        run = Run(method=system.method, settings=system.settings, text_encoder=own)
        torch.manual_seed(seed)
        return registry.load("method", system.method).build(context_of(run, self.kb), system.settings)

    def course(self, method: Any, plan: Any, share: int) -> Any:
        """Return a course over a share of the training mentions, made once for all systems that read the same."""
        import copy

        from melink.train.course import Course
        from melink.train.shares import draw

        key = (type(method).__name__ == "BiEncoder", plan.negatives.listwise, share, plan.seed)
        if key not in self.courses:
            train = draw(self.train, share, plan.seed).samples
            self.courses[key] = Course(
                method, self.kb, [self.given["train"]], [self.given["valid"]], train, self.valid, plan
            )
        course = copy.copy(self.courses[key])
        course.plan = plan
        return course


def run(
    data: Path,
    output: Path,
    kb: Path,
    name: str,
    seed: int,
    systems: Sequence[str],
    shares: Sequence[int],
    model: tuple[int, str | None, str, Path | None],
) -> None:
    """Do the cells of one benchmark and one seed that are not there yet."""
    from melink.kb.disk import write_json

    asked = Asked(data, output, name, seed, *model)
    cells = [Cell(name, system, seed) for system in systems if system in RERANKED or SYSTEMS[system].plan or seed == 0]
    cells += [Cell(name, system, seed, share) for share in shares for system in systems if system in CURVES]
    missing = [cell for cell in cells if not cell.file(output).is_file()]
    if any(cell.system in RERANKED for cell in missing) and not (asked.run / "config.json").is_file():
        missing = list(dict.fromkeys([Cell(name, "fissfuse", seed), *missing]))
    if not missing:
        return
    (output / "cells").mkdir(parents=True, exist_ok=True)
    own = Data(data, output, kb, name)
    for cell in missing:
        began = time.process_time()
        if cell.system in RERANKED:
            found = RERANKERS[RERANKED[cell.system]](own.kb, asked, own.train, own.valid, own.ambiguous)
        else:
            found = done(own, cell, asked)
        took = time.process_time() - began
        write_json(cell.file(output), {**cell._asdict(), "set": name, "cpu_seconds": took, **found})
        hits = found["all"]["hits@1"], found["ambiguous"]["hits@1"]
        words = f"{name} seed {seed} {cell.share}% {cell.system}: {hits[0]:.4f}, ambiguous {hits[1]:.4f}"
        Console(stderr=True).print(words, f"{took:.0f} s of CPU")


def done(own: Data, cell: Cell, asked: Asked) -> dict[str, Any]:
    """Train one system and rank the lists of the validation mentions."""
    from melink.evaluate.metrics import summarise
    from melink.train.loop import train as learn
    from melink.train.plan import Plan

    system = SYSTEMS[cell.system]
    method, figures = own.made(system, cell.seed), {}
    if system.plan:
        method.start_training()
        plan = Plan.of(_run_of(system, cell.seed))
        course = own.course(method, plan, cell.share)
        with tempfile.TemporaryDirectory() as folder:
            found = learn(method, course, plan, Path(folder))
        if (cell.system, cell.share) == ("fissfuse", 100):
            save(method, _run_of(system, cell.seed), asked)
        if hasattr(method, "_deploy"):
            method._deploy()
        trained = len(course.pools.gold)
        figures = {
            "steps": found.steps,
            "train_seconds": found.seconds,
            "validations": [row["mrr"] for row in found.history],
            "mentions": trained,
            "left_out": dict(course.left_out),
            "parameters": sum(p.numel() for p in method.module.parameters() if p.requires_grad),
        }
    ranks = ranked(method, own)
    hard = [rank for rank, sample in zip(ranks, own.valid, strict=True) if sample.mention.id in own.ambiguous]
    return {**figures, "all": summarise(ranks, ks=KS), "ambiguous": summarise(hard, ks=KS)}


def _run_of(system: System, seed: int) -> Any:
    from melink.runs import Run

    own = {"method": system.method, "settings": system.settings, "text_encoder": "minilm?max_tokens=40"}
    return Run(**own, train={**system.plan, "seed": seed})


def ranked(method: Any, own: Data) -> list[float | None]:
    """Return the rank of each gold on its list, None where it is not on it; the entities on lists are read once."""
    import numpy as np

    from melink.methods.base import total
    from melink.methods.pairwise import Pairwise
    from melink.ranking.ranks import rank_of

    rows = np.unique(own.view.rows([id for ids in own.lists for id in ids]))
    kept = Union(method, own.view, rows) if isinstance(method, Pairwise) else None
    ranks: list[float | None] = []
    for start in range(0, len(own.valid), BLOCK):
        block, theirs = own.valid[start : start + BLOCK], own.lists[start : start + BLOCK]
        used = np.unique(own.view.rows([id for ids in theirs for id in ids]))
        view, mentions = own.view.take(used), method.mentions([sample.mention for sample in block])
        columns = [np.searchsorted(used, own.view.rows(ids)) for ids in theirs]
        if kept is None:
            scores = total(method.score(mentions, method.entities(view)))
        else:
            where = np.zeros((len(block), len(used)), dtype=bool)
            for row, places in zip(where, columns, strict=True):
                row[places] = True
            scores = total(method.score(mentions, kept.side(used, view), where))
        for m, (sample, ids) in enumerate(zip(block, theirs, strict=True)):
            ranks.append(rank_of(scores[m, columns[m]], ids.index(sample.gold), "mean") if sample.gold in ids else None)
    return ranks


class Union:
    """The terms of some entities, made once."""

    def __init__(self, method: Any, view: Any, rows: Any) -> None:
        import torch

        from melink.ranking.kept import CHUNK, leaves

        self.method, self.rows = method, rows
        pieces = [method.terms(view.take(rows[start : start + CHUNK])) for start in range(0, len(rows), CHUNK)]
        self.pattern = pieces[0]
        self.leaves = [torch.cat(each) for each in zip(*[[x for _, x in leaves(p)] for p in pieces], strict=True)]

    def side(self, rows: Any, view: Any) -> Any:
        """Return the entity side of some of them, given their view."""
        import numpy as np
        import torch

        from melink.ranking.kept import rebuilt

        places = torch.from_numpy(np.searchsorted(self.rows, rows))
        return self.method.revived(rebuilt(self.pattern, iter([leaf[places] for leaf in self.leaves])), view)


def write_table(output: Path) -> None:
    """Write mean ± standard deviation over seeds of every row, and print them."""
    from melink.datasets.files import replacing
    from melink.kb.disk import write_json

    cells, rows = list(finished(output)), []
    for name in SETS:
        for system in (*SYSTEMS, *RERANKED):
            for share in sorted({cell["share"] for cell in cells}, reverse=True):
                own = [c for c in cells if (c["set"], c["system"], c["share"]) == (name, system, share)]
                if own:
                    rows.append(row_of(own))
    write_json(output / "table.json", rows)
    lines = []
    heads = ("", "Hits@1", "Hits@2", "Hits@3", "MR", "MRR", "ambiguous Hits@1", "seeds")
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if (row["set"], row["share"]) == (name, 100) and row["system"] not in RERANKED]
        if not own:
            continue
        counts = (
            f"{own[0]['n']:,} mentions, {own[0]['n ambiguous']} ambiguous, gold is on {100 * own[0]['recall']:.1f}%"
        )
        lines += [f"**{name}** validation: {counts} of the lists", ""]
        lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for row in own:
            shown = [mean_sd(row[f"all {k}"]) for k in ("hits@1", "hits@2", "hits@3")]
            shown += [mean_sd(row["all mr"], 2, 1.0), mean_sd(row["all mrr"]), mean_sd(row["ambiguous hits@1"])]
            lines.append("| " + " | ".join([row["system"], *shown, str(row["seeds"])]) + " |")
        lines += ["", *again_lines([row for row in rows if row["set"] == name and row["system"] in RERANKED])]
    with replacing(output / "table.md") as out:
        out.write("\n".join(lines).encode())
    Console(stderr=True, width=140).print("\n".join(lines), markup=False)


def again_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the table of the rerankers: the same mentions before and after, last words fitted on other sentences."""
    if not rows:
        return []
    heads = ("", "mentions", "Hits@1 before", "after", "ambiguous before", "after", "seeds")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        keys = ("before all hits@1", "all hits@1", "before ambiguous hits@1", "ambiguous hits@1")
        values = [row["system"], f"{row['n']:,}", *(mean_sd(row[key]) for key in keys), str(row["seeds"])]
        lines.append("| " + " | ".join(values) + " |")
    return [*lines, ""]


def row_of(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation of every figure over the seeds of one row."""
    first = cells[0]
    keys = [key for key in first["all"] if key.startswith("hits") or key in ("mrr", "mr")]
    parts = [part for part in ("all", "ambiguous", "before all", "before ambiguous") if part in first]
    figures = {f"{p} {key}": spread([cell[p][key] for cell in cells]) for p in parts for key in keys if key in first[p]}
    about = {key: first[key] for key in ("set", "system", "share")}
    extra: dict[str, Any] = {key: first[key] for key in ("mentions", "left_out", "parameters", "steps") if key in first}
    counts = {"seeds": len(cells), "n": first["all"]["n"], "n ambiguous": first["ambiguous"]["n"]}
    seconds = fmean(cell["cpu_seconds"] for cell in cells)
    return {**about, **counts, "recall": first["all"]["candidate_recall"], "cpu_seconds": seconds, **extra, **figures}


def write_curves(output: Path) -> None:
    """Draw Hits@1 against the share of the training mentions, all and ambiguous, for every benchmark."""
    import orjson

    from melink.datasets.files import replacing
    from melink.evaluate.trends import DASHED, Dot, Line, Tick, alone, trend

    rows = orjson.loads((output / "table.json").read_bytes())
    for name in dict.fromkeys(row["set"] for row in rows):
        drawn: list[Line] = []
        ticks: dict[int, Tick] = {}
        for colour, system in enumerate(CURVES):
            own = sorted((r for r in rows if (r["set"], r["system"]) == (name, system)), key=lambda row: row["share"])
            ticks |= {row["share"]: Tick(row["share"], (f"{row['share']}%", f"{row['mentions']:,}")) for row in own}
            for part, dash in (("all", 0), ("ambiguous", DASHED)):
                found = [(row["share"], row[f"{part} hits@1"]) for row in own]
                dots = tuple(Dot(share, value["mean"], value["sd"]) for share, value in found)
                drawn.append(Line(f"{system}, {part}", dots, colour, dash))
        if len(ticks) > 1:
            marks = [ticks[share] for share in sorted(ticks)]
            plot = trend(drawn, marks, f"share of {name}'s training mentions, and how many they are", log_x=True)
            with replacing(output / f"curve-{name}.svg") as out:
                out.write(alone(plot).encode())


if __name__ == "__main__":
    main()
