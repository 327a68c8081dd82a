"""MELOV's optimisation of a mention's picture: what its text suggests, what its neighbours show, and what it has.

Sui et al., Multimodal Entity Linking with Optimized Visual Features in Latent Space (MELOV), Findings of ACL 2024; what
it leaves open is ours and marked [D]. t, T are the text vector and tokens that the encoder gives, v, V the projected
picture and its P patches before any norm. Three branches, each once for v and once for V::

    original    v, V                              exists where the mention has a picture
    generated   μ = W_μ t + b,  s = W_s t + b, the log-variance, clamped to ±10 [D]
                z = μ + e^(s/2) ε in training, z = μ otherwise [D];    v^G = W_d z + b
                tokens alike, by a VAE of their own [D]: z_l, then D_l = W_d z_l + b, 0 for padding, then
                V^G_p = Σ_l S_pl D_l + b_p, S learned, over the first ``tokens`` tokens [D]
                L = ‖v − v^G‖² + KL + mean_p ‖V_p − V^G_p‖² + mean_l KL_l          KL = −½ Σ (1 + s − μ² − e^s)
                summed over dimensions, the mean over mentions that have a picture; v and V held fixed [D]
    neighbours  v^A, V^A: melink.methods.neighbours, which says for whom they exist
    fusion      a_b = σ(FFN_b(v^b)),  v* = Σ_b α_b v^b,  α_b = a_b / Σ a over the branches that exist
                FFN: d → d, ReLU, d → 1, one for each branch [D]
                V* alike with FFNs of its own and one weight a patch (or, ``mention``, one from their mean) [D]

A mention without a picture [D]: it has no original branch, so the weights of the others are renormalised; there is
nothing to reconstruct, so it has no part in L, KL included (over texts without pictures KL alone would empty the
generator); and in the graph it hears but sends nothing. Where no branch exists the mention is as one without a picture.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from melink.config import Config
from melink.methods.matcher import Seen
from melink.methods.neighbours import Bank, Neighbours, Normalise, Similarity

BRANCHES: Final = ("original", "generated", "neighbours")
"""Order of fusion weights."""


class OptimiseSettings(Config):
    """Settings of the optimisation; the defaults are the paper's, or where it is silent ours.

    Attributes:
        inter: Generate features from text (off: the ablation "w/o inter").
        intra: Take features from neighbours (off: "w/o intra").
        threshold: Let only mentions with A ≥ τ be neighbours (off: "w/o τ", every one counts).
        filter: Instead of optimising, take a mention for one without a picture when text and picture are less alike
            than this; None to optimise. See :mod:`melink.methods.melov` for what is compared.
        similarity: What A is made of.
        generated_loss: λ, the weight of L in the whole loss.
        latent: Width of z.
        detach: Hold v and V fixed in L, or features drift towards what text can predict.
        clamp: Bound of the log-variance.
        layers: L of the graph network.
        rho: Kernel bandwidth, in mean distances between mentions.
        tau: τ before training.
        softness: Of the gradient that τ learns by.
        normalise: How A is normalised.
        train_graph: While training, neighbours come from the ``batch``, or from the ``bank`` as it was when last
            refreshed. Validation and linking always use the bank, so that no score depends on a batch.
        neighbours: R, how many mentions of the bank one hears from.
        local_weights: Fusion weights of patches: one each, or one for all of a ``mention``.
    """

    inter: bool = True
    intra: bool = True
    threshold: bool = True
    filter: float | None = None
    similarity: Similarity = "kernel"
    generated_loss: float = Field(default=0.001, ge=0)
    latent: int = Field(default=64, ge=1)
    detach: bool = True
    clamp: float = Field(default=10.0, gt=0)
    layers: int = Field(default=2, ge=1)
    rho: float = Field(default=0.5, gt=0)
    tau: float = Field(default=0.5, gt=0, lt=1)
    softness: float = Field(default=0.05, gt=0)
    normalise: Normalise = "row"
    train_graph: Literal["batch", "bank"] = "batch"
    neighbours: int = Field(default=32, ge=1)
    local_weights: Literal["token", "mention"] = "token"


class Optimised(NamedTuple):
    """A batch's pictures after optimisation.

    Attributes:
        whole: v*, 0 where nothing is seen.
        patches: V*, likewise.
        seen: Where any branch exists.
        weights: α of the branches in the order of :data:`BRANCHES`; 0 for those that do not exist.
        weights_local: The same by patch.
        loss: L.
    """

    whole: Float[Tensor, "m d"]
    patches: Float[Tensor, "m p d"]
    seen: Bool[Tensor, " m"]
    weights: Float[Tensor, "m 3"]
    weights_local: Float[Tensor, "m p 3"]
    loss: Float[Tensor, ""]


class VAE(nn.Module):
    """From text to the features of a picture, through a narrow Gaussian."""

    def __init__(self, text: int, d: int, latent: int, clamp: float) -> None:
        super().__init__()
        self.clamp = clamp
        self.mean, self.logvar = nn.Linear(text, latent), nn.Linear(text, latent)
        self.decode = nn.Linear(latent, d)

    def forward(self, text: Float[Tensor, "*m dt"]) -> tuple[Float[Tensor, "*m d"], Float[Tensor, "*m"]]:
        """Return the generated features and the KL divergence of each."""
        mean, logvar = self.mean(text), self.logvar(text).clamp(-self.clamp, self.clamp)
        z = mean + torch.exp(logvar / 2) * torch.randn_like(mean) if self.training else mean
        return self.decode(z), -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(-1)


class LocalVAE(nn.Module):
    """From tokens to the features of patches: a VAE for tokens, then a learned map from their places to patches."""

    def __init__(self, token: int, d: int, latent: int, clamp: float, tokens: int, patches: int) -> None:
        super().__init__()
        self.vae = VAE(token, d, latent, clamp)
        self.sequence = nn.Linear(tokens, patches)

    def forward(
        self, tokens: Float[Tensor, "m l dtt"], mask: Bool[Tensor, "m l"]
    ) -> tuple[Float[Tensor, "m p d"], Float[Tensor, " m"]]:
        """Return the generated patches, and the mean KL divergence over tokens; padding has no part in either."""
        length = min(tokens.shape[1], self.sequence.in_features)
        mask = mask[:, :length]
        found, kl = self.vae(torch.where(mask[..., None], tokens[:, :length], 0.0))
        found = torch.where(mask[..., None], found, 0.0)
        patches = torch.einsum("pl,mld->mpd", self.sequence.weight[:, :length], found) + self.sequence.bias[:, None]
        return patches, (kl * mask).sum(1) / mask.sum(1).clamp(min=1)


class Fusion(nn.Module):
    """α of each branch from its own features."""

    def __init__(self, d: int, generated: bool, neighbours: bool) -> None:
        super().__init__()
        self.original = _ffn(d)
        self.generated = _ffn(d) if generated else None
        self.neighbours = _ffn(d) if neighbours else None

    def forward(
        self, branches: list[Float[Tensor, "m *p d"] | None], exists: Bool[Tensor, "m 3"], pooled: bool = False
    ) -> tuple[Float[Tensor, "m *p d"], Float[Tensor, "m *p 3"]]:
        """Return the fused features and α.

        Args:
            branches: Features in the order of :data:`BRANCHES`; None where switched off.
            exists: Which of them exist.
            pooled: Give all patches of a mention one weight, from their mean.
        """
        first = next(branch for branch in branches if branch is not None)
        shares = []  # logarithms: sigmoids of 0 would leave nothing to divide by
        for branch, name in zip(branches, BRANCHES, strict=True):
            ffn = getattr(self, name)
            if branch is None or ffn is None:
                shares.append(first.new_zeros(first.shape[:-1]))
                continue
            read = branch.mean(1, keepdim=True) if pooled else branch
            shares.append(F.logsigmoid(ffn(read))[..., 0].expand(first.shape[:-1]))
        there = exists.view(len(exists), *(1,) * (first.ndim - 2), len(BRANCHES))
        nothing = ~there.any(-1, keepdim=True)
        weights = (
            torch.stack(shares, -1).masked_fill(~(there | nothing), -torch.inf).softmax(-1).masked_fill(nothing, 0)
        )
        fused = torch.zeros_like(first)
        for place, branch in enumerate(branches):
            if branch is not None:
                fused = fused + weights[..., place, None] * branch
        return fused, weights


class Optimiser(nn.Module):
    """Replaces the projected pictures of mentions by optimised ones.

    Args:
        text: Width of the text vector.
        token: Width of a token vector.
        d: Width of projected pictures.
        tokens: How many tokens of a mention are read; more are left out.
        patches: P, patches of a picture.
        settings: See :class:`OptimiseSettings`.

    Attributes:
        taught: Whether anybody has shown the generator a picture. What it makes up before that is noise, and is left
            out.
    """

    def __init__(
        self, text: int, token: int, d: int, tokens: int, patches: int, settings: OptimiseSettings | None = None
    ) -> None:
        super().__init__()
        s = self.settings = settings or OptimiseSettings()
        self.patches = patches
        self.generate = VAE(text, d, s.latent, s.clamp) if s.inter else None
        self.generate_local = LocalVAE(token, d, s.latent, s.clamp, tokens, patches) if s.inter else None
        tau = s.tau if s.threshold else None
        graph = Neighbours(d, s.layers, s.similarity, tau, s.softness, s.rho, s.normalise, s.neighbours)
        self.neighbours = graph if s.intra else None
        self.fuse, self.fuse_local = Fusion(d, s.inter, s.intra), Fusion(d, s.inter, s.intra)
        self.register_buffer("taught", torch.ones((), dtype=torch.bool))

    def forward(
        self,
        text: Float[Tensor, "m dt"],
        tokens: Float[Tensor, "m l dtt"],
        mask: Bool[Tensor, "m l"],
        seen: Seen,
        bank: Bank | None = None,
        keys: Int64[Tensor, " m"] | None = None,
    ) -> Optimised:
        """Optimise a batch.

        Args:
            text: Text vectors as the encoder gives them.
            tokens: Token vectors likewise.
            mask: Which tokens are real.
            seen: Projected pictures; where there is none they may hold anything.
            bank: Whom mentions hear from; None for each other.
            keys: What mentions are known by in the bank.
        """
        there = seen.seen
        whole = torch.where(there[:, None], seen.whole, 0.0)
        patches = torch.where(there[:, None, None], seen.patches, 0.0)
        if patches.shape[1] < self.patches:  # as read where nobody has a picture
            patches = F.pad(patches, (0, 0, 0, self.patches - patches.shape[1]))
        generated, local, loss = None, None, whole.new_zeros(())
        if self.generate is not None and self.generate_local is not None:
            generated, kl = self.generate(text)
            local, kl_local = self.generate_local(tokens, mask)
            loss = self._loss(whole, patches, there, generated, local, kl + kl_local)
        shown, shown_local, heard = None, None, torch.zeros_like(there)
        if self.neighbours is not None:
            shown, shown_local, heard = self.neighbours(text, whole, patches, there, bank, keys)
        always = torch.full_like(there, generated is not None) & self.taught
        exists = torch.stack([there, always, heard], dim=1)
        fused, weights = self.fuse([whole, generated, shown], exists)
        pooled = self.settings.local_weights == "mention"
        fused_local, weights_local = self.fuse_local([patches, local, shown_local], exists, pooled)
        return Optimised(fused, fused_local, exists.any(1), weights, weights_local, loss)

    def _loss(
        self, whole: Tensor, patches: Tensor, there: Tensor, generated: Tensor, local: Tensor, kl: Tensor
    ) -> Float[Tensor, ""]:
        """Return L: the mean over mentions with a picture, 0 without any."""
        if self.settings.detach:
            whole, patches = whole.detach(), patches.detach()
        apart = (whole - generated).square().sum(-1) + (patches - local).square().sum(-1).mean(-1)
        return torch.where(there, apart + kl, 0.0).sum() / there.sum().clamp(min=1)


def _ffn(d: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, 1))
