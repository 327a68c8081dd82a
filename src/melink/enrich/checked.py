"""Which stored texts contradict the facts of their entities, and taking those out of use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from melink import progress
from melink.enrich.contradictions import Checker
from melink.kb.store import KnowledgeBase
from melink.kb.texts import Described, Texts


@dataclass
class Checked:
    """What a check found.

    Attributes:
        texts: Texts that were checked; outdated ones and those of entities that are gone are not.
        checkable: Texts that say something about which the knowledge base knows something.
        flagged: Texts that contradict a fact.
        kinds: Contradictions by kind.
        rows: A row for each text that is flagged: id, label, text, contradictions.
        dropped: Texts that were taken out of use.
    """

    texts: int = 0
    checkable: int = 0
    flagged: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the counts."""
        share = self.flagged / self.texts if self.texts else None
        counts = {"texts": self.texts, "checkable": self.checkable, "flagged": self.flagged, "share": share}
        return {**counts, "kinds": dict(self.kinds), "dropped": self.dropped}


def check_texts(kb: KnowledgeBase, kind: str, places: Sequence[KnowledgeBase] = (), drop: bool = False) -> Checked:
    """Hold the stored texts of a kind against the facts.

    Args:
        kb: Whose texts.
        kind: ``static`` or ``dynamic``.
        places: Other knowledge bases that know in which country places lie.
        drop: Replace texts that are flagged by none, so that the entity's own is read; what they said is kept beside.

    Raises:
        NotFound: No such kind.
        Locked: Texts are to be dropped, and somebody else is writing.
    """
    found, texts = Checked(), Texts(kb.path, kind)
    if not texts:
        return found
    checker, view = Checker.of(kb, *places), kb.view()
    gone: list[Described] = []
    said = texts.reading().texts(view)
    stored = {row.id: row for row in texts.rows()} if drop else {}
    for row, text in progress.track(list(enumerate(said)), "checking texts", unit="texts"):
        if not text:
            continue
        entity = view.entity(row)
        found.texts += 1
        found.checkable += checker.checkable(text, entity)
        against = checker.check(text, entity)
        if not against:
            continue
        found.flagged += 1
        found.kinds.update(each.kind for each in against)
        flags = [each.to_dict() for each in against]
        found.rows.append({"id": entity.id, "label": entity.label, "text": text, "contradictions": flags})
        if drop:
            old = stored[entity.id]
            gone.append(replace(old, text="", about={**old.about, "outcome": "contradicts", "said": text}))
    texts.put(gone)
    found.dropped = len(gone)
    return found
