"""FissFuse's two branches: what a mention and an entity find in each other, and what each makes of itself.

The paper's equations in its order (docs/fissfuse.md says where it leaves a choice and what was chosen). f is an
encoder's vector of a text (T) or a picture (V), F its tokens or patches; each of the four goes through its own
Linear + LN into d numbers. CA(h, F) is attention of one query over F, ‖ puts side by side, m is a mention, e an
entity::

    fission   h^X = MLP([max F^X ‖ mean F^X ‖ f^X])                            X = T, V
              h_me = LN(CA(h_m, F_e) + h_m),   h_em = LN(CA(h_e, F_m) + h_e)   of each modality
              S₁^X = ⟨h_me^X, h_em^X⟩,   S₁* = ⟨MLP_m([h_me^T ‖ h_me^V]), MLP_e([h_em^T ‖ h_em^V])⟩
    fusion    x^X = LN(CA(x, F^X) + x),  x = MLP_X([f^T ‖ f^V]);   x* = MLP([x^T ‖ x^V])         of one side alone
              S₂^X = ⟨x_m^X, x_e^X⟩,   S₂* = ⟨x_m*, x_e*⟩
    S         = mean of the scores that exist

Padding is masked everywhere. S^V exist for pairs with two pictures; where a picture is missing its half of ‖ is zero.
``absent`` says what S is then: the mean of what exists (``average``), or (``neutral``) a sixth of the sum of all, S^V
counted from a learned constant and nothing where it is missing, so that scores with and without stay comparable.

What makes a pair cheap is exact: keys are never made, since ⟨W_q h, W_k F_i⟩ = ⟨W_kᵀ W_q h, F_i⟩, and values once for a
pair rather than for each token, since Σ a_i W_v F_i = W_v Σ a_i F_i. So a side keeps its tokens once.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from melink.methods.matcher import Absent, Read

FAR: Final = -1e9
"""Attention of padding: finite, so that an item of padding alone is no NaN."""
Part = Literal["fission_text", "fission_image", "fission_both", "fusion_text", "fusion_image", "fusion_both"]
FISSION: Final[tuple[Part, ...]] = ("fission_text", "fission_image", "fission_both")
FUSION: Final[tuple[Part, ...]] = ("fusion_text", "fusion_image", "fusion_both")
IMAGE: Final[tuple[Part, ...]] = ("fission_image", "fusion_image")


class Projected(NamedTuple):
    """One side in d dimensions; zeros in padding and where there is no picture."""

    text: Float[Tensor, "n d"]
    tokens: Float[Tensor, "n l d"]
    mask: Bool[Tensor, "n l"]
    image: Float[Tensor, "n d"]
    patches: Float[Tensor, "n p d"]
    seen: Bool[Tensor, " n"]


class Terms(NamedTuple):
    """What scoring needs of one side, mentions and entities alike; an entity's are kept on disk in 16 bits.

    Attributes:
        tokens, mask, patches, seen: As projected, for the other side's queries.
        text, image: h of the fission branch.
        asks_text, asks_image: Its queries, W_kᵀ W_q h.
        fused: x^T, x^V and x* of the fusion branch.
    """

    tokens: Float[Tensor, "*b n l d"]
    mask: Bool[Tensor, "*b n l"]
    patches: Float[Tensor, "*b n p d"]
    seen: Bool[Tensor, "*b n"]
    text: Float[Tensor, "*b n d"]
    image: Float[Tensor, "*b n d"]
    asks_text: Float[Tensor, "*b n h d"]
    asks_image: Float[Tensor, "*b n h d"]
    fused: Float[Tensor, "*b n f"]


Scores = dict[Part, Tensor]
"""Part → score of every pair, [b m n]; 0 where it does not exist."""


class MLP(nn.Module):
    """Linear, ReLU, Linear over two vectors side by side; without the second, over the first's half alone."""

    def __init__(self, one: int, other: int, d: int) -> None:
        super().__init__()
        self.one, self.first, self.last = one, nn.Linear(one + other, d), nn.Linear(d, d)

    def forward(self, one: Float[Tensor, "*n a"], other: Float[Tensor, "*n b"] | None = None) -> Float[Tensor, "*n d"]:
        """Return the fused vectors."""
        hidden = F.linear(one, self.first.weight[:, : self.one], self.first.bias)
        if other is not None:
            hidden = hidden + F.linear(other, self.first.weight[:, self.one :])
        found: Tensor = self.last(F.relu(hidden))
        return found


class CrossAttention(nn.Module):
    """LN(CA(h, F) + h), in two halves: what is asked, and what is made of what was found."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(d, d)
        self.key, self.value = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.norm = nn.LayerNorm(d)

    def asked(self, h: Float[Tensor, "*n d"]) -> Float[Tensor, "*n h d"]:
        """Return W_kᵀ W_q h of each head, scaled."""
        d = h.shape[-1]
        own = self.query(h).unflatten(-1, (self.heads, d // self.heads))
        return torch.einsum("...ho,hod->...hd", own, self._by_head(self.key)) * (self.heads / d) ** 0.5

    def answered(self, h: Float[Tensor, "*n d"], found: Float[Tensor, "*n h d"]) -> Float[Tensor, "*n d"]:
        """Return LN(W_v found + h)."""
        context = torch.einsum("...hd,hod->...ho", found, self._by_head(self.value)).flatten(-2)
        answer: Tensor = self.norm(context + h)
        return answer

    def _by_head(self, layer: nn.Linear) -> Float[Tensor, "h o d"]:
        return layer.weight.unflatten(0, (self.heads, -1))


def attended(
    asks: Float[Tensor, "b m h d"], tokens: Float[Tensor, "b n l d"], mask: Bool[Tensor, "b n l"]
) -> Float[Tensor, "b m n h d"]:
    """Return what each query finds among the tokens of each item; zero where there is no token."""
    logits = torch.einsum("bmhd,bnld->bnmhl", asks, tokens)
    if not bool(mask.all()):
        logits = logits.masked_fill(~mask[:, :, None, None], FAR)
    return torch.einsum("bnmhl,bnld->bmnhd", logits.softmax(-1), tokens)


class Fission(nn.Module):
    """The fission branch of one side: multi-pooling and queries; one for both sides when they share weights."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.pool_text, self.pool_image = MLP(3 * d, 0, d), MLP(3 * d, 0, d)
        self.text, self.image = CrossAttention(d, heads), CrossAttention(d, heads)

    def forward(self, side: Projected) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return h^T, h^V and their queries; zeros where there is no picture."""
        text = self.pool_text(pooled(side.text, side.tokens, side.mask))
        image, rows = torch.zeros_like(text), places(side.seen)
        if len(rows):
            patches = side.patches[rows]
            given = pooled(side.image[rows], patches, torch.ones_like(patches[..., 0], dtype=torch.bool))
            image = image.index_copy(0, rows, self.pool_image(given))
        return text, image, self.text.asked(text), self.image.asked(image)


class Fusion(nn.Module):
    """The fusion branch of one side: adaptive fusion, attention to its own tokens, one fused vector."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.to_text, self.to_image, self.fuse = MLP(d, d, d), MLP(d, d, d), MLP(d, d, d)
        self.text, self.image = CrossAttention(d, heads), CrossAttention(d, heads)

    def forward(self, side: Projected) -> Float[Tensor, "n f"]:
        """Return x^T, x^V and x* side by side; x^V is zero where there is no picture."""
        image = side.image if bool(side.seen.any()) else None
        x = self.to_text(side.text, image)
        text = self.text.answered(x, attended_alone(self.text.asked(x), side.tokens, side.mask))
        rows, found = places(side.seen), torch.zeros_like(text)
        if len(rows):
            x, patches = self.to_image(side.text[rows], side.image[rows]), side.patches[rows]
            there = torch.ones_like(patches[..., 0], dtype=torch.bool)
            found = found.index_copy(
                0, rows, self.image.answered(x, attended_alone(self.image.asked(x), patches, there))
            )
        return torch.cat([text, found, self.fuse(text, found if len(rows) else None)], -1)


class FissFuseNet(nn.Module):
    """The projections and both branches.

    Args:
        text: Width of the text vector.
        token: Width of a token vector.
        image: Width of the image vector; None to read no pictures.
        patch: Width of a patch vector.
        d: Width of everything inside.
        heads: Of every attention.
        parts: Scores that are used; a branch without one is not made.
        shared: One set of weights for both sides, but for MLP_m and MLP_e.
        absent: What S is where a picture is missing; see the module.
        sharpness: What the product of two equal vectors after a layer norm is worth before training: the norms' gain.
            None starts with a gain of 1, which is d.
    """

    def __init__(
        self,
        text: int,
        token: int,
        image: int | None = None,
        patch: int | None = None,
        d: int = 100,
        heads: int = 1,
        parts: tuple[Part, ...] = FISSION + FUSION,
        shared: bool = True,
        absent: Absent = "average",
        sharpness: float | None = None,
    ) -> None:
        super().__init__()
        self.d, self.heads, self.absent, self.pictures = d, heads, absent, image is not None and patch is not None
        self.parts: tuple[Part, ...] = tuple(part for part in parts if self.pictures or part not in IMAGE)
        sides = 1 if shared else 2
        widths = [text, token, *((image, patch) if image is not None and patch is not None else ())]
        streams = [[nn.Sequential(nn.Linear(w, d), nn.LayerNorm(d)) for w in widths] for _ in range(sides)]
        self.streams = nn.ModuleList(nn.ModuleList(own) for own in streams)
        self.fission = nn.ModuleList(Fission(d, heads) for _ in range(sides)) if set(parts) & set(FISSION) else None
        self.fuse = nn.ModuleList(MLP(d, d, d) for _ in range(2)) if "fission_both" in parts else None
        self.fusion = nn.ModuleList(Fusion(d, heads) for _ in range(sides)) if set(parts) & set(FUSION) else None
        self.neutral = nn.ParameterDict({part: nn.Parameter(torch.zeros(())) for part in IMAGE if part in self.parts})
        if sharpness is not None:
            for layer in self.modules():
                if isinstance(layer, CrossAttention):
                    nn.init.constant_(layer.norm.weight, (sharpness / d) ** 0.5)

    def mention(self, read: Read) -> Terms:
        """Return the terms of mentions."""
        return self._terms(read, 0)

    def entity(self, read: Read) -> Terms:
        """Return the terms of entities."""
        return self._terms(read, -1)

    def project(self, read: Read, place: int = 0) -> Projected:
        """Return one side in d dimensions."""
        own = self.streams[place]
        seen = read.seen if self.pictures else torch.zeros_like(read.seen)
        text, mask, rows = own[0](read.text), read.mask, places(seen)
        tokens = torch.where(mask[..., None], own[1](read.tokens), 0.0)
        image, patches = torch.zeros_like(text), text.new_zeros(len(seen), 0, self.d)
        if len(rows):
            image = image.index_copy(0, rows, own[2](read.image[rows]))
            patches = text.new_zeros(len(seen), read.patches.shape[1], self.d)
            patches = patches.index_copy(0, rows, own[3](read.patches[rows]))
        return Projected(text, tokens, mask, image, patches, seen)

    def _terms(self, read: Read, place: int) -> Terms:
        side = self.project(read, place)
        nothing, nobody = side.text[:, :0], side.text.new_zeros(len(side.text), self.heads, 0)
        h: tuple[Tensor, Tensor, Tensor, Tensor] = nothing, nothing, nobody, nobody
        if self.fission is not None:
            h = self.fission[place](side)
        fused = nothing if self.fusion is None else self.fusion[place](side)
        return Terms(side.tokens, side.mask, side.patches, side.seen, *h, fused)

    def forward(self, mentions: Terms, entities: Terms) -> Scores:
        """Return the used scores of every mention with every entity beside it.

        Args:
            mentions: Of some lists: [b m …].
            entities: Those of the same lists: [b n …]; a batch of lists has m = 1, one of pairs b = 1.
        """
        both = mentions.seen[:, :, None] & entities.seen[:, None]
        found: Scores = {}
        if self.fission is not None:
            found |= self.found(mentions, entities, both)
        if self.fusion is not None:
            found |= self.alike(mentions, entities)
        return {part: found[part] for part in self.parts}

    def found(self, mentions: Terms, entities: Terms, both: Bool[Tensor, "b m n"]) -> Scores:
        """Return S₁^T, S₁^V and S₁*: what needs both sides' tokens."""
        assert self.fission is not None
        ours, theirs = self._crossed("text", mentions, entities)
        scores: Scores = {"fission_text": (ours * theirs).sum(-1), "fission_image": torch.zeros_like(ours[..., 0])}
        pictures: tuple[Tensor, Tensor] | tuple[None, None] = (None, None)
        if bool(both.any()):
            seen, others = (x * both[..., None] for x in self._crossed("image", mentions, entities))
            scores["fission_image"], pictures = (seen * others).sum(-1), (seen, others)
        if self.fuse is not None:
            scores["fission_both"] = (self.fuse[0](ours, pictures[0]) * self.fuse[1](theirs, pictures[1])).sum(-1)
        return scores

    def _crossed(self, kind: Literal["text", "image"], mentions: Terms, entities: Terms) -> tuple[Tensor, Tensor]:
        """Return h_me and h_em of every pair."""
        assert self.fission is not None
        first, last = getattr(self.fission[0], kind), getattr(self.fission[-1], kind)
        h_m, h_e = (getattr(side, kind) for side in (mentions, entities))
        asks_m, asks_e = (getattr(side, f"asks_{kind}") for side in (mentions, entities))
        rows_m, rows_e = ((s.tokens, s.mask) if kind == "text" else shown(s) for s in (mentions, entities))
        ours = first.answered(h_m[:, :, None], attended(asks_m, *rows_e))
        return ours, last.answered(h_e[:, None], attended(asks_e, *rows_m).transpose(1, 2))

    def alike(self, mentions: Terms, entities: Terms) -> Scores:
        """Return S₂^T, S₂^V and S₂*: products of what each side makes of itself."""
        sides = [side.fused.split(self.d, -1) for side in (mentions, entities)]
        return {part: m @ e.transpose(1, 2) for part, m, e in zip(FUSION, *sides, strict=True)}

    def exists(self, part: Part, both: Bool[Tensor, "*b"]) -> Bool[Tensor, "*b"]:
        """Return for which pairs a score exists, given which have two pictures."""
        return both if part in IMAGE else torch.ones_like(both)

    def counted(self, both: Bool[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Return by how many the sum of scores is divided in S."""
        pictured = sum(part in IMAGE for part in self.parts)
        every = both if self.absent == "average" else torch.ones_like(both)
        return (len(self.parts) - pictured + pictured * every).float()

    def contributions(self, scores: Scores, both: Bool[Tensor, "*b"]) -> Scores:
        """Return what each score adds to S; 0 where it does not exist."""
        counted, found = self.counted(both), dict(scores)
        for part in self.neutral if self.absent == "neutral" else ():
            if part in found:
                found[part] = (found[part] - self.neutral[part]) * both
        return {part: score / counted for part, score in found.items()}


def pooled(
    whole: Float[Tensor, "n d"], rows: Float[Tensor, "n l d"], mask: Bool[Tensor, "n l"]
) -> Float[Tensor, "n 3*d"]:
    """Return [max ‖ mean ‖ whole]; an item without rows has zeros for the first two."""
    count = mask.sum(1, keepdim=True)
    most = rows.masked_fill(~mask[..., None], float("-inf")).amax(1) if mask.shape[1] else torch.zeros_like(whole)
    most = torch.where(count > 0, most, 0.0)
    mean = (rows * mask[..., None]).sum(1) / count.clamp(min=1)
    return torch.cat([most, mean, whole], -1)


def attended_alone(
    asks: Float[Tensor, "n h d"], rows: Float[Tensor, "n l d"], mask: Bool[Tensor, "n l"]
) -> Float[Tensor, "n h d"]:
    """Return what each item's query finds among its own rows."""
    return attended(asks[:, None], rows[:, None], mask[:, None])[:, 0, 0]


def shown(side: Terms) -> tuple[Tensor, Tensor]:
    """Return patches, and that all of them are there."""
    return side.patches, torch.ones_like(side.patches[..., 0], dtype=torch.bool)


def places(mask: Bool[Tensor, " n"]) -> Tensor:
    """Return where a mask is true."""
    return torch.nonzero(mask, as_tuple=True)[0]
