"""Both sides as token-level features of frozen encoders, from the feature store into tensors.

Shared by the methods that look at single tokens and patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from melink.errors import ConfigError
from melink.features.store import FeatureTable
from melink.kb.view import EntityView
from melink.methods.base import Context
from melink.methods.matcher import Read

QUIRKS: Final = "max_tokens=40&pad=keep&resize=squash"
"""Options of a dual encoder with which it gives what published code saw."""


@dataclass(frozen=True)
class Tables:
    """Features of some items, on disk; None without an image encoder."""

    text: FeatureTable
    image: FeatureTable | None


class TokenReader:
    """Reads texts and pictures with the encoders of a context.

    Args:
        context: Its text encoder is needed, its image encoder is used when there is one.
        tokens: Tokens of a text that are read; the rest is cut.
        quirks: As published code does: features of an empty picture where there is none, padding among the tokens.

    Attributes:
        blanks: Whether an empty picture stands for a missing one.

    Raises:
        ConfigError: No text encoder, or one that cannot do as published code does.
    """

    def __init__(self, context: Context, tokens: int, quirks: bool = False) -> None:
        if context.text is None:
            raise ConfigError("this method reads tokens", "choose a text encoder with --text-encoder")
        self.context, self.text, self.image = context, context.text, context.image
        self._tokens, self.blanks = tokens, quirks
        self._told: set[str] = set()
        if not quirks:
            return
        remedy = f"use a dual encoder that does: --encoder 'openai/clip-vit-base-patch32?{QUIRKS}'"
        if (getattr(self.text, "options", None) or {}).get("pad") != "keep":
            raise ConfigError(f"settings.reference_quirks wants padding, which {self.text.name} does not keep", remedy)
        if self.image is not None and not hasattr(self.image, "blank"):
            raise ConfigError(f"settings.reference_quirks: {self.image.name} has no empty picture", remedy)

    def fingerprints(self) -> list[str]:
        """Return what the features of the encoders depend on."""
        return [each.fingerprint for each in (self.text, self.image) if each is not None]

    def tables(self, texts: Sequence[str], images: Sequence[str | None]) -> Tables:
        """Encode what the store lacks, and return where it lies; unreadable pictures are reported once."""
        text = self.context.store.encode(self.text, texts, tokens=True)
        if self.image is None:
            return Tables(text, None)
        table = self.context.store.encode(self.image, images, tokens=True)
        absent = {i for i, there in zip(images, table.present, strict=True) if i is not None and not there}
        if fresh := sorted(absent - self._told):
            self._told.update(fresh)
            self.context.store.encode(self.image, fresh, tokens=True, problems=self.context.problems)
        return Tables(text, table)

    def read(self, tables: Tables, rows: Any = None, device: torch.device | str = "cpu") -> Read:
        """Return the features of some rows; all of them when None."""
        tokens, mask = tables.text.tokens(rows, most=self._tokens, dtype=np.float16)  # torch widens faster
        text = tables.text.vectors(rows)
        parts = (text, tokens, mask, *self.pictures(tables.image, rows, len(text)))
        return Read(*(tensor(part, device) for part in parts))

    def pictures(
        self, table: FeatureTable | None, rows: Any, count: int
    ) -> tuple[Float32[np.ndarray, "n dv"], Float[np.ndarray, "n p dvv"], Bool[np.ndarray, " n"]]:
        """Return vectors and patches of some of a table's pictures, and which there are; none without a table."""
        if table is None:
            nothing = np.zeros((count, 0), dtype=np.float32)
            return nothing, nothing[:, None], np.zeros(count, dtype=bool)
        image, seen = table.vectors(rows), table.present[slice(None) if rows is None else rows]
        patches, _ = table.tokens(rows, dtype=np.float16)
        if self.blanks and not seen.all():
            vector, own = self._empty
            full = np.repeat(own[None].astype(np.float16), len(seen), axis=0)  # the store keeps 16 bits, too
            if seen.any():  # else there are no patches
                full[seen] = patches[seen]
            image, patches = np.where(seen[:, None], image, vector), full
        return image, patches, seen

    @cached_property
    def _empty(self) -> tuple[np.ndarray, np.ndarray]:
        encoder: Any = self.image
        vector, patches = encoder.blank()
        return vector, patches


def tensor(array: np.ndarray, device: torch.device | str) -> Tensor:
    """Return an array on a device, 16 bits widened."""
    found = torch.from_numpy(np.ascontiguousarray(array)).to(device)
    return found.float() if found.dtype == torch.float16 else found


def first_images(view: EntityView) -> list[str | None]:
    """Return the first picture of each entity."""
    return [next(iter(paths or ()), None) for paths in view.column("images")]
