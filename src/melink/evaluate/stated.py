"""The protocol of a ranking by a linker: what the linker itself knows of it, and what its caller says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from melink.evaluate.protocol import Protocol, file_hash
from melink.kb.store import KnowledgeBase
from melink.linker import Linker


def stated(
    linker: Linker,
    mentions: str | Path,
    candidates: str | int,
    run: str,
    leaks: str | Mapping[str, Any] = "train not given",
    seeds: tuple[int, ...] = (0,),
) -> Protocol:
    """Return the protocol of ranking the mentions of a file, gold outside of the candidates being a miss.

    Args:
        linker: What ranks.
        mentions: The file; ``-`` for standard input.
        candidates: ``full``, or how many candidates each mention has.
        run: Run directory or method name, as a reader should find it.
        leaks: What the split shares with training.
        seeds: Every seed that played a part, that of the bootstrap first.
    """
    settings, kb = linker.method.settings(), linker.kb
    content = kb.content_hash()
    neutral = {f"neutral {name}": value for name, value in getattr(linker.method, "neutral", {}).items()}
    return Protocol(
        candidates=candidates,
        kb_size=len(kb),
        kb_hash=content,
        entity_text_source=_read(kb, settings.get("entity_text") or settings.get("entity_template") or "names only"),
        split_file=str(mentions),
        split_hash="standard input" if str(mentions) == "-" else file_hash(mentions),
        method=linker.run.method,
        generators=() if candidates == "full" else linker.run.generators,
        kb_version=kb.version,
        leaks=leaks,
        seeds=seeds,
        encoders=linker.encoders,
        weights={**settings.get("weights", {}), **neutral},
        run=run,
        entities_hash=_without_texts(kb, content),
    )


def _read(kb: KnowledgeBase, source: str) -> str:
    """Return what of an entity is read: its own fields, or another text of it where there is one."""
    if kb.texts is None:
        return source
    share = kb.texts.share(kb.view())
    outdated = f" ({share.outdated:,} outdated)" if share.outdated else ""
    return f"{kb.texts.kind} text of {share.own:,} of {share.entities:,} entities, else{outdated} {source}"


def _without_texts(kb: KnowledgeBase, content: str) -> str:
    """Return the content hash of the entities themselves; empty where nothing else is read."""
    return "" if kb.texts is None else f"{(int(content, 16) - kb.texts.number(kb.view())) % 2**256:064x}"
