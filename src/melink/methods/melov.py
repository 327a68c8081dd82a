"""``melov``: MIMIC over optimised pictures of mentions.

Sui et al., Multimodal Entity Linking with Optimized Visual Features in Latent Space (MELOV), Findings of ACL 2024;
written from the paper, no code of it was found. A mention's (v, V) are replaced by (v*, V*) of
:mod:`melink.methods.optimise`: what its text suggests, what mentions with like texts show, and its own picture, weighed
against each other. Everything else, entities included, is :mod:`melink.methods.mimic`. With L of the optimisation::

    loss = CE(S) + CE(S_T) + CE(S_V) + CE(S_C) + λ L

A mention without a picture gets one in this way, and is compared with the pictures of entities. Over several processes
L, and in training the graph of a batch, are those of each process's own mentions.

**The bank.** Validation and linking take neighbours from a bank of the training mentions that have a picture, which is
made anew from the current weights before each validation and from the best ones at the end (:meth:`Melov.refresh`), and
lies in the run directory: a trained run ranks the same for ever, whatever it is asked together. A mention that was
trained on does not hear from itself: it is known there by a hash of what is read of it. Where no training mention has
a picture there are no neighbours.

**Filter.** ``filter: x`` optimises nothing; a mention whose text and picture are less alike than x is taken for one
without a picture. Alike is the cosine of the encoders' vectors where they share a space (CLIP), else, in MIMIC's own
space, that of W_t LN(t) and the mean of W_i LN(V) of its fusing unit: a trained scale, to be looked at on validation.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from melink.errors import ConfigError
from melink.kb.view import EntityView
from melink.methods.base import Context
from melink.methods.gather import share
from melink.methods.matcher import Absent, Matcher, MentionTerms, Read, Seen
from melink.methods.mimic import Inputs, Mimic, MimicSettings, Net, Prepared
from melink.methods.mimic_bounds import MentionSide
from melink.methods.neighbours import Bank, read_bank, write_bank
from melink.methods.optimise import BRANCHES, Optimised, Optimiser, OptimiseSettings
from melink.methods.trainable import Batch
from melink.records import Entity, Mention

BLOCK: Final = 256
"""Training mentions that are projected at once for the bank."""
_log = logging.getLogger(__name__)


class MelovSettings(OptimiseSettings, MimicSettings):
    """Settings of ``melov``: those of ``mimic``, and of the optimisation.

    Attributes:
        absent: ``neutral`` here. With ``average`` a mention, which now always has a picture, would meet entities with
            one on another scale than those without.
    """

    absent: Absent = "neutral"


class MelovNet(Net):
    """MIMIC's, and the optimiser of mentions between their pictures and its units.

    Attributes:
        bank: Whom mentions hear from, but for training on the graph of a batch; no parameter.
    """

    def __init__(self, matcher: Matcher, names: bool, optimiser: Optimiser, shared: bool) -> None:
        super().__init__(matcher, names)
        self.optimiser = optimiser
        self.shared = shared
        self.bank = self.new_bank([])

    def mentions(self, read: Read, keys: Tensor | None = None) -> tuple[MentionTerms, Tensor]:
        """Return the terms of mentions with optimised pictures, and λ L."""
        found = self.optimised(read, keys)
        terms = self.matcher.mention(read, Seen(found.whole, found.patches, found.seen))
        return terms, self.optimiser.settings.generated_loss * found.loss

    def optimised(self, read: Read, keys: Tensor | None = None) -> Optimised:
        """Return the optimised pictures of mentions."""
        settings, seen = self.optimiser.settings, self.matcher.project(read)
        if settings.filter is not None:
            kept = seen.seen & (self.alike(read, seen) >= settings.filter)
            weights = F.one_hot(torch.zeros_like(kept, dtype=torch.int64), len(BRANCHES)) * kept[:, None]
            local = weights[:, None].expand(-1, seen.patches.shape[1], -1)
            return Optimised(seen.whole, seen.patches, kept, weights, local, seen.whole.new_zeros(()))
        of_batch = self.training and settings.train_graph == "batch"
        bank = None if of_batch or self.bank is None else self.bank.on(read.text.device)
        return self.optimiser(read.text, read.tokens, read.mask, seen, bank, keys)  # type: ignore[no-any-return]

    def alike(self, read: Read, seen: Seen) -> Float[Tensor, " m"]:
        """Return how alike text and picture of each mention are; see the module. Without a picture it says nothing."""
        if self.shared:
            return F.cosine_similarity(read.text, torch.where(seen.seen[:, None], read.image, 0.0))
        patches = torch.where(seen.seen[:, None, None], seen.patches, 0.0)
        matcher = self.matcher
        shown = matcher.cmfu.patch(matcher.norm_patch(patches)).sum(1)
        return F.cosine_similarity(matcher.cmfu.text(matcher.norm_text(read.text)), shown)

    def new_bank(self, sides: Iterable[tuple[Read, Tensor]]) -> Bank | None:
        """Return a bank of those mentions of blocks that have pictures, as the weights are; None without a graph.

        Args:
            sides: Blocks of mentions, and what they are known by.
        """
        optimiser = self.optimiser
        if optimiser.neighbours is None:
            return None
        norm, d = self.matcher.norm_text.weight, self.matcher.d
        nobody = norm.new_zeros(0, len(norm)), norm.new_zeros(0, d), norm.new_zeros(0, optimiser.patches, d)
        parts = [(nobody[0], norm.new_zeros(0, dtype=torch.int64), nobody[1].half(), nobody[2].half())]
        with torch.no_grad():
            for read, keys in sides:
                seen = self.matcher.project(read)
                (rows,) = torch.nonzero(seen.seen, as_tuple=True)
                if len(rows):
                    parts.append((read.text[rows], keys[rows], seen.whole[rows].half(), seen.patches[rows].half()))
        return optimiser.neighbours.bank(*(torch.cat(each) for each in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Known(Prepared):
    """What ``mimic`` prepares; what each mention is known by in a bank; which may have a picture."""

    keys: Int64[np.ndarray, " m"]
    pictured: Int64[np.ndarray, " k"]


class Melov(Mimic):
    """MIMIC over generated, neighbouring and own pictures of mentions."""

    name: ClassVar[str] = "melov"
    paper: ClassVar[str] = "MELOV (Sui et al., Findings of ACL 2024)"
    Settings: ClassVar[type[MimicSettings]] = MelovSettings
    config: MelovSettings

    def __init__(self, context: Context, config: MelovSettings) -> None:
        if config.reference_quirks:
            raise ConfigError("melov has no published code to reproduce", "set settings.reference_quirks=false")
        super().__init__(context, config)
        self._training: Known | None = None
        self._shares: dict[tuple[str, str, str | None], np.ndarray] = {}
        if context.folder is not None and self._graph:
            self._own.bank = read_bank(context.folder).on(self.device)

    def _made(self) -> Net:
        text, image, config = self.reader.text, self.reader.image, self.config
        plain = super()._made()
        if image is None:
            return plain
        patches = image.sizes([""])[0]
        optimiser = Optimiser(text.dim, text.token_dim, config.width, config.tokens, patches, config)
        return MelovNet(plain.matcher, config.names, optimiser, image.space == text.space)

    @property
    def _own(self) -> MelovNet:
        net: Any = self.module
        return net  # type: ignore[no-any-return]

    @property
    def _graph(self) -> bool:
        """Whether there is a bank to keep."""
        net = self.module
        return isinstance(net, MelovNet) and net.optimiser.neighbours is not None

    # Linking.

    def mentions(self, mentions: Sequence[Mention]) -> MentionSide:
        """Prepare a batch of mentions; how their pictures were weighed is kept until the next one."""
        if not isinstance(self.module, MelovNet):
            return super().mentions(mentions)
        texts = self.read_mentions(mentions)
        keys = torch.from_numpy(_keys(texts)).to(self.device)
        tables = self.reader.tables(texts, [mention.image for mention in mentions])
        with torch.inference_mode():
            read = self.reader.read(tables, device=self.device)
            found = self._own.optimised(read, keys)
            terms = self._own.matcher.mention(read, Seen(found.whole, found.patches, found.seen))
        self._shares = dict(zip(map(_asked, mentions), found.weights.cpu().numpy(), strict=True))
        return MentionSide(self.names.side((mention.surface,) for mention in mentions), terms)

    def explain(self, mention: Mention, entity: Entity) -> dict[str, Any]:
        """Say what the mention's picture was made of, in shares; and name the alias that matched."""
        evidence = super().explain(mention, entity)
        if not isinstance(self.module, MelovNet):
            return evidence
        if _asked(mention) not in self._shares:
            self.mentions([mention])
        shares = self._shares[_asked(mention)]
        made_of = {name: round(float(share), 4) for name, share in zip(BRANCHES, shares, strict=True) if share}
        return {**evidence, "picture": made_of}

    # Training.

    def prepare(self, mentions: Sequence[Mention], view: EntityView) -> Known:
        """Prepare as ``mimic`` does, and note which mentions can be in a bank."""
        pictured = np.array([place for place, mention in enumerate(mentions) if mention.image], dtype=np.int64)
        return Known(
            **vars(super().prepare(mentions, view)), keys=_keys(self.read_mentions(mentions)), pictured=pictured
        )

    def collate(self, prepared: Any, batch: Batch, rank: int = 0, world: int = 1) -> Inputs:
        """Return this process's mentions, what they are known by, and all columns."""
        found = super().collate(prepared, batch, rank, world)
        own = batch.mentions[share(len(batch.mentions), rank, world)]
        return found._replace(keys=torch.from_numpy(prepared.keys[own]).to(found.gold.device))

    def refresh(self, prepared: Known) -> None:
        """Make the bank anew, of the training mentions as the weights are now.

        Args:
            prepared: What :meth:`prepare` made of the training mentions.
        """
        if not isinstance(self.module, MelovNet):
            return
        net, first = self._own, self._training is None
        self._training, training = prepared, net.training
        net.optimiser.taught.fill_(len(prepared.pictured) > 0)
        if first and not len(prepared.pictured):
            _log.warning("no training mention has a picture: there is nothing to learn pictures from, this is mimic")
        if not self._graph:
            return
        net.bank = net.eval().new_bank(self._pictured(prepared))
        net.train(training)
        if first and len(prepared.pictured) and not len(net.bank.text):
            _log.warning("no training mention has a picture: nobody can hear from neighbours, as with intra=false")

    def _pictured(self, prepared: Known) -> Iterator[tuple[Read, Tensor]]:
        """Yield blocks of the training mentions that may have a picture, and what they are known by."""
        device = next(self.module.parameters()).device
        for start in range(0, len(prepared.pictured), BLOCK):
            rows = prepared.pictured[start : start + BLOCK]
            taken, encoders = self._taken(prepared.mentions, rows, device), self._own.encoders
            yield (
                Read(*(taken if encoders is None else encoders(taken))),
                torch.from_numpy(prepared.keys[rows]).to(device),
            )

    def save(self, folder: Path) -> dict[str, Any]:
        """Write what ``mimic`` writes, and the bank of the weights that are written."""
        if self._training is not None:
            self.refresh(self._training)
        if self._graph and self._own.bank is not None:
            write_bank(self._own.bank, folder)
        return super().save(folder)


def _asked(mention: Mention) -> tuple[str, str, str | None]:
    return mention.surface, mention.text, mention.image


def _keys(texts: Sequence[str]) -> Int64[np.ndarray, " m"]:
    """Return a hash of what is read of each mention."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype=np.int64).copy()
