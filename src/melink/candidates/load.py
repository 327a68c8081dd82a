"""Generators by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from melink import registry
from melink.candidates.base import Generator
from melink.errors import ConfigError
from melink.features.encoder import Encoder
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase

CHEAP: Final = ("names", "fuzzy", "persons", "lexical")
"""Generators that need no encoder."""
DEFAULT: Final = (*CHEAP, "dense")


def load_generators(
    names: Sequence[str],
    kb: KnowledgeBase,
    store: FeatureStore,
    text: Encoder | None = None,
    reader: Any = None,
    given: str | Path | None = None,
) -> list[Generator]:
    """Make the generators called ``names`` over a knowledge base.

    Args:
        names: Registered names, in any order.
        kb: Where to search.
        store: Keeps the vectors that ``dense`` needs.
        text: The encoder of ``dense``.
        reader: What ``dense`` reads of mentions and entities (:class:`~melink.candidates.dense.Reader`).
        given: File of lists for ``given``.

    Raises:
        NotFound: An unknown name.
        NotFound, BadRow: The file of lists cannot be used.
        ConfigError: ``dense`` without an encoder, ``given`` without a file, or no names.
    """
    if not names:
        raise ConfigError("no candidate generator was named", f"choose from {', '.join(registry.names('generator'))}")
    return [_make(registry.load("generator", name), name, kb, store, text, reader, given) for name in names]


def _make(kind: Any, name: str, kb: Any, store: Any, text: Any, reader: Any, given: Any) -> Generator:
    if name == "dense":
        if text is None:
            raise ConfigError("the generator 'dense' needs a text encoder", "choose one with --text-encoder")
        return kind(kb, store, text, reader)  # type: ignore[no-any-return]
    if name == "given":
        if given is None:
            raise ConfigError("the generator 'given' needs a file of lists", "pass one with --given F.jsonl")
        return kind.read(given, frozenset(kb.view().ids))  # type: ignore[no-any-return]
    return kind(kb)  # type: ignore[no-any-return]
