"""What do regions, faces and identity tell that the whole picture does not? On real portraits, alone and in rows.

    python reproductions/faces/study.py --data ../shared/data -o OUT
    python reproductions/faces/study.py --data ../shared/data -o OUT --quick     # minutes: to see that it works

756 people, captions that name several of them, pictures with one to three people, poor pictures, and another photograph
of 14 people. docs/faces.md has the protocol. Features are kept in OUT, so a second run is short. Writes OUT/study.json,
study.svg and index.html.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

import numpy as np
from cases import POOR, Asked, Cases
from people import ambiguous, read_people, write_people
from rich.console import Console
from rich.table import Table
from sheets import scenes
from systems import Known, alarms, installed, scores

from melink import __version__, progress
from melink.datasets.files import replacing
from melink.errors import MelinkError
from melink.evaluate.markup import document, text
from melink.evaluate.trends import DASHED, DOTTED, SOLID, Dot, Line, Tick, alone, trend
from melink.kb.build import build
from melink.kb.disk import write_json

SECOND: Final = "second/0"
LOOKS: Final = {
    "text alone": (5, DOTTED),
    "whole image": (5, SOLID),
    "regions": (2, SOLID),
    "faces (hog)": (0, SOLID),
    "identity (hog)": (0, DASHED),
    "faces (dlib)": (1, SOLID),
    "identity (dlib)": (1, DASHED),
}
"""Colour and dash of each system's line."""
NOTES: Final = (
    "Hits@1 in per cent among all who bear the name of the caption, mean ± standard deviation over seeds; equal scores "
    "share the hit, so text alone is guessing. Among all: Hits@1 over the whole knowledge base, without any name.",
    "In rows, every person is in the knowledge base and only one bears the name. The picture of a person is the "
    "portrait of the knowledge base, cropped, in other light and re-compressed; in the column of second photographs it "
    "is another one (a few of those are other crops of the same photograph).",
)
Figures = dict[str, dict[str, dict[str, Any]]]


def hits(found: np.ndarray, asked: Sequence[Asked], ids: Sequence[str], named: bool) -> list[float]:
    """Return for each mention the share of a hit: 1 over the number of those with the best score, when gold is one.

    Args:
        found: Score of every person [mentions, people].
        asked: The mentions.
        ids: The people.
        named: Among those who bear the name; else among all.
    """
    place = {id: column for column, id in enumerate(ids)}
    out = []
    for row, each in zip(found, asked, strict=True):
        own = row[[place[id] for id in each.bearers]] if named else row
        gold = row[place[each.id]]
        out.append(float(gold >= own.max() - 1e-6) / int((own >= gold - 1e-6).sum()))
    return out


def measure(known: Known, cases: Sequence[dict[str, list[Asked]]]) -> Figures:
    """Return case → system → Hits@1 among those who bear the name, its spread over seeds, and Hits@1 among all."""
    found: Figures = {}
    with progress.task("cases", sum(map(len, cases)), "cases") as advance:
        for case in dict.fromkeys(case for own in cases for case in own):
            by: dict[str, list[tuple[float, float]]] = {}
            for own in cases:
                if case in own:
                    asked = own[case]
                    for system, values in scores(known, [each.picture for each in asked]).items():
                        both = (fmean(hits(values, asked, known.ids, named)) for named in (True, False))
                        by.setdefault(system, []).append((next(both), next(both)))
                    advance(1)
            found[case] = {system: _level(values) for system, values in by.items()}
    return found


def _level(values: Sequence[tuple[float, float]]) -> dict[str, Any]:
    named = [value for value, _ in values]
    return {
        "hits@1": round(fmean(named), 4),
        "sd": round(stdev(named), 4) if len(named) > 1 else None,
        "among all": round(fmean(value for _, value in values), 4),
    }


def rows(found: Figures) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the table, in per cent."""
    systems = list(next(iter(found.values())))
    parts = {"one person": ["people/1"], "two": ["people/2"], "three": ["people/3"]}
    parts |= {family: [case for case in found if case.split("/")[0] in ways] for family, ways in POOR.items()}
    parts = {**{name: own for name, own in parts.items() if own}, "second photograph": [SECOND]}
    heads = ["", *parts, "one person, among all", "second photograph, among all"]
    lines = []
    for system in systems:
        cells = []
        for cases in parts.values():
            mean = 100 * fmean(found[case][system]["hits@1"] for case in cases)
            sd = found[cases[0]][system]["sd"] if len(cases) == 1 else None
            cells.append(f"{mean:.1f}" + (f" ± {100 * sd:.1f}" if sd is not None else ""))
        cells += [f"{100 * found[case][system]['among all']:.1f}" for case in ("people/1", SECOND)]
        lines.append([system, *cells])
    return heads, lines


def plots(found: Figures) -> dict[str, str]:
    """Return plots by title: Hits@1 against the number of people, and against the severity of poor pictures."""
    systems = list(next(iter(found.values())))
    drawn = {"people in the picture": _plot(found, systems, ["people"], "people in the picture", {})}
    for family, ways in POOR.items():
        start = {system: found["people/1"][system]["hits@1"] for system in systems}
        drawn[family] = _plot(found, systems, ways, f"{family} ({', '.join(ways)}), severity", start)
    return drawn


def _plot(found: Figures, systems: Sequence[str], ways: Sequence[str], label: str, start: Mapping[str, float]) -> str:
    places = sorted({int(case.split("/")[1]) for case in found if case.split("/")[0] in ways})
    lines = []
    for system in systems:
        dots = [Dot(0, start[system])] if start else []
        for x in places:
            own = [found[f"{way}/{x}"][system] for way in ways]
            dots.append(Dot(x, fmean(each["hits@1"] for each in own), own[0]["sd"] if len(own) == 1 else None))
        lines.append(Line(system, tuple(dots), *LOOKS[system]))
    return trend(lines, [Tick(x, (str(x),)) for x in ([0] if start else []) + places], label)


def write(out: Path, said: Mapping[str, Any], found: Figures) -> None:
    """Write the figures, the plot of rows, and the page."""
    write_json(out / "study.json", {**said, "cases": found})
    heads, cells = rows(found)
    head = "".join(f"<th>{text(each)}</th>" for each in heads)
    inside = "".join(
        f"<tr><th>{text(row[0])}</th>{''.join(f'<td>{text(cell)}</td>' for cell in row[1:])}</tr>" for row in cells
    )
    notes = "".join(f'<p class="counts">{text(note, 2000)}</p>' for note in (*NOTES, *map(str, said.items())))
    drawn = plots(found)
    figures = "".join(f"<figure><h3>{text(title)}</h3>{plot}</figure>" for title, plot in drawn.items())
    body = (
        f"<header><h1>Regions, faces, identity</h1></header>{notes}"
        f'<div class="wide"><table class="plain figures-table"><tr>{head}</tr>{inside}</table></div>'
        f'<div class="trends">{figures}</div>'
    )
    page = document("Regions, faces, identity", body, styles=("page.css", "report.css", "curve.css"))
    for name, content in (("study.svg", alone(drawn["people in the picture"])), ("index.html", page)):
        with replacing(out / name) as file:
            file.write(content.encode())


def run(
    data: Path, out: Path, seeds: Sequence[int], count: int, severities: Sequence[int], quick: bool
) -> dict[str, Any]:
    """Make the pictures, measure, write; return the figures."""
    everybody = read_people(data)
    if quick:
        few = {each.id for own in ambiguous(everybody).values() if len(own) == 4 for each in own}
        everybody = [each for each in everybody if each.id in few or each.second is not None]
    names = ambiguous(everybody)
    write_people(everybody, data, out)
    known = Known.of(build(out / "kb", out / "entities.jsonl", images=out / "index.csv").kb)
    drawn = [Cases(everybody, names, scenes(data), out / "pictures", s, count, severities) for s in seeds]
    cases = [each.make() for each in drawn]
    cases[0][SECOND] = drawn[0].second()
    found = measure(known, cases)
    alone_ = [each for own in cases for each in own["people/1"]]
    said = {
        "people": len(everybody), "mentions of a case and seed": len(cases[0]["people/1"]), "seeds": list(seeds),
        "severities": list(severities), "second photographs": len(cases[0][SECOND]), "face models": list(installed()),
        "identity": alarms(known, [each.picture for each in alone_], [each.id for each in alone_]),
        "melink": __version__,
    }  # fmt: skip
    write(out, said, found)
    return {**said, "cases": found}


def main() -> None:
    """Read the command line and run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with kb/ and images/")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--people", type=int, default=20, help="drawn by each seed")
    parser.add_argument("--severities", default="1,2,3,4", help="of poor pictures")
    parser.add_argument("--quick", action="store_true", help="one seed, few people, one severity")
    given = parser.parse_args()
    logging.captureWarnings(True)
    progress.enable()
    seeds = [0] if given.quick else [int(seed) for seed in given.seeds.split(",")]
    severities = [2] if given.quick else [int(severity) for severity in given.severities.split(",")]
    count = 8 if given.quick else given.people
    try:
        said = run(given.data, given.out, seeds, count, severities, given.quick)
    except MelinkError as error:
        Console(stderr=True).print(f"error: {error}", markup=False)
        raise SystemExit(1) from None
    heads, lines = rows(said["cases"])
    table = Table(*heads, title="Hits@1 in per cent")
    for line in lines:
        table.add_row(*line)
    Console(width=220).print(table)
    Console(width=220).print(said["identity"])
    Console(stderr=True).print(f"wrote {given.out}/study.json, study.svg, index.html", markup=False)


if __name__ == "__main__":
    main()
