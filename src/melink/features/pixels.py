"""From pictures to the tensor that an image model reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from melink.features.images import load_image, to_rgb

if TYPE_CHECKING:
    from torch import Tensor

Resize = Literal["own", "squash"]
"""How pictures become the model's size: as its processor does it, or squashed by Lanczos without a crop."""


class Pixels:
    """Resizes, crops and normalises as a model was trained to see.

    Args:
        processor: A Hugging Face image processor with the Pillow backend.
        resize: See :data:`Resize`.

    Attributes:
        shape: Channels, height and width of what comes out.
    """

    def __init__(self, processor: Any, resize: Resize = "own") -> None:
        self._processor, self._squash = processor, False
        self.shape: tuple[int, int, int] = tuple(self([Image.new("RGB", (32, 32))]).shape[1:])
        self._squash = resize == "squash"

    def __call__(self, pictures: list[Image.Image]) -> Tensor:
        """Return pixels [n c h w] of RGB pictures."""
        if self._squash:
            size = (self.shape[2], self.shape[1])  # the processor's own resizing and cropping then change nothing
            pictures = [picture.resize(size, Image.Resampling.LANCZOS) for picture in pictures]
        pixels: Tensor = self._processor(images=pictures, return_tensors="pt")["pixel_values"]
        return pixels

    def blank(self) -> Tensor:
        """Return the pixels of one picture that are all zero, which is the mean colour and not black."""
        import torch

        return torch.zeros(1, *self.shape)


def opened(item: Image.Image | str | Path) -> Image.Image:
    """Return a picture as RGB, reading it when a path was given.

    Raises:
        BadImage: The path cannot be decoded.
    """
    if not isinstance(item, Image.Image):
        return load_image(item)
    return item if item.mode == "RGB" else to_rgb(item)
