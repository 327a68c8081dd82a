"""``melink compare``: which of these systems is better on the same mentions, and is the difference more than luck?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from melink.cli import options
from melink.cli.common import err, verb, write_json

if TYPE_CHECKING:
    from melink.evaluate.compare import Comparison
    from melink.evaluate.systems import System


@verb
def compare(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results of 'melink evaluate --json'.", show_default=False)
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="NAME=A.json,B.json: these are one system with several seeds (repeatable)."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Name or file of the system to compare with; by default the first.")
    ] = None,
    slice_: Annotated[
        list[str] | None,
        typer.Option("--slice", help="Only this slice, or 'overall' (repeatable); by default all that are shared."),
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option("--output", "-o", help="Write the tables here: .md, .html or .json (repeatable)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
    json: options.Json = False,
) -> None:
    """Compare systems that were evaluated under the same protocol on the same mentions.

    Differences from the baseline come with a 95 % interval and p of a paired bootstrap and a paired t-test, over
    sentences where they are known. Results that differ only in their seed are one system: mean ± standard deviation.
    With --group, files outside of any group stand alone. Different protocols or mentions are refused.

    Examples:

        melink compare names.json zeroshot.json

        melink compare zeroshot.json bi-seed1.json bi-seed2.json bi-seed3.json --slice ambiguous -o table.md

        melink compare zeroshot.json --group biencoder=a.json,b.json,c.json --json
    """
    from melink.evaluate.compare import compare as run
    from melink.evaluate.compare import to_dict

    _check(output or [])
    systems = _systems(results or [], group or [])
    found = run(systems, baseline, slice_ or [], seed)
    for name in found.left_out:
        err.print(f"slice {name}: left out, it does not hold the same mentions in all results", markup=False)
    for system in found.systems:
        for result in system.results:
            if isinstance(result.protocol.leaks, dict) and result.protocol.leaks.get("fitted on this split"):
                err.print(f"{result.path}: fitted on this split, so its figures are not held out", markup=False)
    for path in output or []:
        _save(found, path)
    if json:
        write_json(to_dict(found))
    else:
        _print(found)


def _check(output: list[Path]) -> None:
    """Refuse a name that says no format, before any work."""
    from melink.errors import InputError

    for path in output:
        if path.suffix not in (".md", ".html", ".json"):
            raise InputError(f"-o {path}: unknown format", "end the name in .md, .html or .json")


def _systems(results: list[Path], groups: list[str]) -> list[System]:
    """Return the systems: files by their protocols, or as ``--group`` says.

    Raises:
        InputError: A group of another form, or a name or file that is given twice.
    """
    from melink.errors import InputError
    from melink.evaluate.systems import System, gather, read_result

    named = {}
    for option in groups:
        name, equals, files = option.partition("=")
        if not name or not equals or not options.split(files):
            raise InputError(f"--group {option!r}", "write --group NAME=A.json,B.json")
        if name in named:
            raise InputError(f"--group {name} is given twice", "put all its files into one --group")
        named[name] = options.split(files)
    paths = [*map(str, results), *(path for files in named.values() for path in files)]
    if twice := sorted({path for path in paths if paths.count(path) > 1}):
        raise InputError(f"given twice: {', '.join(twice)}", "name each file once")
    alone = [read_result(path) for path in results]
    systems = [System(name, tuple(map(read_result, files))) for name, files in named.items()]
    if not groups:
        return gather(alone)
    names = [Path(result.path).stem for result in alone]
    for name in {name for name in names if [*names, *named].count(name) > 1}:
        raise InputError(f"two systems would be called {name!r}", "name them with --group NAME=FILE")
    return [*(System(name, (result,)) for name, result in zip(names, alone, strict=True)), *systems]


def _save(found: Comparison, path: Path) -> None:
    from melink.datasets.files import replacing
    from melink.evaluate.compare import to_dict
    from melink.evaluate.tables import html, markdown
    from melink.kb.disk import write_json as store_json

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        store_json(path, to_dict(found))
    else:
        with replacing(path) as out:
            out.write((markdown(found) if path.suffix == ".md" else html(found)).encode())
    err.print(f"wrote {path}", markup=False)


def _print(found: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from melink.evaluate.tables import HEADS, cells, notes, title

    screen = Console(highlight=False)
    if not screen.is_terminal:
        screen = Console(highlight=False, width=140)
    for part in found.parts:
        table = Table(title=Text(title(part, found.by_sentence)), title_justify="left")
        for place, head in enumerate(HEADS):
            table.add_column(head, justify="left" if place < 2 else "right")
        for row in cells(part):
            table.add_row(*(Text(cell.text, style="bold" if cell.best else "") for cell in row))
        screen.print(table)
    for note in notes(found):
        err.print(note, style="dim", markup=False)
