"""The protocol of a ranking by a linker: what the linker itself knows of it, and what its caller says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from melink.evaluate.protocol import Protocol, file_hash
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
    neutral = {f"neutral {name}": value for name, value in getattr(linker.method, "neutral", {}).items()}
    return Protocol(
        candidates=candidates,
        kb_size=len(kb),
        kb_hash=kb.content_hash(),
        entity_text_source=settings.get("entity_text") or settings.get("entity_template") or "names only",
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
    )
