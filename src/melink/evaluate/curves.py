"""Learning curves: Hits@1 against the number of training mentions, and by how often gold was seen in training."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Final

from melink.errors import ProtocolError
from melink.evaluate.slices import Slice
from melink.records import Labelled

ALL: Final = "all"
SEEN: Final = ("seen_entities", "unseen_entities")
"""Groups that change with the share: the larger it is, the more entities it holds."""
_CLASSES: Final = ((0, 0, "0"), (1, 1, "1"), (2, 2, "2"), (3, 5, "3-5"), (6, None, "6+"))
_PREFIX: Final = "seen_times_"
TIMES: Final = tuple(_PREFIX + name for _, _, name in _CLASSES)
"""Slices of a point: how often the gold of a mention is gold in its training share."""
COLUMNS: Final = (
    "system", "share", "seed", "training_mentions", "training_sentences", "group", "n", "hits@1", "hits@5", "mrr",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """One training on one share, evaluated.

    Attributes:
        share: Per cent of the training mentions.
        seed: Of the share and of the training.
        mentions: Training mentions in the share.
        sentences: Sentences that they come from.
        result: What :func:`melink.evaluate.result.build_result` gave, with the slices :data:`SEEN` and :data:`TIMES`.
        file: Where it lies, from the folder of the curve.
    """

    share: float
    seed: int
    mentions: int
    sentences: int
    result: Mapping[str, Any]
    file: str


@dataclass(frozen=True)
class Curve:
    """A curve, complete or under way.

    Attributes:
        method: What was trained.
        by: What shares are made of: sentences, mentions or entities.
        slices: Names of the given slices.
        points: In any order.
        references: Systems that do not depend on training mentions: name → result on the same mentions.
        planned: How many points there will be.
        equal_steps: Whether every share was trained for about as many steps; else for as many epochs.
    """

    method: str
    by: str
    slices: tuple[str, ...]
    points: tuple[Point, ...]
    references: Mapping[str, Mapping[str, Any]]
    planned: int
    equal_steps: bool = False

    @property
    def fixed(self) -> tuple[str, ...]:
        """Groups that are the same mentions at every share."""
        return (ALL, *self.slices)

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups that curves are drawn of."""
        return (*self.fixed, *SEEN)

    @property
    def shares(self) -> list[float]:
        """Shares that have a point, ascending."""
        return sorted({point.share for point in self.points})


@dataclass(frozen=True, slots=True)
class Level:
    """One height of a curve: a group at a share, over its seeds.

    Attributes:
        share: Per cent.
        mentions: Training mentions, mean over seeds.
        n: Mentions judged, mean over seeds.
        mean: Hits@1, mean over seeds.
        sd: Standard deviation over seeds; None for one seed, and for a reference, which has none.
        seeds: How many.
    """

    share: float
    mentions: float
    n: float
    mean: float
    sd: float | None
    seeds: int


def times_seen(valid: Sequence[Labelled], train: Sequence[Labelled]) -> dict[str, Slice]:
    """Return the mentions by how often their gold is gold in training: the slices :data:`TIMES`, empty ones too."""
    counts = Counter(sample.gold for sample in train)
    found: dict[str, set[str]] = {name: set() for name in TIMES}
    for sample in valid:
        if sample.gold is not None:
            count = counts[sample.gold]
            own = next(name for low, high, name in _CLASSES if count >= low and (high is None or count <= high))
            found[_PREFIX + own].add(sample.mention.id)
    return {name: Slice(frozenset(ids)) for name, ids in found.items()}


def class_name(group: str) -> str:
    """Return the name of one of :data:`TIMES` for people."""
    return group.removeprefix(_PREFIX).replace("-", "–")


def levels(curve: Curve, group: str, system: str | None = None) -> list[Level]:
    """Return the heights of a curve, by share; a share at which nothing is in the group is left out.

    Args:
        curve: Its points.
        group: One of ``curve.groups`` or of :data:`TIMES`.
        system: A reference, judged at each point on the mentions that are in the group there; None for the method.

    Raises:
        ProtocolError: The reference was evaluated on other mentions.
    """
    found = []
    for share in curve.shares:
        points = [point for point in curve.points if point.share == share]
        judged = [_hits(point, group, None if system is None else curve.references[system]) for point in points]
        filled = [(point, hits) for point, hits in zip(points, judged, strict=True) if hits]
        if filled:
            values = [fmean(hits) for _, hits in filled]
            mentions, n = fmean(point.mentions for point, _ in filled), fmean(len(hits) for _, hits in filled)
            sd = stdev(values) if len(values) > 1 and system is None else None
            found.append(Level(share, mentions, n, fmean(values), sd, len(values)))
    return found


def to_dict(curve: Curve) -> dict[str, Any]:
    """Return what ``points.json`` holds: every point, the references, and means over seeds."""
    first = curve.points[0].result["protocol"] if curve.points else {}
    return {
        "method": curve.method,
        "by": curve.by,
        "equal_steps": curve.equal_steps,
        "complete": len(curve.points) == curve.planned,
        "planned": curve.planned,
        "protocol": {key: value for key, value in first.items() if key not in ("run", "seeds", "leaks", "weights")},
        "points": [
            {
                "share": point.share,
                "seed": point.seed,
                "training_mentions": point.mentions,
                "training_sentences": point.sentences,
                "file": point.file,
                "groups": {name: _short(row) for name, row in _rows(curve, point.result)},
            }
            for point in curve.points
        ],
        "references": {
            name: {group: _short(row) for group, row in _rows(curve, result)}
            for name, result in curve.references.items()
        },
        "means": {group: [_level(level) for level in levels(curve, group)] for group in (*curve.groups, *TIMES)},
        "references_on_the_same_mentions": {
            name: {g: [_level(level) for level in levels(curve, g, name)] for g in (*SEEN, *TIMES)}
            for name in curve.references
        },
    }


def to_csv(curve: Curve) -> str:
    """Return every figure of every point, a row for each group; a reference has neither share nor seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for point in curve.points:
        head = (curve.method, f"{point.share:g}", point.seed, point.mentions, point.sentences)
        writer.writerows((*head, name, *_figures(row)) for name, row in _rows(curve, point.result))
    for system, result in curve.references.items():
        writer.writerows((system, "", "", "", "", name, *_figures(row)) for name, row in _rows(curve, result))
    return text.getvalue()


def _hits(point: Point, group: str, reference: Mapping[str, Any] | None) -> list[bool]:
    """Return whether gold is first for each mention of a group, by the point or by a reference."""
    own = point.result["mentions"]
    judge = own if reference is None else reference["mentions"]
    if judge["id"] != own["id"]:
        raise ProtocolError("a reference was evaluated on other mentions than the points", "choose another -o")
    places = range(len(own["id"])) if group == ALL else own["slices"].get(group, ())
    return [judge["rank"][place] is not None and judge["rank"][place] <= 1 for place in places]


def _rows(curve: Curve, result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield ALL, result["overall"]
    for name in (*curve.slices, *SEEN, *TIMES):
        if result["slices"].get(name, {}).get("n"):
            yield name, result["slices"][name]


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**{key: row[key] for key in ("n", "hits@1", "hits@5", "mrr")}, "ci95": row["ci95"].get("hits@1")}


def _figures(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["n"], *(f"{row[key]:.5f}" for key in ("hits@1", "hits@5", "mrr"))


def _level(level: Level) -> dict[str, Any]:
    return {
        "share": level.share,
        "training_mentions": level.mentions,
        "n": level.n,
        "hits@1": level.mean,
        "sd": level.sd,
        "seeds": level.seeds,
    }
