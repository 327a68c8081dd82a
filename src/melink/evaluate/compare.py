"""Compares systems on the same mentions: figures with the spread over seeds, differences from a baseline with tests."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from melink.errors import InputError, NotFound, ProtocolError
from melink.evaluate.bootstrap import clusters, worth
from melink.evaluate.paired import RESAMPLES, Difference, differences, holm
from melink.evaluate.protocol import COMPARED
from melink.evaluate.result import to_plain
from melink.evaluate.systems import Result, System

KS: Final = (1, 3, 5, 10)
METRICS: Final = (*(f"hits@{k}" for k in KS), "mrr")
OVERALL: Final = "overall"


@dataclass(frozen=True, slots=True)
class Figure:
    """Mean over seeds, and their sample standard deviation; None with one seed."""

    mean: float
    sd: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One system on one slice.

    Attributes:
        system: The system.
        figures: Metric → figure.
        differences: Metric → difference from the baseline, seeds averaged mention by mention; empty for the baseline.
    """

    system: System
    figures: dict[str, Figure]
    differences: dict[str, Difference]


@dataclass(frozen=True, slots=True)
class Part:
    """One slice: how many mentions and sentences, and a row for each system, in the order given."""

    name: str
    mentions: int
    sentences: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Systems that were evaluated under one protocol on the same mentions.

    Attributes:
        baseline: The system that the others are compared with.
        parts: The slices that were asked for.
        by_sentence: Whether sentences were drawn rather than mentions.
        left_out: Slices that do not hold the same mentions everywhere.
        resamples: Draws of the bootstrap.
        seed: Of the draws.
    """

    baseline: System
    parts: tuple[Part, ...]
    by_sentence: bool
    left_out: tuple[str, ...]
    resamples: int
    seed: int

    @property
    def systems(self) -> tuple[System, ...]:
        """The systems, in the order given."""
        return tuple(row.system for row in self.parts[0].rows)


def compare(
    systems: Sequence[System],
    baseline: str | None = None,
    slices: Sequence[str] = (),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare every system with the baseline.

    Args:
        systems: At least two, with names of their own.
        baseline: Name of one of them, or a file of it; the first when None.
        slices: Which slices to report, ``overall`` among them; by default ``overall`` and every slice that all results
            share and that is not the whole.
        seed: Of the bootstrap.
        resamples: Draws of the bootstrap.

    Raises:
        ProtocolError: Protocols, mentions or an asked-for slice differ; says in what.
        InputError: Nothing to compare.
        NotFound: An unknown baseline or slice.
    """
    chosen = _chosen(systems, baseline)
    first = chosen.results[0]
    for system in systems:
        for result in system.results:
            check(first, result)
    if not first.ranks():
        raise InputError(f"{first.path}: no mention has its gold in the knowledge base", "evaluate on other mentions")
    shared, apart = _slices(systems, first)
    for name in slices:
        if name in apart:
            raise ProtocolError(f"slice {name!r} does not hold the same mentions in all results", "evaluate again")
        if name not in shared:
            raise NotFound.among("slice", name, shared)
    wanted = slices or [name for name, ids in shared.items() if name == OVERALL or len(ids) < len(shared[OVERALL])]
    parts = tuple(_part(name, shared[name], systems, chosen, seed, resamples) for name in dict.fromkeys(wanted))
    return Comparison(chosen, parts, first.mentions.sentence is not None, apart, resamples, seed)


def _chosen(systems: Sequence[System], baseline: str | None) -> System:
    if len({system.name for system in systems}) < 2:
        raise InputError(
            "fewer than two systems", "give the results of two systems; --group NAME=FILE keeps files apart"
        )
    if baseline is None:
        return systems[0]
    for system in systems:
        if baseline == system.name or baseline in (result.path for result in system.results):
            return system
    raise NotFound.among("baseline", baseline, (system.name for system in systems))


def check(first: Result, other: Result) -> None:
    """Return when two results may stand in one table.

    Raises:
        ProtocolError: Their protocols or their mentions differ; names the files and what differs.
    """
    try:
        first.protocol.comparable_with(other.protocol)
    except ProtocolError as error:
        raise ProtocolError(f"{first.path} and {other.path}: {error.message}", error.remedy) from error
    ours, theirs = first.ranks(), other.ranks()
    apart = [
        f"{len(lacking)} only in {path} ({', '.join(map(repr, lacking[:3]))}{', …' if len(lacking) > 3 else ''})"
        for path, lacking in (
            (first.path, [id for id in ours if id not in theirs]),
            (other.path, [id for id in theirs if id not in ours]),
        )
        if lacking
    ]
    if apart:
        raise ProtocolError(f"different mentions: {'; '.join(apart)}", "evaluate both on the same file of mentions")


def _slices(systems: Sequence[System], first: Result) -> tuple[dict[str, frozenset[str]], tuple[str, ...]]:
    """Return the slices with the same mentions in all results, and those that differ or are missing somewhere."""
    counted = frozenset(first.ranks())
    shared, apart = {OVERALL: counted}, []
    results = [result for system in systems for result in system.results]
    for name in dict.fromkeys(name for result in results for name in result.mentions.slices):
        members = {result.slice(name) & counted for result in results}
        if len(members) > 1:
            apart.append(name)
        elif inside := members.pop():
            shared[name] = inside
    return shared, tuple(apart)


def _part(
    name: str, ids: frozenset[str], systems: Sequence[System], baseline: System, seed: int, resamples: int
) -> Part:
    first = baseline.results[0].mentions
    sentence = dict(zip(first.id, first.sentence or [None] * len(first.id), strict=True))
    order = [id for id in first.id if id in ids]
    groups = clusters([sentence[id] for id in order])
    gains = {system.name: np.stack([_worth(result, order) for result in system.results]) for system in systems}
    base = gains[baseline.name].mean(axis=0)
    others = [system for system in systems if system is not baseline]
    apart = np.concatenate([gains[system.name].mean(axis=0) - base for system in others], axis=1)
    found = _corrected(differences(apart, groups, seed, resamples), len(others))
    own = {system.name: found[place * len(METRICS) :][: len(METRICS)] for place, system in enumerate(others)}
    named = {name: dict(zip(METRICS, each, strict=True)) for name, each in own.items()}
    rows = tuple(Row(system, _figures(gains[system.name]), named.get(system.name, {})) for system in systems)
    return Part(name, len(order), int(groups.max()) + 1, rows)


def _worth(result: Result, order: Sequence[str]) -> Float64[np.ndarray, "m k"]:
    ranks = result.ranks()
    return worth(np.array([ranks[id] for id in order]), KS)


def _figures(gains: Float64[np.ndarray, "s m k"]) -> dict[str, Figure]:
    by_seed = gains.mean(axis=1).T.tolist()
    return {
        metric: Figure(statistics.fmean(own), statistics.stdev(own) if len(own) > 1 else None)
        for metric, own in zip(METRICS, by_seed, strict=True)
    }


def _corrected(found: Sequence[Difference], systems: int) -> list[Difference]:
    """Correct p for the number of systems; one metric is one family."""
    corrected = list(found)
    for column in range(len(METRICS)):
        places = [system * len(METRICS) + column for system in range(systems)]
        p, p_t = (holm([getattr(found[place], kind) for place in places]) for kind in ("p", "p_t"))
        for place, one, other in zip(places, p, p_t, strict=True):
            corrected[place] = replace(found[place], p_holm=1.0 if one is None else one, p_t_holm=other)
    return corrected


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """Return plain values for JSON; shares lie in 0–1."""
    protocol = comparison.baseline.results[0].protocol.to_dict()
    plain: dict[str, Any] = to_plain(
        {
            "protocol": {name: protocol[name] for name in ("split_file", *COMPARED)},
            "baseline": comparison.baseline.name,
            "resampled": "sentences" if comparison.by_sentence else "mentions",
            "resamples": comparison.resamples,
            "seed": comparison.seed,
            "slices_left_out": comparison.left_out,
            "systems": {
                system.name: [{"file": result.path, **result.protocol.to_dict()} for result in system.results]
                for system in comparison.systems
            },
            "slices": {
                part.name: {
                    "n": part.mentions,
                    "sentences": part.sentences,
                    "systems": {
                        row.system.name: {
                            "seeds": len(row.system.results),
                            **{metric: asdict(figure) for metric, figure in row.figures.items()},
                            "differences": {metric: asdict(each) for metric, each in row.differences.items()},
                        }
                        for row in part.rows
                    },
                }
                for part in comparison.parts
            },
        }
    )
    return plain
