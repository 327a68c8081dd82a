"""Asking the same thing with the candidates in several orders, and making one answer of them.

A language model prefers some places of a list. Rotations let every candidate stand at another place each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def arrangements(count: int, wanted: int) -> list[list[int]]:
    """Return different orders of ``count`` places, the first as they are.

    Rotations by equal steps come first, then those of the reversed list; so at most ``2 * count`` orders.

    Args:
        count: Places.
        wanted: How many orders; fewer come back when there are not so many.
    """
    places = list(range(count))
    steps = min(wanted, count)
    turns = [turn * count // steps for turn in range(steps)]
    found = [places[turn:] + places[:turn] for turn in turns]
    back = places[::-1]
    found += [back[turn:] + back[:turn] for turn in range(count)]
    return [list(order) for order in dict.fromkeys(map(tuple, found))][:wanted]


def majority(answers: Sequence[Sequence[int]], count: int) -> tuple[tuple[int, ...], float]:
    """Make one ranking of several answers.

    Each answer ranks the places that it names, the others behind them in the order of the retrieval. Places that some
    answer names are ordered by their mean rank; of answers that name one place each, the most votes come first, and
    they alone. Equal ones keep the order of the retrieval.

    Args:
        answers: Places that each answer names, best first; at least one answer, and one place in each.
        count: Places.

    Returns:
        The places that are named, best first, and the largest share of answers that name the same one first.
    """
    votes = Counter(answer[0] for answer in answers)
    share = max(votes.values()) / len(answers)
    if all(len(answer) == 1 for answer in answers):
        first = min(votes, key=lambda place: (-votes[place], place))
        return (first,), share
    ranks = dict.fromkeys(range(count), 0)
    for answer in answers:
        rest = [place for place in range(count) if place not in answer]
        for rank, place in enumerate((*answer, *rest)):
            ranks[place] += rank
    found = sorted({place for answer in answers for place in answer}, key=lambda place: (ranks[place], place))
    return tuple(found), share
