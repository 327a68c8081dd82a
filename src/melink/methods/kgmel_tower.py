"""The tower of :mod:`melink.methods.kgmel`: texts, pictures and facts in, one vector out. Equations are there."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from melink.config import Config
from melink.methods.kgmel_inputs import Given

BLOCK: Final = 1 << 15
"""Facts of owners that are looked at at once."""


class TowerSettings(Config):
    """Settings of the tower; the defaults are the paper's, but for p: 3 or 5 there, all here, which validates better.

    Attributes:
        triples: Most facts of one item that are looked at; 0 for none at all.
        width: d; None for that of the text vectors.
        beta: β, the share of the picture in the attention.
        top: p, how many facts are kept; None for all.
        attention_temperature: τ_att.
        gate: Weigh text and picture by gates; without, they count in full.
        dropout: In the MLP.
    """

    triples: int = Field(default=256, ge=0)
    width: int | None = Field(default=None, ge=1)
    beta: float = Field(default=0.5, ge=0, le=1)
    top: int | None = Field(default=None, ge=1)
    attention_temperature: float = Field(default=0.1, gt=0)
    gate: bool = True
    dropout: float = Field(default=0.2, ge=0, lt=1)


class Terms(NamedTuple):
    """The summands of u before it is divided by its length, and a of each owner's facts after the cut to p."""

    text: Float[Tensor, "n d"]
    image: Float[Tensor, "n d"] | None
    triples: Float[Tensor, "n d"]
    weights: Float[Tensor, " a"]

    def whole(self) -> Float[Tensor, "n d"]:
        """Return u before it is divided by its length."""
        found = self.text + self.triples
        return found if self.image is None else found + self.image


class Tower(nn.Module):
    """What both sides share.

    Args:
        text: Width of text vectors.
        image: Width of picture vectors; None when pictures are not read.
        s: Settings.
    """

    def __init__(self, text: int, image: int | None, s: TowerSettings) -> None:
        super().__init__()
        d = s.width or text
        self.beta, self.top, self.gate, self.scale = s.beta, s.top, s.gate, d**0.5 * s.attention_temperature
        self.read_text = nn.Linear(text, d, bias=False)
        self.gate_text = nn.Linear(text, d) if s.gate else None
        self.read_image = nn.Linear(image, d, bias=False) if image else None
        self.gate_image = nn.Linear(image, d) if image and s.gate else None
        self.combine: nn.Module | None = None
        if s.triples:
            self.pair, self.mix, self.drop = nn.Linear(2 * text, text), nn.Linear(text, text), nn.Dropout(s.dropout)
            self.ask_text = nn.Linear(text, d, bias=False)
            self.ask_image = nn.Linear(image, d, bias=False) if image else None
            self.key, self.value = nn.Linear(text, d, bias=False), nn.Linear(text, d)
            self.out, self.combine = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)

    def forward(self, given: Given) -> Terms:
        """Return the summands of u for some items."""
        text = self.read_text(given.text)
        if self.gate_text is not None:
            text = text * self.gate_text(given.text).sigmoid()
        image = None
        if self.read_image is not None and given.image is not None:
            image = self.read_image(given.image)
            image = image if self.gate_image is None else image * self.gate_image(given.image).sigmoid()
        if self.combine is None:
            return Terms(text, image, torch.zeros_like(text), text.new_zeros(len(given.owners)))
        x = self.facts(given)
        weights = self.attend(given, x)
        rows = weights.nonzero()[:, 0]
        pooled = torch.zeros_like(given.text)
        for some in rows.split(BLOCK):
            pooled = pooled.index_add(0, given.owners[some], weights[some, None] * x[given.facts[some]])
        total = weights.new_zeros(len(given.text)).index_add(0, given.owners, weights)
        # W_x is linear: what it makes of the sum is the sum of what it makes of each
        z = self.out(F.linear(pooled, self.value.weight) + total[:, None] * self.value.bias)
        return Terms(text, image, self.combine(z), weights)

    def facts(self, given: Given) -> Float[Tensor, "f dt"]:
        """Return x of each different fact."""
        relation, tail = given.pairs[:, 0], given.pairs[:, 1]
        for_tail, for_relation = self.pair.weight.chunk(2, dim=1)
        hidden = (
            F.linear(given.tails, for_tail, self.pair.bias)[tail] + F.linear(given.relations, for_relation)[relation]
        )
        return given.tails[tail] + self.mix(self.drop(F.leaky_relu(hidden)))

    def attend(self, given: Given, x: Float[Tensor, "f dt"]) -> Float[Tensor, " a"]:
        """Return a of each owner's facts, 0 for those beyond the p largest."""
        ask = (1 - self.beta) * self.ask_text(given.text)
        if self.ask_image is not None and given.image is not None:
            ask = ask + self.beta * self.ask_image(given.image)
        keyed = ask @ self.key.weight / self.scale  # ⟨q, W_k x⟩ = ⟨W_kᵀ q, x⟩
        pieces = zip(given.facts.split(BLOCK), given.owners.split(BLOCK), strict=True)
        s = torch.cat([(x[facts] * keyed[owners]).sum(-1) for facts, owners in pieces] or [keyed.new_zeros(0)])
        count = torch.bincount(given.owners, minlength=len(given.text))
        place = torch.arange(len(s), device=s.device) - (count.cumsum(0) - count)[given.owners]
        longest = int(count.max()) if len(count) else 0
        table = s.new_full((len(count), max(1, longest)), -torch.inf)
        table = table.index_put((given.owners, place), s)
        table = table.masked_fill((count == 0)[:, None], 0.0).softmax(-1)
        if self.top is not None and self.top < table.shape[1]:
            best = table.detach().topk(self.top, dim=1).indices
            table = table * torch.zeros_like(table).scatter(1, best, 1.0)
        return table[given.owners, place]


def apart(
    own: Float[Tensor, "b d"], all_: Float[Tensor, "n d"], first: int, temperature: float, same: Tensor | None = None
) -> Tensor:
    """Return the sum over vectors of −log(e^(1/τ) / Σ_j e^(⟨u, u_j⟩/τ)).

    Args:
        own: Vectors of length 1; place ``first`` and those behind it among ``all_``.
        all_: What each is told apart from, itself among them.
        first: See ``own``.
        temperature: τ.
        same: What one is not told apart from, itself excepted.
    """
    places = torch.arange(first, first + len(own), device=own.device)
    logits = own @ all_.T / temperature
    if same is not None:
        itself = places[:, None] == torch.arange(len(all_), device=own.device)
        logits = logits.masked_fill(same & ~itself, -torch.inf)
    return F.cross_entropy(logits, places, reduction="sum")
