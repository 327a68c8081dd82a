"""Poor pictures made of good ones: for studies of what a method does when a mention's picture is of little use.

The three kinds of poor picture that MELOV names (Sui et al., Findings of ACL 2024, §1), and none at all, each by
severity from 0 (the picture as it is) to 4::

    low quality     blur      Gaussian, its sd a share of the shorter side          0  .03  .06  .12  .24
                    pixelate  this many blocks along the shorter side               –   24   12    6    3
                    noise     Gaussian in every channel, its sd of 255              0   60  120  180  240
    low value       small     pasted into another picture, its share of the side    1  .85   .7   .5  .35
                    crop      a window of it anywhere, its share of both sides      1  .85   .7   .5  .35
                    cover     a part of another picture over this share of it       0   .2   .4   .6   .8
    low relevance   swap      another picture in its place, with this probability   0  .25   .5  .75    1
    no picture      drop      none in its place, with this probability              0  .25   .5  .75    1

Lengths are shares, so a picture's size does not matter. Equal arguments give equal pixels; with one seed a picture that
is swapped at some severity is swapped at all higher ones. The steps are ours: the paper measures none.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from melink.errors import InputError

SEVERITIES: Final = (0, 1, 2, 3, 4)
FAMILIES: Final = {
    "low quality": ("blur", "pixelate", "noise"),
    "low value": ("small", "crop", "cover"),
    "low relevance": ("swap",),
    "no picture": ("drop",),
}
"""Kind of poor picture → what makes one."""

_BLUR: Final = (0.0, 0.03, 0.06, 0.12, 0.24)
_BLOCKS: Final = (0, 24, 12, 6, 3)
_NOISE: Final = (0.0, 60.0, 120.0, 180.0, 240.0)
_SIDE: Final = (1.0, 0.85, 0.7, 0.5, 0.35)
_COVERED: Final = (0.0, 0.2, 0.4, 0.6, 0.8)
_REPLACED: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_BILINEAR: Final = Image.Resampling.BILINEAR


def degraded(
    picture: Image.Image, how: str, severity: int, seed: int, other: Image.Image | None = None
) -> Image.Image | None:
    """Return a poorer picture in RGB; None where ``drop`` leaves none.

    Args:
        picture: Any picture; it is not changed.
        how: One of the names in :data:`FAMILIES`.
        severity: 0 to 4; 0 changes nothing.
        seed: Of everything that is drawn.
        other: What ``small``, ``cover`` and ``swap`` put around it, over it, or in its place.

    Raises:
        InputError: Unknown ``how`` or severity, or no ``other`` where one is needed.
    """
    known = [name for names in FAMILIES.values() for name in names]
    if how not in known:
        raise InputError(f"no way {how!r} to make a picture poor", f"choose one of: {', '.join(known)}")
    if severity not in SEVERITIES:
        raise InputError(f"severity {severity}", "choose 0 to 4")
    if how == "drop" and replaced(how, severity, seed):
        return None
    rgb = picture.convert("RGB")
    if severity == 0 or how == "drop":
        return rgb
    draw = random.Random(f"{how} {seed}")  # the severity is no part: what is drawn is the same for all
    if how in _ALONE:
        return _ALONE[how](rgb, severity, draw)
    if other is None:
        raise InputError(f"{how} needs another picture", "pass other=")
    if how == "swap":
        return other.convert("RGB") if replaced(how, severity, seed) else rgb
    return _WITH[how](rgb, severity, draw, other.convert("RGB"))


def replaced(how: str, severity: int, seed: int) -> bool:
    """Return whether ``swap`` or ``drop`` replaces the picture at this severity and seed."""
    return random.Random(f"{how} {seed}").random() < _REPLACED[severity]


def retaken(picture: Image.Image, seed: int) -> Image.Image:
    """Return a picture as somebody else might have published it: cropped a little, in other light, re-compressed."""
    draw = random.Random(f"retaken {seed}")
    window = _window(picture.convert("RGB"), draw.uniform(0.88, 0.97), draw)
    lit = ImageEnhance.Brightness(window).enhance(draw.uniform(0.9, 1.1))
    coloured = ImageEnhance.Color(lit).enhance(draw.uniform(0.85, 1.15))
    packed = io.BytesIO()
    coloured.save(packed, "JPEG", quality=draw.randint(55, 80))
    return Image.open(packed).convert("RGB")


def _blur(picture: Image.Image, severity: int, draw: random.Random) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(_BLUR[severity] * min(picture.size)))


def _pixelate(picture: Image.Image, severity: int, draw: random.Random) -> Image.Image:
    block = min(picture.size) / _BLOCKS[severity]
    few = max(1, round(picture.width / block)), max(1, round(picture.height / block))
    return picture.resize(few, Image.Resampling.BOX).resize(picture.size, Image.Resampling.NEAREST)


def _noise(picture: Image.Image, severity: int, draw: random.Random) -> Image.Image:
    pixels = np.asarray(picture, dtype=np.float32)
    noise = np.random.default_rng(draw.getrandbits(64)).standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray(np.rint(pixels + _NOISE[severity] * noise).clip(0, 255).astype(np.uint8))


def _crop(picture: Image.Image, severity: int, draw: random.Random) -> Image.Image:
    return _window(picture, _SIDE[severity], draw)


def _window(picture: Image.Image, share: float, draw: random.Random) -> Image.Image:
    """Return a part of a picture whose sides are a share of its own, anywhere."""
    width, height = max(1, round(share * picture.width)), max(1, round(share * picture.height))
    left, top = (round(draw.random() * room) for room in (picture.width - width, picture.height - height))
    return picture.crop((left, top, left + width, top + height))


def _small(picture: Image.Image, severity: int, draw: random.Random, other: Image.Image) -> Image.Image:
    scene = other.resize(picture.size, _BILINEAR)
    width, height = (max(1, round(_SIDE[severity] * side)) for side in picture.size)
    place = tuple(round(draw.random() * room) for room in (picture.width - width, picture.height - height))
    scene.paste(picture.resize((width, height), _BILINEAR, reducing_gap=2.0), (place[0], place[1]))
    return scene


def _cover(picture: Image.Image, severity: int, draw: random.Random, other: Image.Image) -> Image.Image:
    side = _COVERED[severity] ** 0.5
    width, height = (max(1, round(side * own)) for own in picture.size)
    left, top = (round(draw.random() * room) for room in (picture.width - width, picture.height - height))
    covered = picture.copy()
    covered.paste(other.resize(picture.size, _BILINEAR).crop((left, top, left + width, top + height)), (left, top))
    return covered


_ALONE: Final[dict[str, Callable[[Image.Image, int, random.Random], Image.Image]]] = {
    "blur": _blur,
    "pixelate": _pixelate,
    "noise": _noise,
    "crop": _crop,
}
_WITH: Final[dict[str, Callable[[Image.Image, int, random.Random, Image.Image], Image.Image]]] = {
    "small": _small,
    "cover": _cover,
}
