"""``faces``: detect faces, align them by the eyes, embed each one (DWE+, §3.2).

    hog          a classical descriptor that needs no weights (face_hog.py): recognises photographs rather than people
    dlib         a real face embedding from PyPI packages (face_dlib.py)
    FILE.onnx    any face embedding in ONNX (face_onnx.py), also org/name/file.onnx of the model hub
    NAME         a Hugging Face vision model, such as a ViT trained on faces

The global vector is that of the largest face; of a picture without faces it is zero and there are no tokens. Please
read docs/faces.md before using this on people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from jaxtyping import Float32
from PIL import Image

from melink import registry
from melink.errors import ConfigError
from melink.features.align import Template, aligned, eyes_of
from melink.features.detect import Choice, Found
from melink.features.detectors import EMBEDDED, load_detector
from melink.features.encoder import Encoder
from melink.features.parts import PartEncoder
from melink.features.regions import Crops
from melink.features.towers import normalised

SCORE: Final = 0.5
"""Least probability of a face by a Hugging Face detector."""
PORTRAIT: Final = Template(224, 224, 0.42, 0.33)
"""What a Hugging Face vision model is given: the face with some hair and chin."""


class FaceModel(Protocol):
    """Embeds aligned faces.

    Attributes:
        template: How they are aligned.
        dim: Width of a vector.
        fingerprint: Hash of everything that the vectors depend on.
        workers: How many threads may call it at once.
    """

    template: Template
    dim: int
    fingerprint: str
    workers: int

    def __call__(self, faces: Sequence[Image.Image]) -> Float32[np.ndarray, "c d"]:
        """Return the vector of each aligned face."""


class Faces(PartEncoder):
    """Faces as vectors for cosine.

    Args:
        model: See the module.
        detector: By default ``dlib-faces`` with the model ``dlib``, else ``opencv-faces``.
        classes: Labels of the detector that are faces, between commas; all when empty.
        score: Least score; by default 0.5 for a Hugging Face detector, everything for the others.
        most: Most faces of a picture, by score.
        pixels: How an ONNX model reads pixels: ``arcface``, ``raw`` or ``unit``.
        device: Of Hugging Face models.

    Raises:
        ConfigError: No such class or choice, or a model or detector of something else than faces.
        NotFound: Unknown model or detector, or the hub cannot be reached.
        NotInstalled: An extra is missing.
    """

    name = "faces"

    def __init__(
        self,
        model: str = "hog",
        detector: str | None = None,
        classes: str = "",
        score: float | None = None,
        most: int = 32,
        pixels: str = "arcface",
        device: str | None = None,
    ) -> None:
        detector = detector or ("dlib-faces" if model == "dlib" else "opencv-faces")
        if detector in EMBEDDED and not detector.endswith("-faces"):
            raise ConfigError(f"faces: {detector!r} does not find faces", "choose opencv-faces, dlib-faces or a model")
        least = score if score is not None else 0.0 if detector in EMBEDDED else SCORE
        wanted = tuple(name.strip() for name in classes.split(",") if name.strip())
        describer = AlignedFaces(load_face_model(model, pixels, device))
        super().__init__("faces", load_detector(detector, device), Choice(least, most, wanted), describer)


class AlignedFaces:
    """Aligns faces and gives them to a face model.

    Args:
        model: The face model.
    """

    def __init__(self, model: FaceModel) -> None:
        self._model = model
        self.dim, self.workers = model.dim, model.workers
        self.fingerprint = f"aligned 1 {model.template} {model.fingerprint}"
        self.space = f"face:{model.fingerprint}"

    def cut(self, picture: Image.Image, parts: Found) -> list[Image.Image]:
        """Return each face, aligned."""
        return [aligned(picture, eyes, self._model.template) for eyes in eyes_of(parts, picture.size)]

    def describe(self, cuts: Sequence[Image.Image]) -> Float32[np.ndarray, "c d"]:
        """Return the vector of each face, L2-normalised."""
        return normalised(self._model(cuts))

    def whole(
        self, pictures: Sequence[Image.Image], parts: Sequence[np.ndarray], found: Sequence[Found]
    ) -> Float32[np.ndarray, "n d"]:
        """Return the vector of the largest face; zeros without one."""
        rows = np.zeros((len(pictures), self.dim), dtype=np.float32)
        for row, (own, places) in enumerate(zip(parts, found, strict=True)):
            if len(own):
                rows[row] = own[areas(places.boxes).argmax()]
        return rows


class VisionFace:
    """A Hugging Face vision model on aligned faces.

    Args:
        encoder: It, as an image encoder.
    """

    template = PORTRAIT

    def __init__(self, encoder: Encoder) -> None:
        self._crops = Crops(encoder)
        self.dim, self.workers, self.fingerprint = encoder.dim, encoder.workers, encoder.fingerprint

    def __call__(self, faces: Sequence[Image.Image]) -> Float32[np.ndarray, "c d"]:
        """Return the global vector of each aligned face."""
        return self._crops.describe(faces)


def load_face_model(name: str, pixels: str = "arcface", device: str | None = None) -> FaceModel:
    """Load a face model by one of the names in the module.

    Raises:
        ConfigError: An encoder of whole pictures or of their parts.
        NotFound: Unknown, or the hub cannot be reached.
        NotInstalled: An extra is missing.
    """
    if name in registry.names("encoder"):
        raise ConfigError(f"faces: {name!r} is no model of faces", "choose hog, dlib, a .onnx file or a vision model")
    if name == "hog":
        from melink.features.face_hog import HogFace

        return HogFace()
    if name == "dlib":
        from melink.features.face_dlib import DlibFace

        return DlibFace()
    if name.endswith(".onnx"):
        from melink.features.face_onnx import OnnxFace

        return OnnxFace(name, pixels)
    from melink.features.load import load_image

    return VisionFace(load_image(f"{name}{'&' if '?' in name else '?'}device={device}" if device else name))


def areas(boxes: Float32[np.ndarray, "k 4"]) -> Float32[np.ndarray, " k"]:
    """Return the share of the picture that each box covers."""
    size = boxes[:, 2:] - boxes[:, :2]
    covered: np.ndarray = size[:, 0] * size[:, 1]
    return covered
