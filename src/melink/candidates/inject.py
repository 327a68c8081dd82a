"""The one place where gold may enter a candidate list.

Protocols B and C of docs/evaluation.md score lists that are known to hold the gold answer. Nothing else may do so:
results made with this carry ``miss_policy: inject_gold`` and are never compared with others.
"""

from __future__ import annotations

from collections.abc import Sequence

from melink.candidates.base import Candidates


def inject_gold(candidates: Candidates, gold: Sequence[str | None]) -> tuple[Candidates, int]:
    """Put each missing gold id in the last place of its list.

    Args:
        candidates: Lists of m mentions.
        gold: Their gold ids; None or an id already listed changes nothing.

    Returns:
        The new lists, none longer than it was but an empty one, and how many were changed.
    """
    rows, changed = [], 0
    for ids, answer in zip(candidates.ids, gold, strict=True):
        if answer is None or answer in ids:
            rows.append(ids)
            continue
        rows.append((*ids[: max(len(ids) - 1, 0)], answer))
        changed += 1
    return Candidates(tuple(rows), candidates.sources), changed
