"""What of an evaluation is recorded: figures over all mentions and on slices, of one run or as means over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, Final

from pydantic import Field

from melink.config import Config

METRICS: Final = ("hits@1", "hits@3", "hits@5", "hits@10", "mrr", "mr", "candidate_recall")
"""What is recorded of an evaluation, beside the figures of NIL and the interval of ``hits@1``."""
_DIGITS: Final = 5


class Row(Config):
    """Figures of one set of mentions, means over the seeds when there are several.

    Attributes:
        n: Linkable mentions.
        figures: Metric → value in 0–1 (``mr`` in ranks).
        ci95: Metric → bounds of the bootstrap over mentions; empty for a mean over seeds.
        sd: Metric → standard deviation over seeds; empty for one run.
        nil: NIL figure → value; empty where no mention is NIL.
    """

    n: int
    figures: dict[str, float]
    ci95: dict[str, tuple[float, float]] = Field(default_factory=dict)
    sd: dict[str, float] = Field(default_factory=dict)
    nil: dict[str, int | float] = Field(default_factory=dict)


class Measured(Config):
    """What was measured: over the whole split, and on its slices.

    Attributes:
        seeds: Seeds that ``{seed}`` stood for; empty when nothing is drawn by chance.
        overall: All mentions.
        slices: Name → mentions of that slice.
    """

    seeds: tuple[int, ...] = ()
    overall: Row
    slices: dict[str, Row] = Field(default_factory=dict)

    def get(self, name: str) -> float | None:
        """Return a figure by name: ``hits@1``, ``nil/f1``, ``ambiguous/hits@1``; None when it is not there."""
        first, _, rest = name.partition("/")
        row, metric = (self.slices[first], rest) if first in self.slices else (self.overall, name)
        return row.nil.get(metric.removeprefix("nil/")) if metric.startswith("nil/") else row.figures.get(metric)


def measured(results: Sequence[Mapping[str, Any]], seeds: Sequence[int] = ()) -> Measured:
    """Return the figures of ``melink evaluate --json``, of several seeds their mean and standard deviation.

    Args:
        results: What was written, one for each seed.
        seeds: The seeds.
    """
    shared = [name for name in results[0]["slices"] if all(each["slices"].get(name, {}).get("n") for each in results)]
    return Measured(
        seeds=tuple(seeds),
        overall=_row([each["overall"] for each in results]),
        slices={name: _row([each["slices"][name] for each in results]) for name in shared},
    )


def _row(rows: Sequence[Mapping[str, Any]]) -> Row:
    one = len(rows) == 1
    known = [key for key in METRICS if all(row.get(key) is not None for row in rows)]
    figures: dict[str, list[float]] = {key: [row[key] for row in rows] for key in known}
    nils = [row.get("nil") or {} for row in rows]
    keys = [key for key in nils[0] if all(nil.get(key) is not None for nil in nils)] if nils[0].get("n_nil") else []
    bounds = (rows[0].get("ci95") or {}).get("hits@1") if one else None
    return Row(
        n=rows[0]["n"],
        figures={key: round(fmean(values), _DIGITS) for key, values in figures.items()},
        ci95={"hits@1": (round(bounds[0], _DIGITS), round(bounds[1], _DIGITS))} if bounds else {},
        sd={} if one else {key: round(stdev(values), _DIGITS) for key, values in figures.items()},
        nil={key: _mean([nil[key] for nil in nils]) for key in keys},
    )


def _mean(values: Sequence[float]) -> float:
    return values[0] if set(map(type, values)) == {int} and len(set(values)) == 1 else round(fmean(values), _DIGITS)
