"""``melink datasets``: list the benchmarks, check a directory of one, convert it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from melink.cli.common import err, report, verb, write_json

if TYPE_CHECKING:
    from melink.datasets.check import Check, SplitCheck

app = typer.Typer(help="Benchmarks: list, check, convert.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Benchmark: wikimel, richpediamel or wikidiverse.", show_default=False)]
Folder = Annotated[Path, typer.Argument(help="Directory in one of the published layouts.", show_default=False)]
LayoutName = Annotated[str | None, typer.Option("--layout", help="Look for this layout only (see `datasets list`).")]
Images = Annotated[
    Path | None, typer.Option("--images", help="Directory or index CSV of the mention pictures, if elsewhere.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
@verb
def list_(json: Json = False) -> None:
    """List the benchmarks, their layouts and the published numbers of mentions.

    Example: `melink datasets list`
    """
    from rich.console import Console
    from rich.table import Table

    from melink import registry

    benchmarks = [registry.load("dataset", name) for name in registry.names("dataset")]
    rows = [
        {
            "name": each.name,
            "paper": each.paper,
            "layouts": list(each.stems),
            "published": {published.source: dict(published.mentions) for published in each.published},
            "notes": each.notes,
        }
        for each in benchmarks
    ]
    if json:
        write_json(rows)
        return
    table = Table("name", "layouts", "published mentions", "notes")
    for row in rows:
        counts = (f"{source}: {_counts(mentions)}" for source, mentions in row["published"].items())
        table.add_row(row["name"], ", ".join(row["layouts"]), "\n".join(counts), row["notes"])
    Console().print(table)


@app.command("check")
@verb
def check(
    name: Name,
    folder: Folder,
    kb: Annotated[Path | None, typer.Option("--kb", help="Knowledge base that the golds should be in.")] = None,
    images: Images = None,
    layout: LayoutName = None,
    json: Json = False,
) -> None:
    """Compare a directory with the published counts and look for missing pictures, odd golds and leaks.

    Examples: `melink datasets check wikimel data/wikimel`, `melink datasets check wikidiverse KGMEL/data --kb KB`,
    `melink datasets check richpediamel data/richpediamel --images data/images/index.csv --json`
    """
    from melink.datasets.check import check as run
    from melink.datasets.detect import open_dataset

    result = run(open_dataset(name, folder, layout), images, _ids(kb))
    if json:
        write_json(result.to_dict())
    else:
        _print(result)


@app.command("convert")
@verb
def convert(
    name: Name,
    folder: Folder,
    out: Annotated[Path, typer.Option("-o", "--out", help="Directory for the files.", show_default=False)],
    images: Images = None,
    layout: LayoutName = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first problem.")] = False,
    json: Json = False,
) -> None:
    """Write a published layout as mentions JSONL and the files that `melink kb build` takes.

    Example: `melink datasets convert wikidiverse KGMEL/data -o wd`, then
    `melink kb build KB --entities wd/entities.jsonl --triples wd/triples.tsv --relations wd/relations.tsv`
    """
    from melink.datasets.convert import convert as run
    from melink.datasets.detect import open_dataset
    from melink.errors import Problems

    problems = Problems(strict=strict)
    written = run(open_dataset(name, folder, layout), out, problems, images)
    report(problems)
    if json:
        write_json({"out": str(out), "rows": written, "problems": dict(problems.counts)})
    else:
        for file, rows in written.items():
            typer.echo(f"{out / file}\t{rows}")


def _ids(kb: Path | None) -> Collection[str] | None:
    if kb is None:
        return None
    from melink.kb.store import KnowledgeBase

    return frozenset(KnowledgeBase.open(kb).view().ids)


def _counts(mentions: dict[str, int]) -> str:
    return ", ".join(f"{split} {count:,}" for split, count in mentions.items())


def _print(result: Check) -> None:
    """Print one column for each split."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"{result.name} in layout {result.layout}; published by: {result.source}", markup=False)
    table = Table("", *result.splits)
    columns = [_lines(split) for split in result.splits.values()]
    for label in dict.fromkeys(label for column in columns for label in column):
        table.add_row(label, *(column.get(label, "") for column in columns))
    console.print(table)
    for split in result.absent:
        console.print(f"{split}: absent")
    if result.notes:
        console.print(result.notes, markup=False)
    for name, found in result.splits.items():
        for problem in found.first_problems:
            err.print(f"{name}: {problem}", markup=False)


def _lines(split: SplitCheck) -> dict[str, str]:
    """Return the table lines of a split: those that say something."""
    expected = split.published
    match = "" if expected is None else " = published" if expected == split.mentions else f" (published {expected:,})"
    lines = {"mentions": f"{split.mentions:,}{match}", "sentences": f"{split.sentences:,}"}
    lines |= {"gold entities": f"{split.entities:,}", "mention is no substring": f"{split.no_span:,}"}
    lines |= {"pictures found / named": f"{split.image_found:,} / {split.image_named:,}"}
    if split.gold_outside is not None:
        lines["gold outside the knowledge base"] = f"{split.gold_outside:,}"
    if split.lists:
        lines["candidate lists / with gold"] = f"{split.lists:,} / {split.gold_in_list:,}"
    odd = {"gold NIL": split.nil, "no gold": split.no_gold, "pictures blank": split.image_blank}
    odd |= {"gold id in mention id": split.gold_in_id, "gold id in picture name": split.gold_in_image_name}
    odd |= {f"problem: {kind}": count for kind, count in split.problems.items()}
    lines |= {name: f"{count:,}" for name, count in odd.items() if count}
    if split.leaks:
        lines |= {f"LEAK: same {kind} as in train": f"{n:,}" for kind, n in split.leaks["shared_with_train"].items()}
        lines["LEAK: any of these"] = f"{split.leaks['shared_any']:,}"
        lines["gold seen in train"] = f"{split.leaks['seen_in_train']:,} / {split.leaks['golds']:,}"
    return lines
