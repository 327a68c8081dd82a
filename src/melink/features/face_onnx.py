"""Face embedding by an ONNX file, such as those of ArcFace, AdaFace or SFace, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32
from PIL import Image

from melink.errors import ConfigError, InputError, NotFound, NotInstalled
from melink.features.align import Template
from melink.features.encoder import cores

READINGS: Final = {"arcface": (False, 127.5, 127.5), "raw": (True, 0.0, 1.0), "unit": (False, 0.0, 255.0)}
"""How pixels are given: whether blue comes first, what is subtracted, what they are divided by."""
_SIDE: Final = 112
"""Width and height where the model leaves them open."""


class OnnxFace:
    """An ONNX model with one picture as input and one vector as first output.

    The face is aligned by its eyes as ArcFace's 112 x 112 template has them, at the size that the model asks for.

    Args:
        path: A file; or ``org/name/path/in/repository.onnx`` on the model hub.
        pixels: ``arcface`` (red first, -1 to 1), ``raw`` (blue first, 0 to 255; SFace) or ``unit`` (red first, 0 to 1).

    Raises:
        NotInstalled: ONNX Runtime is missing.
        NotFound: No such file, and the hub cannot be reached.
        ConfigError: No such reading of pixels.
        InputError: Not a model that takes one picture and gives one vector.
    """

    def __init__(self, path: str, pixels: str = "arcface") -> None:
        if pixels not in READINGS:
            raise ConfigError(f"{path}: unknown pixels {pixels!r}", f"choose one of {', '.join(READINGS)}")
        if find_spec("onnxruntime") is None:
            raise NotInstalled("onnxruntime", "faces")
        content = _file(path).read_bytes()
        self._session = _session(path, content)
        self._pixels = pixels
        self._input = self._session.get_inputs()[0]
        shape = list(self._input.shape)
        if len(self._session.get_inputs()) != 1 or len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise InputError(f"{path}: takes {shape}, not one picture", "give a face embedding model")
        self._last = shape[1] != 3
        height, width = (each if isinstance(each, int) else _SIDE for each in (shape[1:3] if self._last else shape[2:]))
        self._one = shape[0] == 1
        self.template = Template(width, height, 0.461, 0.315)
        self.fingerprint = f"onnx 1 {pixels} {hashlib.sha256(content).hexdigest()}"
        self.workers = cores()
        out = self([Image.new("RGB", (width, height))])
        self.dim = out.shape[1]

    def __call__(self, faces: Sequence[Image.Image]) -> Float32[np.ndarray, "c d"]:
        """Return the vector of each aligned face, not normalised.

        Raises:
            InputError: The model gives something else.
        """
        blue, less, scale = READINGS[self._pixels]
        pixels = np.stack([np.asarray(face.convert("RGB"), np.float32) for face in faces])
        pixels = (pixels[..., ::-1] if blue else pixels) - np.float32(less)
        pixels = np.ascontiguousarray((pixels if self._last else pixels.transpose(0, 3, 1, 2)) / np.float32(scale))
        parts = np.split(pixels, len(pixels)) if self._one else [pixels]
        rows = np.concatenate([self._session.run(None, {self._input.name: part})[0] for part in parts])
        if rows.ndim != 2 or len(rows) != len(faces):
            raise InputError(f"the model gave {rows.shape} for {len(faces)} faces", "give a face embedding model")
        return rows.astype(np.float32, copy=False)


def _session(path: str, content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # pictures are what runs side by side here
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a class of its own for each way a file can be wrong
        raise InputError(f"{path}: not a model that ONNX Runtime reads ({error})", "give a .onnx file") from error


def _file(path: str) -> Path:
    """Return the local file, from the hub's cache where it is a name there."""
    if Path(path).is_file():
        return Path(path)
    parts = path.split("/")
    remedy = "give the path of a local .onnx file, or org/name/file.onnx of the model hub"
    if len(parts) < 3 or path.startswith((".", "/")):
        raise NotFound(f"{path}: no such file", remedy)
    if find_spec("huggingface_hub") is None:
        raise NotInstalled("huggingface-hub", "models")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download("/".join(parts[:2]), "/".join(parts[2:])))
    except Exception as error:  # network, missing repository, missing file, offline mode: all mean the same here
        raise NotFound(
            f"{path}: no such file, and the hub does not give it ({type(error).__name__})", remedy
        ) from error
