"""``melink reproduce``: run the commands of a recorded evaluation again, and say whether its figures come out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from melink.cli import options
from melink.cli.common import err, verb, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from melink.evaluate.agreement import Apart, Line
    from melink.evaluate.measured import Measured
    from melink.evaluate.replay import Step
    from melink.evaluate.reproduction import Reproduction


@verb
def reproduce(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A name from --list, or the path of a file like them.")
    ] = None,
    data: Annotated[
        Path, typer.Option("--data", envvar="MELINK_DATA", help="Folder of the benchmark data (or set MELINK_DATA).")
    ] = Path("data"),
    work: Annotated[
        Path, typer.Option("--work", help="Folder for knowledge bases, runs and results; shared by reproductions.")
    ] = Path("melink-reproductions"),
    seed: Annotated[
        list[int] | None, typer.Option("--seed", help="Train with this seed instead of the recorded ones (repeatable).")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List what there is.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands and do nothing.")] = False,
    json: options.Json = False,
) -> None:
    """Run a recorded evaluation again and compare its figures with the recorded and the published ones.

    A step that is done is not done again: stopped or killed, the same command goes on from there. Remove the folder
    named with **--work** to do everything anew. The exit status is 1 when a figure is farther from the recorded one
    than tolerated, or when the protocol is another. Without NAME, lists what there is.

    Examples:

        melink reproduce --list

        melink reproduce names-wikimel --data data --dry-run

        melink reproduce names-wikimel --data data
    """
    from melink.evaluate.replay import check_data, plan
    from melink.evaluate.reproduction import find, read_all

    if name is None or list_:
        _list(read_all(), json)
        return
    recorded = find(name)
    seeds = _seeds(recorded, seed)
    steps = plan(recorded, data, seeds)
    if dry_run:
        _print_commands(steps, work, json)
        return
    check_data(steps, data)
    done = _run(steps, work, recorded)
    figures, terms, now = _compare(recorded, work, seeds)
    found = _document(recorded, now, figures, terms, done)
    if json:
        write_json(found)
    else:
        _show(recorded, now, figures, terms)
    if not found["agrees"]:
        raise typer.Exit(1)


def _seeds(recorded: Reproduction, wanted: list[int] | None) -> tuple[int, ...]:
    from melink.errors import InputError

    if wanted and not recorded.ours.seeds:
        raise InputError(f"{recorded.name} draws nothing by chance", "leave --seed out")
    seeds = tuple(dict.fromkeys(wanted or recorded.ours.seeds))
    if len(seeds) > 1 and "{seed}" not in recorded.result():
        raise InputError(f"{recorded.name} keeps the result of one seed only", "give --seed once")
    return seeds


def _list(there: list[Reproduction], json: bool) -> None:
    if json:
        keys = {"name", "method", "benchmark", "published", "ours", "date", "machine", "minutes"}
        write_json([each.model_dump(mode="json", include=keys) for each in there])
        return
    from melink.evaluate.agreement import published

    table = _table("name", "method", "benchmark", "published Hits@1", "ours", "95 %", "ambiguous", "minutes")
    for each in there:
        ours = each.ours
        spread = " – ".join(_share(bound) for bound in ours.overall.ci95.get("hits@1", ()))
        sd = ours.overall.sd.get("hits@1")
        table.add_row(
            each.name,
            each.method,
            each.benchmark,
            _share(published(each, "hits@1")),
            _share(ours.get("hits@1")),
            spread or ("" if sd is None else f"± {_share(sd)} over {len(ours.seeds)} seeds"),
            _share(ours.get("ambiguous/hits@1")),
            "" if each.minutes is None else f"{each.minutes:g}",
        )
    _print(table)


def _print_commands(steps: list[Step], work: Path, json: bool) -> None:
    commands = [step.line() for step in steps]
    if json:
        write_json({"work": str(work), "commands": commands})
    else:
        typer.echo("\n".join([f"cd {shlex.quote(str(work))}", *commands]))


def _run(steps: list[Step], work: Path, recorded: Reproduction) -> list[dict[str, Any]]:
    """Run what is not done yet, and return the stamps of all steps, each with whether it was done before."""
    from melink.evaluate.replay import finished, run
    from melink.kb.disk import storing

    took = "" if recorded.minutes is None else f"; took {recorded.minutes:g} minutes on {recorded.machine}"
    err.print(f"{recorded.name}: {len(steps)} steps in {work}{took}", markup=False)
    for place, step in enumerate(steps, 1):
        err.print(f"  {place}. {step.line()}", markup=False, style="dim")
    with storing(work):
        work.mkdir(parents=True, exist_ok=True)
    stamps = []
    for place, step in enumerate(steps, 1):
        before = finished(step, work)
        if before is not None:
            err.print(f"step {place} of {len(steps)}: done on {before['finished']}, not done again")
        else:
            err.print(f"step {place} of {len(steps)}: {step.line()}", markup=False)
        stamps.append({**(before or run(step, work)), "reused": before is not None})
    return stamps


def _compare(recorded: Reproduction, work: Path, seeds: tuple[int, ...]) -> tuple[list[Line], list[Apart], Measured]:
    from melink.datasets.files import load_json
    from melink.evaluate.agreement import apart, lines
    from melink.evaluate.measured import measured

    names = dict.fromkeys(recorded.result().replace("{seed}", str(seed)) for seed in seeds or (0,))
    results = [load_json(work / name, dict) for name in names]
    now = measured(results, seeds)
    return lines(recorded, now), apart(recorded.protocol, [result["protocol"] for result in results]), now


def _document(
    recorded: Reproduction, now: Measured, figures: list[Line], terms: list[Apart], done: list[dict[str, Any]]
) -> dict[str, Any]:
    from dataclasses import asdict

    from melink.evaluate.agreement import agrees

    told = recorded.model_dump(mode="json", exclude={"commands", "ours", "tolerance"})
    return {
        **told,
        "agrees": agrees(figures, terms),
        "seeds": {"recorded": list(recorded.ours.seeds), "now": list(now.seeds)},
        "figures": [{**asdict(line), "difference": line.difference, "within": line.within} for line in figures],
        "protocol_differs": [asdict(each) for each in terms],
        "steps": done,
    }


def _show(recorded: Reproduction, now: Measured, figures: list[Line], terms: list[Apart]) -> None:
    """Print the figures side by side, then what they stand on."""
    table = _table("figure", "published", "recorded", "now", "difference", "tolerated", "")
    words = {True: "agrees", False: "DIFFERS", None: ""}
    for line in figures:
        apart_by = "" if line.difference is None else f"{line.difference:+.4f}"
        tolerated = "" if line.tolerance is None else f"± {line.tolerance:g}"
        values = [_share(value) for value in (line.published, line.recorded, line.now)]
        table.add_row(line.figure, *values, apart_by, tolerated, words[line.within])
    _print(table)
    typer.echo("\n".join(_about(recorded, now)))
    for each in terms:
        kind = "another protocol" if each.fatal else "warning"
        err.print(f"{kind}: {each.term}: recorded {each.recorded}, now {each.now}", style="yellow", markup=False)


def _about(recorded: Reproduction, now: Measured) -> list[str]:
    from melink.evaluate.agreement import terms

    lines = [f"protocol: {terms(recorded.protocol)}"]
    for each in recorded.published:
        lines.append(f"published: {each.source}" + (f"; another protocol: {each.differs}" if each.differs else ""))
    lines += [f"published: none: {recorded.unpublished}"] if recorded.unpublished else []
    lines += [f"deviation: {each}" for each in recorded.deviations]
    if now.seeds != recorded.ours.seeds:
        before, after = (", ".join(map(str, each.seeds)) for each in (recorded.ours, now))
        lines.append(f"seeds: recorded {before}; now {after}")
    return [*lines, f"recorded: {recorded.date} on {recorded.machine}"]


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _table(*heads: str) -> Table:
    from rich.table import Table

    return Table(*heads)


def _print(table: Table) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 140).print(table)
