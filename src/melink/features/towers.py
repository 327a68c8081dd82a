"""Text and image encoders around a torch model: tokenise or preprocess, pad, run, pool, normalise, mask."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64
from PIL import Image

from melink.features.encoder import Features, Modality, cores
from melink.features.pixels import Pixels, opened
from melink.features.readout import Forward, Look

CPU_BATCH: Final = 2048
"""Padded tokens per batch on one CPU core: larger batches fall out of the cache and are slower."""
CUDA_BATCH: Final = 65_536
"""Padded tokens per batch on an accelerator."""

Padding = Literal["longest", "fixed", "keep"]
"""Texts are padded to the longest of a batch; or all to the limit; or so, and padding counts as real tokens."""


class Origin(NamedTuple):
    """Where an encoder comes from, which is what its tunable twin is made of.

    Attributes:
        path: Hub name or local folder.
        kind: ``text``, ``image`` or ``dual``.
        options: As written after the question mark of an encoder's name, without the device.
    """

    path: str
    kind: Literal["text", "image", "dual"]
    options: dict[str, Any]


class TextTower:
    """A text encoder: any function from token ids to a pooled vector and token vectors.

    Args:
        name: What reports call it.
        tokenizer: A Hugging Face tokenizer.
        forward: The model with its pooling.
        device: Where the model is.
        max_tokens: Longer texts are cut.
        padding: See :data:`Padding`.
        fingerprint: See :class:`~melink.features.encoder.Encoder`.
        space: See there.
        origin: What the encoder was made of.
    """

    modality: Modality = "text"

    def __init__(
        self,
        name: str,
        tokenizer: Any,
        forward: Forward,
        device: str,
        max_tokens: int,
        padding: Padding,
        fingerprint: str,
        space: str,
        origin: Origin,
    ) -> None:
        self.name, self.fingerprint, self.space = name, fingerprint, space
        self.max_tokens = max_tokens
        self.path, self.kind, self.options = origin
        self._tokenizer, self._forward, self._device = tokenizer, forward, device
        self._fixed, self._keep = padding != "longest", padding == "keep"
        self._pad = tokenizer.pad_token_id or 0
        self._busy = threading.Lock()
        self.batch, self.workers = _pace(device)
        vectors, hidden = self._run(*self._pack(self._ids(["a"])))
        self.dim, self.token_dim = vectors.shape[-1], hidden.shape[-1]

    def sizes(self, items: Sequence[str | None]) -> list[int]:
        """Return the token count of each text, specials included; 0 when absent or blank."""
        given = [item for item in items if item and item.strip()]
        counts = iter([self.max_tokens] * len(given) if self._fixed else map(len, self._ids(given)))
        return [next(counts) if item and item.strip() else 0 for item in items]

    def encode(self, items: Sequence[str | None], tokens: bool = False) -> Features:
        """Encode a batch of texts; None and blank texts are absent."""
        present = np.array([bool(item and item.strip()) for item in items], dtype=bool)
        if not present.any():
            return nothing(present, self.dim, self.token_dim if tokens else None)
        ids, mask = self._pack(self._ids([item for item in items if item and item.strip()]))
        vectors, hidden = self._run(ids, mask)
        return scatter(present, vectors, hidden if tokens else None, np.logical_or(mask, self._keep))

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        with self._busy:  # fast tokenizers refuse two callers at once
            return list(self._tokenizer(texts, truncation=True, max_length=self.max_tokens, verbose=False)["input_ids"])

    def _pack(self, rows: list[list[int]]) -> tuple[Int64[np.ndarray, "n t"], Int64[np.ndarray, "n t"]]:
        longest = self.max_tokens if self._fixed else max(map(len, rows))
        ids = np.full((len(rows), longest), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, own in enumerate(rows):
            ids[row, : len(own)] = own
            mask[row, : len(own)] = 1
        return ids, mask

    def _run(self, ids: Int64[np.ndarray, "n t"], mask: Int64[np.ndarray, "n t"]) -> tuple[np.ndarray, np.ndarray]:
        import torch

        with torch.inference_mode():
            vectors, hidden = self._forward(
                torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device)
            )
            return normalised(vectors.float().cpu().numpy()), hidden.float().cpu().numpy()


class ImageTower:
    """An image encoder: any function from pixels to a pooled vector and patch vectors.

    Args:
        name: What reports call it.
        pixels: What the model is given.
        look: The model with its pooling.
        device: Where the model is.
        fingerprint: See :class:`~melink.features.encoder.Encoder`.
        space: See there.
        origin: What the encoder was made of.
    """

    modality: Modality = "image"

    def __init__(
        self, name: str, pixels: Pixels, look: Look, device: str, fingerprint: str, space: str, origin: Origin
    ) -> None:
        self.name, self.fingerprint, self.space = name, fingerprint, space
        self.path, self.kind, self.options = origin
        self._pixels, self._look, self._device = pixels, look, device
        self.batch, self.workers = _pace(device)
        vectors, patches = self._run(pixels.blank())
        self.dim, self.token_dim, self._patches = vectors.shape[-1], patches.shape[-1], patches.shape[1]

    def sizes(self, items: Sequence[Any]) -> list[int]:
        """Return the number of patches for each picture; 0 when absent."""
        return [0 if item is None else self._patches for item in items]

    def encode(self, items: Sequence[Image.Image | str | Path | None], tokens: bool = False) -> Features:
        """Encode a batch of pictures or their paths; None is absent.

        Raises:
            BadImage: A path that cannot be decoded.
        """
        present = np.array([item is not None for item in items], dtype=bool)
        if not present.any():
            return nothing(present, self.dim, self.token_dim if tokens else None)
        vectors, patches = self._run(self._pixels([opened(item) for item in items if item is not None]))
        return scatter(present, vectors, patches if tokens else None, np.ones(patches.shape[:2], dtype=bool))

    def blank(self, tokens: bool = True) -> tuple[Float32[np.ndarray, " d"], Float32[np.ndarray, "t dt"] | None]:
        """Return the features of a picture whose pixels are all zero, which published code used for a missing one.

        Args:
            tokens: Also give the patch vectors.
        """
        vectors, patches = self._run(self._pixels.blank())
        return vectors[0], patches[0] if tokens else None

    def _run(self, pixels: Any) -> tuple[np.ndarray, np.ndarray]:
        import torch

        with torch.inference_mode():
            vectors, patches = self._look(pixels.to(self._device))
            return normalised(vectors.float().cpu().numpy()), patches.float().cpu().numpy()


def normalised(vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    """Divide each row by its length; a zero row stays zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = vectors / np.maximum(length, np.float32(1e-12))
    return unit


def scatter(present: np.ndarray, vectors: np.ndarray, tokens: np.ndarray | None, mask: np.ndarray | None) -> Features:
    """Spread the rows of the present items over all items: absent rows are zero and masked, and so is padding."""
    all_vectors = np.zeros((len(present), vectors.shape[1]), dtype=np.float32)
    all_vectors[present] = vectors
    if tokens is None:
        return Features(all_vectors, present)
    mask = np.ones(tokens.shape[:2], dtype=bool) if mask is None else mask
    all_tokens = np.zeros((len(present), *tokens.shape[1:]), dtype=np.float32)
    all_mask = np.zeros(all_tokens.shape[:2], dtype=bool)
    all_tokens[present], all_mask[present] = tokens * mask[..., None], mask
    return Features(all_vectors, present, all_tokens, all_mask)


def nothing(present: np.ndarray, dim: int, token_dim: int | None) -> Features:
    """Return the features of a batch of which no item is there; without token vectors when ``token_dim`` is None."""
    tokens = None if token_dim is None else np.zeros((0, 0, token_dim), dtype=np.float32)
    return scatter(present, np.zeros((0, dim), dtype=np.float32), tokens, None)


def _pace(device: str) -> tuple[int, int]:
    return (CPU_BATCH, cores()) if device == "cpu" else (CUDA_BATCH, 1)
