"""What is compared: scores of every person of the knowledge base for a picture, by each way to look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from melink.features.face_index import FaceIndex, turn_on
from melink.features.load import load_image
from melink.features.part_table import PartTable, read_parts
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase

FACES = {"hog": "faces", "dlib": "faces?model=dlib"}
"""Face models of the study; the second where it is installed."""


def installed() -> dict[str, str]:
    """Return the face models that can be tried here."""
    there = find_spec("dlib") is not None and find_spec("face_recognition_models") is not None
    return {name: spec for name, spec in FACES.items() if name != "dlib" or there}


@dataclass
class Known:
    """The knowledge base as every system sees it.

    Attributes:
        ids: Of its people; each has one portrait.
        paths: Their portraits.
        store: Where features are kept.
        kb: The knowledge base.
    """

    ids: list[str]
    paths: list[str]
    store: FeatureStore
    kb: KnowledgeBase

    @classmethod
    def of(cls, kb: KnowledgeBase) -> Known:
        """Return the people of a knowledge base that have a portrait."""
        view = kb.view()
        rows = [row for row, own in enumerate(view.column("images")) if own]
        paths = [view.column("images")[row][0] for row in rows]
        return cls([view.ids[row] for row in rows], paths, FeatureStore(kb.features_dir), kb)


def scores(known: Known, pictures: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return by system the score [pictures, people] of every person for each picture; text alone gives everybody 0."""
    items = [str(path) for path in pictures]
    whole, regions = load_image("classical"), load_image("regions?fallback=grid")
    found: dict[str, np.ndarray] = {"text alone": np.zeros((len(items), len(known.ids)), np.float32)}
    theirs = known.store.encode(whole, known.paths).vectors()
    found["whole image"] = known.store.encode(whole, items).vectors() @ theirs.T
    tables = [read_parts(known.store, regions, each) for each in (items, known.paths)]  # type: ignore[arg-type]
    found["regions"] = closest(*tables)
    for name, spec in installed().items():
        encoder: Any = load_image(spec)
        mine, own = (read_parts(known.store, encoder, each) for each in (items, known.paths))
        found[f"faces ({name})"] = closest(mine, own)
        found[f"identity ({name})"] = _named(_index(known, spec), mine, known.ids)
    return found


def closest(mine: PartTable, theirs: PartTable) -> np.ndarray:
    """Return the largest cosine of any part of one picture with any part of the other; -1 where either has none."""
    others, real = theirs.tokens()
    out = np.full((len(mine), len(theirs)), -1.0, np.float32)
    flat, owner = others[real], np.repeat(np.arange(len(theirs)), real.sum(1))
    for row in range(len(mine)):
        parts, mask = mine.tokens([row])
        if mask.any() and len(flat):
            np.maximum.at(out[row], owner, (parts[0][mask[0]] @ flat.T).max(0))
    return out


def _named(index: FaceIndex, mine: PartTable, ids: Sequence[str]) -> np.ndarray:
    """Return the score of the best resemblance of any face, above the threshold of the index; 0 for everybody else."""
    place = {id: column for column, id in enumerate(ids)}
    out = np.zeros((len(mine), len(ids)), np.float32)
    for row, faces in enumerate(index.of(mine)):
        for each in (each for face in faces for each in face):
            out[row, place[each.id]] = max(out[row, place[each.id]], each.score)
    return out


def _index(known: Known, spec: str) -> FaceIndex:
    turn_on(known.kb, spec)
    return FaceIndex.open(known.kb, known.store)


def alarms(known: Known, pictures: Sequence[Path], ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return by face model what identity says of single portraits: of people it knows, and of people it does not.

    Args:
        known: The knowledge base.
        pictures: One person each.
        ids: Who they are.
    """
    found = {}
    for name, spec in installed().items():
        index = _index(known, spec)
        encoder: Any = load_image(spec)
        table = read_parts(known.store, encoder, [str(path) for path in pictures])
        seen = np.flatnonzero(table.lengths() > 0)
        faces = table.vectors(seen)
        who = [ids[row] for row in seen]
        keep = np.array([id not in set(ids) for id in index.ids])
        without = FaceIndex(
            [id for id, stays in zip(index.ids, keep, strict=True) if stays],
            [label for label, stays in zip(index.labels, keep, strict=True) if stays],
            index.vectors[keep],
            {},
        )
        named, strangers = index.nearest(faces, most=1), without.nearest(faces, most=1)
        found[name] = {
            "threshold": round(index.threshold, 4),
            "faces found": round(len(seen) / len(ids), 4),
            "known: right": round(
                float(np.mean([bool(n) and n[0].id == id for n, id in zip(named, who, strict=True)])), 4
            ),
            "known: somebody else": round(
                float(np.mean([bool(n) and n[0].id != id for n, id in zip(named, who, strict=True)])), 4
            ),
            "stranger: named somebody": round(float(np.mean([bool(n) for n in strangers])), 4),
        }
    return found
