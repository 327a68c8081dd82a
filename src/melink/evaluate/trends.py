"""A plot of shares with their spread, each line named at its right end; inside a page, or as a file of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from melink.evaluate.markup import text

WIDTH: Final = 780
HEIGHT: Final = 420
COLOURS: Final = 6
SOLID, DASHED, DOTTED = 0, 1, 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 232, 14, 64
_GAP: Final = 16
"""Least distance between two names."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One measured place: x, a share in 0–1, and its standard deviation where there is one."""

    x: float
    y: float
    sd: float | None = None

    @property
    def reach(self) -> tuple[float, float]:
        """Mean plus and minus one standard deviation."""
        return self.y + (self.sd or 0.0), self.y - (self.sd or 0.0)


@dataclass(frozen=True, slots=True)
class Line:
    """Dots joined in order of x.

    Attributes:
        name: Stands at its right end; any text.
        dots: At least one.
        colour: Number of its colour, below :data:`COLOURS`.
        dash: :data:`SOLID`, :data:`DASHED` or :data:`DOTTED`.
    """

    name: str
    dots: tuple[Dot, ...]
    colour: int
    dash: int = SOLID


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the axis of x, with one or two lines of words."""

    x: float
    words: tuple[str, ...]


def trend(lines: Sequence[Line], ticks: Sequence[Tick], label: str, log_x: bool = False) -> str:
    """Return a plot; empty without lines.

    Bands are mean ± standard deviation. The axis of y spans what was measured, not 0–100 %.

    Args:
        lines: Those that have dots are drawn.
        ticks: Marks below, each at an x; the first and last are the ends of the axis.
        label: What x is.
        log_x: Space x by its logarithm; x must then be positive.
    """
    lines = [line for line in lines if line.dots]
    if not lines or not ticks:
        return ""
    scale: Callable[[float], float] = math.log if log_x else float
    low, high = scale(ticks[0].x), scale(ticks[-1].x)
    steps = _steps([y for line in lines for dot in line.dots for y in dot.reach])

    def across(x: float) -> float:
        return _LEFT + 10 + ((scale(x) - low) / (high - low) if high > low else 0.5) * (WIDTH - _LEFT - _RIGHT - 20)

    def up(y: float) -> float:
        return HEIGHT - _BOTTOM - (y - steps[0]) / (steps[-1] - steps[0]) * (HEIGHT - _TOP - _BOTTOM)

    inside = [_rule(up(y), y) for y in steps] + [_mark(across(tick.x), tick.words) for tick in ticks]
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    inside.append(f'<text class="faint" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{text(label)}</text>')
    for line in lines:
        bounds = [(across(dot.x), up(min(dot.reach[0], 1.0)), up(max(dot.reach[1], 0.0))) for dot in line.dots]
        inside.append(_band(bounds, line.colour))
    placed = [[(across(dot.x), up(dot.y)) for dot in line.dots] for line in lines]
    inside += [_line(own, line) for line, own in zip(lines, placed, strict=True)]
    inside += _names(lines, [own[-1] for own in placed])
    words = text(f"Hits@1, {label}")
    return f'<svg class="trend" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}">{"".join(inside)}</svg>'


def alone(plot: str) -> str:
    """Return a plot as a file of its own: with its name space, colours and a white ground."""
    style = (files("melink.evaluate") / "assets" / "curve.css").read_text(encoding="utf-8")
    style = style.partition(".trends")[0]
    head, close, inside = plot.partition(">")
    space = f' xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
    ground = f'<style>{style}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    return f"{head}{space}{close}{ground}{inside}\n" if plot else ""


def _steps(values: Sequence[float]) -> list[float]:
    """Return round shares around the values, four to eight of them, for the rules of y."""
    low, high = max(min(values), 0.0), min(max(values), 1.0)
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if high - low <= 7 * step - 1e-9 or step == 0.2)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 2)
    if last * step > 1 + 1e-9:
        first, last = first - 1, round(1 / step)
    return [place * step for place in range(max(first, 0), last + 1)]


def _rule(y: float, share: float) -> str:
    return (
        f'<line class="rule" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="faint" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * share:.0f}%</text>'
    )


def _mark(x: float, words: Sequence[str]) -> str:
    return "".join(
        f'<text class="{"faint" if row else ""}" x="{x:.1f}" y="{HEIGHT - _BOTTOM + 17 + 15 * row}" '
        f'text-anchor="middle">{text(word, 24)}</text>'
        for row, word in enumerate(words)
    )


def _band(bounds: Sequence[tuple[float, float, float]], colour: int) -> str:
    """Return the area between upper and lower bounds at each x; nothing where they are the same everywhere."""
    if all(high == low for _, high, low in bounds):
        return ""
    if len(bounds) == 1:
        x, high, low = bounds[0]
        return f'<rect class="band c{colour}" x="{x - 4:.1f}" y="{high:.1f}" width="8" height="{low - high:.1f}"/>'
    there = [f"{x:.1f},{high:.1f}" for x, high, _ in bounds]
    back = [f"{x:.1f},{low:.1f}" for x, _, low in reversed(bounds)]
    return f'<polygon class="band c{colour}" points="{" ".join(there + back)}"/>'


def _line(places: Sequence[tuple[float, float]], line: Line) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    drawn = f'<polyline class="line dash{line.dash} c{line.colour}" points="{points}"/>' if len(places) > 1 else ""
    dots = "".join(f'<circle class="c{line.colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
    return drawn + (dots if line.dash == SOLID or len(places) == 1 else "")


def _names(lines: Sequence[Line], ends: Sequence[tuple[float, float]]) -> list[str]:
    """Return the names beside the right ends of their lines, moved apart where they would meet."""
    order = sorted(range(len(lines)), key=lambda place: ends[place][1])
    heights = _apart([ends[place][1] for place in order])
    found = []
    for place, y in zip(order, heights, strict=True):
        line, (x, end) = lines[place], ends[place]
        left = WIDTH - _RIGHT + 26
        style = f"dash{line.dash} c{line.colour}"
        found.append(
            f'<polyline class="lead" points="{x + 5:.1f},{end:.1f} {left - 24:.1f},{end:.1f} {left - 4:.1f},{y:.1f}"/>'
            f'<line class="line {style}" x1="{left}" x2="{left + 22}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{left + 28}" y="{y + 4:.1f}">{text(line.name, 22)}'
            f'<tspan class="faint"> {100 * line.dots[-1].y:.1f}</tspan></text>'
        )
    return found


def _apart(heights: Sequence[float]) -> list[float]:
    """Move ascending heights apart by at least :data:`_GAP`, within the plot as far as they fit."""
    found: list[float] = []
    for y in heights:
        found.append(max(y, found[-1] + _GAP) if found else max(y, _TOP))
    limit = float(HEIGHT - _BOTTOM)
    for place in range(len(found) - 1, -1, -1):
        found[place] = min(found[place], limit)
        limit = found[place] - _GAP
    return found
