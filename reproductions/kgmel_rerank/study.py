"""KGMEL's triples and its reranker, and KAR, with a real language model that runs on one core, on ambiguous mentions.

    python reproductions/kgmel_rerank/study.py --data ../shared/data -o OUT
    python reproductions/kgmel_rerank/study.py --data ../shared/data -o OUT --sets wikimel --mentions 100   # then more
    python reproductions/kgmel_rerank/study.py --data ../shared/data -o OUT --url http://127.0.0.1:8080/v1 --model qwen

Without ``--url`` it serves SmolLM2 (135 million parameters) itself. Such a model proves that requests, answers and
counts are right and has no wit; the oracle and the chooser by chance bound what any model can do with the same lists.
Answers are kept, so that a stopped study goes on where it was. Writes OUT/cells/*.json, OUT/table.json, OUT/table.md
and a curve of Hits@1 over the share of mentions asked about for each benchmark.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from local import ambiguous, lines, serving
from rich.console import Console

if TYPE_CHECKING:
    from melink.evaluate.outcome import Outcome
    from melink.kb.store import KnowledgeBase
    from melink.records import Labelled
    from melink.rerank.base import Reranker

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))
SETS: Final = ("wikimel", "richpediamel")
ENCODER: Final = "minilm?max_tokens=40"
KS: Final = (5, 16)
FEW: Final = 10
"""Mentions that are asked about in lines as well."""
SEEDS: Final = 20
"""Choosers by chance that are averaged on the sample."""
WITH: Final = ("none", "patterns", "model")
"""Who made the mentions' triples."""
SYSTEMS: Final[dict[str, tuple[str, dict[str, Any], float]]] = {
    "kgmel": ("model", {"name": "kgmel", "variant": "id_only", "k": 5}, 1.0),
    "kar": ("none", {"name": "kar", "k": 5}, 1.0),
    "kgmel, patterns": ("patterns", {"name": "kgmel", "variant": "id_only", "k": 5}, 0.5),
    "kgmel, no triples of the mention": ("none", {"name": "kgmel", "variant": "id_only", "k": 5}, 0.5),
    "kgmel, facts cited": ("model", {"name": "kgmel", "variant": "cited", "k": 5}, 0.25),
    "kgmel, free text": ("model", {"name": "kgmel", "variant": "spoken", "k": 5}, 0.25),
}
"""Row → whose triples, the reranker, and which share of the sample is asked about: one core is slow."""


@dataclass(frozen=True)
class Study:
    """What was asked for.

    Attributes:
        data: Folder of the benchmark data.
        output: Folder of everything that is made.
        kb: Folder of the knowledge base; built under ``output`` when None.
        mentions: Ambiguous mentions of each benchmark that the language model is asked about.
        llm: Settings of the language model.
    """

    data: Path
    output: Path
    kb: Path | None
    mentions: int
    llm: dict[str, Any]


def main() -> None:
    """Do what is missing, then write the tables."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True, help="folder of the benchmark data")
    ask.add_argument("-o", "--output", type=Path, required=True)
    ask.add_argument("--kb", type=Path, help="persons of the shared knowledge base, when built already")
    ask.add_argument("--sets", default=",".join(SETS))
    ask.add_argument("--mentions", type=int, default=200)
    ask.add_argument("--systems", help="rows, separated by semicolons; all when left out")
    ask.add_argument("--url", help="an OpenAI-compatible server; the bundled small model when left out")
    ask.add_argument("--model", default="smollm2")
    asked = ask.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    systems = asked.systems.split(";") if asked.systems else list(SYSTEMS)
    with contextlib.nullcontext(asked.url) if asked.url else serving() as url:
        llm = {"url": url, "model": asked.model, "identity": asked.url or "bundled", "timeout": 600, "concurrency": 1}
        study = Study(asked.data, asked.output, asked.kb, asked.mentions, {**llm, "images": "never"})
        for name in asked.sets.split(","):
            generate(study, name)
            rerank(study, name, systems)
    write(asked.output)


def sample(study: Study, name: str) -> Path:
    """Write the mentions that the language model is asked about: the first ambiguous ones in a fixed random order."""
    file = study.output / f"{name}-{study.mentions}.jsonl"
    rows = ambiguous(study.data, name)[: study.mentions]
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return file


def generate(study: Study, name: str) -> None:
    """Make triples for the sample: by the language model, in both forms, and by patterns."""
    from melink.enrich.ask import FromModel
    from melink.enrich.patterns import FromPatterns
    from melink.enrich.tails import TailIndex
    from melink.enrich.triples import enrich
    from melink.rerank.llm import LanguageModel, LLMSettings

    source, kb = sample(study, name), knowledge(study)
    images = study.data / "images" / "index.csv"
    made = enrich(source, _facts(study, name, "patterns"), FromPatterns(TailIndex.of(kb)), images)
    _cell(study, name, "generate patterns", {"mentions": made.mentions, "with_triples": made.with_triples})
    few = study.output / f"{name}-few.jsonl"
    few.write_bytes(b"".join(source.read_bytes().splitlines(keepends=True)[:FEW]))
    for form, file, limit in (("json", source, 400), ("lines", few, 300)):
        with LanguageModel(LLMSettings(**study.llm, answer_tokens=limit), study.output / "answers.sqlite") as model:
            asker = FromModel(model, form=form)  # type: ignore[arg-type]
            output = _facts(study, name, "model" if form == "json" else "lines")
            made = enrich(file, output, asker, images)
            seconds, tokens = _spent(study, asker, file, images)
            found = {"mentions": made.mentions, "sentences": made.sentences, "with_triples": made.with_triples}
            found |= {"triples": made.triples, "parse_rate": asker.summary()["parse_rate"]}
            found |= {"dropped": dict(asker.dropped), "failures": dict(made.failures)}
            found |= {"seconds": seconds, **tokens, "right": _right(kb, output)}
        _cell(study, name, f"generate {form}", found)


def _spent(study: Study, asker: Any, file: Path, images: Path) -> tuple[float, dict[str, float]]:
    """Return seconds and tokens for each sentence, from the answers that are kept."""
    from melink.enrich import prompt, structured
    from melink.enrich.rows import by_sentence, read
    from melink.errors import Problems

    make = structured.question if asker.form == "json" else prompt.question
    groups = by_sentence(read(file, images, Problems()))
    requests = [make(each.text, each.surfaces, each.image, asker.vocabulary) for each in groups]
    answers = [each for each in asker.model.ask_all(requests) if each.ok]
    count = max(len(answers), 1)
    tokens = {"tokens_in": sum(a.tokens_in for a in answers) / count}
    tokens["tokens_out"] = sum(a.tokens_out for a in answers) / count
    return sum(a.seconds for a in answers) / count, tokens


def _right(kb: KnowledgeBase, file: Path) -> dict[str, Any]:
    """Return how many generated triples the right entities have (``benchmarks/mention_triples.py``)."""
    from melink.datasets.mentions import read_mentions
    from mention_triples import measure

    samples = list(read_mentions(file))
    made: dict[str, Any] = {each.mention.id: each.mention.triples for each in samples}
    relations = measure(kb, made, {each.mention.id: each.gold for each in samples})["relations"]
    return dict(relations.get("all", {}))


def rerank(study: Study, name: str, systems: Sequence[str]) -> None:
    """Rerank one retrieval of the sample by every system, and the whole split by the choosers that need no model."""
    from choosers import Chance, Oracle
    from melink.datasets.mentions import read_mentions
    from melink.linker import assemble
    from melink.methods.base import Context
    from melink.rerank.base import Scope, load_reranker
    from melink.runs import Run

    run = Run(method="zeroshot", text_encoder=ENCODER, generators=("names",), rerank=None)
    linker = assemble(run, knowledge(study))
    images = study.data / "images" / "index.csv"
    every = list(read_mentions(study.data / name / "valid.jsonl", images))
    context: Context = linker.method.context
    ours = {each.mention.id for each in read_mentions(sample(study, name))}
    whole = not _file(study, name, f"split chance, k = {KS[-1]}").is_file()
    before = retrieved(linker, [each for each in every if whole or each.mention.id in ours])
    some = [outcome for outcome in before if outcome.mention.id in ours]
    for k in KS:
        for part, own, seeds in (("sample", some, SEEDS), *([("split", before, 2)] if whole else [])):
            _judge(study, name, part, f"oracle, k = {k}", [Oracle(every, Scope(k=k))], own, linker.kb)
            _judge(study, name, part, f"chance, k = {k}", [Chance(Scope(k=k), s) for s in range(seeds)], own, linker.kb)
    facts = _with_triples(some, _facts(study, name, "model"))
    _cell(study, name, "cost", {"tokens_in": prompt_tokens(study, context, facts, linker.kb)})
    order = [row["id"] for row in map(orjson.loads, lines(sample(study, name)))]
    some.sort(key=lambda outcome: order.index(outcome.mention.id))
    for system in systems:
        who, plan, share = SYSTEMS[system]
        own = some if who == "none" else _with_triples(some, _facts(study, name, who))
        own = own[: math.ceil(share * len(own))]
        full = {**plan, "llm": study.llm, "cache": str(study.output / "answers.sqlite")}
        _judge(study, name, "sample", system, [load_reranker(full, context)], own, linker.kb)


def retrieved(linker: Any, samples: list[Labelled]) -> list[Outcome]:
    """Rank the whole knowledge base for mentions whose gold is in it; keep as many candidates as any reranker sees."""
    from choosers import Chance
    from melink.evaluate.run import outcomes, rank_full
    from melink.rerank.base import Scope

    view = linker.kb.view()
    asked = [each for each in samples if view.row(each.gold or "") is not None]
    linker.reranker = Chance(Scope(k=max(KS)))
    found = outcomes(linker, asked, rank_full(linker, asked))
    linker.reranker = None
    return found


def prompt_tokens(study: Study, context: Any, outcomes: Sequence[Outcome], kb: Any) -> dict[str, float]:
    """Return the mean tokens of a prompt by k and filter, as the server cuts them; nothing is answered."""
    from choosers import Chance
    from melink.rerank.again import look_again
    from melink.rerank.base import Case, Scope, load_reranker

    class Seen(Chance):
        """Keeps what a reranker sees."""

        def look(self, cases: Sequence[Case]) -> list[Any]:
            """Keep the cases, and name somebody."""
            self.cases = list(cases)
            return super().look(cases)

    found = {}
    for k in KS:
        seen = Seen(Scope(k=k))
        look_again(seen, [outcome.link for outcome in outcomes], kb)
        for what, more in (("filtered", {}), ("first 10", {"filter": False}), ("no facts", {"most": 0})):
            plan = {"name": "kgmel", "variant": "id_only", "k": k, **more}
            plan |= {"llm": study.llm, "cache": str(study.output / "answers.sqlite")}
            asked = load_reranker(plan, context).requests(seen.cases)  # type: ignore[attr-defined]
            counts = [_tokens(study.llm["url"], f"{each.system}\n{' '.join(map(str, each.parts))}") for each in asked]
            found[f"k = {k}, {what}"] = sum(counts) / max(len(counts), 1)
    return found


def _tokens(url: str, text: str) -> int:
    """Ask llama.cpp's server how many tokens a text has; elsewhere a third of its bytes stands for them."""
    body = orjson.dumps({"content": text})
    request = urllib.request.Request(url.removesuffix("/v1") + "/tokenize", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return len(orjson.loads(reply.read())["tokens"])
    except (OSError, KeyError, ValueError):
        return len(text.encode()) // 3


def _with_triples(outcomes: Sequence[Outcome], facts: Path) -> list[Outcome]:
    """Return outcomes whose mentions carry what was generated; the ranking is the same."""
    from melink.datasets.mentions import read_mentions

    made = {each.mention.id: each.mention for each in read_mentions(facts)}
    found = []
    for outcome in outcomes:
        known = made[outcome.mention.id]
        mention = replace(outcome.mention, triples=known.triples, attributes=known.attributes)
        found.append(replace(outcome, mention=mention, link=replace(outcome.link, mention=mention)))
    return found


def _judge(
    study: Study, name: str, part: str, system: str, rerankers: Sequence[Reranker], before: list[Outcome], kb: Any
) -> None:
    """Write a cell: figures before and after, what it cost, and the curve of mentions asked about."""
    from melink.evaluate.gate import Both, asked_curve, fit_margin
    from melink.evaluate.metrics import summarise
    from melink.evaluate.reranked import reranked
    from melink.rerank.again import Count

    count, both, ranks = Count(), [], []
    for reranker in rerankers:
        after = reranked(reranker, before, kb)
        count.add(outcome.link for outcome in after)
        both.append(Both.of(before, after))
        ranks.append([outcome.rank for outcome in after])
    figures = [summarise(own) for own in ranks]
    usage = rerankers[0].usage()
    asked = max(count.asked, 1)
    per = {key: usage[key] / asked for key in ("tokens_in", "tokens_out", "model_seconds") if key in usage}
    curves = [dict(asked_curve(each)) for each in both]
    mean = [(x, sum(curve[x] for curve in curves) / len(curves)) for x in sorted(curves[0])]
    _cell(
        study,
        name,
        f"{part} {system}",
        {
            "part": part,
            "n": len(before),
            "before": summarise([outcome.rank for outcome in before]),
            "after": {key: sum(each[key] for each in figures) / len(figures) for key in ("hits@1", "hits@5", "mrr")},
            "counts": count.to_dict(),
            "per_mention": per,
            "kept": _kept(after),
            "chosen_places": _places(after),
            "curve": mean,
            "gate": fit_margin(both[0]).to_dict(),
        },
    )


def _places(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Count the places in the retrieval of those who were chosen: small models prefer a place in the list."""
    chosen = [each.link for each in outcomes if each.link.evidence["rerank"].get("named")]
    places = Counter(link.candidates[0].evidence.get("retrieved_at", 1) for link in chosen)
    return {str(place): count for place, count in sorted(places.items())}


def _kept(outcomes: Sequence[Outcome]) -> float | None:
    """Return how many triples a candidate shows, on average."""
    shown = [len(each.evidence.get("kept_triples", ())) for o in outcomes for each in o.link.candidates[:5]]
    return sum(shown) / len(shown) if any(shown) else None


def knowledge(study: Study) -> KnowledgeBase:
    """Return the persons of the shared knowledge base, built when it is not there."""
    from melink.cli.main import app
    from melink.kb.store import KnowledgeBase

    folder = study.kb or study.output / "kb"
    if not (folder / "manifest.json").is_file():
        kb = study.data / "kb"
        files = ["--entities", f"{kb}/entities.jsonl.gz", "--triples", f"{kb}/triples.tsv.gz"]
        files += ["--relations", f"{kb}/relations.tsv", "--images", str(study.data / "images" / "index.csv")]
        app(["kb", "build", str(folder), *files, "--where", "attributes"], standalone_mode=False)
    return KnowledgeBase.open(folder)


def _facts(study: Study, name: str, who: str) -> Path:
    return study.output / f"{name}-{study.mentions}.{who}.jsonl"


def _file(study: Study, name: str, what: str) -> Path:
    return study.output / "cells" / f"{name}-{what.replace(' ', '_').replace('=', '').replace(',', '')}.json"


def _cell(study: Study, name: str, what: str, figures: dict[str, Any]) -> None:
    from melink.kb.disk import write_json

    file = _file(study, name, what)
    file.parent.mkdir(exist_ok=True)
    date = time.strftime("%Y-%m-%d %H:%M:%S")
    write_json(file, {"set": name, "what": what, "date": date, **figures})
    shown = {key: figures[key] for key in ("parse_rate", "with_triples", "after") if key in figures}
    Console(stderr=True).print(name, what, shown)


def write(output: Path) -> None:
    """Write the cells as one table, and a curve for each benchmark."""
    from melink.datasets.files import replacing
    from melink.evaluate import plots, svg
    from melink.kb.disk import write_json

    cells = [orjson.loads(file.read_bytes()) for file in sorted((output / "cells").glob("*.json"))]
    write_json(output / "table.json", [{key: cell[key] for key in cell if key != "curve"} for cell in cells])
    heads = ("", "mentions", "Hits@1 before", "after", "MRR after", "answered", "tokens in", "out", "seconds")
    lines: list[str] = []
    for name in dict.fromkeys(cell["set"] for cell in cells):
        own = {cell["what"]: cell for cell in cells if cell["set"] == name and "after" in cell}
        lines += [f"**{name}**", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        lines += ["| " + " | ".join(_row(what, cell)) + " |" for what, cell in own.items()]
        lines.append("")
        drawn = {"oracle": "sample oracle, k = 5", "chance": "sample chance, k = 5", "kar": "sample kar"}
        drawn["kgmel"] = "sample kgmel"
        series = {key: [tuple(point) for point in own[what]["curve"]] for key, what in drawn.items() if what in own}
        every = {key: f"split {key}, k = {KS[0]}" for key in ("oracle", "chance")}
        whole = {key: [tuple(point) for point in own[what]["curve"]] for key, what in every.items() if what in own}
        for what, curves in ((f"{name}-asked", series), (f"{name}-asked-of-all", whole)):
            with replacing(output / f"{what}.svg") as out:
                out.write(svg.alone(plots.asked_plot(curves)).encode())
    with replacing(output / "table.md") as out:
        out.write("\n".join(lines).encode())
    Console(stderr=True).print(f"wrote {output / 'table.md'}")


def _row(what: str, cell: dict[str, Any]) -> list[str]:
    per, counts = cell["per_mention"], cell["counts"]
    answered = f"{counts['answered'] / max(counts['asked'], 1):.1%}"
    spent = [f"{per[key]:,.1f}" if key in per else "–" for key in ("tokens_in", "tokens_out", "model_seconds")]
    hits = [f"{100 * cell['before']['hits@1']:.1f}", f"{100 * cell['after']['hits@1']:.1f}"]
    return [what, f"{cell['n']:,}", *hits, f"{100 * cell['after']['mrr']:.1f}", answered, *spent]


if __name__ == "__main__":
    main()
