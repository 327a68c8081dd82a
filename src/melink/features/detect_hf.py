"""Detection by a Hugging Face model: RT-DETR, DETR, YOLOS and whatever else gives boxes for known classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from PIL import Image

from melink.errors import InputError
from melink.features.detect import Found, found, nothing_found
from melink.features.encoder import cores
from melink.features.huggingface import best_device, fingerprint, hub, load_processor, need_torch

_FLOOR: Final = 0.05
"""Lower scores are never asked for: these models give a box for every query."""
_TOGETHER: Final = 8
"""Most pictures in one call on an accelerator."""
_BLOCK: Final = 32
"""Processors that keep proportions round sides down to whole numbers of at most so many pixels (YOLOS: 16)."""


class HFDetector:
    """A detector by hub name or folder. Its score is the probability of the class.

    Pictures of one size go through together, so that no padding changes what is found. In a picture so long that
    nothing of its shorter side is left at the size that the model sees, nothing is found. Only safetensors are read,
    and a checkpoint that lacks weights is refused.

    Args:
        path: Hub name or local folder.
        device: ``cpu``, ``cuda`` …; by default the accelerator when there is one.

    Raises:
        NotInstalled: torch or transformers is missing.
        NotFound: No such model here, and the hub cannot be reached.
        InputError: Not a detector, or a checkpoint that lacks weights.
    """

    def __init__(self, path: str, device: str | None = None) -> None:
        need_torch()
        self.name, self._device = path, device or best_device()
        self._model = _load(path).to(self._device)
        self._processor = load_processor(path)
        names = self._model.config.id2label
        self.labels: tuple[str, ...] = tuple(str(names[number]) for number in sorted(names))
        self._place = {number: place for place, number in enumerate(sorted(names))}
        self.fingerprint = fingerprint(self._model, {"processor": self._processor.to_dict(), "floor": _FLOOR}, set())
        self.workers = cores() if self._device == "cpu" else 1

    def find(self, pictures: Sequence[Image.Image]) -> list[Found]:
        """Return what the model sees in each picture, above a probability of 0.05."""
        same: dict[tuple[int, ...], list[tuple[int, Any]]] = defaultdict(list)
        for place, picture in enumerate(pictures):
            if (pixels := self._pixels(picture)) is not None:
                same[tuple(pixels.shape)].append((place, pixels))
        every = [nothing_found()] * len(pictures)
        most = 1 if self._device == "cpu" else _TOGETHER
        for group in same.values():
            for start in range(0, len(group), most):
                part = group[start : start + most]
                for (place, _), own in zip(part, self._run([pixels for _, pixels in part]), strict=True):
                    every[place] = own
        return every

    def _pixels(self, picture: Image.Image) -> Any | None:
        """Return what the model sees; None where nothing is left of the shorter side, which processors refuse."""
        try:
            return self._processor(images=picture, return_tensors="pt")["pixel_values"]
        except ValueError:
            longest = max(dict(self._processor.size or {}).values(), default=0)
            if longest * min(picture.size) >= _BLOCK * max(picture.size):
                raise
            return None

    def _run(self, pixels: list[Any]) -> list[Found]:
        import torch

        with torch.inference_mode():
            out = self._model(pixel_values=torch.cat(pixels).to(self._device))
            whole = torch.ones(len(pixels), 2)
            rows = self._processor.post_process_object_detection(out, _FLOOR, whole.to(self._device))
        return [
            found(
                row["boxes"].float().cpu().numpy(),
                row["scores"].float().cpu().numpy(),
                np.array([self._place[int(label)] for label in row["labels"]], np.int64),
            )
            for row in rows
        ]


def _load(path: str) -> Any:
    from transformers import AutoModelForObjectDetection

    with hub(path):
        model, info = AutoModelForObjectDetection.from_pretrained(
            path, use_safetensors=True, output_loading_info=True, dtype="float32"
        )
    if info["missing_keys"]:
        lacking = sorted(info["missing_keys"])
        raise InputError(
            f"{path}: the checkpoint lacks {len(lacking)} weights, such as {lacking[0]}",
            "use a complete checkpoint of a detector",
        )
    return model.eval().requires_grad_(False)
