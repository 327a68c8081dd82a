"""Small plots as inline SVG: lines, bars and intervals. Colours are classes, so that a page's style sheet decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from melink.evaluate.markup import text

WIDTH: Final = 420
HEIGHT: Final = 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 12, 36
_ROW: Final = 24
_STYLE: Final = (
    "text{font:11px system-ui,sans-serif;fill:#1b2230}.axis{fill:#5b6475}.grid{stroke:#dfe3ea}.zero{stroke:#5b6475}"
    ".series0{fill:#3156d3}.series1{fill:#ee8a1d}.series2{fill:#1f9d72}.series3{fill:#9259d0}.stroke0{stroke:#3156d3}"
    ".stroke1{stroke:#ee8a1d}.stroke2{stroke:#1f9d72}.stroke3{stroke:#9259d0}.curve{fill:none;stroke-width:2}"
)
"""Colours of a plot that stands alone; those of a page are in its style sheet."""
_NAMES: Final = 118
Points = Sequence[tuple[float, float]]


def lines(series: Mapping[str, Points], x_label: str, log_x: bool = False) -> str:
    """Return curves of shares (0–1) over x, the lowest gridline at or below the lowest point.

    Args:
        series: Name → points in order of x; up to four.
        x_label: What x is.
        log_x: Space x by its logarithm; x must then be positive.
    """
    points = [point for curve in series.values() for point in curve]
    if not points:
        return ""
    xs = [x for x, _ in points]
    steps = _levels(min(y for _, y in points))
    floor = steps[0]
    scale = math.log if log_x else float
    low, span = scale(min(xs)), (scale(max(xs)) - scale(min(xs))) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = (scale(x) - low) / span * (WIDTH - _LEFT - _RIGHT)
        up = (y - floor) / (1 - floor) * (HEIGHT - _TOP - _BOTTOM)
        return _LEFT + across, HEIGHT - _BOTTOM - up

    grid = "".join(_gridline(place(min(xs), y)[1], f"{100 * y:.0f}%") for y in steps)
    ticks = "".join(_tick(place(x, floor)[0], f"{x:g}") for x in _ticks(sorted(set(xs)), log_x))
    curves = "".join(_curve([place(x, y) for x, y in curve], index) for index, curve in enumerate(series.values()))
    keys = list(series) if len(series) > 1 else []
    label = f'<text class="axis" x="{(WIDTH + _LEFT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{text(x_label)}</text>'
    falls = min(curve[-1][1] for curve in series.values()) < min(curve[0][1] for curve in series.values())
    return _frame(HEIGHT, grid + ticks + curves + label + _keys(keys, falls), x_label)


def columns(values: Mapping[str, float], classes: Mapping[str, str] | None = None) -> str:
    """Return upright bars of shares (0–1), each with its share above it."""
    if not values:
        return ""
    top, room = max(*values.values(), 1e-9), HEIGHT - _TOP - _BOTTOM - 14
    step = (WIDTH - 2 * _RIGHT) / len(values)
    bars = []
    for index, (name, value) in enumerate(values.items()):
        tall, x = room * value / top, _RIGHT + index * step
        y = HEIGHT - _BOTTOM - tall
        kind = text((classes or {}).get(name, "series0"))
        bars.append(
            f'<rect class="{kind}" x="{x + 2:.1f}" y="{y:.1f}" width="{step - 4:.1f}" height="{tall:.1f}" rx="2"/>'
            f'<text x="{x + step / 2:.1f}" y="{y - 4:.1f}" text-anchor="middle">{100 * value:.1f}</text>'
            + _tick(x + step / 2, text(name))
        )
    return _frame(HEIGHT, "".join(bars), "shares in per cent")


def rows(values: Mapping[str, float], classes: Mapping[str, str], form: str = "{:+.3f}") -> str:
    """Return lying bars around zero, one row for each name.

    Args:
        values: Name → value.
        classes: Name → CSS class of the bar.
        form: How a value is written.
    """
    if not values:
        return ""
    low, high = min(0.0, *values.values(), 0.0), max(0.0, *values.values(), 1e-9)
    unit = (WIDTH - _NAMES - 62) / (high - low)
    zero = _NAMES - low * unit
    bars = []
    for index, (name, value) in enumerate(values.items()):
        y, wide = index * _ROW + 6, abs(value) * unit
        left, kind = zero if value >= 0 else zero - wide, text(classes.get(name, "series0"))
        bars.append(
            f'<text x="{_NAMES - 8}" y="{y + 13}" text-anchor="end">{text(name, 18)}</text>'
            f'<rect class="{kind}" x="{left:.1f}" y="{y}" width="{wide:.1f}" height="16" rx="2"/>'
            f'<text x="{WIDTH - 2}" y="{y + 13}" text-anchor="end">{form.format(value)}</text>'
        )
    tall = len(values) * _ROW + 8
    line = f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="2" y2="{tall - 2}"/>'
    return _frame(tall, "".join(bars) + line, "bars around zero")


def interval(low: float, value: float, high: float) -> str:
    """Return a value with its interval on a 0–1 line, for a table cell."""
    return (
        '<svg class="interval" viewBox="0 0 120 12" role="img" aria-label="interval">'
        '<line class="grid" x1="0" x2="120" y1="6" y2="6"/>'
        f'<line class="reach" x1="{120 * low:.1f}" x2="{120 * high:.1f}" y1="6" y2="6"/>'
        f'<circle class="series0" cx="{120 * value:.1f}" cy="6" r="3.5"/></svg>'
    )


def reliability(bins: Sequence[Mapping[str, float]]) -> str:
    """Return bars of accuracy over confidence with the diagonal of perfect calibration.

    A bar is a class of answers with their number above it; its dot stands at their mean confidence, so that its
    distance from the diagonal is the error.

    Args:
        bins: Classes with ``from``, ``to``, ``n``, ``confidence`` and ``accuracy``.
    """
    if not bins:
        return ""

    def across(p: float) -> float:
        return _LEFT + p * (WIDTH - _LEFT - _RIGHT)

    def up(share: float) -> float:
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    parts = [_gridline(up(y / 4), f"{25 * y}%") + _tick(across(y / 4), f"{25 * y}%") for y in range(5)]
    for own in bins:
        left, right, top = across(own["from"]), across(own["to"]), up(own["accuracy"])
        count = f"{own['n'] / 1000:.1f}k" if own["n"] >= 1000 else f"{own['n']:.0f}"
        parts.append(
            f'<rect class="series0" fill-opacity=".3" x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" '
            f'height="{up(0) - top:.1f}"/><circle class="series0" cx="{across(own["confidence"]):.1f}" cy="{top:.1f}" '
            f'r="2.6"/><text x="{(left + right) / 2:.1f}" y="{max(top - 5, 9):.1f}" text-anchor="middle">{count}</text>'
        )
    ends = f'x1="{across(0):.1f}" y1="{up(0):.1f}" x2="{across(1):.1f}" y2="{up(1):.1f}"'
    label = f'<text class="axis" x="{across(0.5):.1f}" y="{HEIGHT - 4}" text-anchor="middle">confidence</text>'
    return _frame(HEIGHT, "".join(parts) + f'<line class="zero" stroke-dasharray="4 3" {ends}/>' + label, "reliability")


def alone(plot: str) -> str:
    """Return a plot as a file of its own: with its name space, colours and a white ground."""
    ground = f'<style>{_STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    head, close, inside = plot.partition(">")
    space = f' xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH}" height="{2 * HEIGHT}"'
    return f"{head}{space}{close}{ground}{inside}\n" if plot else ""


def _frame(height: float, inside: str, label: str) -> str:
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{text(label)}">{inside}</svg>'


def _gridline(y: float, words: str) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="axis" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{words}</text>'
    )


def _tick(x: float, words: str) -> str:
    return f'<text class="axis" x="{x:.1f}" y="{HEIGHT - _BOTTOM + 15}" text-anchor="middle">{words}</text>'


def _curve(points: Points, index: int) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="curve stroke{index % 4}" points="{path}"/>'


def _keys(names: Sequence[str], left: bool) -> str:
    """Return the legend in a lower corner: the right one, where rising curves leave room, or the left one."""
    found = []
    words, anchor, square = (_LEFT + 18, "start", _LEFT + 3) if left else (
        WIDTH - _RIGHT - 16, "end", WIDTH - _RIGHT - 11
    )  # fmt: skip
    for index, name in enumerate(names):
        y = HEIGHT - _BOTTOM - 10 - 16 * (len(names) - 1 - index)
        found.append(
            f'<text x="{words}" y="{y}" text-anchor="{anchor}">{text(name, 24)}</text>'
            f'<rect class="series{index % 4}" x="{square}" y="{y - 9}" width="10" height="10" rx="2"/>'
        )
    return "".join(found)


def _levels(lowest: float) -> list[float]:
    """Return round shares from at or below ``lowest`` to 1, for gridlines."""
    lowest = min(lowest, 0.95)
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25) if 1 - lowest <= 5 * step + 1e-9)
    count = math.ceil((1 - lowest) / step - 1e-9)
    return [1 - step * place for place in range(count, -1, -1)]


def _ticks(xs: Sequence[float], log_x: bool) -> Sequence[float]:
    """Return at most seven of the values of x, evenly spaced on the axis, the ends among them."""
    if len(xs) <= 7:
        return xs
    scale = math.log if log_x else float
    wanted = [scale(xs[0]) + (scale(xs[-1]) - scale(xs[0])) * step / 6 for step in range(7)]
    return sorted({min(xs, key=lambda x: abs(scale(x) - goal)) for goal in wanted})
