"""The network of the cross-encoder: an encoder that reads mention and candidate together, and a small head beside it.

After Wu et al. (BLINK), EMNLP 2020, §4.2, and Nogueira and Cho, 2019: one sequence for a pair, one number from it::

    h = enc([CLS] mention [SEP] candidate [SEP])      reading = w · mean over tokens of h
    own = v · figures + mean of small networks         names, facts, years: melink.rerank.cross_features
    score = reading + own                              loss = − Σ_c target_c · log softmax_c(score), over a list

The softmax runs over one mention's own candidates; padding, of lists and of texts, takes no part in it. ``w`` starts at
0: what is not trained yet adds nothing. The head is fitted first, and the encoder learns what it leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from melink.config import Config
from melink.errors import ConfigError
from melink.features.huggingface import load_model, load_tokenizer, quiet, token_limit
from melink.features.minilm import weights
from melink.kb.disk import storing
from melink.methods.trainable import Step
from melink.rerank.cross_features import OWN

HIDDEN: Final = 48
"""Width of the small networks of figures."""
MEMBERS: Final = 3
"""How many of them."""
CPU_PIECE: Final = 2048
"""Padded tokens read at once on a CPU: more fall out of the cache."""
TUNED: Final = 6
"""Blocks that are trained when nobody says how many, where there are so many."""
Arithmetic = Literal["fp32", "bf16"]


class CrossSettings(Config):
    """What is read, and by what.

    Attributes:
        encoder: ``minilm``, or any text encoder by hub name or path. None reads nothing: figures alone, which takes
            seconds to train and next to nothing to use.
        blocks: Use only so many of its first blocks; all by default. Fewer are faster.
        tune: How many of the last ones are trained, or ``all``, which trains the word vectors too; by default six, or
            as many as there are.
        dropout: In the encoder, while it is trained.
        max_tokens: Tokens of a pair.
        sentence: Characters of the mention's text that are read, around the name.
        statements: Characters of what is stated of a candidate.
    """

    encoder: str | None = "minilm"
    blocks: int | None = Field(default=None, ge=1)
    tune: Annotated[int, Field(ge=0)] | Literal["all"] | None = None
    dropout: float = Field(default=0.0, ge=0, lt=1)
    max_tokens: int = Field(default=96, ge=16)
    sentence: int = Field(default=140, ge=16)
    statements: int = Field(default=160, ge=0)


class Pair(NamedTuple):
    """One tokenised pair: ids, and which text each belongs to."""

    ids: list[int]
    types: list[int]


class Lists(NamedTuple):
    """The candidates of some mentions.

    Attributes:
        pairs: Those that are read, of all lists.
        place: Where in ``pairs`` a candidate is read; -1 where it is not, or is padding.
        figures: Figures for the head, 0 in padding.
        there: Which candidates exist.
        target: Share of the answer that each is; a row without any has no part in the loss.
        lists: How many lists have a target in the whole batch, over all processes.
        world: How many processes share the batch.
    """

    pairs: Sequence[Pair]
    place: Any
    figures: Float[Tensor, "b k g"]
    there: Bool[Tensor, "b k"]
    target: Float[Tensor, "b k"]
    lists: int
    world: int = 1


class FigureHead(nn.Module):
    """own = v · figures + the mean of a few small networks of them; 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        width = 2 * len(OWN)
        self.linear = nn.Linear(width, 1, bias=False)
        self.members = nn.ModuleList(_member(width) for _ in range(MEMBERS))
        nn.init.zeros_(self.linear.weight)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def forward(self, figures: Float[Tensor, "*b g"]) -> Float[Tensor, "*b"]:
        """Return the score of each row of figures."""
        bent = [self.bent(member, figures) for member in range(MEMBERS)]
        total: Tensor = self.linear(figures)[..., 0] + torch.stack(bent).mean(0)
        return total

    def bent(self, member: int, figures: Float[Tensor, "*b g"]) -> Float[Tensor, "*b"]:
        """Return what one of the networks adds to the linear part."""
        found: Tensor = self.members[member]((figures - self.mean) / self.scale)
        return found[..., 0]


def _member(width: int) -> nn.Sequential:
    last = nn.Linear(HIDDEN, 1, bias=False)
    nn.init.zeros_(last.weight)
    return nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), nn.Dropout(0.2), last)


class Heads(nn.Module):
    """w, where there is something to read, and the head of the figures."""

    def __init__(self, width: int | None) -> None:
        super().__init__()
        self.own = FigureHead()
        self.reading: nn.Linear | None = None
        if width is not None:
            self.reading = nn.Linear(width, 1, bias=False)
            nn.init.zeros_(self.reading.weight)


class CrossNet(nn.Module):
    """Scores pairs.

    Args:
        settings: What is read, and by what.
        path: Folder of the encoder; as the settings say when None.
        device: Where it runs at first; the trainer may move it.

    Raises:
        NotInstalled, NotFound, InputError: As :class:`~melink.features.huggingface.HFText`.
        ConfigError: The encoder has fewer blocks, or sees pictures too.
    """

    def __init__(self, settings: CrossSettings, path: str | None = None, device: str = "cpu") -> None:
        super().__init__()
        self.settings = settings
        self.model: Any = None
        self.tokenizer: Any = None
        self.heads = Heads(None)
        if settings.encoder is None:
            return
        name = path or (str(weights()) if settings.encoder == "minilm" else settings.encoder)
        self.model, _ = load_model(name, device)
        if hasattr(self.model.config, "vision_config"):
            raise ConfigError(f"{name} sees pictures too", "choose a text encoder: a cross-encoder reads text")
        self.tokenizer = load_tokenizer(name)
        self._limit = min(settings.max_tokens, token_limit(self.tokenizer, self.model.config))
        self._pad = int(self.tokenizer.pad_token_id or 0)
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None  # its output is not read
        if settings.blocks is not None and path is None:
            _cut(self.model, settings.blocks, name)
        self.heads = Heads(_width(self.model.config))

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.heads.parameters()).device

    @property
    def reads(self) -> bool:
        """Whether it has an encoder."""
        return self.model is not None

    def without_reading(self) -> CrossNet:
        """Return the figures' head alone, in a network that reads nothing."""
        bare = CrossNet(self.settings.model_copy(update={"encoder": None}))
        bare.heads.own = self.heads.own
        return bare

    def unfreeze(self) -> None:
        """Make what is trained trainable: last blocks and the head of the reading; that of the figures is fitted apart.

        Raises:
            ConfigError: The encoder has fewer blocks.
        """
        self.heads.own.requires_grad_(False)
        if not self.reads:
            return
        blocks = _blocks(self.model)
        tune = min(TUNED, len(blocks)) if self.settings.tune is None else self.settings.tune
        if tune != "all" and tune > len(blocks):
            raise ConfigError(f"the encoder has {len(blocks)} blocks, not {tune}", "lower settings.tune")
        self.model.requires_grad_(tune == "all")
        for block in [] if tune == "all" else list(blocks)[len(blocks) - tune :]:
            block.requires_grad_(True)
        for layer in self.model.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = self.settings.dropout

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the head of the figures is fitted already, and always as it is used."""
        super().train(mode)
        self.heads.own.eval()
        return self

    def tokenize(self, left: Sequence[str], right: Sequence[str]) -> list[Pair]:
        """Return the sequences of pairs of texts, the longer text cut first where both do not fit."""
        if not left:
            return []
        found = self.tokenizer(
            list(left), list(right), truncation="longest_first", max_length=self._limit, verbose=False
        )
        types = found.get("token_type_ids") or [[0] * len(ids) for ids in found["input_ids"]]
        return [Pair(ids, kinds) for ids, kinds in zip(found["input_ids"], types, strict=True)]

    def read(self, pairs: Sequence[Pair]) -> Float[Tensor, " n"]:
        """Return the reading of pairs, in the order given; equal lengths go through together."""
        order = sorted(range(len(pairs)), key=lambda place: len(pairs[place].ids))
        if not order:
            return torch.zeros(0, device=self.device)
        found = torch.cat([self._piece([pairs[place] for place in piece]) for piece in self._pieces(pairs, order)])
        return torch.zeros_like(found).index_copy(0, torch.tensor(order, device=found.device), found)

    def forward(self, lists: Lists) -> Step:
        """Return the loss of this process's lists, and their scores, −∞ in padding."""
        device = self.device
        place = torch.as_tensor(lists.place, device=device)
        read = self.read(lists.pairs)
        reading = torch.cat([read, read.new_zeros(1)])[place]  # -1 points at the zero behind the last
        own: Tensor = self.heads.own(lists.figures.to(device))
        scores = (reading + own).masked_fill(~lists.there.to(device), float("-inf"))
        loss = listwise(scores, lists.target.to(device)).sum() * (lists.world / max(lists.lists, 1))
        if not lists.pairs:  # nothing of the batch is ours; the other processes wait for our slopes
            loss = loss + sum(0 * weight.sum() for weight in self.parameters() if weight.requires_grad)
        return Step(loss, scores)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as a folder that ``from_pretrained`` reads.

        Raises:
            StoreError: The folder cannot be written.
        """
        with storing(folder), quiet():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    def _pieces(self, pairs: Sequence[Pair], order: list[int]) -> Iterator[list[int]]:
        most = CPU_PIECE * (1 if self.device.type == "cpu" else 16)
        piece = list[int]()
        for place in order:  # ascending, so the piece's last pair is its longest
            if piece and (len(piece) + 1) * len(pairs[place].ids) > most:
                yield piece
                piece = []
            piece.append(place)
        yield piece

    def _piece(self, pairs: Sequence[Pair]) -> Float[Tensor, " p"]:
        device = self.device
        width = max(len(pair.ids) for pair in pairs)
        ids = torch.tensor([[*pair.ids, *[self._pad] * (width - len(pair.ids))] for pair in pairs], device=device)
        mask = torch.tensor([[1] * len(pair.ids) + [0] * (width - len(pair.ids)) for pair in pairs], device=device)
        types: dict[str, Tensor] = {}
        if "token_type_ids" in self.tokenizer.model_input_names:
            rows = [[*pair.types, *[0] * (width - len(pair.ids))] for pair in pairs]
            types = {"token_type_ids": torch.tensor(rows, device=device)}
        hidden = self.model(input_ids=ids, attention_mask=mask, **types).last_hidden_state
        with torch.autocast(device.type, enabled=False):  # 16 bits would tie scores that differ
            hidden, there = hidden.float(), mask[..., None].float()
            pooled = (hidden * there).sum(1) / there.sum(1)
            assert self.heads.reading is not None
            read: Tensor = self.heads.reading(pooled)[:, 0]
        return read


def listwise(scores: Float[Tensor, "b k"], target: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """Return the cross-entropy of each list; 0 for one without a target.

    Args:
        scores: −∞ where there is no candidate; each list has at least one.
        target: Shares that add up to 1, or to 0 in a list that nobody answered.
    """
    logs = torch.log_softmax(scores.float(), dim=1)
    return -(target * logs.masked_fill(target == 0, 0.0)).sum(dim=1)


def _blocks(model: Any) -> nn.ModuleList:
    """Return the longest list of layers of a model."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=nn.ModuleList())


def _cut(model: Any, blocks: int, name: str) -> None:
    own = _blocks(model)
    if blocks > len(own):
        raise ConfigError(f"{name} has {len(own)} blocks, not {blocks}", "lower settings.blocks")
    del own[blocks:]
    for key in ("num_hidden_layers", "n_layers", "num_layers"):
        if hasattr(model.config, key):
            setattr(model.config, key, blocks)
            return
    raise ConfigError(f"{name} does not say how many blocks it has", "leave settings.blocks out")


def _width(config: Any) -> int:
    return int(getattr(config, "hidden_size", 0) or getattr(config, "dim", 0) or config.d_model)
