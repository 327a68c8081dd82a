"""Faces turned and scaled so that the eyes are where a face model expects them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image

from melink.features.cascades import EYES
from melink.features.detect import Found


@dataclass(frozen=True)
class Template:
    """Where the eyes of an aligned face are.

    Attributes:
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        eyes_down: Height of the eyes from the top, as a share of the height.
        eyes_apart: Distance of the eyes, as a share of the width; their middle is that of the picture.
    """

    width: int
    height: int
    eyes_down: float
    eyes_apart: float


def eyes_of(parts: Found, size: tuple[int, int]) -> Float[np.ndarray, "k 2 2"]:
    """Return both eyes of each face in pixels; where not found, where an upright face has them."""
    corner, extent = parts.boxes[:, None, :2], parts.boxes[:, None, 2:] - parts.boxes[:, None, :2]
    usual = corner + np.array(EYES, np.float32) * extent
    eyes: np.ndarray = np.where(np.isfinite(parts.eyes), parts.eyes, usual) * np.array(size, np.float32)
    return eyes.astype(np.float64)


def aligned(picture: Image.Image, eyes: Float[np.ndarray, "2 2"], template: Template) -> Image.Image:
    """Return the face upright, by the similarity that takes its eyes to those of the template; black outside.

    Args:
        picture: An RGB picture.
        eyes: Left and right one in the picture, in pixels.
        template: Where they belong.
    """
    width, height = template.width, template.height
    line = eyes[1] - eyes[0]
    scale = max(float(np.hypot(*line)), 1.0) / (template.eyes_apart * width)
    angle = float(np.arctan2(line[1], line[0]))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    fine = max(1, round(scale))  # several source pixels for each of ours are averaged
    middle = np.array([width / 2, template.eyes_down * height])
    shift = eyes.mean(0) - turn @ middle
    steps = turn / fine
    matrix = (*steps[0], shift[0], *steps[1], shift[1])
    large = picture.transform((width * fine, height * fine), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return large if fine == 1 else large.resize((width, height), Image.Resampling.BOX)
