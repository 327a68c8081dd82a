"""Hard candidates from the whole knowledge base, as the method that is being trained ranks it at this moment.

The method is saved into a folder and read back, as a finished run would be, so the ranking is by its weights as they
are, and what is trained stays as it is, random numbers included. A method with vectors finds a shortlist by them, any
other scores every entity. Where an encoder is tuned, the whole knowledge base is encoded by it: its features, like the
kept terms of entities, belong to these weights alone, lie in the same folder, and go away with it.

Of several processes one saves, all read; each mines for its own mentions.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Int64

from melink.errors import Problems
from melink.features.encoder import Encoder
from melink.features.store import FeatureStore, FeatureTable, Item
from melink.kb.disk import storing
from melink.kb.store import KnowledgeBase
from melink.linker import context_of
from melink.methods.base import Context, Method
from melink.methods.pairwise import Pairwise
from melink.ranking.rank import rank
from melink.records import Mention
from melink.runs import Run

SHORTLIST: Final = 256
"""Entities of each mention that a method with vectors scores in full."""


def mine(
    method: Any,
    kb: KnowledgeBase,
    mentions: Sequence[Mention],
    k: int,
    folder: Path,
    changed: Mapping[str, Any],
    scratch: Path,
) -> Int64[np.ndarray, "m k"]:
    """Return the rows of the k entities of the whole knowledge base that a method ranks highest for each mention.

    Args:
        method: What is being trained: a :class:`~melink.methods.trainable.Trainable` that links as well.
        kb: The knowledge base.
        mentions: Any number.
        k: How many.
        folder: Where it was saved.
        changed: What its ``save`` returned.
        scratch: Takes features and terms of this process.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    with torch.random.fork_rng(devices=[]):
        current = as_saved(method, kb, folder, changed, scratch)
        shortlist = max(SHORTLIST, k) if isinstance(current, Pairwise) else None
        return rank(current, kb, mentions, k, shortlist=shortlist, sample=0, terms=scratch / "terms").rows


def as_saved(method: Any, kb: KnowledgeBase, folder: Path, changed: Mapping[str, Any], scratch: Path) -> Method:
    """Return a method for linking as another was saved, over the same knowledge base; otherwise as :func:`mine`."""
    before: Context = method.context
    run = Run(method=method.name, settings=method.settings(), text_encoder=None, image_encoder=None, folder=folder)
    tuned = context_of(run.model_copy(update=dict(changed)), kb)
    own = {side.fingerprint for side in (tuned.text, tuned.image) if side is not None}
    store = _Apart(scratch / "features", own, before.store) if own else before.store
    text, image = tuned.text or before.text, tuned.image or before.image
    context = replace(before, folder=folder, text=text, image=image, store=store)
    made: Method = type(method).build(context, method.settings())
    return made


@contextmanager
def emptied(folder: Path) -> Iterator[None]:
    """Make a folder, without what a killed process left in it, and remove it afterwards.

    Raises:
        StoreError: It cannot be made.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with storing(folder):
        folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Apart(FeatureStore):
    """Keeps the features of some encoders, by fingerprint, and leaves those of all others to another store."""

    def __init__(self, root: Path, own: set[str], others: FeatureStore) -> None:
        super().__init__(root)
        self._own, self._others = own, others

    def encode(
        self, encoder: Encoder, items: Sequence[Item], tokens: bool = False, problems: Problems | None = None
    ) -> FeatureTable:
        """Return the features of some items, encoding those that are missing."""
        encode = super().encode if encoder.fingerprint in self._own else self._others.encode
        return encode(encoder, items, tokens, problems)
