"""Parts of the mentions that are reported apart: given as TSV files, or found by themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from melink.errors import InputError
from melink.evaluate.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Slice:
    """Mentions by id.

    Attributes:
        ids: Ids of its mentions.
        unknown: How many ids of its file belong to no evaluated mention.
    """

    ids: frozenset[str]
    unknown: int = 0

    def of(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Return its outcomes."""
        return [outcome for outcome in outcomes if outcome.mention.id in self.ids]


def read_slice(path: str | Path, known: Collection[str] | None = None) -> Slice:
    """Read a slice: a TSV file whose first column is the mention id and whose header begins with ``id``.

    Args:
        path: The file.
        known: Ids of the evaluated mentions; ids outside are counted. None accepts all.

    Raises:
        InputError: The file cannot be read, or has no such header.
    """
    try:
        rows = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}", "check that the file exists and is UTF-8") from error
    if not rows[0].startswith("id"):
        raise InputError(f"{path}:1: the header must begin with 'id'", "write a first line such as 'id<TAB>reason'")
    ids = frozenset(row.split("\t", 1)[0].strip() for row in rows[1:] if row.strip())
    if known is None:
        return Slice(ids)
    inside = ids & frozenset(known)
    return Slice(inside, len(ids) - len(inside))


def automatic(outcomes: Sequence[Outcome], train_golds: Collection[str] | None = None) -> dict[str, Slice]:
    """Return the slices that need no file; empty ones are left out.

    Args:
        outcomes: Judged mentions.
        train_golds: Gold ids of the training mentions; with them, entities are told into ``seen`` and ``unseen``.
    """
    found = {
        "with_image": [o for o in outcomes if o.mention.image is not None],
        "without_image": [o for o in outcomes if o.mention.image is None],
        "nil": [o for o in outcomes if o.is_nil],
    }
    if train_golds is not None:
        seen = frozenset(train_golds)
        found["seen_entities"] = [o for o in outcomes if o.linkable and o.gold in seen]
        found["unseen_entities"] = [o for o in outcomes if o.linkable and o.gold not in seen]
    return {name: Slice(frozenset(o.mention.id for o in part)) for name, part in found.items() if part}
