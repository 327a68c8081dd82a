"""MIMIC's matcher written straight from its equations (METHODS.md §1): the yardstick of speed and an oracle of scores.

Every tensor of the equations is built: attention of every entity token over every mention token, the context of each
pair, token by token, both gated sums of each pair. Weights have the names of ``melink.methods.matcher.Matcher``, so its
state dict loads here. Scoring follows the published evaluation: 20 mentions at a time against chunks of 6,000 entities,
whose features are read from a cache in 32 bits, moved to the device and projected again for each batch of mentions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

MENTIONS = 20
ENTITIES = 6_000
"""Mentions and entities scored together by the published evaluation."""


class Features(NamedTuple):
    """What the published evaluation caches of each side: encoder features after the four layer norms."""

    text: Float[Tensor, "n t"]
    tokens: Float[Tensor, "n l tt"]
    mask: Bool[Tensor, "n l"]
    image: Float[Tensor, "n d"]
    patches: Float[Tensor, "n p d"]
    seen: Bool[Tensor, " n"]


class Scores(NamedTuple):
    """Text, image and cross-modal scores and their mean, of each mention with each entity."""

    total: Float[Tensor, "m n"]
    text: Float[Tensor, "m n"]
    image: Float[Tensor, "m n"]
    cross: Float[Tensor, "m n"]


class TextUnit(nn.Module):
    """S_T: the mean of the dot product of whole texts and that of tokens attended by the entity's tokens."""

    def __init__(self, text: int, token: int, d: int) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(token, d), nn.Linear(token, d), nn.Linear(token, d)
        self.whole, self.norm = nn.Linear(text, d), nn.LayerNorm(d)

    def forward(self, mentions: Features, entities: Features) -> Float[Tensor, "m n"]:
        """Score each pair; the largest tensor is ``[n, m, l, d]``."""
        query = self.query(entities.tokens)[:, None]  # [n 1 l d]
        key = self.key(mentions.tokens)[None]  # [1 m l d]
        value = self.value(mentions.tokens)[None]
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])  # [n m l l]
        if not mentions.mask.all():
            scores = scores.masked_fill(~mentions.mask[None, :, None], -torch.inf)
        context = scores.softmax(-1) @ value  # [n m l d]
        if entities.mask.all():
            context = context.mean(-2)
        else:
            kept = entities.mask[:, None, :, None].to(context.dtype)
            context = (context * kept).sum(-2) / kept.sum(-2)
        local = (self.whole(entities.text)[:, None] * self.norm(context)).sum(-1)
        return (mentions.text @ entities.text.T + local.T) / 2


class Dual(nn.Module):
    """DUAL(query, key): the query beside its own patches, gated into the key."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.whole, self.patch, self.mix = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.gate = nn.Linear(d, 1)
        self.norm_sum, self.norm = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(
        self, query: Float[Tensor, "a d"], key: Float[Tensor, "b d"], patches: Float[Tensor, "b p d"]
    ) -> Float[Tensor, "a b"]:
        """Score each query with each key, whose patches they are; the largest tensor is ``[a, b, d]``."""
        own = self.whole(query)[:, None]  # [a 1 d]
        other = self.whole(key)[None]  # [1 b d]
        mixed = self.mix(self.norm_sum(self.patch(patches).mean(1)[None] + own))  # [a b d]
        gated = self.norm(torch.tanh(self.gate(mixed)) * mixed + other)
        return (gated * self.norm(own)).sum(-1)


class ImageUnit(nn.Module):
    """S_V: the mean of DUAL from the entity to the mention and from the mention to the entity."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.to_mention, self.to_entity = Dual(d), Dual(d)

    def forward(self, mentions: Features, entities: Features) -> Float[Tensor, "m n"]:
        """Score each pair."""
        to_mention = self.to_mention(entities.image, mentions.image, mentions.patches)
        return (to_mention.T + self.to_entity(mentions.image, entities.image, entities.patches)) / 2


class CrossUnit(nn.Module):
    """S_C: texts that gather their own patches."""

    def __init__(self, text: int, d: int) -> None:
        super().__init__()
        self.text, self.patch, self.gate = nn.Linear(text, d), nn.Linear(d, d), nn.Linear(d, 1)
        self.norm = nn.LayerNorm(d)

    def side(self, features: Features) -> Float[Tensor, "n d"]:
        """Fuse one side."""
        text, patches = self.text(features.text), self.patch(features.patches)
        weights = (patches * text[:, None]).sum(-1).softmax(-1)
        gathered = (weights[..., None] * patches).sum(1)
        return self.norm(torch.tanh(self.gate(text)) * text + gathered)

    def forward(self, mentions: Features, entities: Features) -> Float[Tensor, "m n"]:
        """Score each pair."""
        return self.side(mentions) @ self.side(entities).T


class StraightforwardMimic(nn.Module):
    """MIMIC's matcher as published; a pair where a picture is absent has its text score alone.

    Args:
        text: Width of whole texts.
        token: Width of tokens.
        image: Width of whole images.
        patch: Width of patches.
        d: Width of all units.
    """

    def __init__(self, text: int, token: int, image: int, patch: int, d: int = 96) -> None:
        super().__init__()
        self.image_whole, self.image_patch = nn.Linear(image, d), nn.Linear(patch, d)
        self.norm_text, self.norm_token = nn.LayerNorm(text), nn.LayerNorm(token)
        self.norm_image, self.norm_patch = nn.LayerNorm(d), nn.LayerNorm(d)
        self.tglu, self.vdlu, self.cmfu = TextUnit(text, token, d), ImageUnit(d), CrossUnit(text, d)

    def features(
        self,
        text: Float[Tensor, "n t"],
        tokens: Float[Tensor, "n l tt"],
        mask: Bool[Tensor, "n l"],
        image: Float[Tensor, "n v"],
        patches: Float[Tensor, "n p vv"],
        seen: Bool[Tensor, " n"],
    ) -> Features:
        """Project and normalise what encoders give; the published evaluation does this once for each entity."""
        return Features(
            self.norm_text(text),
            self.norm_token(tokens),
            mask,
            self.norm_image(self.image_whole(image)),
            self.norm_patch(self.image_patch(patches)),
            seen,
        )

    def forward(self, mentions: Features, entities: Features) -> Scores:
        """Score each pair."""
        text, image = self.tglu(mentions, entities), self.vdlu(mentions, entities)
        cross = self.cmfu(mentions, entities)
        both = mentions.seen[:, None] & entities.seen[None]
        return Scores(torch.where(both, (text + image + cross) / 3, text), text, image, cross)

    def moved(self, mentions: Features, cached: Features) -> Scores:
        """Score mentions with a chunk of the cache, which is moved to the device first."""
        return self(mentions, Features(*(each.to(mentions.text.device) for each in cached)))
