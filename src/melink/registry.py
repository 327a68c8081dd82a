"""Name → "module:Class", one line per part that a user can choose by name.

Nothing is imported until :func:`load` is called, so that ``import melink`` stays free of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from melink.errors import NotFound

TABLES: Final[dict[str, dict[str, str]]] = {
    "encoder": {
        "minilm": "melink.features.minilm:MiniLM",
        "classical": "melink.features.classical:Classical",
        "hf-text": "melink.features.huggingface:HFText",
        "hf-image": "melink.features.huggingface:HFImage",
        "hf-dual": "melink.features.huggingface:HFDual",
    },
    "generator": {
        "names": "melink.candidates.names:Names",
        "fuzzy": "melink.candidates.fuzzy:Fuzzy",
        "fuzzy-dwe": "melink.candidates.fuzzy_dwe:FuzzyDWE",
        "persons": "melink.candidates.persons:Persons",
        "lexical": "melink.candidates.lexical:Lexical",
        "dense": "melink.candidates.dense:Dense",
        "given": "melink.candidates.given:Given",
    },
    "method": {
        "names": "melink.methods.names:NamesMethod",
        "zeroshot": "melink.methods.zeroshot:ZeroShot",
    },
    "reranker": {},
    "dataset": {
        "wikimel": "melink.datasets.wikimel:WIKIMEL",
        "richpediamel": "melink.datasets.richpediamel:RICHPEDIAMEL",
        "wikidiverse": "melink.datasets.wikidiverse:WIKIDIVERSE",
    },
}


def names(kind: str) -> list[str]:
    """Return the registered names of a kind: encoder, generator, method, reranker or dataset."""
    return list(TABLES[kind])


def load(kind: str, name: str) -> Any:
    """Import and return the class registered under ``name``.

    Raises:
        NotFound: No such name; the message lists the closest ones.
    """
    table = TABLES[kind]
    if name not in table:
        raise NotFound.among(kind, name, table)
    module, _, attribute = table[name].partition(":")
    return getattr(import_module(module), attribute)
