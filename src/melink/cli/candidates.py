"""``melink candidates``: which entities could be meant, how often gold is among them, and how long it takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from melink.cli import options
from melink.cli.common import err, report, verb, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from melink.candidates.base import Generator, Hits
    from melink.records import Labelled

SHOWN = (1, 10, 50, 100)
BATCH = 256


@verb
def candidates(
    kb: options.KB,
    mentions: options.Mentions,
    generator: options.Generators = None,
    k: Annotated[int, typer.Option("-k", help="Candidates to keep for each mention.", min=1)] = 100,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the lists as JSONL ('given' reads it).")
    ] = None,
    images: options.Images = None,
    given: options.Given = None,
    text_encoder: options.TextEncoder = None,
    entity_text: options.EntityText = None,
    json: options.Json = False,
    strict: options.Strict = False,
) -> None:
    """Propose candidates for mentions; with gold in the file, measure recall of each generator and of their fusion.

    Examples:

        melink candidates KB valid.jsonl

        melink candidates KB posts.jsonl --generator names,lexical -k 50 -o lists.jsonl
    """
    from melink.candidates.load import DEFAULT, load_generators
    from melink.datasets.mentions import read_mentions
    from melink.errors import Problems
    from melink.features.load import load_text
    from melink.features.store import FeatureStore
    from melink.kb.store import KnowledgeBase

    problems = Problems(strict=strict)
    store = KnowledgeBase.open(kb).reading(entity_text or "original")
    samples = list(read_mentions(mentions, images, problems))
    names = options.split(generator) if generator else list(DEFAULT)
    encoder = load_text(text_encoder or "minilm") if "dense" in names else None
    started = time.perf_counter()
    generators = load_generators(names, store, FeatureStore(store.features_dir), encoder, given=given)
    for each in generators:
        each.search([], 1)  # 'dense' encodes entities at its first search
    ready = time.perf_counter() - started
    lists, seconds = _search(generators, samples, k, output)
    known = set(store.view().ids)
    linkable = [s.gold in known for s in samples]
    result = {
        "mentions": len(samples),
        "linkable": sum(linkable),
        "k": k,
        "entities": len(store),
        "generators": {name: _figures(lists[name], samples, linkable, k, seconds[name]) for name in lists},
        "setup_seconds": round(ready, 3),
        "mentions_per_minute": round(60 * len(samples) / max(sum(seconds.values()), 1e-9), 1),
    }
    if json:
        write_json(result)
    else:
        _print(result)
    report(problems)


def _search(
    generators: Sequence[Generator], samples: Sequence[Labelled], k: int, output: Path | None
) -> tuple[dict[str, list[list[str]]], dict[str, float]]:
    from melink.candidates.fusion import DEPTH, fuse
    from melink.progress import task

    lists: dict[str, list[list[str]]] = {name: [] for name in (*(g.name for g in generators), "fused")}
    seconds = dict.fromkeys(lists, 0.0)
    rows = []
    with task("searching", len(samples), "mentions") as advance:
        for start in range(0, len(samples), BATCH):
            batch = samples[start : start + BATCH]
            found: dict[str, list[Hits]] = {}
            for g in generators:
                began = time.perf_counter()
                found[g.name] = g.search([s.mention for s in batch], k * DEPTH)
                seconds[g.name] += time.perf_counter() - began
                lists[g.name] += [[id for id, _ in hits[:k]] for hits in found[g.name]]
            began = time.perf_counter()
            joined = fuse(found, len(batch), k)
            seconds["fused"] += time.perf_counter() - began
            lists["fused"] += [list(ids) for ids in joined.ids]
            rows += [
                {"id": s.mention.id, "candidates": list(ids), "sources": dict(where)}
                for s, ids, where in zip(batch, joined.ids, joined.sources, strict=True)
            ]
            advance(len(batch))
    if output is not None:
        _write(output, rows)
    return lists, seconds


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import orjson

    from melink.datasets.files import replacing

    with replacing(path) as out:
        for row in rows:
            out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    err.print(f"wrote {len(rows)} lists to {path}")


def _figures(
    lists: list[list[str]], samples: Sequence[Labelled], linkable: list[bool], k: int, seconds: float
) -> dict[str, Any]:
    figures: dict[str, Any] = {"ms_per_mention": round(1000 * seconds / max(len(samples), 1), 3)}
    if any(linkable):
        pairs = [(ids, s.gold) for ids, s, inside in zip(lists, samples, linkable, strict=True) if inside]
        for cut in sorted({*SHOWN, k}):
            if cut <= k:
                figures[f"recall@{cut}"] = round(sum(gold in ids[:cut] for ids, gold in pairs) / len(pairs), 5)
    return figures


def _print(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{result['linkable']} linkable of {result['mentions']} mentions, {result['entities']} entities"
    )
    columns = list(dict.fromkeys(key for row in result["generators"].values() for key in row))
    for name in ("generator", *columns):
        table.add_column(name, justify="left" if name == "generator" else "right")
    for name, row in result["generators"].items():
        table.add_row(name, *(f"{row[key]:.3f}" if key in row else "" for key in columns))
    Console(width=None).print(table)
    err.print(f"{result['mentions_per_minute']:,.0f} mentions a minute after {result['setup_seconds']:.1f} s of setup")
