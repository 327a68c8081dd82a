"""What image classifiers say of faces: attributes, or the names of a closed list of people. Off unless somebody asks.

Each face is aligned and shown to every classifier; the token of a face is the probabilities of all their labels, one
classifier after the other. Such guesses about people are often wrong, and some of them should not be made at all:
docs/faces.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float32
from PIL import Image

from melink.errors import ConfigError, InputError
from melink.features.align import Template, aligned, eyes_of
from melink.features.detect import Choice, Found
from melink.features.detectors import EMBEDDED, load_detector
from melink.features.encoder import cores
from melink.features.faces import SCORE, areas
from melink.features.huggingface import best_device, fingerprint, hub, load_processor, need_torch
from melink.features.parts import PartEncoder
from melink.features.pixels import Pixels

AROUND: Final = Template(224, 224, 0.45, 0.27)
"""The whole head: what hair and neck show counts."""
_TOGETHER: Final = 16


class FaceLabels(PartEncoder):
    """Probabilities of labels for each face, by Hugging Face image classifiers.

    Args:
        models: Attribute → hub name or folder of a classifier.
        detector: Finds the faces.
        score: Least score of a face; by default 0.5 for a Hugging Face detector, everything for the others.
        most: Most faces of a picture.
        device: ``cpu``, ``cuda`` …; by default the accelerator when there is one.

    Attributes:
        slots: Attribute and label of each number of a vector.

    Raises:
        ConfigError: No classifier is named.
        NotFound: Unknown classifier, or the hub cannot be reached.
        NotInstalled: An extra is missing.
    """

    def __init__(
        self,
        models: Mapping[str, str],
        detector: str = "opencv-faces",
        score: float | None = None,
        most: int = 32,
        device: str | None = None,
    ) -> None:
        if not models:
            raise ConfigError("no classifier named", "name one for each attribute, such as age=FOLDER")
        describer = Classifiers(models, device)
        self.slots = describer.slots
        least = score if score is not None else 0.0 if detector in EMBEDDED else SCORE
        super().__init__("attributes", load_detector(detector, device), Choice(least, most), describer)


class Classifiers:
    """Several image classifiers on the same faces.

    Args:
        models: Attribute → hub name or folder.
        device: Where they run.
    """

    def __init__(self, models: Mapping[str, str], device: str | None = None) -> None:
        need_torch()
        self._device = device or best_device()
        self._models: list[tuple[Any, Pixels]] = []
        self.slots: list[tuple[str, str]] = []
        prints = []
        for attribute, path in models.items():
            model, processor = _load(path).to(self._device), load_processor(path)
            self._models.append((model, Pixels(processor)))
            names = model.config.id2label
            self.slots += [(attribute, str(names[number])) for number in sorted(names)]
            prints.append(f"{attribute} {fingerprint(model, {'processor': processor.to_dict()}, set())}")
        self.dim = len(self.slots)
        self.fingerprint = f"labels 1 {AROUND} {' '.join(prints)}"
        self.space = f"labels:{self.fingerprint}"
        self.workers = cores() if self._device == "cpu" else 1

    def cut(self, picture: Image.Image, parts: Found) -> list[Image.Image]:
        """Return each face, aligned."""
        return [aligned(picture, eyes, AROUND) for eyes in eyes_of(parts, picture.size)]

    def describe(self, cuts: Sequence[Image.Image]) -> Float32[np.ndarray, "c d"]:
        """Return the probabilities of all labels."""
        columns = [
            np.concatenate(
                [self._run(model, pixels, cuts[at : at + _TOGETHER]) for at in range(0, len(cuts), _TOGETHER)]
            )
            for model, pixels in self._models
        ]
        return np.concatenate(columns, axis=1)

    def whole(
        self, pictures: Sequence[Image.Image], parts: Sequence[np.ndarray], found: Sequence[Found]
    ) -> Float32[np.ndarray, "n d"]:
        """Return the probabilities of the largest face; zeros without one."""
        largest = [
            own[areas(places.boxes).argmax()] if len(own) else np.zeros(self.dim, np.float32)
            for own, places in zip(parts, found, strict=True)
        ]
        return np.stack(largest)

    def _run(self, model: Any, pixels: Pixels, cuts: Sequence[Image.Image]) -> Float32[np.ndarray, "c l"]:
        import torch

        with torch.inference_mode():
            logits = model(pixel_values=pixels(list(cuts)).to(self._device)).logits
            shares: np.ndarray = logits.float().softmax(-1).cpu().numpy()
        return shares


def _load(path: str) -> Any:
    from transformers import AutoModelForImageClassification

    with hub(path):
        model, info = AutoModelForImageClassification.from_pretrained(
            path, use_safetensors=True, output_loading_info=True, dtype="float32"
        )
    if info["missing_keys"]:
        raise InputError(
            f"{path}: the checkpoint lacks weights, such as {sorted(info['missing_keys'])[0]}",
            "use a complete checkpoint of an image classifier",
        )
    return model.eval().requires_grad_(False)
