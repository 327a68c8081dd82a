"""melink: multimodal entity linking over any knowledge base.

>>> import melink
>>> linker = melink.Linker.from_pretrained("run")            # doctest: +SKIP
>>> linker.link([melink.Mention("1", "Georgia beat Wales", "Georgia", image="match.jpg")])   # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

try:
    __version__ = version("melink")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0+unknown"

_PUBLIC: Final[dict[str, str]] = {
    "NIL": "melink.records",
    "Entity": "melink.records",
    "KnowledgeBase": "melink.kb.store",
    "Labelled": "melink.records",
    "Link": "melink.records",
    "Linker": "melink.linker",
    "MelinkError": "melink.errors",
    "Mention": "melink.records",
    "Scored": "melink.records",
    "Triple": "melink.records",
    "read_mentions": "melink.datasets.mentions",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 (the names are text; a table holds them)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'melink' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
