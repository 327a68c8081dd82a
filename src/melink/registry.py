"""Name → "module:Class", one line per part that a user can choose by name.

Nothing is imported until :func:`load` is called, so that ``import melink`` stays free of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from melink.errors import NotFound, NotInstalled

TABLES: Final[dict[str, dict[str, str]]] = {
    "encoder": {
        "minilm": "melink.features.minilm:MiniLM",
        "classical": "melink.features.classical:Classical",
        "hf-text": "melink.features.huggingface:HFText",
        "hf-image": "melink.features.huggingface:HFImage",
        "hf-dual": "melink.features.huggingface:HFDual",
        "regions": "melink.features.regions:Regions",
        "faces": "melink.features.faces:Faces",
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
        "biencoder": "melink.methods.biencoder:BiEncoder",
        "mimic": "melink.methods.mimic:Mimic",
        "melov": "melink.methods.melov:Melov",
        "kgmel": "melink.methods.kgmel:KGMEL",
        "fissfuse": "melink.methods.fissfuse:FissFuse",
        "dwe": "melink.methods.dwe:DWE",
    },
    "reranker": {
        "kar": "melink.rerank.kar:KAR",
        "kgmel": "melink.rerank.kgmel:KGMELReranker",
        "cross-encoder": "melink.rerank.cross_encoder:CrossEncoder",
    },
    "dataset": {
        "wikimel": "melink.datasets.wikimel:WIKIMEL",
        "richpediamel": "melink.datasets.richpediamel:RICHPEDIAMEL",
        "wikidiverse": "melink.datasets.wikidiverse:WIKIDIVERSE",
    },
}


EXTRAS: Final = {
    "torch": "models",
    "transformers": "models",
    "safetensors": "models",
    "accelerate": "train",
    "openai": "llm",
}
"""Optional package → the extra that brings it."""


def names(kind: str) -> list[str]:
    """Return the registered names of a kind: encoder, generator, method, reranker or dataset."""
    return list(TABLES[kind])


def load(kind: str, name: str) -> Any:
    """Import and return the class registered under ``name``.

    Raises:
        NotFound: No such name; the message lists the closest ones.
        NotInstalled: It needs an extra that is not installed.
    """
    table = TABLES[kind]
    if name not in table:
        raise NotFound.among(kind, name, table)
    module, _, attribute = table[name].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name in EXTRAS:
            raise NotInstalled(error.name, EXTRAS[error.name]) from error
        raise
