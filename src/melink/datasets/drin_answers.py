"""DRIN's preprocessed ``answer_<split>.npy``: where gold stands in each list, the length of the list meaning a miss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from melink.errors import InputError, Problems


def check_answers(
    path: Path | None, golds: Mapping[str, Any], lists: Mapping[str, Sequence[str]], problems: Problems
) -> None:
    """Report the mentions whose gold does not stand where the file says.

    Args:
        path: The file, or None when the release was not preprocessed.
        golds: Mention id → gold, in the order of the split.
        lists: Mention id → candidates.
        problems: Collects the disagreements.

    Raises:
        InputError: The file is no array of one whole number for each mention.
    """
    if path is None:
        return
    positions = _read(path, len(golds))
    for (mention, gold), position in zip(golds.items(), positions, strict=True):
        candidates = list(lists.get(mention, ()))
        expected = candidates.index(gold) if gold in candidates else len(candidates)
        if min(position, len(candidates)) != expected:
            reason = f"says gold stands at {position}, the list has it at {expected}"
            problems.add(path, None, reason, mention, "answer differs")


def _read(path: Path, count: int) -> list[int]:
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a NumPy array: {error}", "fetch or compute it again, or remove it") from error
    if array.shape != (count,) or array.dtype.kind not in "iu":
        reason = f"{path}: expected {count} whole numbers, found shape {array.shape} of {array.dtype}"
        raise InputError(reason, "use the file that was computed from these mentions, or remove it")
    return [int(position) for position in array]
