"""MELOV's intra-modality optimisation: pictures of mentions whose texts are alike, spread over a graph.

Sui et al., Multimodal Entity Linking with Optimized Visual Features in Latent Space (MELOV), Findings of ACL 2024, its
intra-modality part; what it leaves open is ours and marked [D]. t is the text vector that the encoder gives, h⁰ the
projected picture::

    A_ij = exp(−‖t_i − t_j‖² / 2b²)     kernel; b = ρ · mean distance over pairs of mentions with pictures [D]
           ⟨t_i, t_j⟩ or cos(t_i, t_j), at least 0 [D];  1 / (1 + ‖t_i − t_j‖) [D]        the other similarities
    A_ij ← A_ij · [A_ij ≥ τ],  τ = σ(θ);  the bracket's gradient is that of σ((A_ij − τ) / 0.05) [D]
    A_ii = 1;  A_ij = 0 where j has no picture: it sends nothing, in any layer, not even to itself [D]
    Â_ij = A_ij / Σ_k A_ik  (row)   or   A_ij / √(d_i d_j), d_i = Σ_k A_ik  (sym)   or   A_ij  (none) [D]
    hˡ⁺¹ = ReLU(Â hˡ Wˡ + bˡ)           L layers; patches by a second such network over the same Â, place by place

A mention without a picture that hears from nobody has no such features. Two graphs [D]: ``batch``, all mentions of a
batch, where i hears from every j; and a :class:`Bank` of training mentions with pictures, where each mention hears from
the R of them that are most alike, itself left out, and they never hear from it. Its own rows hear from each other in
the same way, so that hˡ of the bank is fixed and a mention's features depend on that mention and the bank alone. The
bank is held in 16 bits as it is on disk; while training goes on it is as old as its last refresh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Float16, Float32, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from melink.datasets.files import replacing
from melink.errors import InputError, NotFound

FILE: Final = "bank.safetensors"
BLOCK: Final = 256
"""Mentions of a bank that are worked on at once."""
SAMPLE: Final = 4096
"""Mentions of a bank, evenly spaced, that its mean distance is taken over."""

Similarity = Literal["kernel", "dot", "cosine", "euclidean"]
Normalise = Literal["row", "sym", "none"]
Mix = Callable[[Tensor, int], Tensor]
"""Applies Â to the features of a layer."""


class Bank(NamedTuple):
    """Training mentions with pictures that others hear from.

    Attributes:
        text: Text vectors t.
        keys: What each mention is known by, so that it does not hear from itself.
        whole: hˡ of the whole picture, for each layer.
        patches: hˡ of the patches, for each layer.
        degree: Σ_k A_ik of each.
        bandwidth: b.
    """

    text: Float32[Tensor, "n dt"]
    keys: Int64[Tensor, " n"]
    whole: Float16[Tensor, "layers n d"]
    patches: Float16[Tensor, "layers n p d"]
    degree: Float32[Tensor, " n"]
    bandwidth: Float32[Tensor, ""]

    def on(self, device: torch.device) -> Bank:
        """Return the bank on a device."""
        return Bank(*(each.to(device) for each in self))


class Heard(NamedTuple):
    """Whom each mention hears from in a bank, and A, thresholded, before it is normalised."""

    places: Int64[Tensor, "m r"]
    weights: Float[Tensor, "m r"]


class GCN(nn.Module):
    """hˡ⁺¹ = ReLU(Â hˡ Wˡ + bˡ)."""

    def __init__(self, d: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(d, d) for _ in range(layers))

    def forward(self, h: Float[Tensor, "m *p d"], mix: Mix) -> Float[Tensor, "m *p d"]:
        """Return the features of the last layer."""
        for level in range(len(self.layers)):
            h = self.layer(level, mix(h, level))
        return h

    def layer(self, level: int, mixed: Float[Tensor, "m *p d"]) -> Float[Tensor, "m *p d"]:
        """Return the features after a layer from Â times those before it."""
        return torch.relu(self.layers[level](mixed))


class Neighbours(nn.Module):
    """The graph and its two networks.

    Args:
        d: Width of projected pictures.
        layers: L.
        similarity: What A is made of.
        tau: τ before training; None for no threshold: every mention of the graph counts.
        softness: Of the threshold's gradient.
        rho: ρ.
        normalise: How Â is made of A.
        most: R.
    """

    def __init__(
        self,
        d: int,
        layers: int = 2,
        similarity: Similarity = "kernel",
        tau: float | None = 0.5,
        softness: float = 0.05,
        rho: float = 0.5,
        normalise: Normalise = "row",
        most: int = 32,
    ) -> None:
        super().__init__()
        self.similarity, self.softness, self.rho, self.most = similarity, softness, rho, most
        self.normalise = normalise
        self.whole, self.patch = GCN(d, layers), GCN(d, layers)
        self.threshold = nn.Parameter(torch.tensor(math.log(tau / (1 - tau)))) if tau is not None else None
        """θ, of τ = σ(θ)."""

    def forward(
        self,
        text: Float[Tensor, "m dt"],
        whole: Float[Tensor, "m d"],
        patches: Float[Tensor, "m p d"],
        seen: Bool[Tensor, " m"],
        bank: Bank | None,
        keys: Int64[Tensor, " m"] | None = None,
    ) -> tuple[Float[Tensor, "m d"], Float[Tensor, "m p d"], Bool[Tensor, " m"]]:
        """Return what mentions hear of pictures, whole and by patch, and which hear anything.

        Args:
            text: t.
            whole: Projected pictures, 0 where there is none.
            patches: Likewise.
            seen: Which have a picture.
            bank: Whom they hear from; None for each other. From an empty one nobody hears, not even himself.
            keys: What mentions are known by in the bank; None when none of them is in it.
        """
        if bank is not None and not len(bank.text):
            return torch.zeros_like(whole), torch.zeros_like(patches), torch.zeros_like(seen)
        if bank is None:
            a = self.within(text, seen)
            exists = a.detach().sum(1) > 0
            mixes = [self._within_mix(a, exists)] * 2
        else:
            heard = self.heard(text, bank, keys)
            own = seen.to(text.dtype)
            exists = heard.weights.detach().sum(1) + own > 0
            mixes = [self._bank_mix(heard, own, bank.degree, levels) for levels in (bank.whole, bank.patches)]
        found = self.whole(whole, mixes[0]), self.patch(patches, mixes[1])
        return torch.where(exists[:, None], found[0], 0.0), torch.where(exists[:, None, None], found[1], 0.0), exists

    def within(self, text: Float[Tensor, "m dt"], seen: Bool[Tensor, " m"]) -> Float[Tensor, "m m"]:
        """Return A of a batch, after the threshold; columns of mentions without a picture are 0."""
        itself = torch.eye(len(text), dtype=torch.bool, device=text.device)
        edge = seen[None] & ~itself
        squares, products = text.square().sum(1), text @ text.T
        distances = (squares[:, None] + squares[None] - 2 * products).detach().clamp(min=0).sqrt()
        pairs = edge & seen[:, None]
        bandwidth = self.rho * (distances * pairs).sum() / pairs.sum().clamp(min=1)
        a = self._alike(products, squares[:, None], squares[None], bandwidth)
        return torch.where(edge, self._cut(a), 0.0) + torch.diag(seen.to(text.dtype))

    def heard(self, text: Float[Tensor, "m dt"], bank: Bank, keys: Int64[Tensor, " m"] | None) -> Heard:
        """Return the R mentions of a bank that are most alike, and their A; of equally alike ones the first."""
        with torch.no_grad():
            asked, known = text.double(), bank.text.double()
            alike = self._alike(
                asked @ known.T, asked.square().sum(1, keepdim=True), known.square().sum(1)[None], bank.bandwidth
            )
            if self.similarity == "kernel":  # far away every kernel is 0; distances still tell who is nearer
                alike = asked @ known.T - known.square().sum(1)[None] / 2
            if keys is not None:
                alike = alike.masked_fill(keys[:, None] == bank.keys[None], -math.inf)
            # rounded, so that the order in which a product is summed up never decides
            alike = torch.round(alike, decimals=9)
            last = alike.topk(min(self.most, alike.shape[1]), dim=1).values
            better, equal = alike > last[:, -1:], alike == last[:, -1:]
            taken = better | (equal & (equal.cumsum(1) <= last.shape[1] - better.sum(1, keepdim=True)))
            places = taken.nonzero()[:, 1].view(last.shape)
            there = alike.gather(1, places) > -math.inf
        asked, known = text.double(), bank.text[places].double()  # in 64 bits nobody is at the threshold by accident
        products = (asked[:, None] * known).sum(-1)
        squares = asked.square().sum(1, keepdim=True), known.square().sum(-1)
        a = self._cut(self._alike(products, *squares, bank.bandwidth.double()))
        return Heard(places, torch.where(there, a, 0.0).to(text.dtype))

    def bank(
        self,
        text: Float[Tensor, "n dt"],
        keys: Int64[Tensor, " n"],
        whole: Float[Tensor, "n d"],
        patches: Float[Tensor, "n p d"],
    ) -> Bank:
        """Return the bank of training mentions, all with pictures, as the weights are now."""
        with torch.no_grad():
            spaced = text[:: max(1, -(-len(text) // SAMPLE))].double()
            pairs = max(1, len(spaced) * (len(spaced) - 1))
            bandwidth = (self.rho * torch.cdist(spaced, spaced).sum() / pairs).float()
            degree = torch.ones(len(text), device=text.device)
            bank = Bank(text.float(), keys, whole[None].half(), patches[None].half(), degree, bandwidth)
            blocks = [slice(start, start + BLOCK) for start in range(0, len(text), BLOCK)]
            heard = [self.heard(text[block], bank, keys[block]) for block in blocks]
            bank = bank._replace(degree=torch.cat([degree[:0], *[each.weights.sum(1).float() + 1 for each in heard]]))
            return bank._replace(
                whole=self._levels(self.whole, bank, bank.whole[0], heard, blocks),
                patches=self._levels(self.patch, bank, bank.patches[0], heard, blocks),
            )

    def _levels(self, gcn: GCN, bank: Bank, first: Tensor, heard: list[Heard], blocks: list[slice]) -> Tensor:
        """Return hˡ of a bank for every layer, each made from the one before as it is kept."""
        levels = [first]
        for level in range(len(gcn.layers) - 1):
            found = [first[:0]]
            for block, own in zip(blocks, heard, strict=True):
                mix = self._bank_mix(own, torch.ones_like(own.weights[:, 0]), bank.degree, levels)
                found.append(gcn.layer(level, mix(levels[level][block].to(own.weights.dtype), level)).half())
            levels.append(torch.cat(found))
        return torch.stack(levels)

    def _alike(self, products: Tensor, left: Tensor, right: Tensor, bandwidth: Tensor) -> Tensor:
        """Return A from ⟨a, b⟩, ‖a‖² and ‖b‖²."""
        if self.similarity == "dot":
            return products.clamp(min=0)
        if self.similarity == "cosine":
            return (products / (left * right).clamp(min=1e-24).sqrt()).clamp(min=0)
        squares = (left + right - 2 * products).clamp(min=0)
        if self.similarity == "euclidean":
            return 1 / (1 + (squares + 1e-12).sqrt())
        return torch.exp(-squares / (2 * bandwidth.clamp(min=1e-6) ** 2))

    def _cut(self, a: Tensor) -> Tensor:
        """Return A where it reaches τ and 0 elsewhere, with a gradient for τ."""
        if self.threshold is None:
            return a
        tau = torch.sigmoid(self.threshold)
        soft = torch.sigmoid((a - tau) / self.softness)
        return a * ((a >= tau).to(a.dtype) + (soft - soft.detach()))

    def _scale(self, receiver: Tensor, sender: Tensor) -> Tensor:
        """Return what A is multiplied by, from the degrees of both ends."""
        if self.normalise == "row":
            return 1 / receiver + 0 * sender
        return (receiver * sender).rsqrt() if self.normalise == "sym" else torch.ones_like(receiver * sender)

    def _within_mix(self, a: Float[Tensor, "m m"], exists: Bool[Tensor, " m"]) -> Mix:
        degree = torch.where(exists, a.sum(1), 1.0)
        scaled = a * self._scale(degree[:, None], degree[None])
        return lambda h, level: (scaled @ h.flatten(1)).view(h.shape)

    def _bank_mix(self, heard: Heard, own: Tensor, degrees: Tensor, levels: Sequence[Tensor]) -> Mix:
        summed = heard.weights.sum(1) + own
        degree = torch.where(summed.detach() > 0, summed, 1.0)
        senders = degrees[heard.places].to(degree.dtype)
        weights = heard.weights * self._scale(degree[:, None], senders)
        itself = own * self._scale(degree, degree)

        def mix(h: Tensor, level: int) -> Tensor:
            ends = (1,) * (h.ndim - 1)
            total = itself.view(-1, *ends) * h
            for r in range(weights.shape[1]):  # one neighbour at a time: little memory, and one order of summation
                total = total + weights[:, r].view(-1, *ends) * levels[level][heard.places[:, r]].to(h.dtype)
            return total

        return mix


def write_bank(bank: Bank, folder: Path) -> None:
    """Write a bank into a run directory by rename.

    Raises:
        StoreError: The folder cannot be written.
    """
    with replacing(folder / FILE) as out:
        out.write(save({name: value.cpu().contiguous() for name, value in bank._asdict().items()}))


def read_bank(folder: Path) -> Bank:
    """Read what :func:`write_bank` wrote.

    Raises:
        NotFound: The run has no bank.
        InputError: The file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        raise NotFound(f"{folder} has no {FILE}", "finish the training: the same command with --resume")
    try:
        return Bank(**load_file(file))
    except (SafetensorError, TypeError) as error:
        raise InputError(f"{file}: {str(error).splitlines()[0]}", "it is damaged; train again") from error
