"""What a split gives away to a model that was trained: mentions that share their sentence or picture with train."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from melink.records import NIL, Labelled

KINDS: Final = ("sentence id", "sentence", "image name", "image content", "sentence and mention")
"""What a mention can share with train: the id of its sentence in the release, the text of the sentence without case,
spaces and punctuation, the name of its picture, the bytes of its picture, the text together with the mention."""

_NOT_WORD: Final = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class LeakReport:
    """What the mentions of one split share with train.

    Attributes:
        mentions: How many mentions the split has.
        shared: Kind → ids of the mentions that share it, in file order; see :data:`KINDS`.
        golds: How many mentions have an entity as gold.
        seen: How many of those have an entity that is gold in train too.
        seen_ids: Ids of the mentions with such an entity.
    """

    mentions: int
    shared: Mapping[str, tuple[str, ...]]
    golds: int
    seen: int
    seen_ids: frozenset[str] = frozenset()

    @property
    def leaking(self) -> frozenset[str]:
        """Ids of the mentions that share anything with train."""
        return frozenset(id for ids in self.shared.values() for id in ids)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts for a report."""
        counts = {kind: len(ids) for kind, ids in self.shared.items()}
        seen = {"golds": self.golds, "seen_in_train": self.seen}
        return {"mentions": self.mentions, "shared_with_train": counts, "shared_any": len(self.leaking)} | seen


@dataclass(frozen=True)
class TrainFootprint:
    """What train holds, to compare any number of splits with; build it with :meth:`of`."""

    keys: frozenset[tuple[str, str]]
    golds: frozenset[str]
    _hashes: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, train: Iterable[Labelled]) -> TrainFootprint:
        """Read the train mentions once."""
        hashes: dict[str, str] = {}
        keys: set[tuple[str, str]] = set()
        golds: set[str] = set()
        for item in train:
            keys.update(_keys(item, hashes))
            if item.gold is not None and item.gold != NIL:
                golds.add(item.gold)
        return cls(frozenset(keys), frozenset(golds), hashes)

    def report(self, other: Iterable[Labelled]) -> LeakReport:
        """Compare a split with train."""
        shared: dict[str, list[str]] = {kind: [] for kind in KINDS}
        mentions, golds, seen = 0, 0, []
        for item in other:
            mentions += 1
            for kind, key in _keys(item, self._hashes):
                if (kind, key) in self.keys:
                    shared[kind].append(item.mention.id)
            if item.gold is not None and item.gold != NIL:
                golds += 1
                if item.gold in self.golds:
                    seen.append(item.mention.id)
        return LeakReport(
            mentions, {kind: tuple(ids) for kind, ids in shared.items()}, golds, len(seen), frozenset(seen)
        )


def leak_report(train: Iterable[Labelled], other: Iterable[Labelled]) -> LeakReport:
    """Say what the mentions of a split share with train.

    Sentence ids come from the release (``sentence_id``), picture names from ``image_file``; pictures are compared by
    content where both files are there. A split that was made by mention shares sentences, and with them the other
    names, the picture and often the answer.

    Args:
        train: The mentions that a model may learn from.
        other: The mentions that it will be judged on.
    """
    return TrainFootprint.of(train).report(other)


def normalized(text: str) -> str:
    """Return a text without case, compatibility forms, spaces and punctuation, for comparison."""
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _keys(item: Labelled, hashes: dict[str, str]) -> list[tuple[str, str]]:
    sentence = normalized(item.mention.text)
    keys = [("sentence", sentence), ("sentence and mention", f"{sentence}\t{normalized(item.mention.surface)}")]
    if item.extra.get("sentence_id") is not None:
        keys.append(("sentence id", str(item.extra["sentence_id"])))
    name = item.extra.get("image_file") or (item.mention.image and Path(item.mention.image).name)
    if name:
        keys.append(("image name", str(name)))
    if item.mention.image is not None:
        keys.append(("image content", _content(item.mention.image, hashes)))
    return keys


def _content(path: str, hashes: dict[str, str]) -> str:
    """Hash a picture once; one that cannot be read equals only itself."""
    if path not in hashes:
        try:
            with Path(path).open("rb") as file:
                hashes[path] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            hashes[path] = f"unreadable {path}"
    return hashes[path]
