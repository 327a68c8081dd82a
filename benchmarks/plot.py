"""A plot of cost against size as a file of its own: both axes logarithmic, one line for each way to rank."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from melink.evaluate.markup import text

WIDTH, HEIGHT = 620, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 150, 16, 44
_COLOURS = ("#8a2f2f", "#3156d3", "#1d7a4f", "#b3701a", "#6b4fa0")
Points = Sequence[tuple[float, float]]


def cost(series: Mapping[str, Points], x_label: str, y_label: str) -> str:
    """Return lines of positive values over positive sizes, each named at its end.

    Args:
        series: Name → points in order of x; up to five.
        x_label: What x is.
        y_label: What y is.
    """
    points = [point for curve in series.values() for point in curve]
    xs, ys = _decades(x for x, _ in points), _decades(y for _, y in points)

    def across(x: float) -> float:
        return _LEFT + (math.log10(x) - xs[0]) / max(xs[-1] - xs[0], 1) * (WIDTH - _LEFT - _RIGHT)

    def up(y: float) -> float:
        return HEIGHT - _BOTTOM - (math.log10(y) - ys[0]) / max(ys[-1] - ys[0], 1) * (HEIGHT - _TOP - _BOTTOM)

    parts = [_horizontal(up(10.0**y), f"{10.0**y:,.6g}" if y < 6 else f"{10**y:,}") for y in ys] + [
        _below(across(10.0**x), _short(x)) for x in xs
    ]
    ends = _apart([up(curve[-1][1]) for curve in series.values()])
    for (name, curve), colour, end in zip(series.items(), _COLOURS, ends, strict=False):
        places = [(across(x), up(y)) for x, y in curve]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
        label = f'<text x="{WIDTH - _RIGHT + 10}" y="{end + 4:.1f}" fill="{colour}">{text(name)}</text>'
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>{dots}{label}')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{text(x_label)}</text>')
    parts.append(
        f'<text transform="translate(14 {HEIGHT / 2:.0f}) rotate(-90)" text-anchor="middle">{text(y_label)}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{text(y_label)}"><style>text{{font:12px system-ui,sans-serif}}</style>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _decades(values: Iterable[float]) -> list[int]:
    """Return the powers of ten that enclose some positive values."""
    logs = [math.log10(value) for value in values]
    return list(range(math.floor(min(logs) + 1e-9), math.ceil(max(logs) - 1e-9) + 1))


def _apart(heights: Sequence[float], least: float = 16) -> list[float]:
    """Move labels so that none covers another."""
    placed: dict[int, float] = {}
    last = -math.inf
    for place in sorted(range(len(heights)), key=lambda place: heights[place]):
        last = placed[place] = max(heights[place], last + least)
    return [placed[place] for place in range(len(heights))]


def _short(power: int) -> str:
    return f"{10**power // 1_000_000}M" if power >= 6 else f"{10**power // 1000}k" if power >= 3 else f"{10.0**power:g}"


def _horizontal(y: float, words: str) -> str:
    return (
        f'<line stroke="#dfe3ea" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text fill="#5b6475" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{words}</text>'
    )


def _below(x: float, words: str) -> str:
    return f'<text fill="#5b6475" x="{x:.1f}" y="{HEIGHT - _BOTTOM + 17}" text-anchor="middle">{words}</text>'
