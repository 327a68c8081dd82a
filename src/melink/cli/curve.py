"""``melink curve``: how good a method gets with how many training mentions, and on entities that it has not seen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from melink.cli import options
from melink.cli.common import err, report, verb, write_json

if TYPE_CHECKING:
    from melink.errors import Problems
    from melink.evaluate.curves import Curve
    from melink.evaluate.slices import Slice
    from melink.records import Labelled
    from melink.runs import Run
    from melink.train.curve import Study


@verb
def curve(
    method: Annotated[str, typer.Argument(help="Method that is trained; see 'melink methods'.", show_default=False)],
    kb: options.KB,
    train: Annotated[Path, typer.Option("--train", help="Training mentions with gold.", show_default=False)],
    valid: Annotated[Path, typer.Option("--valid", help="Validation mentions with gold.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.", show_default=False)],
    shares: Annotated[
        str, typer.Option("--shares", help="Shares of the training mentions in per cent, separated by commas.")
    ] = "1,5,10,25,50,100",
    seeds: Annotated[str, typer.Option("--seeds", help="Each share is drawn and trained once for each.")] = "0,1,2",
    by: Annotated[
        str, typer.Option("--by", help="Draw whole sentences, single mentions, or entities: sentence, mention, entity.")
    ] = "sentence",
    slice_: Annotated[
        list[str] | None,
        typer.Option("--slice", help="NAME=F.tsv: a line for the mentions whose ids F lists (repeatable)."),
    ] = None,
    candidates: Annotated[
        str,
        typer.Option(
            "--candidates", help="'full' ranks the whole knowledge base; a number ranks that many candidates."
        ),
    ] = "full",
    equal_steps: Annotated[
        bool,
        typer.Option("--equal-steps", help="Train smaller shares for more epochs: as many steps as the whole."),
    ] = False,
    references: Annotated[
        bool, typer.Option("--references/--no-references", help="Also evaluate zeroshot and names, untrained.")
    ] = True,
    cpu: options.Cpu = False,
    images: options.Images = None,
    generator: options.Generators = None,
    text_encoder: options.TextEncoder = None,
    image_encoder: options.ImageEncoder = None,
    encoder: options.DualEncoder = None,
    entity_text: options.EntityText = None,
    config: options.Config = None,
    set_: options.Set = None,
    json: options.Json = False,
    strict: options.Strict = False,
) -> None:
    """Train on growing shares of the training mentions; plot Hits@1, on seen and unseen entities too.

    With the same seed a share holds the smaller ones. Every point is a run directory in the output folder, with the
    result of its evaluation. Stopped or killed, the same command goes on; what is finished is not done again. Writes
    index.html, curve.svg, seen.svg, times.svg, curve.csv and points.json.

    Examples:

        melink curve biencoder KB --train train.jsonl --valid valid.jsonl -o curve --set settings.tune=0

        melink curve biencoder KB --train train.jsonl --valid valid.jsonl -o curve --shares 10,100 --seeds 0

        melink curve biencoder KB --train train.jsonl --valid valid.jsonl -o curve --slice ambiguous=ambiguous.tsv
    """
    from melink.errors import ConfigError, Problems
    from melink.train.curve import REFERENCES, draw_curve, refuse_untrained

    refuse_untrained(method)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError(
            "a curve is drawn by one process", "start it without torchrun; a device is used where there is one"
        )
    levels, draws = _numbers("--shares", shares, float), _numbers("--seeds", seeds, int)
    generator = generator or ("names,fuzzy,persons,lexical" if candidates == "full" else None)
    encoders = (text_encoder, image_encoder, encoder)
    run = options.resolve(method, generator, *encoders, config, set_, untrained=True, entity_text=entity_text)
    problems = Problems(strict=strict)
    study = _study(run, kb, train, valid, output, by, candidates, equal_steps, slice_ or [], images, cpu, problems)
    found = draw_curve(
        study,
        levels,
        [int(seed) for seed in draws],
        REFERENCES if references else (),
        lambda words: err.print(words, markup=False),
        lambda so_far: _save(so_far, output),
    )
    _tell(found, output, json)
    report(problems)


def _numbers(option: str, given: str, kind: type[int] | type[float]) -> list[float]:
    """Return the numbers of a list separated by commas.

    Raises:
        InputError: Something else is in it.
    """
    from melink.errors import InputError

    try:
        found = [kind(each) for each in options.split(given)]
    except ValueError as error:
        raise InputError(f"{option} {given!r}", "write numbers separated by commas") from error
    if not found or min(found) < 0:
        raise InputError(f"{option} {given!r}", "write numbers from 0 separated by commas")
    return list(found)


def _study(
    run: Run,
    kb: Path,
    train: Path,
    valid: Path,
    output: Path,
    by: str,
    candidates: str,
    equal_steps: bool,
    slices: list[str],
    images: Path | None,
    cpu: bool,
    problems: Problems,
) -> Study:
    """Read what the curve is drawn of.

    Raises:
        InputError: An option has a value that it cannot have.
    """
    from typing import get_args

    from melink.datasets.mentions import read_mentions
    from melink.errors import InputError
    from melink.kb.store import KnowledgeBase
    from melink.train.curve import Study
    from melink.train.shares import By

    if by not in get_args(By):
        raise InputError(f"--by {by!r}", f"choose one of: {', '.join(get_args(By))}")
    if candidates != "full" and not (candidates.isdecimal() and int(candidates) > 0):
        raise InputError(f"--candidates {candidates!r}", "write 'full' or a number such as 100")
    store = KnowledgeBase.open(kb)
    own, samples = (list(read_mentions(path, images, problems)) for path in (train, valid))
    return Study(
        run,
        store,
        own,
        samples,
        train,
        valid,
        output,
        by,  # type: ignore[arg-type]
        "full" if candidates == "full" else int(candidates),
        equal_steps,
        _slices(slices, samples),
        cpu,
        problems,
    )


def _slices(given: list[str], samples: list[Labelled]) -> dict[str, Slice]:
    from melink.errors import InputError
    from melink.evaluate.curves import ALL, SEEN, TIMES
    from melink.evaluate.slices import read_slice

    known, found = {sample.mention.id for sample in samples}, {}
    for option in given:
        name, equals, path = option.partition("=")
        if not equals or not name:
            raise InputError(f"--slice {option!r}", "write --slice NAME=FILE.tsv")
        if name in (ALL, *SEEN, *TIMES):
            raise InputError(f"--slice {name} is a group of every curve", "choose another name")
        found[name] = read_slice(path, known)
    return found


def _save(found: Curve, output: Path) -> None:
    """Write plots, page, table and points, each by rename."""
    from melink.datasets.files import replacing
    from melink.evaluate.curve_page import page, seen_plot, share_plot, times_plot
    from melink.evaluate.curves import to_csv, to_dict
    from melink.evaluate.trends import alone
    from melink.kb.disk import write_json as store_json

    store_json(output / "points.json", to_dict(found))
    texts = {
        "curve.csv": to_csv(found),
        "curve.svg": alone(share_plot(found)),
        "seen.svg": alone(seen_plot(found)),
        "times.svg": alone(times_plot(found)),
        "index.html": page(found, f"{found.method}: learning curve"),
    }
    for name, content in texts.items():
        with replacing(output / name) as out:
            out.write(content.encode())


def _tell(found: Curve, output: Path, json: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from melink.evaluate.curve_page import cells, class_cells, notes
    from melink.evaluate.curves import to_dict

    if json:
        write_json(to_dict(found))
    else:
        screen = Console(highlight=False)
        screen = screen if screen.is_terminal else Console(highlight=False, width=140)
        for name, (heads, rows) in {"by share": cells(found), "by times seen": class_cells(found)}.items():
            table = Table(title=Text(f"Hits@1 {name}"), title_justify="left")
            for place, head in enumerate(heads):
                table.add_column(Text(head), justify="right" if place else "left")
            for row in rows:
                table.add_row(*map(Text, row))
            screen.print(table)
        for note in notes(found):
            err.print(note, style="dim", markup=False)
    err.print(f"wrote {output / 'index.html'}", markup=False)
