"""The network of :mod:`melink.methods.dwe`: what is known of a mention in, one vector out. Equations are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from melink.config import Config
from melink.errors import ConfigError
from melink.methods.dwe_inputs import Given, Rows

SHARPNESS: Final = 12.5
"""κ, and ρ, before training."""
ASKED: Final = {
    "text": ("text",),
    "objects": ("regions", "whole"),
    "faces": ("faces", "looks"),
    "identity": ("identities",),
}
"""What the mention asks, and the kinds of rows that it consists of."""
NAMES: Final = ("mention", *ASKED)
"""Order of what is fused."""


class QuerySettings(Config):
    """Settings of the network; the defaults are the paper's, but for width, dropout and the shortcut.

    Attributes:
        text: Read texts; else a mention is its name alone.
        width: d; None for that of the text vectors.
        heads: Of the attention; they divide the width.
        dropout: Of what goes through a layer.
        fusion: ``gated``, or ``concatenated``.
        shortcut: Add the frozen vectors of text and identities.
    """

    text: bool = True
    width: int | None = Field(default=None, ge=1)
    heads: int = Field(default=8, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    fusion: Literal["gated", "concatenated"] = "gated"
    shortcut: bool = True


class Transform(nn.Sequential):
    """Linear, ReLU, LayerNorm, dropout."""

    def __init__(self, width: int, d: int, dropout: float) -> None:
        super().__init__(nn.Linear(width, d), nn.ReLU(), nn.LayerNorm(d), nn.Dropout(dropout))


class Attention(nn.Module):
    """Several heads of one query over a set of any size; 0 over an empty one."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(d, d) for _ in range(4))

    def forward(
        self, query: Float[Tensor, "n d"], rows: Float[Tensor, "n l d"], there: Bool[Tensor, "n l"]
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n l"]]:
        """Return what is found, and how much each row was looked at, the mean over heads."""
        n, length, d = rows.shape
        each = self.heads, d // self.heads
        q, k, v = self.query(query).view(n, 1, *each), *(f(rows).view(n, length, *each) for f in (self.key, self.value))
        weights = masked_softmax((q * k).sum(-1) / each[1] ** 0.5, there[..., None])
        found = self.out((weights[..., None] * v).sum(1).reshape(n, d))
        return torch.where(there.any(1, keepdim=True), found, 0.0), weights.mean(-1)


class Terms(NamedTuple):
    """What becomes of some mentions.

    Attributes:
        parts: Summands of the vector, before it is divided by its length; ``text`` is what everybody has.
        found: m, m_t, m_d, m_f, m_s by :data:`NAMES`; those of kinds that are not read are left out.
        seen: Who has them, but for ``mention``.
        weights: How much each row was looked at.
    """

    parts: dict[str, Float[Tensor, "n dt"]]
    found: dict[str, Float[Tensor, "n d"]]
    seen: dict[str, Bool[Tensor, " n"]]
    weights: dict[str, Float[Tensor, "n l"]]

    def whole(self) -> Float[Tensor, "n dt"]:
        """Return the vector before it is divided by its length."""
        return torch.stack(list(self.parts.values())).sum(0)


class Query(nn.Module):
    """From what is known of mentions to their vectors.

    Args:
        text: Width of text vectors.
        widths: Of the kinds of rows that are read.
        s: Settings.

    Raises:
        ConfigError: Heads that do not divide the width.
    """

    def __init__(self, text: int, widths: Mapping[str, int], s: QuerySettings) -> None:
        super().__init__()
        d = s.width or text
        if d % s.heads:
            raise ConfigError(f"settings.heads={s.heads} does not divide the width {d}", "choose another number")
        self.reads_text, self.shortcut = s.text, s.shortcut
        self.read_text = Transform(text, d, s.dropout)
        pictures = [kind for kind in ("regions", "whole", "faces") if kind in widths]
        self.read = nn.ModuleDict({kind: Transform(widths[kind], d, s.dropout) for kind in pictures})
        self.attend = Attention(d, s.heads)
        self.epsilon = nn.Parameter(torch.zeros(())) if s.fusion == "gated" else None
        self.fuse = nn.Linear(d if s.fusion == "gated" else len(NAMES) * d, text)
        if s.shortcut:
            nn.init.zeros_(self.fuse.weight)
            nn.init.zeros_(self.fuse.bias)
        resembles = s.shortcut and "identities" in widths
        self.omega = nn.Parameter(torch.zeros(())) if resembles else None
        self.kappa = nn.Parameter(torch.full((2,), SHARPNESS).log()) if resembles else None

    def forward(self, given: Given) -> Terms:
        """Return what becomes of some mentions."""
        m = self.read_text(given.surface)
        found, seen, weights = {"mention": m}, {}, {}
        for name, rows in self._asked(given).items():
            found[name], weights[name] = self.attend(m, rows.vectors, rows.there)
            seen[name] = rows.there.any(1)
        parts = self._fused(found)
        own = parts.pop("mention") + self.fuse.bias
        if "text" in parts:
            own = own + parts.pop("text")
        if self.shortcut:
            own = own + self._first(given)
        if self.omega is not None and self.kappa is not None and "identity" in parts:
            parts["identity"] = parts["identity"] + self.omega.exp() * resembled(given, self.kappa.exp())
        return Terms({"text": own, **parts}, found, seen, weights)

    def _first(self, given: Given) -> Float[Tensor, "n dt"]:
        """Return t⁰, or m⁰ of a mention whose text is not read."""
        return torch.where(given.read[:, None], given.text, given.surface) if self.reads_text else given.surface

    def _asked(self, given: Given) -> dict[str, Rows]:
        """Return the sets that the mention asks, each in one space."""
        made = {kind: self._transformed(kind, rows) for kind, rows in given.sets.items()}
        if self.reads_text:
            made["text"] = self._transformed("text", Rows(given.text[:, None], given.read[:, None]))
        asked = {}
        for name, kinds in ASKED.items():
            if own := [made[kind] for kind in kinds if kind in made]:
                asked[name] = Rows(torch.cat([x for x, _ in own], 1), torch.cat([there for _, there in own], 1))
        return asked

    def _transformed(self, kind: str, rows: Rows) -> Rows:
        layer: nn.Module = self.read[kind] if kind in self.read else self.read_text  # noqa: SIM401 (no get)
        return Rows(layer(torch.where(rows.there[..., None], rows.vectors, 0.0)), rows.there)

    def _fused(self, found: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "n dt"]]:
        """Return the summands of g, without b_g."""
        if self.epsilon is None:
            blocks = dict(zip(NAMES, self.fuse.weight.chunk(len(NAMES), 1), strict=True))
            return {name: F.linear(x, blocks[name]) for name, x in found.items()}
        e = self.epsilon.sigmoid()
        shares = {name: e if name in ("faces", "identity") else 1 - e for name in found}
        return {name: shares[name] * F.linear(x, self.fuse.weight) for name, x in found.items()}


def masked_softmax(logits: Tensor, there: Tensor) -> Tensor:
    """Return the softmax over dimension 1 of what is there; zeros where nothing is."""
    nothing = ~there.any(1, keepdim=True)
    return logits.masked_fill(~(there | nothing), -torch.inf).softmax(1) * there


def resembled(given: Given, kappa: Float[Tensor, " 2"]) -> Float[Tensor, "n dt"]:
    """Return s⁰: the identities' frozen vectors, by how near each is to the mention's own and to its face.

    Args:
        given: Mentions.
        kappa: κ and ρ.
    """
    vectors, there = given.sets["identities"]
    vectors = torch.where(there[..., None], vectors, 0.0)
    logits = kappa[0] * (vectors * given.surface[:, None]).sum(-1)
    if given.alike is not None:
        logits = logits + kappa[1] * given.alike
    return (masked_softmax(logits, there)[..., None] * vectors).sum(1)
