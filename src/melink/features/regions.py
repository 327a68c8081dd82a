"""``regions``: what stands in a picture, each part cut out and encoded by an image encoder (DWE+, §3.2).

The paper cuts out people by instance segmentation and encodes each crop by CLIP. Here a detector gives boxes; without a
model hub, faces and bodies by OpenCV's cascades, and a grid where these find nothing (such parts are labelled ``grid``
and have score 0, so that nobody takes them for something that was seen). The global vector is that of the whole
picture by the same encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float32
from PIL import Image

from melink.errors import ConfigError
from melink.features.detect import Choice, Found, Grid
from melink.features.detectors import EMBEDDED, load_detector
from melink.features.encoder import Encoder
from melink.features.parts import PartEncoder

SCORE: Final = 0.5
"""Least probability of a part by a Hugging Face detector; cascades report what they report."""


class Regions(PartEncoder):
    """Parts of pictures as crops through an image encoder; compared in the space of that encoder.

    Args:
        encoder: Any image encoder, as it is written elsewhere.
        detector: As :mod:`melink.features.detect` names them.
        classes: Labels to keep, between commas; all when empty.
        score: Least score; by default 0.5 for a Hugging Face detector, everything for the others.
        most: Most parts of a picture.
        fallback: ``grid``, or ``none``: no parts where the detector finds none.
        device: Of detector and encoder.

    Raises:
        ConfigError: No such class or choice, or an encoder that itself takes pictures apart.
        NotFound: Unknown encoder or detector, or the hub cannot be reached.
        NotInstalled: An extra is missing.
    """

    name = "regions"

    def __init__(
        self,
        encoder: str = "classical",
        detector: str = "opencv-people",
        classes: str = "",
        score: float | None = None,
        most: int = 10,
        fallback: Literal["grid", "none"] = "grid",
        device: str | None = None,
    ) -> None:
        from melink.features.load import load_image

        if fallback not in ("grid", "none"):
            raise ConfigError(f"regions: unknown fallback {fallback!r}", "choose grid or none")
        finder = load_detector(detector, device)
        least = score if score is not None else 0.0 if detector in EMBEDDED else SCORE
        wanted = tuple(name.strip() for name in classes.split(",") if name.strip())
        on = (
            f"{encoder}{'&' if '?' in encoder else '?'}device={device}"
            if device and encoder != "classical"
            else encoder
        )
        spare = Grid() if fallback == "grid" and detector != "grid" else None
        inner = load_image(on)
        if isinstance(inner, PartEncoder):
            raise ConfigError(
                f"regions: {encoder!r} takes pictures apart itself", "choose an encoder of whole pictures"
            )
        super().__init__("regions", finder, Choice(least, most, wanted), Crops(inner), spare)


class Crops:
    """Cuts out boxes and gives them to an image encoder.

    Args:
        encoder: The image encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.dim, self.space = encoder.dim, encoder.space
        self.fingerprint, self.workers = f"crops 1 {encoder.fingerprint}", encoder.workers

    def cut(self, picture: Image.Image, parts: Found) -> list[Image.Image]:
        """Return the boxes, at least one pixel wide and high."""
        return [picture.crop(pixels(box, picture.size)) for box in parts.boxes]

    def describe(self, cuts: Sequence[Image.Image]) -> Float32[np.ndarray, "c d"]:
        """Return the global vector of each crop."""
        size = max(1, self._encoder.sizes(cuts[:1])[0])
        step = max(1, self._encoder.batch // size)
        pieces = [self._encoder.encode(cuts[at : at + step]).vectors for at in range(0, len(cuts), step)]
        rows: np.ndarray = np.concatenate(pieces)
        return rows

    def whole(self, pictures: Sequence[Image.Image], parts: Any, found: Any) -> Float32[np.ndarray, "n d"]:
        """Return the vector of each picture as a whole."""
        return self.describe(pictures)


def pixels(box: Float32[np.ndarray, " 4"], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a box in pixels of a picture of this size, at least one pixel wide and high."""
    left, right = (round(float(share) * size[0]) for share in (box[0], box[2]))
    top, bottom = (round(float(share) * size[1]) for share in (box[1], box[3]))
    left, top = min(left, size[0] - 1), min(top, size[1] - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)
