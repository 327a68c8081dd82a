"""From the ranks of all cells to figures, a table for the terminal, plots and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from statistics import fmean, stdev
from typing import Any, Final

import numpy as np
from cells import METHODS, Cell
from sheets import CLEAN, FAMILIES, SECOND

from melink.evaluate.bootstrap import clusters
from melink.evaluate.markup import document, text
from melink.evaluate.paired import differences
from melink.evaluate.trends import DASHED, DOTTED, HEIGHT, SOLID, WIDTH, Dot, Line, Tick, trend

Results = Mapping[Cell, Mapping[str, Any]]
LOOKS: Final = {
    "zeroshot": (5, SOLID),
    "text only": (5, DOTTED),
    "mimic": (0, SOLID),
    "mimic, neutral": (0, DASHED),
    "melov": (1, SOLID),
    "melov, average": (1, DASHED),
    "melov w/o inter": (2, DASHED),
    "melov w/o intra": (3, DASHED),
    "melov w/o τ": (4, DOTTED),
    "melov filter": (4, DASHED),
}
"""Colour and dash of each method's line."""
BASELINE: Final = "mimic"
RESAMPLES: Final = 2000


def figures(results: Results) -> dict[str, Any]:
    """Return by setting and method: curves, means by family, and the difference from MIMIC with its interval."""
    found: dict[str, Any] = {}
    for setting in dict.fromkeys(cell.setting for cell in results):
        own = {cell: result for cell, result in results.items() if cell.setting == setting}
        methods = list(dict.fromkeys(cell.method for cell in own))
        base = _seeds(own, BASELINE)
        found[setting] = {m: _of_method(_seeds(own, m), base if m != BASELINE else {}) for m in methods}
    return found


def _seeds(results: Results, method: str) -> dict[int, Mapping[str, Any]]:
    return {cell.seed: result for cell, result in results.items() if cell.method == method}


def _of_method(seeds: Mapping[int, Mapping[str, Any]], baseline: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    cases = list(next(iter(seeds.values()))["ranks"])
    curves = {case: _level([_hits(result, [case]) for result in seeds.values()]) for case in cases}
    families = {}
    for family in FAMILIES:
        inside = members(cases, family)
        families[family] = _level([_hits(result, inside) for result in seeds.values()])
        shared = [seed for seed in seeds if seed in baseline]
        if shared:
            families[family]["from mimic"] = _difference(
                [seeds[s] for s in shared], [baseline[s] for s in shared], inside
            )
    return {"seeds": sorted(seeds), "cases": curves, "families": families}


def members(cases: Sequence[str], family: str) -> list[str]:
    """Return the cases of a family: its conditions at all severities above 0."""
    return [case for case in cases if case.split("/")[0] in FAMILIES[family]]


def _hits(result: Mapping[str, Any], cases: Sequence[str]) -> float | None:
    ranks = [rank for case in cases for rank in result["ranks"][case]]
    return fmean(rank is not None and rank <= 1 for rank in ranks) if ranks else None


def _level(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    mean = round(fmean(known), 5) if known else None
    return {"hits@1": mean, "sd": round(stdev(known), 5) if len(known) > 1 else None}


def _difference(
    ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], cases: Sequence[str]
) -> dict[str, float]:
    """Return the difference in Hits@1 on the same mentions, with its 95 % interval over people."""
    values, people = [], []
    for own, other in zip(ours, theirs, strict=True):
        for case in cases:
            people += own["people"][case]
            values += [
                float(a is not None and a <= 1) - float(b is not None and b <= 1)
                for a, b in zip(own["ranks"][case], other["ranks"][case], strict=True)
            ]
    found = differences(np.array(values)[:, None], clusters(people), resamples=RESAMPLES)[0]
    return {"mean": round(found.mean, 5), "low": round(found.low, 5), "high": round(found.high, 5)}


def rows(own: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the table of one setting: Hits@1 in per cent."""
    heads = ["", "good pictures", *FAMILIES, "lost", "second picture", *(f"{f}, from mimic" for f in FAMILIES)]
    found = []
    for method, figure in own.items():
        good, families = figure["cases"][CLEAN], figure["families"]
        poor = [families[family]["hits@1"] for family in FAMILIES]
        lost = good["hits@1"] - fmean(value for value in poor if value is not None)
        cells = [_shown(good), *(_shown(families[family]) for family in FAMILIES), f"{100 * lost:.1f}"]
        cells.append(_shown(figure["cases"][SECOND]))
        cells += [_interval(families[family].get("from mimic")) for family in FAMILIES]
        found.append([method, *cells])
    return heads, found


def _shown(level: Mapping[str, Any]) -> str:
    if level["hits@1"] is None:
        return "–"
    spread = f" ± {100 * level['sd']:.1f}" if level["sd"] is not None else ""
    return f"{100 * level['hits@1']:.1f}{spread}"


def _interval(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    return f"{100 * found['mean']:+.1f} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"


def plot(own: Mapping[str, Any], family: str) -> str:
    """Return Hits@1 against severity: the mean over a family's conditions, 0 being good pictures."""
    drawn, severities = [], []
    for method in (name for name in METHODS if name in own):
        cases, (colour, dash) = own[method]["cases"], LOOKS[method]
        inside = members(list(cases), family)
        severities = sorted({int(case.split("/")[1]) for case in inside})
        dots = [Dot(0, cases[CLEAN]["hits@1"])]
        for severity in severities:
            dots.append(Dot(severity, fmean(cases[case]["hits@1"] for case in inside if case.endswith(f"/{severity}"))))
        drawn.append(Line(method, tuple(dots), colour, dash))
    ticks = [Tick(severity, (str(severity),)) for severity in (0, *severities)]
    return trend(drawn, ticks, f"{family} ({', '.join(FAMILIES[family])}), severity")


def picture(own: Mapping[str, Any]) -> str:
    """Return the four plots of a setting as one SVG file."""
    style = (files("melink.evaluate") / "assets" / "curve.css").read_text(encoding="utf-8").partition(".trends")[0]
    panels = []
    for place, family in enumerate(FAMILIES):
        left, top = place % 2 * WIDTH, place // 2 * HEIGHT
        at = f'<svg x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}"'
        panels.append(plot(own, family).replace('<svg class="trend"', at, 1))  # the class would set its size anew
    size = f'width="{2 * WIDTH}" height="{2 * HEIGHT}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {2 * WIDTH} {2 * HEIGHT}">'
        f'<style>{style}</style><rect {size} fill="#fff"/><g class="trend">{"".join(panels)}</g></svg>\n'
    )


def page(found: Mapping[str, Any], notes: Sequence[str]) -> str:
    """Return a self-contained page: notes, and a table and plots for each setting."""
    body = ["<header><h1>Poor pictures</h1></header>", *(f'<p class="counts">{text(note, 2000)}</p>' for note in notes)]
    for setting, own in found.items():
        heads, cells = rows(own)
        head = "".join(f"<th>{text(each)}</th>" for each in heads)
        inside = "".join(
            f"<tr><th>{text(row[0])}</th>{''.join(f'<td>{text(cell)}</td>' for cell in row[1:])}</tr>" for row in cells
        )
        table = f'<div class="wide"><table class="plain figures-table"><tr>{head}</tr>{inside}</table></div>'
        plots = "".join(f"<figure><h3>{family}</h3>{plot(own, family)}</figure>" for family in FAMILIES)
        body.append(f'<h2>{text(setting)}</h2>{table}<div class="trends">{plots}</div>')
    return document("Poor pictures", "".join(body), styles=("page.css", "report.css", "curve.css"))
