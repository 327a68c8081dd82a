"""``melink kb``: build, change and look into a knowledge base."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from melink.cli.common import err, report, verb, write_json
from melink.errors import Problems

if TYPE_CHECKING:
    from melink.kb.store import KnowledgeBase
    from melink.records import Entity

app = typer.Typer(
    help="Build, change and look into a knowledge base.", no_args_is_help=True, rich_markup_mode="markdown"
)

Store = Annotated[Path, typer.Argument(metavar="KB", help="Folder of the knowledge base.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad row instead of passing it over.")]
ProblemFile = Annotated[Path | None, typer.Option("--problems", help="Write every problem to this JSONL file.")]


@app.command()
@verb
def build(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the knowledge base.")],
    entities: Annotated[list[Path] | None, typer.Option(help="Entities, JSON lines, also .gz or .bz2.")] = None,
    triples: Annotated[Path | None, typer.Option(help="Facts: head, relation, tail between tabs.")] = None,
    relations: Annotated[Path | None, typer.Option(help="Relation names: id, label, description between tabs.")] = None,
    images: Annotated[Path | None, typer.Option(help="A folder of pictures named by id, or an index.csv.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Keep only entities for which this holds.")] = None,
    inverse: Annotated[bool, typer.Option("--inverse", help="Turn the facts of --triples round as well.")] = False,
    wikidata: Annotated[list[Path] | None, typer.Option(help="A Wikidata JSON dump, also .gz or .bz2.")] = None,
    language: Annotated[str, typer.Option(help="Language of names taken from a dump.")] = "en",
    strict: Strict = False,
    force: Annotated[bool, typer.Option("--force", help="Build even if nothing has changed.")] = False,
    problems: ProblemFile = None,
    json: Json = False,
) -> None:
    """Build a knowledge base from files.

    A build that was stopped goes on where it was. Until it is done, the knowledge base that was there stays readable.

    **--where** takes a field that must not be empty (aliases, attributes, description, extract, images, triples,
    types, or text for any of description, attributes and extract), type=Q5,Q6, sitelinks>=20, or, for a dump,
    language=de. Give it several times to ask for all of them.

    **--inverse** lets an entity hold what others' facts say of it: of "Titanic, cast member, Ann", Ann holds
    "cast member of: Titanic", even where --where leaves Titanic out.

    Examples:

        melink kb build people --entities entities.jsonl.gz --triples triples.tsv.gz --relations relations.tsv
        --images images/index.csv --where attributes --inverse

        melink kb build humans --wikidata latest-all.json.bz2 --where type=Q5 --where "sitelinks>=5"
    """
    from melink.kb.build import build as build_kb

    found = Problems(strict=strict, path=problems)
    built = build_kb(
        out,
        entities or (),
        triples,
        relations,
        images,
        where,
        found,
        wikidata or (),
        language,
        force=force,
        inverse=inverse,
    )
    if not built.fresh:
        err.print(f"{out}: up to date; nothing to do (--force builds it again)")
    elif built.resumed:
        err.print(f"{out}: went on with an unfinished build")
    report(found)
    _show_stats(built.kb, json, problems=dict(found.counts))


@app.command()
@verb
def add(
    kb: Store, file: Annotated[Path, typer.Argument(help="Entities, JSON lines.")], strict: Strict = False,
    problems: ProblemFile = None, json: Json = False,
) -> None:  # fmt: skip
    """Add entities, or replace those with the same id. They can be linked to at once.

    Example: melink kb add people new.jsonl
    """
    from melink.kb.add import add_file
    from melink.kb.store import KnowledgeBase

    found = Problems(strict=strict, path=problems)
    written = add_file(KnowledgeBase.open(kb), file, found)
    report(found)
    err.print(f"{written.added} added, {written.updated} replaced, {found.total} passed over")
    if json:
        write_json({**asdict(written), "problems": dict(found.counts)})


@app.command()
@verb
def delete(kb: Store, ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Ids to remove.")]) -> None:
    """Remove entities by id, and what was computed of their faces.

    Example: melink kb delete people Q42 Q1339
    """
    from melink.features.face_index import collect
    from melink.kb.store import KnowledgeBase

    store = KnowledgeBase.open(kb)
    gone = store.delete(ids)
    err.print(f"{gone} removed" + (f", {len(set(ids)) - gone} were not there" if gone < len(set(ids)) else ""))
    if faces := collect(store):
        err.print(f"deleted what was computed of faces in {faces:,} pictures that no entity has")


@app.command()
@verb
def stats(kb: Store, json: Json = False) -> None:
    """Say how much a knowledge base holds.

    Example: melink kb stats people --json
    """
    from melink.kb.store import KnowledgeBase

    _show_stats(KnowledgeBase.open(kb), json)


@app.command()
@verb
def show(
    kb: Store, id: Annotated[str, typer.Argument(metavar="ID", help="Id of the entity.")], json: Json = False
) -> None:
    """Show one entity with its facts and pictures.

    Example: melink kb show people Q42
    """
    from melink.kb.store import KnowledgeBase

    entity = KnowledgeBase.open(kb).get(id)
    if json:
        write_json({**asdict(entity), "extra": dict(entity.extra)})
    else:
        _print_rows(_entity_rows(entity), f"{entity.label} ({entity.id})")


@app.command()
@verb
def search(
    kb: Store, text: Annotated[str, typer.Argument(help="Words of names or descriptions.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10, json: Json = False,
) -> None:  # fmt: skip
    """Find entities by words of their names and descriptions.

    Example: melink kb search people "british actor born 1942" -k 5
    """
    from melink.kb.store import KnowledgeBase

    store = KnowledgeBase.open(kb)
    hits = store.search(text, k)
    view = store.take([id for id, _ in hits])
    found = [
        {"id": id, "label": label, "description": description, "score": round(score, 4)}
        for (id, score), label, description in zip(hits, view.labels, view.column("description"), strict=True)
    ]
    if json:
        write_json(found)
    elif found:
        _print_table([list(row.values()) for row in found], ["id", "label", "description", "score"])
    else:
        err.print("nothing found")


@app.command()
@verb
def versions(kb: Store, json: Json = False) -> None:
    """List the versions that can still be read.

    Example: melink kb versions people
    """
    from melink.kb.store import KnowledgeBase

    found = KnowledgeBase.open(kb).versions()
    if json:
        write_json(found)
    else:
        _print_table([list(row.values()) for row in found], ["version", "time", "entities"])


def _show_stats(kb: KnowledgeBase, json: bool, **more: Any) -> None:
    numbers = {**kb.stats(), **more}
    if json:
        write_json(numbers)
    else:
        rows = [(name.replace("_", " "), value) for name, value in numbers.items() if value not in ({}, 0)]
        _print_rows(
            [(name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in rows], str(kb.path)
        )


def _entity_rows(entity: Entity) -> list[tuple[str, str]]:
    rows = [
        ("aliases", ", ".join(entity.aliases)),
        ("description", entity.description),
        ("attributes", entity.attributes),
        ("extract", entity.extract),
        ("types", ", ".join(entity.types)),
        *(("fact", triple.words()) for triple in entity.triples),
        *(("picture", path) for path in entity.images),
        *((name, str(value)) for name, value in entity.extra.items()),
    ]
    return [row for row in rows if row[1]]


def _print_rows(rows: list[tuple[str, str]], title: str) -> None:
    if not sys.stdout.isatty():
        typer.echo("\n".join([title, *(f"{name}\t{value}" for name, value in rows)]))
    else:
        _print_table([list(row) for row in rows], ["", title])


def _print_table(rows: list[list[Any]], header: list[str]) -> None:
    """Print a table for a person, or tab-separated lines for a pipe."""
    if not sys.stdout.isatty():
        typer.echo("\n".join("\t".join(map(str, row)) for row in rows))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=None)
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    Console().print(table)
