"""How much do poor pictures cost? Hits@1 of ``zeroshot``, MIMIC, MELOV and its ablations against severity.

    python reproductions/robustness/study.py --data ../shared/data -o OUT
    python reproductions/robustness/study.py --data ../shared/data -o OUT --quick     # minutes: to see that it works

Over real portraits of 756 people; docs/robustness.md has the protocol, and what this can and cannot show. Finished
cells are not done again. Writes OUT/robustness.json, robustness.svg (of the setting ``clean``) and index.html.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from cells import METHODS, SETTINGS, Cell, Study
from people import chance
from report import figures, page, picture, rows
from rich.console import Console
from rich.table import Table
from sheets import Sheets

from melink import __version__, progress
from melink.datasets.files import replacing
from melink.errors import MelinkError, NotFound
from melink.kb.disk import write_json

NOTES: Final = (
    "Hits@1 in per cent over the whole knowledge base, mean ± standard deviation over seeds; a seed draws people, "
    "captions, pictures and the training. The columns of poor pictures are means over their conditions and severities "
    "1 to 4; lost: good pictures less the mean of the four. From mimic: difference on the same mentions, with its 95% "
    "interval over people.",
    "The picture encoder recognises a photograph, not a person: a mention's picture is the portrait of the knowledge "
    "base, cropped, in other light and re-compressed. Captions do not tell people of one name apart.",
)
err: Final = Console(stderr=True)


def run(study: Study, cells: Sequence[Cell]) -> dict[Cell, Mapping[str, Any]]:
    """Return the results of cells, computed where they are not finished."""
    sheets: dict[int, Sheets] = {}
    found: dict[Cell, Mapping[str, Any]] = {}
    with progress.task("cells", len(cells), "cells") as advance:
        progress.enable(False)  # one bar is enough
        for cell in cells:
            drawn = sheets.setdefault(cell.seed, study.sheets(cell.seed))
            found[cell] = study.result(cell, drawn)
            advance(1)
    return found


def about(study: Study, seeds: Sequence[int]) -> dict[str, Any]:
    """Return what the study was made on."""
    every = [study.sheets(seed).parts for seed in seeds]
    sizes = {part: [len(parts[part]) for parts in every] for part in ("train", "valid", "test")}
    guess = fmean(chance(study.people(), parts["test"]) for parts in every)
    seconds = sum(person.second is not None for _, person in every[0]["test"])
    return {
        "people": len(study.people()),
        "people by seed": sizes,
        "names by seed": {part: [len({name for name, _ in parts[part]}) for parts in every] for part in sizes},
        "mentions of each person in training": study.sheets(seeds[0]).repeats,
        "people with a second picture": seconds,
        "hits@1 of guessing among all who bear the name": round(guess, 5),
        "plan": study.plan(seeds[0]),
        "quick": study.quick,
        "melink": __version__,
    }


def tell(found: Mapping[str, Any]) -> None:
    """Print a table for each setting."""
    for setting, own in found.items():
        heads, lines = rows(own)
        table = Table(*heads, title=setting)
        for line in lines:
            table.add_row(*line)
        Console(width=240).print(table)


def write(out: Path, said: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Write the figures, the plot of the first setting and the page."""
    write_json(out / "robustness.json", {**said, "settings": dict(found)})
    for name, content in (
        ("robustness.svg", picture(next(iter(found.values())))),
        ("index.html", page(found, [*NOTES, *(f"{key}: {value}" for key, value in said.items())])),
    ):
        with replacing(out / name) as file:
            file.write(content.encode())


def listed(given: str, known: Sequence[str], what: str) -> list[str]:
    """Return the names of a list separated by semicolons.

    Raises:
        NotFound: One that is not known.
    """
    names = [name.strip() for name in given.split(";") if name.strip()]
    for name in names:
        if name not in known:
            raise NotFound.among(what, name, known)
    return names


def main() -> None:
    """Read the command line and run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with kb/ and images/")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--methods", default=";".join(METHODS), help="separated by ';'")
    parser.add_argument("--settings", default=";".join(SETTINGS), help="separated by ';'")
    parser.add_argument("--quick", action="store_true", help="a few people, two severities, two epochs")
    given = parser.parse_args()
    logging.captureWarnings(True)
    progress.enable()
    try:
        methods = listed(given.methods, list(METHODS), "method of the study")
        settings = listed(given.settings, list(SETTINGS), "setting")
        seeds = [int(seed) for seed in given.seeds.split(",")]
        study = Study(given.data, given.out, given.quick)
        cells = [
            Cell(setting, method, seed)
            for setting in settings
            for seed in seeds
            for method in SETTINGS[setting]
            if method in methods
        ]
        found = figures(run(study, cells))
        write(given.out, about(study, seeds), found)
        tell(found)
    except MelinkError as error:
        err.print(f"error: {error}", markup=False)
        raise SystemExit(1) from None
    err.print(f"wrote {given.out}/robustness.json, robustness.svg, index.html", markup=False)


if __name__ == "__main__":
    main()
