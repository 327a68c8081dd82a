"""Which stored texts contradict the facts of their entities: taking those out of use, and into use again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from melink import progress
from melink.enrich.contradictions import Checker
from melink.kb.store import KnowledgeBase
from melink.kb.texts import Described, Texts, states
from melink.records import Entity


@dataclass
class Checked:
    """What a check found.

    Attributes:
        texts: Texts that were checked; outdated ones and those of entities that are gone are not, nor are those out of
            use.
        checkable: Texts that say something about which the knowledge base knows something.
        flagged: Texts that contradict a fact.
        kinds: Contradictions by kind.
        rows: A row for each text that is flagged or out of use: id, label, text, contradictions, and ``dropped`` when
            it is not read.
        dropped: Ids of the entities whose texts this check took out of use.
        out: Texts that were out of use before, and still are.
    """

    texts: int = 0
    checkable: int = 0
    flagged: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the counts."""
        share = self.flagged / self.texts if self.texts else None
        counts = {"texts": self.texts, "checkable": self.checkable, "flagged": self.flagged, "share": share}
        return {**counts, "kinds": dict(self.kinds), "dropped": len(self.dropped), "dropped_before": self.out}


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
    stored = {row.id: row for row in texts.rows()}
    gone: list[Described] = []
    for row, now in progress.track(list(enumerate(states(view))), "checking texts", unit="texts"):
        own = stored.get(view.ids[row])
        if own is None or own.entity != now or not (own.text or own.said):
            continue
        entity = view.entity(row)
        flags = [each.to_dict() for each in checker.check(own.text or own.said, entity)]
        if own.said:
            found.out += 1
            found.rows.append(_row(entity, own.said, flags or own.about.get("contradictions", []), dropped=True))
            continue
        found.texts += 1
        found.checkable += checker.checkable(own.text, entity)
        if not flags:
            continue
        found.flagged += 1
        found.kinds.update(each["kind"] for each in flags)
        found.rows.append(_row(entity, own.text, flags, drop))
        gone += [own.dropped(flags)] if drop else []
    texts.put(gone)
    found.dropped = [each.id for each in gone]
    return found


def restore_texts(kb: KnowledgeBase, kind: str, places: Sequence[KnowledgeBase] = ()) -> int:
    """Take texts into use again that were dropped and, now that facts have changed, contradict none; return how many.

    One that was dropped for a place stays so while the country of that place, or of the known one, cannot be told.

    Args:
        kb: Whose texts.
        kind: ``static`` or ``dynamic``.
        places: Other knowledge bases that know in which country places lie.

    Raises:
        NotFound: No such kind.
        Locked: There is such a text, and somebody else is writing.
    """
    texts = Texts(kb.path, kind)
    out = {row.id: row for row in texts.rows() if row.said}
    if not out:
        return 0
    checker, view = Checker.of(kb, *places), kb.view()
    back: list[Described] = []
    for row, now in enumerate(states(view)):
        own = out.get(view.ids[row])
        if own is not None and own.entity == now and _agrees(checker, own, view.entity(row)):
            back.append(own.restored())
    texts.put(back)
    return len(back)


def _agrees(checker: Checker, own: Described, entity: Entity) -> bool:
    against = {each["kind"] for each in own.about.get("contradictions", ())}
    return not checker.check(own.said, entity) and not against & checker.undecided(own.said, entity)


def _row(entity: Entity, text: str, flags: Sequence[dict[str, Any]], dropped: bool) -> dict[str, Any]:
    row = {"id": entity.id, "label": entity.label, "text": text, "contradictions": list(flags)}
    return {**row, "dropped": True} if dropped else row
