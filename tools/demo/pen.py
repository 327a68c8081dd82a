"""A small pen over Pillow: shapes in a 100-unit square, drawn four times too large and scaled down."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageColor, ImageDraw, ImageFilter

SIDE = 256
"""Longest side of a finished picture, in pixels."""
SUPERSAMPLE = 4

Point = tuple[float, float]
Colour = str | tuple[int, int, int] | tuple[int, int, int, int]


def rgb(colour: Colour) -> tuple[int, int, int]:
    """Return red, green and blue of a colour name, hex string or tuple."""
    return ImageColor.getrgb(colour)[:3] if isinstance(colour, str) else colour[:3]


def mix(a: Colour, b: Colour, share: float) -> tuple[int, int, int]:
    """Return the colour ``share`` of the way from ``a`` to ``b``."""
    return tuple(round(x + (y - x) * share) for x, y in zip(rgb(a), rgb(b), strict=True))  # type: ignore[return-value]


def smooth(points: Sequence[Point], steps: int = 12, closed: bool = True) -> list[Point]:
    """Return a Catmull-Rom curve through ``points``."""
    n = len(points)
    out: list[Point] = []
    for i in range(n if closed else n - 1):
        if closed:
            p = [points[(i + k) % n] for k in (-1, 0, 1, 2)]
        else:
            p = [points[min(max(i + k, 0), n - 1)] for k in (-1, 0, 1, 2)]
        for s in range(steps):
            out.append((_spline(p, 0, s / steps), _spline(p, 1, s / steps)))
    return out if closed else [*out, points[-1]]


def _spline(p: Sequence[Point], axis: int, t: float) -> float:
    a, b, c, d = (q[axis] for q in p)
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def ring(x: float, y: float, radius: float, count: int, turn: float = -90) -> list[Point]:
    """Return ``count`` points evenly spaced on a circle, the first at ``turn`` degrees."""
    angles = [math.radians(turn + 360 * i / count) for i in range(count)]
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


class Pen:
    """Draws on an RGBA layer. Units: 100 to the longest side; ``aspect`` is height over width.

    Args:
        background: Fill of the whole layer; None leaves it transparent.
        aspect: Height divided by width.
    """

    def __init__(self, background: Colour | None = None, aspect: float = 1.0) -> None:
        size = SIDE * SUPERSAMPLE
        self.image = Image.new("RGBA", (size, round(size * aspect)), background or (0, 0, 0, 0))
        self.unit = size / 100
        self.height = 100 * aspect
        self._draw = ImageDraw.Draw(self.image)

    def _scaled(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.unit, y * self.unit) for x, y in points]

    def poly(self, points: Sequence[Point], fill: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon(self._scaled(points), fill=fill)

    def blob(self, points: Sequence[Point], fill: Colour) -> None:
        """Fill the smooth closed curve through ``points``."""
        self.poly(smooth(points), fill)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, round_by: float = 0) -> None:
        """Fill a rectangle, its corners rounded by ``round_by``."""
        if round_by:
            box = [v * self.unit for v in (x0, y0, x1, y1)]
            self._draw.rounded_rectangle(box, radius=round_by * self.unit, fill=fill)
        else:
            self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """Fill a circle."""
        self.oval(x, y, radius, radius, fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour, turn: float = 0) -> None:
        """Fill an ellipse turned by ``turn`` degrees."""
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        steps = [2 * math.pi * i / 90 for i in range(90)]
        dots = [(rx * math.cos(a), ry * math.sin(a)) for a in steps]
        self.poly([(x + c * u - s * v, y + s * u + c * v) for u, v in dots], fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour, curved: bool = False) -> None:
        """Draw a line with round joints and ends."""
        dots = smooth(points, closed=False) if curved else list(points)
        self._draw.line(self._scaled(dots), fill=fill, width=round(width * self.unit), joint="curve")
        for x, y in (dots[0], dots[-1]):
            self.disc(x, y, width / 2, fill)

    def arc(self, x: float, y: float, rx: float, ry: float, span: Point, width: float, fill: Colour) -> None:
        """Draw part of an ellipse between the two angles of ``span`` in degrees."""
        angles = [math.radians(span[0] + (span[1] - span[0]) * i / 48) for i in range(49)]
        self.line([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles], width, fill)

    def star(
        self, x: float, y: float, radius: float, fill: Colour, tips: int = 5, inner: float = 0.382, turn: float = -90
    ) -> None:
        """Fill a star with ``tips`` points, the first at ``turn`` degrees."""
        outer, notch = ring(x, y, radius, tips, turn), ring(x, y, radius * inner, tips, turn + 180 / tips)
        self.poly([p for pair in zip(outer, notch, strict=True) for p in pair], fill)

    def fade(self, top: Colour, bottom: Colour, y0: float = 0, y1: float | None = None, bands: int = 24) -> None:
        """Fill the rows from ``y0`` to ``y1`` with a vertical gradient in ``bands`` steps."""
        last = self.height if y1 is None else y1
        step = (last - y0) / bands
        for i in range(bands):
            self.rect(0, y0 + i * step, 100, y0 + (i + 1) * step + 0.1, mix(top, bottom, i / max(bands - 1, 1)))

    def soften(self, radius: float) -> None:
        """Blur the layer."""
        self.image = self.image.filter(ImageFilter.GaussianBlur(radius * self.unit))
        self._draw = ImageDraw.Draw(self.image)

    def paste(self, layer: Image.Image, x: float, y: float, width: float) -> None:
        """Lay a picture over this one, its left top corner at ``x``, ``y``."""
        size = (round(width * self.unit), round(width * self.unit * layer.height / layer.width))
        small = layer.resize(size, Image.Resampling.LANCZOS).convert("RGBA")
        spot = Image.new("RGBA", self.image.size, (0, 0, 0, 0))
        spot.paste(small, (round(x * self.unit), round(y * self.unit)))
        self.image = Image.alpha_composite(self.image, spot)
        self._draw = ImageDraw.Draw(self.image)


def finish(image: Image.Image, colours: int = 224) -> Image.Image:
    """Scale a layer down to :data:`SIDE` and give it a palette of at most ``colours``."""
    ratio = SIDE / max(image.size)
    size = (round(image.width * ratio), round(image.height * ratio))
    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    return small.quantize(colors=colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
