"""A picture for a language model: read within the limits, made small, as a data URL."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass
from typing import Final

from PIL import Image

from melink.errors import BadImage
from melink.features.images import Limits, decode, read

_QUALITIES: Final = (85, 70, 50, 35)
_SMALLEST: Final = 32


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture ready to be sent.

    Attributes:
        digest: Sha256 of the file, which stands for the picture in the cache.
        url: The reduced picture as a data URL.
    """

    digest: str
    url: str


def show(path: str, side: int, most_bytes: int) -> Shown:
    """Read a picture file and reduce it to a JPEG whose sides are at most ``side`` pixels.

    Args:
        path: The file.
        side: Longest side in pixels.
        most_bytes: Most bytes of the JPEG; quality, then size, are lowered until it fits.

    Raises:
        BadImage: It cannot be read within the limits, or cannot be made so small.
    """
    data = read(path)
    image = decode(data, path, Limits(side=side))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    packed = base64.b64encode(_packed(image, path, most_bytes)).decode()
    return Shown(hashlib.sha256(data).hexdigest(), f"data:image/jpeg;base64,{packed}")


def _packed(image: Image.Image, path: str, most_bytes: int) -> bytes:
    while True:
        for quality in _QUALITIES:
            out = io.BytesIO()
            image.save(out, "JPEG", quality=quality)
            if out.tell() <= most_bytes:
                return out.getvalue()
        if max(image.size) <= _SMALLEST:
            raise BadImage("too_large", path, f"does not fit {most_bytes:,} bytes")
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)
