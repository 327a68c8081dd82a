"""A Hugging Face text encoder whose last blocks, or all of it, can be trained.

Blocks are the model's longest list of equal layers. Training ``blocks=2`` leaves word vectors and the lower blocks as
they are, which costs half the time and a third of the memory of training everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from melink.errors import ConfigError
from melink.features.huggingface import TextPooling, load_model, load_tokenizer, quiet, token_limit
from melink.kb.disk import storing

Blocks = int | Literal["all"]
CPU_PIECE = 4096
"""Padded tokens put through the model at once on a CPU: more fall out of the cache."""


class TunableText(nn.Module):
    """Text in, pooled and L2-normalised vectors out, with gradients.

    Args:
        path: Hub name or local folder.
        blocks: How many of the last blocks are trained; ``all`` trains the word vectors too.
        pooling: ``mean`` of all token vectors, or the first one (``cls``).
        max_tokens: Longer texts are cut; by default, and at most, what the model allows.
        device: Where it runs at first; the trainer may move it.

    Raises:
        NotInstalled, NotFound, InputError: As :class:`~melink.features.huggingface.HFText`.
        ConfigError: The model has fewer blocks.
    """

    def __init__(
        self,
        path: str,
        blocks: Blocks = "all",
        pooling: TextPooling = "mean",
        max_tokens: int | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__()
        self.model, _ = load_model(path, device)
        self.tokenizer = load_tokenizer(path)
        self.pooling = pooling
        self._pad = int(self.tokenizer.pad_token_id or 0)
        limit = token_limit(self.tokenizer, self.model.config)
        self.max_tokens = min(max_tokens or limit, limit)
        _unfreeze(self.model, blocks, path)
        if hasattr(self.model, "pooler") and self.model.pooler is not None:
            self.model.pooler.requires_grad_(False)  # its output is not read

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.model.config.hidden_size)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return token ids, specials included, cut to ``max_tokens``; none for a blank text."""
        if not texts:
            return []
        ids = self.tokenizer(list(texts), truncation=True, max_length=self.max_tokens, verbose=False)["input_ids"]
        return [own if text.strip() else [] for own, text in zip(ids, texts, strict=True)]

    def forward(self, ids: Sequence[Sequence[int]]) -> Float[Tensor, "n d"]:
        """Encode token ids, in the order given; no ids give a zero vector, as cached features of a blank text are.

        Equal lengths go through together, so padding costs little.
        """
        order = sorted((place for place, own in enumerate(ids) if own), key=lambda place: len(ids[place]))
        if not order:  # zeros that still depend on the parameters: other processes wait for their gradients
            return self._piece([[self._pad]]) * torch.zeros(len(ids), 1, device=self.model.device)
        found = torch.cat([self._piece([ids[place] for place in piece]) for piece in self._pieces(ids, order)])
        places = torch.tensor(order, dtype=torch.long, device=found.device)
        return found.new_zeros(len(ids), found.shape[1]).index_copy(0, places, found)

    def _pieces(self, ids: Sequence[Sequence[int]], order: list[int]) -> list[list[int]]:
        limit = CPU_PIECE if self.model.device.type == "cpu" else 16 * CPU_PIECE
        pieces: list[list[int]] = [[]]
        for place in order:  # ascending, so the piece's last text is its longest
            if pieces[-1] and (len(pieces[-1]) + 1) * len(ids[place]) > limit:
                pieces.append([])
            pieces[-1].append(place)
        return pieces

    def _piece(self, rows: list[Sequence[int]]) -> Float[Tensor, "n d"]:
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[self._pad] * (longest - len(row))] for row in rows], device=self.model.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.model.device)
        mask = torch.arange(longest, device=self.model.device) < lengths[:, None]
        hidden = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        pooled = hidden[:, 0] if self.pooling == "cls" else (hidden * weight).sum(1) / weight.sum(1)
        return nn.functional.normalize(pooled.float(), dim=-1)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as a folder that ``from_pretrained`` and melink's encoders read.

        Raises:
            StoreError: The folder cannot be written.
        """
        with storing(folder), quiet():
            self.tokenizer.model_max_length = self.max_tokens
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)


def _unfreeze(model: Any, blocks: Blocks, path: str) -> None:
    if blocks == "all":
        model.requires_grad_(True)
        return
    lists = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
    layers: list[nn.Module] = max(lists, key=len, default=[])
    if blocks > len(layers):
        raise ConfigError(f"{path} has {len(layers)} blocks, not {blocks}", "lower settings.tune, or set it to all")
    model.requires_grad_(False)
    for layer in layers[len(layers) - blocks :]:
        layer.requires_grad_(True)
