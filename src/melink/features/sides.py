"""Texts and pictures through a model with gradients: batched, padded, read, put back in the order given.

What a side gives is what the frozen encoder of the same model gives (:mod:`melink.features.towers`), and it owns no
weights: the modules of :mod:`melink.features.finetune` do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Float32
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize, pad

from melink.errors import BadImage, Problems
from melink.features.pixels import Pixels, opened
from melink.features.readout import Forward, Look
from melink.features.towers import Padding

CPU_PIECE = 4096
"""Padded tokens put through the model at once on a CPU: more fall out of the cache."""

Both = tuple[Float[Tensor, "n d"], Float[Tensor, "n t dt"], Bool[Tensor, "n t"]]
"""Pooled and L2-normalised vectors, token vectors, and which of these are real."""


class Pictures(NamedTuple):
    """A batch of pictures, ready for a model.

    Attributes:
        pixels: Of the pictures that are there, in their order.
        seen: Which ones are there.
    """

    pixels: Float32[Tensor, "p c h w"]
    seen: Bool[Tensor, " n"]


class TextSide:
    """Token ids in, vectors out.

    Args:
        model: Whose weights these are; it runs where they are.
        forward: How it is read.
        tokenizer: A Hugging Face tokenizer.
        max_tokens: Longer texts are cut.
        padding: As for the frozen encoder.

    Attributes:
        dim: Width of a pooled vector.
        token_dim: Width of a token vector.
    """

    def __init__(
        self, model: Any, forward: Forward, tokenizer: Any, max_tokens: int, padding: Padding = "longest"
    ) -> None:
        self.model, self.tokenizer, self.max_tokens = model, tokenizer, max_tokens
        self._forward, self._fixed, self._keep = forward, padding != "longest", padding == "keep"
        self._pad = int(tokenizer.pad_token_id or 0)
        with torch.no_grad():
            pooled, hidden, _ = self._piece([[self._pad]])
        self.dim, self.token_dim = int(pooled.shape[-1]), int(hidden.shape[-1])

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return token ids, specials included, cut to ``max_tokens``; none for a blank text."""
        if not texts:
            return []
        ids = self.tokenizer(list(texts), truncation=True, max_length=self.max_tokens, verbose=False)["input_ids"]
        return [own if text.strip() else [] for own, text in zip(ids, texts, strict=True)]

    def __call__(self, ids: Sequence[Sequence[int]]) -> Float[Tensor, "n d"]:
        """Return pooled vectors, in the order given; no ids give a zero vector, as a blank text's cached features are.

        Equal lengths go through together, so padding costs little.
        """
        order = _by_length(ids)
        if not order:
            return self._nothing(len(ids))
        return _put([self._piece(rows)[0] for rows in self._pieces(ids, order)], order, len(ids))

    def both(self, ids: Sequence[Sequence[int]]) -> Both:
        """Return pooled vectors, as a call does, and token vectors with their mask, padded with zeros to the longest.

        Without any text there are no tokens to pad to: [n 0 dt].
        """
        order = _by_length(ids)
        if not order:
            pooled = self._nothing(len(ids))
            return pooled, pooled.new_zeros(len(ids), 0, self.token_dim), _unseen(pooled, 0)
        pieces = [self._piece(rows) for rows in self._pieces(ids, order)]
        longest = max(mask.shape[1] for _, _, mask in pieces)
        pooled = _put([own for own, _, _ in pieces], order, len(ids))
        hidden = [
            pad(own.masked_fill(~mask.unsqueeze(-1), 0), (0, 0, 0, longest - own.shape[1])) for _, own, mask in pieces
        ]
        masks = [pad(mask, (0, longest - mask.shape[1])) for _, _, mask in pieces]
        return pooled, _put(hidden, order, len(ids)), _put(masks, order, len(ids))

    def _pieces(self, ids: Sequence[Sequence[int]], order: list[int]) -> Iterator[list[Sequence[int]]]:
        limit, piece = _limit(self.model), list[Sequence[int]]()
        for place in order:  # ascending, so the piece's last text is its longest
            if piece and (len(piece) + 1) * self._width(len(ids[place])) > limit:
                yield piece
                piece = []
            piece.append(ids[place])
        yield piece

    def _width(self, longest: int) -> int:
        return self.max_tokens if self._fixed else longest

    def _piece(self, rows: list[Sequence[int]]) -> Both:
        device = self.model.device
        width = self._width(max(map(len, rows)))
        ids = torch.tensor([[*row, *[self._pad] * (width - len(row))] for row in rows], device=device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        mask = torch.arange(width, device=device) < lengths[:, None]
        pooled, hidden = self._forward(ids, mask.long())
        return normalize(pooled.float(), dim=-1), hidden, mask | self._keep

    def _nothing(self, count: int) -> Float[Tensor, "n d"]:
        """Return zeros that still depend on the parameters: other processes wait for their gradients."""
        return self._piece([[self._pad]])[0] * torch.zeros(count, 1, device=self.model.device)


class ImageSide:
    """Pictures in, vectors out.

    Args:
        model: Whose weights these are; it runs where they are.
        look: How it is read.
        pixels: What it is given.

    Attributes:
        dim: Width of a pooled vector.
        token_dim: Width of a patch vector.
        patches: How many a picture has.
    """

    def __init__(self, model: Any, look: Look, pixels: Pixels) -> None:
        self.model = model
        self._look, self._pixels = look, pixels
        self._told: set[str] = set()
        with torch.no_grad():
            pooled, hidden = self._look(pixels.blank().to(model.device))
        self.dim, self.token_dim, self.patches = int(pooled.shape[-1]), int(hidden.shape[-1]), int(hidden.shape[1])

    def prepare(self, items: Sequence[Image.Image | str | Path | None], problems: Problems | None = None) -> Pictures:
        """Read and resize pictures, on the CPU.

        Args:
            items: Pictures or their paths; None is absent.
            problems: Receives each picture that cannot be decoded, once; it then counts as absent.

        Raises:
            BadImage: A path that cannot be decoded, when nobody receives it.
        """
        found = [None if item is None else self._opened(item, problems) for item in items]
        there = [picture for picture in found if picture is not None]
        pixels = self._pixels(there) if there else torch.zeros(0, *self._pixels.shape)
        return Pictures(pixels, torch.tensor([picture is not None for picture in found], dtype=torch.bool))

    def _opened(self, item: Image.Image | str | Path, problems: Problems | None) -> Image.Image | None:
        try:
            return opened(item)
        except BadImage as error:
            if problems is None:
                raise
            if error.source not in self._told:
                self._told.add(error.source)
                reason = error.message.removeprefix(f"{error.source}: ")
                problems.add(error.source, None, reason, kind=f"image {error.reason}")
            return None

    def __call__(self, pictures: Pictures) -> Float[Tensor, "n d"]:
        """Return pooled vectors; a zero vector for an absent picture."""
        order = pictures.seen.nonzero().flatten().tolist()
        if not order:
            return self._nothing(len(pictures.seen))
        return _put([self._piece(own)[0] for own in self._pieces(pictures.pixels)], order, len(pictures.seen))

    def both(self, pictures: Pictures) -> Both:
        """Return pooled vectors, as a call does, and patch vectors; an absent picture's are zero and masked."""
        order, count = pictures.seen.nonzero().flatten().tolist(), len(pictures.seen)
        if not order:
            pooled = self._nothing(count)
            return pooled, pooled.new_zeros(count, self.patches, self.token_dim), _unseen(pooled, self.patches)
        pieces = [self._piece(own) for own in self._pieces(pictures.pixels)]
        hidden = _put([own for _, own in pieces], order, count)
        mask = pictures.seen.to(hidden.device)[:, None].expand(-1, hidden.shape[1])
        return _put([own for own, _ in pieces], order, count), hidden, mask

    def _pieces(self, pixels: Tensor) -> Sequence[Tensor]:
        pieces: Sequence[Tensor] = pixels.split(max(1, _limit(self.model) // self.patches))
        return pieces

    def _piece(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        pooled, hidden = self._look(pixels.to(self.model.device))
        return normalize(pooled.float(), dim=-1), hidden

    def _nothing(self, count: int) -> Float[Tensor, "n d"]:
        """Return zeros that still depend on the parameters: other processes wait for their gradients."""
        return self._piece(self._pixels.blank())[0] * torch.zeros(count, 1, device=self.model.device)


def _limit(model: Any) -> int:
    return CPU_PIECE if model.device.type == "cpu" else 16 * CPU_PIECE


def _by_length(ids: Sequence[Sequence[int]]) -> list[int]:
    return sorted((place for place, own in enumerate(ids) if own), key=lambda place: len(ids[place]))


def _put(pieces: list[Tensor], places: list[int], count: int) -> Tensor:
    """Spread the rows of pieces over ``count`` rows; the others are zero."""
    found = torch.cat(pieces)
    index = torch.tensor(places, dtype=torch.long, device=found.device)
    return found.new_zeros(count, *found.shape[1:]).index_copy(0, index, found)


def _unseen(pooled: Tensor, width: int) -> Bool[Tensor, "n t"]:
    return torch.zeros(len(pooled), width, dtype=torch.bool, device=pooled.device)
