"""Hits@1 of a retriever's lists before and after a trained cross-encoder, its last word fitted on other sentences.

The last word of a cross-encoder is fitted on validation mentions. So each fifth of them is judged by weights that were
fitted on the other four, sentences whole; ``used`` alone is what the folder does, fitted on the very mentions. ``ece``
and ``brier`` are of the probability of the answer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

K: Final = 16
TIMED: Final = 64
"""Mentions that throughput is measured on."""


def judged(
    linker: Any, valid: Sequence[Any], folder: Path, lists: Path, ambiguous: set[str], full: bool = True
) -> dict[str, Any]:
    """Return Hits@1 of every row, and what reading costs.

    Args:
        linker: The retriever.
        valid: Validation mentions.
        folder: The trained cross-encoder.
        lists: Where retrieved lists are kept.
        ambiguous: Ids of the slice.
        full: Lists are the first of the whole knowledge base, not of the linker's candidates.
    """
    from melink.rerank.cross_blend import cross_fitted, first, softmax, start_of, table
    from melink.rerank.cross_encoder import CrossEncoder, Reader, read_saved
    from melink.train.answers import numbered, sentence
    from melink.train.cross_lists import retrieved

    saved = read_saved(folder)
    valid = [sample for sample in valid if linker.kb.view().row(sample.gold or "") is not None]
    links = retrieved(linker, valid, K, full, lists)
    golds = [[candidate.id for candidate in link.candidates] for link in links]
    gold = np.array([ids.index(s.gold) if s.gold in ids else -1 for ids, s in zip(golds, valid, strict=True)])
    hard = np.array([sample.mention.id in ambiguous for sample in valid])
    groups = numbered([sentence(sample) for sample in valid])
    made = CrossEncoder.build(_Over(linker.kb), {"path": str(folder)})
    asked = np.array([made.scope.passed_over(link) is None for link in links])
    cases = [_case(linker.kb, link) for link, its in zip(links, asked, strict=True) if its]
    reader: Reader = made._reader
    lists_ = table([reading.columns(saved.parts) for reading in reader(cases)])
    sharp = 1 / linker.method.confidence.temperature
    odds = [[candidate.probability or 0.0 for candidate in link.candidates] for link in links]
    sure, known = np.array([sum(own[:1]) for own in odds], dtype=np.float64), np.array([sum(own) for own in odds])
    rows = {"retrieval": {**_shares(gold == 0, hard), **_calibrated(sure, gold == 0)}}
    parts = [f"part {part}" for part in saved.parts]
    network = ["own", "reading"] if reader.net.reads else ["own"]
    tried: dict[str, list[str]] = {
        "own": ["score", "own"],
        network[-1]: ["score", *network],
        "parts": ["score", *network, *parts],
    }
    for row, columns in {**tried, "used": []}.items():
        after, certain = gold == 0, sure.copy()
        if cases:
            some = lists_.only(columns)
            fitted = cross_fitted(some, gold[asked], groups[asked], start_of(columns, sharp)) if columns else None
            logits = saved.blend.logits(lists_) if fitted is None else fitted
            after[asked] = first(logits) == gold[asked]
            if columns or not saved.blend.keeps:
                certain[asked] = softmax(logits).max(axis=1) * known[asked]
        rows[row] = {**_shares(after, hard), **_calibrated(certain, after)}
    return {
        "n": len(valid),
        "n ambiguous": int(hard.sum()),
        "read": int(asked.sum()),
        "wrong among the others": int(((gold != 0) & ~asked).sum()),
        f"recall@{K}": float((gold >= 0).mean()),
        "rows": rows,
        "blend": saved.blend.weights,
        "metrics": {key: value for key, value in saved.metrics.items() if key != "history"},
        "arithmetic": _arithmetic(linker, folder, cases, gold[asked], (gold == 0) & ~asked, hard, asked)
        if reader.net.reads and cases
        else {},
    }


class _Over:
    """The part of a context that a cross-encoder asks for."""

    def __init__(self, kb: Any) -> None:
        self.kb = kb


def _arithmetic(
    linker: Any,
    folder: Path,
    cases: Sequence[Any],
    gold: np.ndarray,
    sure: np.ndarray,
    hard: np.ndarray,
    asked: np.ndarray,
) -> dict[str, Any]:
    """Return, by arithmetic, mentions per second that are read and Hits@1 as used, with the same last word."""
    from melink.rerank.cross_encoder import CrossEncoder

    found = {}
    for arithmetic in ("fp32", "bf16"):
        made = CrossEncoder.build(_Over(linker.kb), {"path": str(folder), "arithmetic": arithmetic, "device": "cpu"})
        made.look(cases[:8])
        began = time.perf_counter()
        made.look(cases[:TIMED])
        rate = min(TIMED, len(cases)) / (time.perf_counter() - began)
        after = sure.copy()
        after[asked] = [look.named[0] == its for look, its in zip(made.look(cases), gold, strict=True)]
        found[arithmetic] = {"mentions read per second": rate, **_shares(after, hard)}
    return found


def _calibrated(certain: np.ndarray, right: np.ndarray) -> dict[str, float | None]:
    from melink.evaluate.calibration import brier, ece

    return {"ece": ece(certain, right), "brier": brier(certain, right)}


def _case(kb: Any, link: Any) -> Any:
    from melink.rerank.base import Case

    view = kb.take([candidate.id for candidate in link.candidates])
    return Case(link.mention, link.candidates, tuple(view.entity(row) for row in range(len(view))))


def _shares(right: np.ndarray, hard: np.ndarray) -> dict[str, float]:
    return {"all": float(right.mean()), "ambiguous": float(right[hard].mean())}
