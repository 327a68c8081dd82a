"""A learning curve as plots, as a table for the terminal, and as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from melink.evaluate.curves import ALL, SEEN, TIMES, Curve, Level, class_name, levels
from melink.evaluate.markup import document, plain, text
from melink.evaluate.protocol import Protocol
from melink.evaluate.trends import COLOURS, DASHED, DOTTED, Dot, Line, Tick, trend

_OWN: Final = ("mentions", "method", "leaks", "seeds", "weights")
"""Of the protocol, what a point does not share with the others, or what is said elsewhere."""
_WORDS: Final = {"seen_entities": "seen entities", "unseen_entities": "unseen entities"}


def share_plot(curve: Curve) -> str:
    """Return Hits@1 against the number of training mentions: all, given slices, seen and unseen entities.

    References are drawn for the groups that are the same mentions at every share.
    """
    found: list[Line] = []
    for place, group in enumerate(curve.groups):
        found.append(Line(group_name(group), _by_mentions(levels(curve, group)), place % COLOURS))
    for group, colour in zip(curve.fixed, range(len(curve.fixed)), strict=True):
        for dash, system in _dashes(curve):
            name = f"{system}, {group_name(group)}"
            found.append(Line(name, _by_mentions(levels(curve, group, system)), colour % COLOURS, dash))
    ticks = [Tick(level.mentions, (f"{level.share:g}%", _count(level.mentions))) for level in levels(curve, ALL)]
    return trend(found, _thinned(ticks), "share of the training mentions, and how many they are", log_x=True)


def seen_plot(curve: Curve) -> str:
    """Return seen and unseen entities against the share, the references on the same mentions."""
    found: list[Line] = []
    for colour, group in enumerate(SEEN, start=len(curve.fixed)):
        kind = group.removesuffix("_entities")
        found.append(Line(f"{curve.method}, {kind}", _by_mentions(levels(curve, group)), colour % COLOURS))
        for dash, system in _dashes(curve):
            dots = _by_mentions(levels(curve, group, system))
            found.append(Line(f"{system}, {kind}", dots, colour % COLOURS, dash))
    ticks = [Tick(level.mentions, (f"{level.share:g}%", _count(level.mentions))) for level in levels(curve, ALL)]
    return trend(found, _thinned(ticks), "share of the training mentions, and how many they are", log_x=True)


def times_plot(curve: Curve) -> str:
    """Return Hits@1 at the largest share by how often gold was seen in it, the references beside it."""
    found = [Line(curve.method, _by_class(curve, None), 0)]
    found += [Line(system, _by_class(curve, system), 5, dash) for dash, system in _dashes(curve)]
    counts = {place: last.n for place, last in _lasts(curve, None)}
    ticks = [
        Tick(place, (class_name(group), f"n = {_count(counts.get(place, 0))}")) for place, group in enumerate(TIMES)
    ]
    return trend(found, ticks, f"times that gold is in the training mentions, at {max(curve.shares):g}%")


def cells(curve: Curve) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the table of shares: Hits@1 in per cent, mean ± standard deviation."""
    heads = ["share", "training mentions", *(f"{group_name(group)}" for group in curve.groups)]
    rows = []
    by_group = {group: levels(curve, group) for group in curve.groups}
    for share, level in zip(curve.shares, by_group[ALL], strict=True):
        own = [_shown(_at(by_group[group], share), group in SEEN) for group in curve.groups]
        rows.append([f"{share:g}%", _count(level.mentions), *own])
    for system in curve.references:
        last = [_at(levels(curve, group, system), curve.shares[-1]) for group in curve.groups]
        shown = [_shown(own, group in SEEN) for group, own in zip(curve.groups, last, strict=True)]
        rows.append([f"{system}, at {curve.shares[-1]:g}%", "–", *shown])
    return heads, rows


def class_cells(curve: Curve) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the table of how often gold was seen: a row for each share and each reference."""
    heads = ["share", *(f"{class_name(group)}×" for group in TIMES)]
    rows = []
    for share in curve.shares:
        found = [_at(levels(curve, group), share) for group in TIMES]
        rows.append([f"{share:g}%", *(_shown(own, True) for own in found)])
    for system in curve.references:
        last = [_at(levels(curve, group, system), curve.shares[-1]) for group in TIMES]
        rows.append([f"{system}, at {curve.shares[-1]:g}%", *(_shown(own, True) for own in last)])
    return heads, rows


def notes(curve: Curve) -> list[str]:
    """Return what a reader must know to read plots and tables, one paragraph each."""
    seeds = sorted({point.seed for point in curve.points})
    drawn = {"sentence": "whole sentences", "mention": "single mentions", "entity": "entities with all their mentions"}
    alike = (
        "as many steps: smaller shares for more epochs"
        if curve.equal_steps
        else "as many epochs, so smaller ones for fewer steps"
    )
    found = [
        f"Hits@1 in per cent, mean ± standard deviation over {len(seeds)} seed{'s' * (len(seeds) > 1)} "
        f"({', '.join(map(str, seeds))}); a seed draws the share and drives the training. Shares are {drawn[curve.by]} "
        "of the mentions whose gold is in the knowledge base; with the same seed a share holds the smaller ones. "
        f"Every share was trained for {alike}.",
        "Seen: gold is gold of a training mention of that share. Which mentions are seen changes with the share "
        "(numbers in brackets), so compare the lines of one group with the references on the same mentions, not with "
        "another share. References in the tables are on the mentions of the largest share.",
        "Checkpoints and the confidence are chosen on these validation mentions, so the figures of the trained method "
        "are slightly flattering.",
    ]
    if curve.references:
        found.append(f"References are not trained and see no training mention: {', '.join(curve.references)}.")
    if len(curve.points) < curve.planned:
        found.insert(0, f"Under way: {len(curve.points)} of {curve.planned} points.")
    return [plain(note) for note in found]


def page(curve: Curve, title: str) -> str:
    """Return the page: plots, tables, protocol; everything from outside is escaped."""
    drawn = [
        ("Training mentions", "Hits@1 against the number of training mentions; bands are ± one sd.", share_plot(curve)),
        (
            "Seen and unseen entities",
            "References are judged on the mentions that are seen, or unseen, at that share.",
            seen_plot(curve),
        ),
        (
            "How often gold was seen",
            "Hits@1 at the largest share, by how often the right entity is in training.",
            times_plot(curve),
        ),
    ]
    figures = "".join(f"<figure><h3>{name}</h3><p>{about}</p>{plot}</figure>" for name, about, plot in drawn if plot)
    said = "".join(f'<p class="counts">{text(note, 2000)}</p>' for note in notes(curve))
    body = (
        f'<header><h1>{text(title)}</h1></header><div class="trends">{figures}</div>'
        f"<h2>Hits@1 by share</h2>{_table(*cells(curve))}"
        f"<h2>Hits@1 by how often gold was seen in training</h2>{_table(*class_cells(curve))}{said}"
        f"<h2>Protocol</h2>{_protocol(curve)}<h2>Points</h2>{_points(curve)}"
    )
    return document(title, body, styles=("page.css", "report.css", "curve.css"))


def group_name(group: str) -> str:
    """Return the name of a group for people."""
    return _WORDS.get(group, plain(group).replace("_", " "))


def _by_mentions(found: Sequence[Level]) -> tuple[Dot, ...]:
    return tuple(Dot(level.mentions, level.mean, level.sd) for level in found)


def _by_class(curve: Curve, system: str | None) -> tuple[Dot, ...]:
    return tuple(Dot(place, last.mean, last.sd) for place, last in _lasts(curve, system))


def _lasts(curve: Curve, system: str | None) -> list[tuple[int, Level]]:
    found = [(place, _at(levels(curve, group, system), curve.shares[-1])) for place, group in enumerate(TIMES)]
    return [(place, level) for place, level in found if level is not None]


def _dashes(curve: Curve) -> list[tuple[int, str]]:
    return list(zip((DASHED, DOTTED), curve.references, strict=False))


def _thinned(ticks: Sequence[Tick]) -> list[Tick]:
    """Leave out marks whose words would run into the one before; the ends stay."""
    kept = list(ticks[:1])
    span = ticks[-1].x / ticks[0].x if ticks else 1.0
    for tick in ticks[1:]:
        near = tick.x / kept[-1].x < span ** (1 / 11)
        if near and tick is ticks[-1] and len(kept) > 1:
            kept.pop()
        if not near or tick is ticks[-1]:
            kept.append(tick)
    return kept


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _at(found: Sequence[Level], share: float) -> Level | None:
    return next((level for level in found if level.share == share), None)


def _shown(level: Level | None, with_n: bool) -> str:
    if level is None:
        return "–"
    spread = f" ± {100 * level.sd:.2f}" if level.sd is not None else ""
    return f"{100 * level.mean:.2f}{spread}" + (f" ({_count(level.n)})" if with_n else "")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{text(head)}</th>" for head in heads)
    body = "".join(
        f"<tr><th>{text(row[0])}</th>{''.join(f'<td>{text(cell)}</td>' for cell in row[1:])}</tr>" for row in rows
    )
    return f'<div class="wide"><table class="plain figures-table"><tr>{top}</tr>{body}</table></div>'


def _protocol(curve: Curve) -> str:
    protocol = Protocol.from_dict(curve.points[0].result["protocol"])
    items: list[tuple[str, Any]] = [item for item in protocol.items() if item[0] not in _OWN]
    items.insert(0, ("trained", curve.method))
    items.append(("mentions", f"{protocol.split_file}, sha256 {protocol.split_hash[:12]}"))
    rows = "".join(f"<tr><th>{text(name)}</th><td>{text(value, 400)}</td></tr>" for name, value in items)
    return f'<table class="plain">{rows}</table>'


def _points(curve: Curve) -> str:
    heads = ["share", "seed", "training mentions", "sentences", "validation mentions that share anything", "result"]
    rows = []
    for point in sorted(curve.points, key=lambda point: (point.share, point.seed)):
        leaks = point.result["protocol"]["leaks"]
        shared = leaks.get("shared_any", "–") if isinstance(leaks, dict) else "–"
        counts = [_count(point.mentions), _count(point.sentences), f"{shared}", point.file]
        rows.append([f"{point.share:g}%", f"{point.seed}", *counts])
    return _table(heads, rows)
