"""MIMIC's matcher: three units that compare a mention with an entity, without any tensor per pair and token.

Luo et al., Multi-Grained Multimodal Interaction Network for Entity Linking, KDD 2023, §4.2–4.4. One side is read once
(:meth:`Matcher.mention`, :meth:`Matcher.entity`); :meth:`Matcher.forward` scores every pair. With d = 96, LN a layer
norm, t the text vector, T its tokens, v = Linear(image vector), V = Linear(patches), each after an LN that both sides
share::

    TGLU   G2G = ⟨t_m, t_e⟩                                          S_T = (G2G + G2L) / 2
           P = softmax((W_q T_e)(W_k T_m)ᵀ / √d)      over mention tokens, for each entity token
           G2L = ⟨W_c t_e, LN(mean_i P_i W_v T_m)⟩
    VDLU   S_V = (DUAL(e → m) + DUAL(m → e)) / 2,     DUAL(a → b): q = W₁a, k = W₁b, u = mean W₂ patches of b,
           x = W₃ LN₁(u + q) + b₃,  g = tanh(wᵀx + b),  y = LN₂(g x + k),  ⟨y, LN₂(q)⟩
    CMFU   h = W_t t, H = W_i V, c = Σ softmax(H h)_i H_i, out = LN(tanh(wᵀh + b) h + c);   S_C = ⟨out_m, out_e⟩
    S      = (S_T + S_V + S_C) / 3

What makes it fast is exact (docs/ranking.md): mean_i P_i V = (mean_i P_i) V; the variance of u + q needs only norms and
one product; the gate is a scalar; so a DUAL is five matrix products. Padding is masked everywhere. S_V and S_C exist
where both sides have a picture. Without them S is the average of what exists, S_T alone (``absent="average"``); or,
with ``absent="neutral"``, (S_T + (S_V − n_V) + (S_C − n_C)) / 3 with learned constants n, a missing part counting
nothing, so that scores of entities with and without a picture stay comparable. ``quirks`` does as the published code
does: padding takes part, everything exists.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from melink.methods.blocks import by_length

FAR: Final = -1e9
"""Added to padding's attention: finite, so that a row of padding alone is no NaN."""
CACHE: Final = 1 << 20
"""Attention weights held at once; more fall out of a CPU's cache."""
GROUP: Final = 32
"""Mentions scored at once, of about the same length."""

Absent = Literal["average", "neutral"]


class Read(NamedTuple):
    """One side as encoders give it; what ``mask`` and ``seen`` exclude may hold anything."""

    text: Float[Tensor, "n dt"]
    tokens: Float[Tensor, "n l dtt"]
    mask: Bool[Tensor, "n l"]
    image: Float[Tensor, "n dv"]
    patches: Float[Tensor, "n p dvv"]
    seen: Bool[Tensor, " n"]


class Seen(NamedTuple):
    """Pictures of one side, projected: v and V before their norms; which exist."""

    whole: Float[Tensor, "n d"]
    patches: Float[Tensor, "n p d"]
    seen: Bool[Tensor, " n"]


class Key(NamedTuple):
    """An item as the key of a DUAL: k, and u, the mean of its patches."""

    k: Float[Tensor, "n d"]
    u: Float[Tensor, "n d"]


class MentionTerms(NamedTuple):
    """What scoring needs of mentions; ``seen`` says for which the four picture terms exist."""

    text: Float[Tensor, "m dt"]
    keys: Float[Tensor, "m l d"]
    values: Float[Tensor, "m l d"]
    mask: Bool[Tensor, "m l"]
    asked: Float[Tensor, "m d"]
    asking: Key
    fused: Float[Tensor, "m d"]
    seen: Bool[Tensor, " m"]


class EntityTerms(NamedTuple):
    """What scoring needs of entities; ``whole`` is W_c t. These are kept on disk in 16 bits."""

    text: Float[Tensor, "n dt"]
    whole: Float[Tensor, "n d"]
    queries: Float[Tensor, "n l d"]
    mask: Bool[Tensor, "n l"]
    asked: Float[Tensor, "n d"]
    asking: Key
    fused: Float[Tensor, "n d"]
    seen: Bool[Tensor, " n"]


Terms = TypeVar("Terms", MentionTerms, EntityTerms)


class Scores(NamedTuple):
    """The units' scores of all pairs; ``image`` and ``cross`` are 0 outside ``both``."""

    text: Float[Tensor, "m n"]
    image: Float[Tensor, "m n"]
    cross: Float[Tensor, "m n"]
    both: Bool[Tensor, "m n"]


class TGLU(nn.Module):
    """Text: global to global, and global to local by cross-attention."""

    def __init__(self, text: int, token: int, d: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(token, d) for _ in range(3))
        self.whole = nn.Linear(text, d)
        self.norm = nn.LayerNorm(d)

    def weighed(self, whole: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
        """Return γ ⊙ W_c t without its mean, and ⟨β, W_c t⟩: G2L = ⟨first, z̃⟩ / sd(z) + second."""
        gained = centred(whole * self.norm.weight)
        return gained, whole @ self.norm.bias

    def forward(self, mentions: MentionTerms, entities: EntityTerms) -> Float[Tensor, "m n"]:
        """Return S_T of every pair."""
        gained, fixed = self.weighed(entities.whole)
        local = self.local(mentions, entities, gained) + fixed * there(mentions, entities)
        return (mentions.text @ entities.text.T + local) / 2

    def local(
        self, mentions: MentionTerms, entities: EntityTerms, gained: Float[Tensor, "n d"]
    ) -> Float[Tensor, "m n"]:
        """Return ⟨gained, z̃⟩ / sd(z) of every pair: G2L less its fixed part; 0 where a side has no token."""
        if not (mentions.mask.any() and entities.mask.any()):
            return gained.new_zeros(len(mentions.text), len(gained))
        lengths, rows, bands = entities.mask.sum(1), [], []
        room = CACHE if gained.device.type == "cpu" else 64 * CACHE
        for some, longest in by_length(mentions.mask.sum(1), GROUP * mentions.mask.shape[1]):
            own = mentions.mask[some, :longest]
            keys, values = mentions.keys[some, :longest], mentions.values[some, :longest]
            columns, found = [], []
            for others, most in by_length(lengths, room // own.numel()):
                block = entities.queries[others, :most], entities.mask[others, :most], gained[others]
                found.append(self._local(keys, values, own, *block))
                columns.append(others)
            bands.append(torch.cat(found, 1)[:, torch.argsort(torch.cat(columns))])
            rows.append(some)
        return torch.cat(bands)[torch.argsort(torch.cat(rows))]

    def pairs(self, mentions: MentionTerms, m: int, entities: EntityTerms, gained: Tensor) -> Float[Tensor, " k"]:
        """Return what :meth:`local` does, for one mention and some entities."""
        own = max(1, int(mentions.mask[m].sum()))
        keys, values, mask = (x[m : m + 1, :own] for x in (mentions.keys, mentions.values, mentions.mask))
        if entities.queries.shape[1] * len(gained) * own <= CACHE:  # one block: nothing to sort
            return self._local(keys, values, mask, entities.queries, entities.mask, gained)[0]
        alone = mentions._replace(text=mentions.text[:1], keys=keys, values=values, mask=mask)
        return self.local(alone, entities, gained)[0]

    def _local(
        self, keys: Tensor, values: Tensor, theirs: Tensor, queries: Tensor, mask: Tensor, gained: Tensor
    ) -> Float[Tensor, "m n"]:
        """Return ⟨gained, z̃⟩ / sd(z), z̃ the centred mean over entity tokens of attention-weighted values."""
        (n, i, d), (m, j, _) = queries.shape, keys.shape
        if not bool(theirs.all()):  # padding is far off in one more dimension, at no cost
            keys = torch.cat([keys, torch.where(theirs, 0.0, FAR).to(keys.dtype)[..., None]], -1)
            queries = torch.cat([queries, torch.ones_like(queries[..., :1])], -1)
            d += 1
        attention = (queries.reshape(n * i, d) @ keys.reshape(m * j, d).T).view(n, i, m, j).softmax(-1)
        share = (mask / mask.sum(1, keepdim=True).clamp(min=1)).to(attention.dtype)
        mean = torch.bmm(share[:, None], attention.view(n, i, m * j)).view(n, m, j).transpose(0, 1)
        context = torch.bmm(mean, values)  # m n d, centred because the values are
        spread = torch.sqrt(context.square().mean(-1) + self.norm.eps)
        local = torch.einsum("mnd,nd->mn", context, gained) / spread
        full = theirs.any(1)[:, None] & mask.any(1)[None]
        return local if bool(full.all()) else local * full


class DUAL(nn.Module):
    """Image: does the query, helped by the key's patches, come out like itself? DUAL(query → key)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.whole, self.patch, self.mix = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.gate = nn.Linear(d, 1)
        self.norm_sum, self.norm = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, q: Float[Tensor, "a d"], key: Key) -> Float[Tensor, "a b"]:
        """Return the score of every query with every key."""
        d, (asking, asked) = q.shape[1], (centred(q), centred(key.u))
        mixed = (asking * self.norm_sum.weight) @ self.mix.weight.T  # x = (mixed + helped) / sd(u + q) + constant
        helped = (asked * self.norm_sum.weight) @ self.mix.weight.T
        constant = self.mix.weight @ self.norm_sum.bias + self.mix.bias
        aim = self.norm(q)
        target = centred(aim * self.norm.weight)
        a, b, c, k = centred(mixed), centred(helped), centred(constant), centred(key.k)
        total = squares(asking)[:, None] + squares(asked)[None] + 2 * asking @ asked.T
        scale = torch.rsqrt(total.clamp(min=0) / d + self.norm_sum.eps)
        w = self.gate.weight[0]
        gate = torch.tanh(((mixed @ w)[:, None] + (helped @ w)[None]) * scale + (constant @ w + self.gate.bias))
        aligned = ((a * target).sum(-1)[:, None] + target @ b.T) * scale + (target @ c)[:, None]
        own = (squares(a)[:, None] + squares(b)[None] + 2 * a @ b.T) * scale
        own = (own + 2 * ((a @ c)[:, None] + (b @ c)[None])) * scale + squares(c)
        across = (a @ k.T + (b * k).sum(-1)[None]) * scale + (k @ c)[None]
        spread = (own * gate + 2 * across) * gate + squares(k)[None]
        rest = torch.sqrt(spread.clamp(min=0) / d + self.norm.eps)
        return (aligned * gate + target @ k.T) / rest + (aim @ self.norm.bias)[:, None]


class VDLU(nn.Module):
    """Image: a DUAL each way."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.to_mention, self.to_entity = DUAL(d), DUAL(d)

    def forward(self, mentions: MentionTerms, entities: EntityTerms) -> Float[Tensor, "m n"]:
        """Return S_V of every pair."""
        there = self.to_mention(entities.asked, mentions.asking).T
        return (there + self.to_entity(mentions.asked, entities.asking)) / 2


class CMFU(nn.Module):
    """Text and image of one side, fused."""

    def __init__(self, text: int, d: int) -> None:
        super().__init__()
        self.text, self.patch, self.gate, self.norm = (
            nn.Linear(text, d),
            nn.Linear(d, d),
            nn.Linear(d, 1),
            nn.LayerNorm(d),
        )

    def forward(self, text: Float[Tensor, "n dt"], patches: Float[Tensor, "n p d"]) -> Float[Tensor, "n d"]:
        """Return the fused vector of each item."""
        h, local = self.text(text), self.patch(patches)
        weights = torch.softmax((local @ h[:, :, None])[..., 0], -1)
        found = (weights[..., None] * local).sum(1)
        fused: Tensor = self.norm(torch.tanh(self.gate(h)) * h + found)
        return fused


class Matcher(nn.Module):
    """The projections, the four shared norms and the three units.

    Args:
        text: Width of the text vector.
        token: Width of a token vector.
        image: Width of the image vector; None without an image encoder.
        patch: Width of a patch vector.
        d: Width of the units.
        absent: What S is where S_V and S_C do not exist; see the module.
        quirks: As the published code does it; see the module.
    """

    def __init__(
        self,
        text: int,
        token: int,
        image: int | None = None,
        patch: int | None = None,
        d: int = 96,
        absent: Absent = "average",
        quirks: bool = False,
    ) -> None:
        super().__init__()
        self.d, self.absent, self.quirks, self.pictures = d, absent, quirks, image is not None and patch is not None
        self.norm_text, self.norm_token = nn.LayerNorm(text), nn.LayerNorm(token)
        self.tglu = TGLU(text, token, d)
        if image is not None and patch is not None:
            self.image_whole, self.image_patch = nn.Linear(image, d), nn.Linear(patch, d)
            self.norm_image, self.norm_patch = nn.LayerNorm(d), nn.LayerNorm(d)
            self.vdlu, self.cmfu = VDLU(d), CMFU(text, d)
            self.neutral = nn.Parameter(torch.zeros(2))

    def project(self, read: Read) -> Seen:
        """Return v and V before their norms; zeros where there is no picture."""
        if not self.pictures:
            empty = read.text.new_zeros(len(read.text), 0, self.d)
            return Seen(read.text.new_zeros(len(read.text), self.d), empty, torch.zeros_like(read.seen))
        seen = torch.ones_like(read.seen) if self.quirks else read.seen
        whole = read.text.new_zeros(len(seen), self.d)
        patches = read.text.new_zeros(len(seen), read.patches.shape[1], self.d)
        if bool(seen.any()):
            (rows,) = torch.nonzero(seen, as_tuple=True)
            whole = whole.index_copy(0, rows, self.image_whole(read.image[rows]))
            patches = patches.index_copy(0, rows, self.image_patch(read.patches[rows]))
        return Seen(whole, patches, seen)

    def mention(self, read: Read, seen: Seen | None = None) -> MentionTerms:
        """Return the terms of mentions; ``seen`` stands in for their own pictures when it is given."""
        text, tokens, mask = self._text(read)
        values = centred(self.tglu.value(tokens))
        asked, asking, fused, there = self._pictures(text, seen or self.project(read), mention=True)
        return MentionTerms(text, self.tglu.key(tokens), values, mask, asked, asking, fused, there)

    def entity(self, read: Read) -> EntityTerms:
        """Return the terms of entities."""
        text, tokens, mask = self._text(read)
        queries = self.tglu.query(tokens) / self.d**0.5
        asked, asking, fused, there = self._pictures(text, self.project(read), mention=False)
        return EntityTerms(text, self.tglu.whole(text), queries, mask, asked, asking, fused, there)

    def forward(self, mentions: MentionTerms, entities: EntityTerms) -> Scores:
        """Return the units' scores of every pair."""
        text = self.tglu(mentions, entities)
        return Scores(text, *self.visual(mentions, entities))

    def visual(self, mentions: MentionTerms, entities: EntityTerms) -> tuple[Tensor, Tensor, Tensor]:
        """Return S_V, S_C and where they exist; only pairs with two pictures cost anything."""
        both = mentions.seen[:, None] & entities.seen[None]
        image = torch.zeros(both.shape, dtype=mentions.text.dtype, device=both.device)
        cross = image
        rows, columns = (torch.nonzero(side.seen, as_tuple=True)[0] for side in (mentions, entities))
        if len(rows) and len(columns):
            some, others = only(mentions, rows), only(entities, columns)
            found, fused = self.vdlu(some, others), some.fused @ others.fused.T
            if both.shape == found.shape:
                return found, fused, both
            places = rows[:, None], columns[None]
            image, cross = image.index_put(places, found), cross.index_put(places, fused)
        return image, cross, both

    def shares(self, scores: Scores) -> Scores:
        """Return what each unit contributes to S; 0 where it does not exist."""
        if not self.pictures:
            return scores
        text, image, cross, both = scores
        if self.absent == "average":
            return Scores(text / torch.where(both, 3.0, 1.0), image / 3, cross / 3, both)
        image, cross = (part - by for part, by in zip((image, cross), self.neutral, strict=True))
        return Scores(text / 3, torch.where(both, image / 3, 0.0), torch.where(both, cross / 3, 0.0), both)

    def combine(self, scores: Scores) -> Float[Tensor, "m n"]:
        """Return S."""
        text, image, cross, _ = self.shares(scores)
        return text + image + cross

    def _text(self, read: Read) -> tuple[Tensor, Tensor, Tensor]:
        mask, tokens = (torch.ones_like(read.mask) if self.quirks else read.mask), read.tokens
        # real tokens first: blocks are cut by how many there are; not every CUDA sorts booleans
        order = torch.argsort((~mask).byte(), dim=1, stable=True)
        mask, tokens = mask.gather(1, order), tokens.take_along_dim(order[..., None], 1)
        tokens = torch.where(mask[..., None], tokens, 0.0)  # garbage in padding may be NaN
        return self.norm_text(read.text), self.norm_token(tokens), mask

    def _pictures(self, text: Tensor, seen: Seen, mention: bool) -> tuple[Tensor, Key, Tensor, Tensor]:
        """Return W₁v as a query, the key of the other DUAL and the fused vector; zeros where nothing is seen."""
        nothing = text.new_zeros(len(text), self.d)
        if not self.pictures or not bool(seen.seen.any()):
            return nothing, Key(nothing, nothing), nothing, seen.seen & self.pictures
        (rows,) = torch.nonzero(seen.seen, as_tuple=True)
        v, local = self.norm_image(seen.whole[rows]), self.norm_patch(seen.patches[rows])
        asked, asking = (
            (self.vdlu.to_entity, self.vdlu.to_mention) if mention else (self.vdlu.to_mention, self.vdlu.to_entity)
        )
        found = asked.whole(v), asking.whole(v), asking.patch(local.mean(1)), self.cmfu(text[rows], local)
        q, k, u, fused = (nothing.index_copy(0, rows, each) for each in found)
        return q, Key(k, u), fused, seen.seen


def there(mentions: MentionTerms, entities: EntityTerms) -> Bool[Tensor, "m n"]:
    """Return which pairs have a token on both sides."""
    return mentions.mask.any(1)[:, None] & entities.mask.any(1)[None]


def halved(terms: EntityTerms, kind: torch.dtype = torch.float16, device: str | None = None) -> EntityTerms:
    """Return the terms in 16 bits, or back from them; what would overflow becomes the largest number."""
    most = torch.finfo(torch.float16).max

    def one(x: Tensor) -> Tensor:
        x = x.to(device)
        return x if x.dtype == torch.bool else (x.clamp(-most, most) if kind == torch.float16 else x).to(kind)

    return EntityTerms(*(Key(one(x.k), one(x.u)) if isinstance(x, Key) else one(x) for x in terms))


def centred(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Return x less its mean over the last axis."""
    return x - x.mean(-1, keepdim=True)


def squares(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
    """Return squared lengths."""
    return x.square().sum(-1)


def picked(terms: Terms, rows: Tensor) -> Terms:
    """Return the terms of some rows."""
    return type(terms)(*(Key(x.k[rows], x.u[rows]) if isinstance(x, Key) else x[rows] for x in terms))


def only(terms: Terms, rows: Tensor) -> Terms:
    """Return the terms with those of pictures for some rows alone."""
    if len(rows) == len(terms.seen):
        return terms
    key = Key(terms.asking.k[rows], terms.asking.u[rows])
    return terms._replace(asked=terms.asked[rows], asking=key, fused=terms.fused[rows])
