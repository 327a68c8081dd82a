"""Whose face is it? The faces in a knowledge base's own pictures, and which entities a face resembles.

DWE+ asks a classifier with a closed list of celebrities (§3.2, "identity"); here the knowledge base is the list. It is
off until somebody turns it on for a knowledge base, stays on the machine, and forgets an entity on request:
KB/faces.json says by which encoder it is on (off without one), and who was forgotten. The vectors are those of the
feature store: entities that are added later take part without further ado. docs/faces.md says when not to use it.

An entity is known by the faces of those of its pictures that show one face, or one that covers at least twice as much
as the next. Scores are cosines after the mean face was taken out (from 20 faces on).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from jaxtyping import Float32, Int64

from melink.errors import ConfigError, NotFound, Problems, StoreError
from melink.features.forget import forget, shards_of
from melink.features.images import DEFAULT
from melink.features.keys import FileKeys
from melink.features.load import load_image
from melink.features.part_table import PartTable, read_parts
from melink.features.parts import PartEncoder
from melink.features.shards import full
from melink.features.store import FeatureStore
from melink.features.towers import normalised
from melink.kb.disk import write_json
from melink.kb.store import KnowledgeBase

FILE: Final = "faces.json"
FALSE: Final = 0.01
"""By default a face must resemble somebody more than all but this share of the known faces resemble anybody else."""
ENCODERS: Final = ("faces", "attributes")
"""Encoders whose features are deleted with an entity."""
_FEW: Final = 20
_SAMPLE: Final = 4000
"""Known faces that the threshold is estimated from, at most."""
_AT_ONCE: Final = 1 << 22
"""Scores that are computed at once, about: 16 MB of them."""
_DOMINANT: Final = 2.0
_SAME: Final = 0.99
"""Two entities whose faces are more alike have one photograph, and are no strangers."""


@dataclass(frozen=True, slots=True)
class Resemblance:
    """An entity that a face resembles.

    Attributes:
        id: The entity.
        label: Its main name.
        score: How much; compare with :attr:`FaceIndex.threshold`.
    """

    id: str
    label: str
    score: float

    def words(self) -> str:
        """Return it as evidence for a person."""
        return f"this face resembles {self.label}, {self.score:.2f}"


@dataclass
class FaceIndex:
    """Known faces.

    Args:
        ids: Whose each face is.
        labels: Main name of each.
        vectors: The faces, as the encoder gives them.
        skipped: Pictures that were not used, by reason.
        false: See :data:`FALSE`.
        encoder: The encoder that made the vectors; needed by :meth:`read` alone.
    """

    ids: Sequence[str]
    labels: Sequence[str]
    vectors: Float32[np.ndarray, "f d"]
    skipped: dict[str, int]
    false: float = FALSE
    encoder: PartEncoder | None = None

    @classmethod
    def open(cls, kb: KnowledgeBase, store: FeatureStore | None = None, problems: Problems | None = None) -> FaceIndex:
        """Open the index of a knowledge base, encoding those of its pictures that are new.

        Raises:
            NotFound: It is not turned on.
            StoreError: ``faces.json`` is damaged.
            NotInstalled: What its encoder needs is missing.
        """
        about = state(kb)
        if about is None:
            raise NotFound(
                f"{kb.path}: its faces are not indexed", "turn it on with 'melink enrich attributes KB --identity'"
            )
        encoder = face_encoder(str(about["encoder"]))
        view, forgotten = kb.view(), set(about["forgotten"])
        owners, paths = [], []
        for row, (id, own) in enumerate(zip(view.ids, view.column("images"), strict=True)):
            if id not in forgotten:
                owners += [row] * len(own)
                paths += own
        table = read_parts(store or FeatureStore(kb.features_dir), encoder, paths, problems)
        rows, faces, skipped = _largest(table)
        known = [owners[row] for row in rows]
        ids, labels = ([column[row] for row in known] for column in (view.ids, view.labels))
        return cls(ids, labels, faces, {**skipped, "forgotten entities": len(forgotten)}, encoder=encoder)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def threshold(self) -> float:
        """The score above which a face is said to resemble somebody, estimated from how much strangers do."""
        people = np.unique(np.asarray(self.ids, dtype=object).astype(str), return_inverse=True)[1]
        if len(set(self.ids)) < 2:
            return 0.5
        draw = np.random.default_rng(0).permutation(len(people))[:_SAMPLE]
        nearest = []
        for rows in np.array_split(draw, max(1, len(draw) // 256)):
            scores = self._known[rows] @ self._known.T
            scores[(people[rows][:, None] == people) | (scores > _SAME)] = -np.inf
            nearest.append(scores.max(1))
        found = np.concatenate(nearest)
        found = found[np.isfinite(found)]  # the others have no strangers: whoever else there is has their photograph
        return float(np.quantile(found, 1 - self.false if len(people) >= _FEW else 1.0)) if len(found) else 0.5

    def nearest(
        self, faces: Float32[np.ndarray, "f d"], most: int = 3, threshold: float | None = None
    ) -> list[list[Resemblance]]:
        """Return for each face the entities that it resembles, best first.

        Args:
            faces: As the encoder of the index gives them.
            most: Most entities for a face.
            threshold: Least score; :attr:`threshold` when None.
        """
        least = self.threshold if threshold is None else threshold
        if not len(self) or not len(faces):
            return [[] for _ in faces]
        # Two rows or more to a block: one alone is multiplied in another order, and its last bit may differ.
        blocks = min(-(-len(faces) * len(self) // _AT_ONCE), max(1, len(faces) // 2))
        return [
            self._best(row, most, least)
            for block in np.array_split(faces, blocks)
            for row in self._centred(block) @ self._known.T
        ]

    def of(
        self, table: PartTable, rows: Sequence[int] | None = None, most: int = 3, threshold: float | None = None
    ) -> list[list[list[Resemblance]]]:
        """Return picture → face → entities, for the faces of a table that the same encoder made."""
        tokens, mask = table.tokens(rows)
        flat = iter(self.nearest(tokens[mask], most, threshold))
        return [[next(flat) for _ in range(int(count))] for count in mask.sum(1)]

    def read(
        self, store: FeatureStore, items: Sequence[Any], problems: Problems | None = None
    ) -> list[list[list[Resemblance]]]:
        """Return picture → face → entities, for pictures that may not have been encoded yet.

        Raises:
            ConfigError: The index was made without its encoder.
        """
        if self.encoder is None:
            raise ConfigError("this index cannot read pictures", "make it with FaceIndex.open")
        return self.of(read_parts(store, self.encoder, items, problems))

    @cached_property
    def _mean(self) -> Float32[np.ndarray, " d"]:
        mean: np.ndarray = self.vectors.mean(0) if len(self) >= _FEW else np.zeros(self.vectors.shape[1])
        return mean.astype(np.float32)

    @cached_property
    def _known(self) -> Float32[np.ndarray, "f d"]:
        return self._centred(self.vectors)

    def _centred(self, faces: Float32[np.ndarray, "f d"]) -> Float32[np.ndarray, "f d"]:
        return normalised(np.asarray(faces, np.float32) - self._mean)

    def _best(self, scores: Float32[np.ndarray, " f"], most: int, least: float) -> list[Resemblance]:
        found: dict[str, Resemblance] = {}
        above = np.flatnonzero(scores >= least)
        for place in above[np.argsort(-scores[above], kind="stable")].tolist():
            id = self.ids[place]
            if id not in found:
                found[id] = Resemblance(id, self.labels[place], round(float(scores[place]), 4))
            if len(found) == most:
                break
        return list(found.values())


def state(kb: KnowledgeBase) -> dict[str, Any] | None:
    """Return what ``faces.json`` says, None when it is off: an index that was opened under another is out of date.

    Raises:
        StoreError: The file is damaged.
    """
    about = _told(kb)
    return about if "encoder" in about else None


def turn_on(kb: KnowledgeBase, encoder: str | None = None) -> None:
    """Allow that the faces of a knowledge base are indexed. Whoever was forgotten stays so.

    Args:
        kb: Its ``faces.json`` is written.
        encoder: A face encoder, such as ``faces?model=dlib``; None for the one that it has, at first ``faces``.

    Raises:
        ConfigError: Not a face encoder.
        StoreError: ``faces.json`` is damaged.
    """
    before = _told(kb)
    encoder = encoder or str(before.get("encoder", "faces"))
    face_encoder(encoder)
    about = {"format": 1, "encoder": encoder, "on_since": datetime.now(UTC).date().isoformat()}
    write_json(kb.path / FILE, {**about, "forgotten": before["forgotten"]})


def turn_off(kb: KnowledgeBase) -> int:
    """Delete the index and all features of faces beside it, those of mentions too; return how many pictures' they were.

    Who was forgotten is forgotten as well: nobody is known any more.
    """
    (kb.path / FILE).unlink(missing_ok=True)
    return forget(kb.features_dir, ENCODERS)


def forget_entities(kb: KnowledgeBase, ids: Iterable[str]) -> int:
    """Forget the faces of some entities: they are never named again, and what was computed of their faces is deleted.

    A picture that somebody else shares keeps its features, but no longer says whose it is (:func:`collect`). While the
    index is off it is the same: should it be turned on later, they stay forgotten.

    Args:
        kb: Whose.
        ids: Entities; those that were deleted may be named as long as something is left of deleted entities.

    Returns:
        Of how many pictures features were deleted.

    Raises:
        NotFound: There is no such entity; then nothing was forgotten.
        StoreError: ``faces.json`` is damaged.
    """
    about = _told(kb)
    view, wanted = kb.view(), set(ids)
    unknown = sorted(id for id in wanted - set(about["forgotten"]) if view.row(id) is None)
    gone = collect(kb) if unknown else 0
    if unknown and not gone:
        raise NotFound(
            f"{kb.path}: no entity {', '.join(unknown)}, and nothing is left of the faces of deleted ones",
            "check the ids, for example with 'melink kb search'",
        )
    write_json(kb.path / FILE, {"format": 1, **about, "forgotten": sorted(wanted | set(about["forgotten"]))})
    return gone + collect(kb)


def collect(kb: KnowledgeBase) -> int:
    """Delete what was computed of the faces in pictures that no entity has, or only those who were forgotten.

    Among them are pictures of mentions, which are looked at again when they are needed. It makes no difference whether
    the index is on. Returns of how many pictures features were deleted.

    Raises:
        StoreError: ``faces.json`` or a shard of features is damaged.
    """
    forgotten = set(_told(kb)["forgotten"])
    if not shards_of(kb.features_dir, ENCODERS):
        return 0  # and no picture need be read
    view = kb.view()
    own = zip(view.ids, view.column("images"), strict=True)
    paths = [path for id, images in own if id not in forgotten for path in images]
    files = FileKeys(Path(kb.features_dir) / "files.sqlite", DEFAULT)
    found = files.of(paths)
    there = {full(key) for place, key in enumerate(found.keys.tolist()) if place not in found.absent}
    lost = files.remembered([path for place, path in enumerate(paths) if place in found.absent])
    return forget(kb.features_dir, ENCODERS, but=there | lost)


def forgotten_pictures(kb: KnowledgeBase) -> set[str]:
    """Return the pictures that only entities have who were forgotten: what is computed of their faces is not kept.

    Raises:
        StoreError: ``faces.json`` is damaged.
    """
    forgotten, view = set(_told(kb)["forgotten"]), kb.view()
    theirs: set[str] = set()
    others: set[str] = set()
    if forgotten:
        for id, own in zip(view.ids, view.column("images"), strict=True):
            (theirs if id in forgotten else others).update(own)
    return theirs - others


def face_encoder(spec: str) -> PartEncoder:
    """Load a face encoder.

    Raises:
        ConfigError: An encoder of something else.
    """
    encoder = load_image(spec)
    if not isinstance(encoder, PartEncoder) or encoder.name != "faces":
        raise ConfigError(f"{spec!r} does not encode faces", "write faces, or for example 'faces?model=dlib'")
    return encoder


def _told(kb: KnowledgeBase) -> dict[str, Any]:
    """Return what ``faces.json`` says, which without ``encoder`` is whom to forget alone.

    Raises:
        StoreError: It is damaged. To go on as if there were none would bring everybody back.
    """
    path = kb.path / FILE
    try:
        about = orjson.loads(path.read_bytes())
        if not (
            isinstance(about, dict)
            and isinstance(about.get("encoder", ""), str)
            and isinstance(about.get("forgotten"), list)
            and all(isinstance(id, str) for id in about["forgotten"])
        ):
            raise ValueError("not what melink writes")
    except FileNotFoundError:
        return {"forgotten": []}
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: cannot be read, so whom to forget is not known ({error})",
            f"restore the file; or start anew with 'melink enrich attributes {kb.path} --identity-off', which deletes "
            "what was computed of faces, and name those to forget again with --forget",
        ) from error
    return about


def _largest(table: PartTable) -> tuple[Int64[np.ndarray, " f"], Float32[np.ndarray, "f d"], dict[str, int]]:
    """Return the pictures that show whose face they show, and that face; and how many do not, by reason."""
    rows, skipped = [], {"unreadable": int((~table.present).sum()), "no face": 0, "several faces": 0}
    for start in range(0, len(table), 1024):
        numbers = np.arange(start, min(start + 1024, len(table)))
        for row, places in zip(numbers.tolist(), table.places(numbers), strict=True):
            covered = sorted(((p.box[2] - p.box[0]) * (p.box[3] - p.box[1]) for p in places), reverse=True)
            if len(covered) > 1 and covered[0] < _DOMINANT * covered[1]:
                skipped["several faces"] += 1
            elif covered:
                rows.append(row)
            elif table.present[row]:
                skipped["no face"] += 1
    chosen = np.array(rows, np.int64)
    return chosen, table.vectors(chosen), skipped
