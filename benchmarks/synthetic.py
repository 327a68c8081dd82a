"""Synthetic features with the published shapes: made by chunk from a seed, so that no set of them is ever held whole.

Entities come in clusters that share a theme, words and image regions; a mention is a noisy copy of its entity, with
half of the words and regions drawn anew. Nothing here is like any real data but shapes and sizes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

TEXT, TOKEN, IMAGE, PATCH, D = 512, 512, 512, 768, 96
TOKENS, PATCHES = 40, 50
CHUNK = 1_024
"""Entities made together: those of one chunk are always the same."""
WORDS, REGIONS, THEMES = 4_000, 2_000, 200


class Sides(NamedTuple):
    """Features as encoders give them, in the order of ``melink.methods.matcher.Read``."""

    text: Tensor
    tokens: Tensor
    mask: Tensor
    image: Tensor
    patches: Tensor
    seen: Tensor

    def part(self, rows: Tensor | slice) -> Sides:
        """Return some rows."""
        return Sides(*(each[rows] for each in self))


class Latent(NamedTuple):
    """What items are made of: whole vectors, words and regions by number, which have a picture."""

    text: Tensor
    image: Tensor
    words: Tensor
    regions: Tensor
    seen: Tensor

    def part(self, rows: Tensor | slice) -> Latent:
        """Return some rows."""
        return Latent(*(each[rows] for each in self))


class World:
    """Entities and mentions of them.

    Args:
        seed: What everything is drawn from.
        without_picture: Share of either side that has no picture.
        device: Where it is made; another device draws other numbers.
    """

    def __init__(self, seed: int = 0, device: str = "cpu", without_picture: float = 0.05) -> None:
        self.seed, self.device, self.without_picture = seed, torch.device(device), without_picture
        draw = self._draw(0)
        self.words = self._normal(draw, WORDS, TOKEN)
        self.regions = self._normal(draw, REGIONS, PATCH)
        self.theme_text, self.theme_image = self._normal(draw, THEMES, TEXT), self._normal(draw, THEMES, IMAGE)
        self.to_patch = self._normal(draw, IMAGE, PATCH) / IMAGE**0.5

    def entities(self, chunk: int, count: int = CHUNK) -> Sides:
        """Make the first entities of a chunk."""
        return self._features(self._drawn(self._draw(2 * chunk + 1)).part(slice(count)))

    def mentions(self, chunk: int, rows: Tensor, noise: float = 3.0) -> Sides:
        """Make noisy copies of entities of a chunk.

        Args:
            chunk: The chunk.
            rows: Places in it.
            noise: Size of what is added to whole texts and images, whose own part has the size 1.2.
        """
        own, draw = self._drawn(self._draw(2 * chunk + 1)), self._draw(2 * chunk + 2)
        copies = Latent(
            own.text + noise * self._normal(draw, CHUNK, TEXT),
            own.image + noise * self._normal(draw, CHUNK, IMAGE),
            self._half(draw, own.words, WORDS),
            self._half(draw, own.regions, REGIONS),
            torch.rand(CHUNK, generator=draw, device=self.device) >= self.without_picture,
        )
        return self._features(copies.part(rows.to(self.device)))

    def _drawn(self, draw: torch.Generator) -> Latent:
        """Draw the entities of a chunk."""
        theme = torch.randint(THEMES, (CHUNK,), generator=draw, device=self.device)
        return Latent(
            self.theme_text[theme] + 0.7 * self._normal(draw, CHUNK, TEXT),
            self.theme_image[theme] + 0.7 * self._normal(draw, CHUNK, IMAGE),
            self._ids(draw, theme, WORDS, TOKENS),
            self._ids(draw, theme, REGIONS, PATCHES),
            torch.rand(CHUNK, generator=draw, device=self.device) >= self.without_picture,
        )

    def _features(self, of: Latent) -> Sides:
        text, image, word, region, seen = of
        tokens = self.words[word].add_(text[:, None], alpha=0.5)
        patches = self.regions[region].add_((image @ self.to_patch)[:, None], alpha=0.5)
        mask = torch.ones(word.shape, dtype=torch.bool, device=self.device)
        return Sides(text, tokens, mask, image, patches, seen)

    def _ids(self, draw: torch.Generator, theme: Tensor, count: int, length: int) -> Tensor:
        """Return ids of words or regions: three in four from the 60 of the theme, the others from all."""
        own = theme[:, None] * 37 + torch.randint(60, (len(theme), length), generator=draw, device=self.device)
        free = torch.randint(count, (len(theme), length), generator=draw, device=self.device)
        ours = torch.rand(len(theme), length, generator=draw, device=self.device) < 0.75
        return torch.where(ours, own % count, free)

    def _half(self, draw: torch.Generator, ids: Tensor, count: int) -> Tensor:
        """Return ids with half of them drawn anew."""
        free = torch.randint(count, ids.shape, generator=draw, device=self.device)
        return torch.where(torch.rand(ids.shape, generator=draw, device=self.device) < 0.5, ids, free)

    def _draw(self, stream: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + stream)

    def _normal(self, draw: torch.Generator, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, device=self.device)
