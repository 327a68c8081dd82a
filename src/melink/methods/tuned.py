"""Encoders that are trained together with a method: what they are given, what they give, how they are kept.

A dual model is tuned on both sides at once. Of two separate encoders the text side is tuned, and the image side where
it can be; ``classical``, and half of a dual model, stay as they are and their cached features are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
import torch
from torch import Tensor, nn

from melink.errors import ConfigError
from melink.features.finetune import Blocks, TunableDual, TunableImage, TunableText, twin
from melink.features.sides import Pictures
from melink.features.store import FeatureTable
from melink.methods.matcher import Read
from melink.methods.reading import TokenReader, tensor


@dataclass(frozen=True)
class Items:
    """Texts and pictures that batches point into: token ids; paths, or features of a frozen image encoder."""

    ids: list[list[int]]
    images: list[str | None] | FeatureTable | None


class Taken(NamedTuple):
    """Some of them, ready for the encoders."""

    ids: list[list[int]]
    images: Pictures | tuple[Tensor, Tensor, Tensor]


class TunedEncoders(nn.Module):
    """The encoders of a reader, with gradients.

    Args:
        reader: Whose encoders.
        blocks: How many of their last blocks are trained, or ``all``.
        tokens: Tokens read of each text.

    Raises:
        ConfigError: The text encoder cannot be tuned, or is half of a dual model whose other half is not used.
    """

    def __init__(self, reader: TokenReader, blocks: Blocks, tokens: int) -> None:
        super().__init__()
        self._reader, self._tokens = reader, tokens
        text, image = reader.text, reader.image
        found = twin(text, blocks)
        self.dual = found if isinstance(found, TunableDual) else None
        self.text_model = found if isinstance(found, TunableText) else None
        if self.dual is not None and (image is None or image.space != text.space):
            raise ConfigError(
                f"{text.name} is half of a dual model, which is tuned as a whole",
                "give it for both sides with --encoder, or set settings.tune=0 to train on cached features",
            )
        alone = image is not None and getattr(image, "kind", None) == "image"
        self.image_model = twin(image, blocks) if image is not None and alone else None

    @property
    def _text(self) -> Any:
        return self.dual.text if self.dual is not None else self.text_model

    @property
    def _image(self) -> Any:
        return self.dual.image if self.dual is not None else self.image_model

    def prepare(self, texts: Sequence[str], images: Sequence[str | None]) -> Items:
        """Tokenise texts; look pictures up."""
        ids = self._text.tokenize(texts)
        if self._image is not None:
            return Items(ids, list(images))
        return Items(ids, self._reader.tables([], images).image)

    def taken(self, items: Items, places: np.ndarray, device: torch.device) -> Taken:
        """Return some items: pictures are opened here."""
        ids = [items.ids[place] for place in places]
        if isinstance(items.images, list):
            chosen = [items.images[place] for place in places]
            pictures = self._image.prepare(chosen, self._reader.context.problems)
            return Taken(ids, filled(pictures) if self._reader.blanks else pictures)
        parts = self._reader.pictures(items.images, places, len(ids))
        whole, patches, seen = (tensor(part, device) for part in parts)
        return Taken(ids, (whole, patches, seen))

    def forward(self, taken: Taken) -> Read:
        """Encode."""
        text, tokens, mask = self._text.both(taken.ids)
        text, tokens, mask = text, tokens[:, : self._tokens].float(), mask[:, : self._tokens]
        if isinstance(taken.images, Pictures):
            whole, patches, _ = self._image.both(taken.images)
            return Read(text, tokens, mask, whole, patches.float(), taken.images.seen.to(text.device))
        return Read(text, tokens, mask, *taken.images)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the encoders into a run directory; return the keys of its run that change."""
        if self.dual is not None:
            self.dual.save(folder / "encoder")
            return {"encoder": _spec("encoder", self.dual.options)}
        assert self.text_model is not None
        self.text_model.save(folder / "encoder")
        updates = {"text_encoder": _spec("encoder", self.text_model.options)}
        if isinstance(self.image_model, TunableImage):
            self.image_model.save(folder / "image-encoder")
            updates["image_encoder"] = _spec("image-encoder", self.image_model.options)
        return updates


def filled(pictures: Pictures) -> Pictures:
    """Return pictures with empty ones, all pixels zero, for those that are not there."""
    pixels = pictures.pixels.new_zeros(len(pictures.seen), *pictures.pixels.shape[1:])
    pixels[pictures.seen] = pictures.pixels
    return Pictures(pixels, torch.ones_like(pictures.seen))


def _spec(name: str, options: dict[str, Any]) -> str:
    return f"run:{name}?{urlencode(options)}"
