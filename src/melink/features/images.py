"""Reading pictures from strangers: a format allow-list and limits on bytes, pixels and time.

The file is read once and within the byte limit; the header is parsed by the allowed decoders only; the pixel limit is
checked before any pixel is decoded. Decoding runs in a helper thread that is given ``Limits.seconds``: C decoders
cannot be stopped half-way, so a picture that takes longer is reported and its thread left to end by itself, which the
byte and pixel limits bound. Pillow's own global limits are neither needed nor changed.
"""

from __future__ import annotations

import io
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from melink.errors import BadImage

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF")
"""Allowed formats. TIFF, FITS, PSD and the like stay out: little used for mentions, often attacked."""

_SIGNATURES: Final = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8")
_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one picture may cost.

    Attributes:
        bytes: Size of the file.
        pixels: Width times height, read from the header.
        seconds: Time to decode.
        side: A large picture is reduced to 1/2, 1/4 … as long as both sides stay at least this long; a JPEG already
            while it is decoded. Encoders read at most 448 pixels.
    """

    bytes: int = 64_000_000
    pixels: int = 50_000_000
    seconds: float = 10.0
    side: int = 512


DEFAULT: Final = Limits()
"""The limits that apply when nobody says otherwise."""


def load_image(path: str | Path, limits: Limits = DEFAULT) -> Image.Image:
    """Read one picture as upright RGB; an animation gives its first frame, transparency becomes white.

    Raises:
        BadImage: With a reason code: ``missing``, ``empty``, ``too_large``, ``too_many_pixels``, ``format``,
            ``corrupt`` or ``timeout``.
    """
    return decode(read(path, limits), str(path), limits)


def read(path: str | Path, limits: Limits = DEFAULT) -> bytes:
    """Read the bytes of a picture file within the byte limit.

    Raises:
        BadImage: ``missing`` (also for a folder, a pipe or a device), ``empty`` or ``too_large``.
    """
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            raise BadImage("missing", str(path), "not a regular file")
        if found.st_size > limits.bytes:
            raise BadImage("too_large", str(path), f"{found.st_size:,} bytes; the limit is {limits.bytes:,}")
        with Path(path).open("rb") as file:
            data = file.read(limits.bytes + 1)
    except (OSError, ValueError) as error:
        raise BadImage("missing", str(path), str(error)) from error
    if not data:
        raise BadImage("empty", str(path))
    if len(data) > limits.bytes:
        raise BadImage("too_large", str(path), f"the limit is {limits.bytes:,} bytes")
    return data


def decode(data: bytes, source: str, limits: Limits = DEFAULT) -> Image.Image:
    """Decode the bytes of a picture as :func:`load_image` does.

    Args:
        data: The whole file.
        source: Name for messages.
        limits: What it may cost.

    Raises:
        BadImage: As :func:`load_image`.
    """
    answer: list[Image.Image | BadImage] = []
    worker = threading.Thread(target=lambda: answer.append(_attempt(data, source, limits)), daemon=True)
    worker.start()
    worker.join(limits.seconds)
    if not answer:
        raise BadImage("timeout", source, f"not decoded within {limits.seconds:g} s")
    if isinstance(answer[0], BadImage):
        raise answer[0]
    return answer[0]


def _attempt(data: bytes, source: str, limits: Limits) -> Image.Image | BadImage:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > limits.pixels:
                return BadImage("too_many_pixels", source, f"{image.width} x {image.height}")
            if min(image.size) < 1:
                return BadImage("corrupt", source, "no pixels")
            image.draft("RGB", (limits.side, limits.side))
            turn = _TURNS.get(_orientation(image))
            plain = to_rgb(image)
            factor = 1 << max(0, (min(plain.size) // limits.side).bit_length() - 1)
            plain = plain.reduce(factor) if factor > 1 else plain
            return plain.transpose(turn) if turn is not None else plain
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return BadImage("too_many_pixels", source, str(error))
    except UnidentifiedImageError:
        known = data.startswith(_SIGNATURES)
        return BadImage("corrupt" if known else "format", source, "" if known else f"not one of {', '.join(FORMATS)}")
    except Exception as error:  # decoders raise whatever they like on hostile data; each failure is reported
        return BadImage("corrupt", source, f"{type(error).__name__}: {error}")


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: transparency is laid on white, 16 bits become the upper 8."""
    if image.mode.startswith("I"):
        deep = np.asarray(image).clip(0, 65535)
        return Image.fromarray((deep >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    if image.mode == "RGB":
        image.load()
        return image.copy()
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a broken EXIF block must not cost the picture
        return 1
