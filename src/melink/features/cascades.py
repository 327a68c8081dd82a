"""Faces, eyes and bodies by the boosted cascades whose weights come inside the OpenCV 4 wheels (5 has dropped them).

Viola and Jones, CVPR 2001; Lienhart and Maydt, ICIP 2002. Frontal faces first; profiles only where there is no frontal
one. The ``upperbody`` cascade is not used: on 25 skylines it saw nine people. People are therefore heads and shoulders
around faces, and whole bodies where ``fullbody`` sees one standing free.

A cascade has no probability. The score is n / (n + 10), n being how many overlapping windows agreed; good frontal
portraits have about 0.8. The least that is reported is 0.29 (n = 4) for a face whose eyes were found, too, and 0.41
(n = 7) for any other: of 180 portraits in rows of three that leaves out two of four false faces and one true one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Float64, UInt8
from PIL import Image

from melink.errors import NotInstalled
from melink.features.detect import Found, found, nothing_found
from melink.features.encoder import cores

VERSION: Final = 1
"""To be raised whenever what is found changes."""
_SIDE: Final = 640
"""Longest side that is searched; larger pictures are reduced."""
_SMALLEST: Final = 24
"""Side of the smallest face, in searched pixels."""
EYES: Final = ((0.314, 0.403), (0.682, 0.403))
"""Where eyes are in the box of a frontal face: means over 296 portraits, whose standard deviation is 0.02."""
_ASTRAY: Final = 0.15
"""An eye further from there, as a share of the box, is something else."""
_FACE: Final = 112
"""Side that a face is resized to before its eyes are looked for."""
_SURE: Final = 0.4
"""Least score of a face without eyes."""
_HEAD: Final = (-0.6, -0.5, 1.6, 2.1)
"""Head and shoulders around a face, in units of its box."""


class FaceCascade:
    """Faces with their eyes, by OpenCV's cascades.

    Raises:
        NotInstalled: OpenCV is missing, or a version without cascades.
    """

    name = "opencv-faces"
    labels: tuple[str, ...] = ("face",)

    def __init__(self) -> None:
        cv2 = opencv()
        self.fingerprint = f"opencv-faces {VERSION} {cv2.__version__}"
        self.workers = cores()
        self._own = threading.local()  # a cascade has state and serves one thread

    def find(self, pictures: Sequence[Image.Image]) -> list[Found]:
        """Return the faces of each picture, with eyes where both were found."""
        return [self._faces(searched(picture)) for picture in pictures]

    def _faces(self, grey: UInt8[np.ndarray, "h w"]) -> Found:
        if min(grey.shape) < _SMALLEST:
            return nothing_found()
        boxes, votes = self._search("frontalface_alt2", grey)
        if len(boxes):
            eyes = np.array([self._eyes(grey, box) for box in boxes])
            return _sure(relative(boxes, votes, grey, eyes))
        left, left_votes = self._search("profileface", grey)
        right, right_votes = self._search("profileface", np.ascontiguousarray(grey[:, ::-1]))
        right[:, 0] = grey.shape[1] - right[:, 0] - right[:, 2]
        return _sure(relative(np.concatenate([left, right]), np.concatenate([left_votes, right_votes]), grey))

    def _search(self, name: str, grey: np.ndarray) -> tuple[Float64[np.ndarray, "k 4"], Float64[np.ndarray, " k"]]:
        return search(self._cascade(name), grey, 1.15, _SMALLEST)

    def _cascade(self, name: str) -> Any:
        if not hasattr(self._own, name):
            setattr(self._own, name, load_cascade(name))
        return getattr(self._own, name)

    def _eyes(self, grey: np.ndarray, box: Float[np.ndarray, " 4"]) -> Float64[np.ndarray, "2 2"]:
        """Return both eyes in pixels of the picture; NaN when either is not found where eyes are."""
        x, y, width, height = box.astype(int)
        face = opencv().resize(grey[y : y + height, x : x + width], (_FACE, _FACE))
        top, bottom, half = int(0.18 * _FACE), int(0.6 * _FACE), int(0.45 * _FACE)
        eyes = np.full((2, 2), np.nan)
        for side, start in enumerate((0, half)):
            part = np.ascontiguousarray(face[top:bottom, start : start + _FACE - half])
            for name in ("eye_tree_eyeglasses", "eye"):
                seen, votes = search(self._cascade(name), part, 1.1, 20, least=1)
                near = [self._centre(eye, start, top) for eye in seen[np.argsort(-votes, kind="stable")]]
                near = [eye for eye in near if np.abs(eye - EYES[side]).max() < _ASTRAY]
                if near:
                    eyes[side] = near[0] * (width, height) + (x, y)
                    break
        return eyes if np.isfinite(eyes).all() else np.full((2, 2), np.nan)

    @staticmethod
    def _centre(eye: np.ndarray, start: int, top: int) -> np.ndarray:
        return np.array([(eye[0] + eye[2] / 2 + start) / _FACE, (eye[1] + eye[3] / 2 + top) / _FACE])


class PeopleCascade:
    """People: head and shoulders around each face, and whole bodies, by OpenCV's cascades.

    Raises:
        NotInstalled: OpenCV is missing, or a version without cascades.
    """

    name = "opencv-people"
    labels: tuple[str, ...] = ("person",)

    def __init__(self) -> None:
        self._faces = FaceCascade()
        self.fingerprint = f"opencv-people {VERSION} {_HEAD} {self._faces.fingerprint}"
        self.workers = self._faces.workers
        self._own = threading.local()

    def find(self, pictures: Sequence[Image.Image]) -> list[Found]:
        """Return the people of each picture."""
        return [
            self._people(searched(picture), faces)
            for picture, faces in zip(pictures, self._faces.find(pictures), strict=True)
        ]

    def _people(self, grey: np.ndarray, faces: Found) -> Found:
        corner, size = faces.boxes[:, :2], faces.boxes[:, 2:] - faces.boxes[:, :2]
        heads = np.concatenate([corner + _HEAD[:2] * size, corner + _HEAD[2:] * size], axis=1)
        if not hasattr(self._own, "bodies"):
            self._own.bodies = load_cascade("fullbody")
        boxes, votes = search(self._own.bodies, grey, 1.1, 28)
        bodies = relative(boxes, votes, grey)
        middle = corner + size / 2
        new = [not ((box[:2] < middle) & (middle < box[2:])).all(-1).any() for box in bodies.boxes]  # faces come first
        bodies = bodies.take(np.array(new, dtype=bool))
        scores = np.concatenate([faces.scores, bodies.scores])
        return found(np.concatenate([heads, bodies.boxes]), scores, np.zeros(len(scores)))


def _sure(faces: Found) -> Found:
    return faces.take((faces.scores >= _SURE) | np.isfinite(faces.eyes).all((1, 2)))


def searched(picture: Image.Image) -> UInt8[np.ndarray, "h w"]:
    """Return a picture in grey, small enough to search."""
    share = min(1.0, _SIDE / max(picture.size))
    size = tuple(max(1, round(share * side)) for side in picture.size)
    grey = picture.convert("L")
    return np.asarray(grey if size == picture.size else grey.resize((size[0], size[1]), Image.Resampling.BILINEAR))


def search(
    cascade: Any, grey: np.ndarray, step: float, smallest: int, least: int = 3
) -> tuple[Float64[np.ndarray, "k 4"], Float64[np.ndarray, " k"]]:
    """Return left, top, width and height of what a cascade sees, in pixels, and how many windows agreed.

    Args:
        cascade: An OpenCV cascade.
        grey: The picture.
        step: Between two sizes that are searched.
        smallest: Side of the smallest window.
        least: Neighbouring windows that must agree.
    """
    boxes, votes = cascade.detectMultiScale2(
        grey, scaleFactor=step, minNeighbors=least, minSize=(min(smallest, 24), smallest)
    )
    return np.array(boxes, np.float64).reshape(-1, 4), np.array(votes, np.float64).reshape(-1)


def relative(boxes: np.ndarray, votes: np.ndarray, grey: np.ndarray, eyes: np.ndarray | None = None) -> Found:
    """Return boxes in pixels as shares of the picture, with scores made of votes."""
    size = np.array([grey.shape[1], grey.shape[0]], np.float64)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1) / np.tile(size, 2)
    return found(corners, votes / (votes + 10), np.zeros(len(boxes)), None if eyes is None else eyes / size)


def load_cascade(name: str) -> Any:
    """Load one of OpenCV's cascades by the end of its file name."""
    cv2 = opencv()
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / f"haarcascade_{name}.xml"))


def opencv() -> Any:
    """Return OpenCV, with one thread for each call: pictures are what runs side by side here.

    Raises:
        NotInstalled: It is missing, or a version without cascades.
    """
    if find_spec("cv2") is None:
        raise NotInstalled("opencv-python-headless", "faces")
    import cv2

    if not hasattr(cv2, "CascadeClassifier"):
        raise NotInstalled("opencv-python-headless below version 5", "faces")
    cv2.setNumThreads(1)
    return cv2
