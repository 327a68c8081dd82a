"""Mention pictures: flags in the wind, figures turned, mirrored, lit otherwise; never the entity's own picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from backdrops import backdrop
from emblems import EMBLEMS, figure
from flags import draw_flag
from pen import Colour, Pen, rgb
from PIL import Image, ImageChops, ImageEnhance, ImageOps

Scene = Callable[[str], Image.Image]


def wave(flag: Image.Image, height: float, folds: float) -> Image.Image:
    """Return a flag blown by the wind: columns shifted by a sine of ``height`` (share of the flag), folds shaded."""
    pixels = np.asarray(flag.convert("RGBA")).astype(np.float64)
    rows, cols = pixels.shape[:2]
    phase = np.arange(cols) / cols * folds * 2 * np.pi
    shift = np.round(np.sin(phase) * np.linspace(0.25, 1, cols) * height * rows).astype(int)
    margin = int(height * rows) + 1
    out = np.zeros((rows + 2 * margin, cols, 4))
    light = 1 + 0.16 * np.cos(phase)
    for x in range(cols):
        top = margin + shift[x]
        out[top : top + rows, x, :3] = pixels[:, x, :3] * light[x]
        out[top : top + rows, x, 3] = pixels[:, x, 3]
    return Image.fromarray(np.clip(np.round(out), 0, 255).astype(np.uint8), "RGBA")


def tint(image: Image.Image, colour: Colour) -> Image.Image:
    """Return the picture under light of one colour."""
    return ImageChops.multiply(image.convert("RGB"), Image.new("RGB", image.size, rgb(colour)))


def waving(name: str) -> Image.Image:
    """A flag that fills the picture, in the wind before the sky."""
    flag = draw_flag(name)
    pen = Pen(None, flag.image.height / flag.image.width * 1.1)
    pen.fade("#7fb8e6", "#cfe6f5")
    cloth = wave(flag.image, 0.05, 1.6)
    pen.paste(cloth, 1.5, (pen.height - 97 * cloth.height / cloth.width) / 2, 97)
    return pen.image


def pole(name: str) -> Image.Image:
    """A flag on a pole before clouds."""
    flag = wave(draw_flag(name).image, 0.06, 1.3)
    pen = Pen(None, 0.82)
    pen.paste(backdrop("clouds"), 0, 0, 100)
    pen.rect(3, 3, 6, 82, "#8f98a1")
    pen.disc(4.5, 4, 2.8, "#d9b04a")
    high = min(72.0, 92 * flag.height / flag.width)
    pen.paste(flag, 6, (76 - high) / 2, high * flag.width / flag.height)
    return pen.image


def dusk_flag(name: str) -> Image.Image:
    """A flag in the last light."""
    return tint(waving(name), "#f0c9a0")


def wall_flag(name: str) -> Image.Image:
    """A flag hung a little askew on a wall, its edges cut off."""
    flag = draw_flag(name).image
    turned = flag.rotate(3, resample=Image.Resampling.BICUBIC)
    w, h = turned.size
    return tint(turned.crop((round(w * 0.05), round(h * 0.06), round(w * 0.95), round(h * 0.94))), "#ece4d6")


def staged(name: str, turn: float, size: float, flip: bool, dx: float = 0) -> Image.Image:
    """Return the figure of an emblem turned, resized and perhaps mirrored before its backdrop."""
    scene, actor = backdrop(EMBLEMS[name][0]), figure(name)
    if flip:
        actor = ImageOps.mirror(actor)
    actor = actor.rotate(turn, resample=Image.Resampling.BICUBIC)
    side = actor.width
    actor = actor.resize((round(side * size),) * 2, Image.Resampling.LANCZOS)
    layer = Image.new("RGBA", scene.size, (0, 0, 0, 0))
    layer.paste(actor, (round((side - actor.width) / 2 + dx * side), round((side - actor.height) / 2)))
    return Image.alpha_composite(scene, layer)


def snapshot(name: str) -> Image.Image:
    """A figure a little smaller and askew, in brighter light."""
    return ImageEnhance.Brightness(staged(name, 4, 0.92, False, 0.02).convert("RGB")).enhance(1.08)


def mirrored(name: str) -> Image.Image:
    """A figure from the other side."""
    return staged(name, -3, 0.96, True, -0.02)


def close(name: str) -> Image.Image:
    """A figure from nearer by."""
    return staged(name, 2, 1.16, False)


def evening(name: str) -> Image.Image:
    """A figure in warm low light."""
    return tint(staged(name, -2, 1.04, False), "#f4d2aa")


def plain_sky(_: str) -> Image.Image:
    """Sky and nothing else: a picture that tells nothing."""
    pen = Pen(None, 0.7)
    pen.fade("#6fb1e8", "#d9edf9")
    for x, y, r in ((24, 22, 9), (34, 20, 11), (46, 24, 8), (72, 44, 7), (80, 42, 9)):
        pen.oval(x, y, r * 1.5, r * 0.7, "#f4f9fd")
    return pen.image


SCENES: dict[str, Scene] = {
    "waving": waving, "pole": pole, "dusk": dusk_flag, "wall": wall_flag, "snapshot": snapshot, "mirrored": mirrored,
    "close": close, "evening": evening, "sky": plain_sky,
}  # fmt: skip
