"""What a detector gives: boxes with scores and labels in a picture; which of them are kept; a grid where it finds none.

opencv-people    heads and shoulders around faces, and whole bodies; weights in the OpenCV wheel (cascades.py)
opencv-faces     faces, with eyes; the same
dlib-faces       faces, with eyes; weights in two wheels (face_dlib.py)
grid             nothing is detected: equal crops and the centre
NAME or FOLDER   a Hugging Face detector such as RT-DETR, DETR or YOLOS (detect_hf.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from PIL import Image

from melink.errors import ConfigError

OVERLAP: Final = 0.7
"""Of two boxes of one label whose intersection over union is larger, the better one stays."""


@dataclass(frozen=True, slots=True)
class Found:
    """Parts of one picture, best first.

    Attributes:
        boxes: Left, top, right, bottom, as shares of width and height.
        scores: Confidence in 0–1; what it means is the detector's affair.
        labels: Numbers into the detector's ``labels``.
        eyes: Centres of the eye on the left and on the right of the picture, as shares; NaN where not found.
    """

    boxes: Float32[np.ndarray, "k 4"]
    scores: Float32[np.ndarray, " k"]
    labels: Int64[np.ndarray, " k"]
    eyes: Float32[np.ndarray, "k 2 2"]

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: np.ndarray) -> Found:
        """Return some of the parts, by number or mask."""
        return Found(self.boxes[rows], self.scores[rows], self.labels[rows], self.eyes[rows])


class Detector(Protocol):
    """Finds parts of pictures; several threads may call it.

    Attributes:
        name: What reports call it.
        labels: What it tells apart.
        fingerprint: Hash of everything that what it finds depends on.
        workers: How many threads may usefully call it at once.
    """

    name: str
    labels: tuple[str, ...]
    fingerprint: str
    workers: int

    def find(self, pictures: Sequence[Image.Image]) -> list[Found]:
        """Return what is found in each RGB picture."""


def found(
    boxes: Float[np.ndarray, "k 4"], scores: Float[np.ndarray, " k"], labels: np.ndarray, eyes: np.ndarray | None = None
) -> Found:
    """Return parts sorted by score, cut at the border of the picture; empty boxes are left out."""
    inside = np.asarray(boxes, np.float32).reshape(-1, 4).clip(0, 1)
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    order = order[(inside[order, 2] > inside[order, 0]) & (inside[order, 3] > inside[order, 1])]
    eyes = np.full((len(inside), 2, 2), np.nan) if eyes is None else eyes
    return Found(
        inside[order],
        np.asarray(scores, np.float32)[order],
        np.asarray(labels, np.int64)[order],
        np.asarray(eyes, np.float32).reshape(-1, 2, 2)[order],
    )


def nothing_found() -> Found:
    """Return no parts."""
    return found(np.zeros((0, 4)), np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class Choice:
    """Which parts are kept.

    Attributes:
        least: Lowest score.
        most: Most parts of a picture, by score.
        classes: Labels to keep; all when empty.
    """

    least: float = 0.0
    most: int = 10
    classes: tuple[str, ...] = ()

    def check(self, detector: Detector) -> None:
        """Check against what a detector tells apart.

        Raises:
            ConfigError: A class that it does not know, or a limit out of range.
        """
        unknown = [name for name in self.classes if name not in detector.labels]
        if unknown:
            known = ", ".join(detector.labels[:40]) + (" …" if len(detector.labels) > 40 else "")
            raise ConfigError(f"{detector.name} knows no class {unknown[0]!r}", f"choose some of: {known}")
        if not 0 <= self.least <= 1 or not 1 <= self.most <= 1000:
            raise ConfigError(f"score {self.least}, most {self.most}", "score lies in 0–1, most in 1–1000")

    def of(self, every: Found, labels: Sequence[str]) -> Found:
        """Return the parts to keep: of near-equal boxes with one label only the best."""
        keep = every.scores >= self.least
        if self.classes:
            wanted = [number for number, label in enumerate(labels) if label in self.classes]
            keep &= np.isin(every.labels, wanted)
        kept = every.take(keep)
        return kept.take(distinct(kept)[: self.most])


def distinct(every: Found) -> Int64[np.ndarray, " r"]:
    """Return the numbers of parts that no better part of the same label covers (greedy non-maximum suppression)."""
    overlap = overlaps(every.boxes, every.boxes) > OVERLAP
    overlap &= every.labels[:, None] == every.labels
    alive: Bool[np.ndarray, " k"] = np.ones(len(every), dtype=bool)
    for row in range(len(every)):
        if alive[row]:
            alive[row + 1 :] &= ~overlap[row, row + 1 :]
    numbers: np.ndarray = np.flatnonzero(alive)
    return numbers


def overlaps(left: Float[np.ndarray, "a 4"], right: Float[np.ndarray, "b 4"]) -> Float[np.ndarray, "a b"]:
    """Return the intersection over union of every two boxes."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    both = (high - low).clip(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (left, right)]
    shares: np.ndarray = both / np.maximum(areas[0][:, None] + areas[1] - both, 1e-9)
    return shares


class Grid:
    """No detector: cells that are as square as can be, and the centre, which is what ``fallback=grid`` falls back to.

    A picture at least one and a half times as long as it is wide is cut into squares along its longer side; any other
    into quarters. The score is 0: nobody has seen anything.
    """

    name = "grid"
    labels: tuple[str, ...] = ("grid",)
    fingerprint = "grid 1"
    workers = 64

    def find(self, pictures: Sequence[Image.Image]) -> list[Found]:
        """Return the cells of each picture."""
        return [_cells(picture.width, picture.height) for picture in pictures]


def _cells(width: int, height: int) -> Found:
    longer, shorter = max(width, height), min(width, height)
    along = min(8, round(longer / shorter)) if longer >= 1.5 * shorter else 2
    across = 1 if longer >= 1.5 * shorter else 2
    columns, rows = (along, across) if width >= height else (across, along)
    boxes = [(c / columns, r / rows, (c + 1) / columns, (r + 1) / rows) for r in range(rows) for c in range(columns)]
    boxes.append((0.25, 0.25, 0.75, 0.75))
    return found(np.array(boxes), np.zeros(len(boxes)), np.zeros(len(boxes)))
