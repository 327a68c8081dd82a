"""``cross-encoder``: a small encoder reads the mention and each candidate together; no server, no prompt.

After the cross-encoder of Wu et al. (BLINK), EMNLP 2020, §4.2. Ours: plain figures beside the reading
(:mod:`melink.rerank.cross_features`), a last word that starts from the retriever and leaves it only where that
validates (:mod:`melink.rerank.cross_blend`), and mentions that the retrieval is sure about are not read. Pictures count
through the retriever's parts. ``melink train-reranker`` makes the folder that it is read from:

    FOLDER/reranker.json        what it reads, whom it looks at, the blend, what it was fitted on
    FOLDER/encoder/             the fine-tuned encoder, as ``from_pretrained`` reads it; none where reading did not help
    FOLDER/model.safetensors    its heads
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import orjson
import torch
from jaxtyping import Float32, Float64
from pydantic import Field

from melink import __version__, progress
from melink.config import Config, parse
from melink.errors import ConfigError, InputError, NotFound
from melink.features.huggingface import best_device
from melink.kb.store import KnowledgeBase
from melink.methods.base import Context
from melink.methods.tensors import read_tensors
from melink.rerank.base import Case, Look, Scope
from melink.rerank.cross_blend import Blend, softmax, table
from melink.rerank.cross_features import OWN, CrossFeatures, filled
from melink.rerank.cross_model import Arithmetic, CrossNet, CrossSettings, Pair
from melink.rerank.cross_text import read_entity, read_mention, words_around

NAME: Final = "reranker.json"
BLOCK: Final = 64
"""Mentions that are read at once."""


class Saved(Config):
    """What ``reranker.json`` holds.

    Attributes:
        reranker: Registered name.
        settings: What is read, and by what.
        scope: Whom it looks at: ``k``, ``margin``, ``probability``, unless a run says otherwise.
        parts: Parts of the retriever that it was fitted with.
        blend: The last word.
        retriever: The run whose lists it was fitted on.
        fitted_on: File names and hashes of the mentions.
        digest: Hash of all weights.
        metrics: Figures of the training.
        melink: Version that wrote it.
    """

    reranker: str = "cross-encoder"
    settings: CrossSettings = CrossSettings()
    scope: dict[str, Any] = Field(default_factory=dict)
    parts: tuple[str, ...] = ()
    blend: Blend = Blend()
    retriever: dict[str, Any] = Field(default_factory=dict)
    fitted_on: dict[str, str] = Field(default_factory=dict)
    digest: str = ""
    metrics: dict[str, Any] = Field(default_factory=dict)
    melink: str = __version__


class CrossEncoderSettings(Scope):
    """Settings of ``cross-encoder``: :class:`~melink.rerank.base.Scope`, as the folder says where nothing is said.

    Attributes:
        path: Folder that ``melink train-reranker`` wrote; also what follows the colon of ``cross-encoder:FOLDER``.
        fitted_on: The validation mentions that the folder was fitted on.
        arithmetic: ``bf16`` is faster where the device computes in it (docs/cross-encoder.md).
        device: ``cpu``, ``cuda`` …; by default the accelerator when there is one.
    """

    path: str
    k: int = Field(default=16, ge=1)
    arithmetic: Arithmetic = "fp32"
    device: str | None = None


@dataclass(frozen=True)
class Reading:
    """What was read about the candidates of one case.

    Attributes:
        figures: Column by name, NaN where something does not exist.
        own: The head's score of the plain figures.
        reading: The encoder's; None without one.
    """

    figures: Mapping[str, Float64[np.ndarray, " k"]]
    own: Float64[np.ndarray, " k"]
    reading: Float64[np.ndarray, " k"] | None

    def columns(self, parts: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the columns of a blend."""
        own = {f"part {part}": self.figures[f"part {part}"] for part in parts}
        read = {} if self.reading is None else {"reading": self.reading}
        return {"score": self.figures["score"], "own": self.own, **read, **own}


class Reader:
    """Reads cases with a network, as it is.

    Args:
        net: The network.
        kb: Where rarity of facts comes from.
        parts: Parts of the retriever.
        arithmetic: In which numbers.
    """

    def __init__(self, net: CrossNet, kb: KnowledgeBase, parts: Sequence[str], arithmetic: Arithmetic = "fp32") -> None:
        self.net, self.figures = net, CrossFeatures(kb, parts)
        self._arithmetic = arithmetic
        self.pairs = self.tokens = 0

    def tokenize(self, case: Case) -> list[Pair]:
        """Return the token sequences of a case, one for each candidate."""
        settings, context = self.net.settings, words_around(case.mention)
        left = read_mention(case.mention, settings.sentence)
        right = [read_entity(entity, context, settings.statements) for entity in case.entities]
        return self.net.tokenize([left] * len(right), right)

    def own(self, figures: Float64[np.ndarray, "k f"]) -> Float32[np.ndarray, "k g"]:
        """Return what the head sees of the figures."""
        start = len(self.figures.names) - len(OWN)
        return filled(figures[:, start:]).astype(np.float32)

    def head(self, figures: Float32[np.ndarray, "n g"]) -> Float32[np.ndarray, " n"]:
        """Return the head's score of what it sees of figures."""
        own = self.net.heads.own
        own.eval()
        with torch.inference_mode():
            found: np.ndarray = own(torch.from_numpy(figures).to(self.net.device)).cpu().numpy()
        return found

    def __call__(self, cases: Sequence[Case]) -> Iterator[Reading]:
        """Read cases, in order."""
        with progress.task("reading candidates", len(cases), "mentions") as advance:
            for start in range(0, len(cases), BLOCK):
                block = cases[start : start + BLOCK]
                yield from self._block(block)
                advance(len(block))

    def _block(self, cases: Sequence[Case]) -> Iterator[Reading]:
        figures = [self.figures(case) for case in cases]
        own = self.head(np.concatenate([self.own(f) for f in figures]))
        read = self._read(cases) if self.net.reads else own
        ends = np.cumsum([len(case.candidates) for case in cases])[:-1]
        # rounded, so that the batch in which a pair is read never decides
        split = [np.split(np.round(values.astype(np.float64), 4), ends) for values in (own, read)]
        for table_, its, reading in zip(figures, *split, strict=True):
            named = dict(zip(self.figures.names, table_.T, strict=True))
            yield Reading(named, its, reading if self.net.reads else None)

    def _read(self, cases: Sequence[Case]) -> Float32[np.ndarray, " n"]:
        """Return the encoder's reading of all candidates of some cases."""
        pairs = [pair for case in cases for pair in self.tokenize(case)]
        self.pairs += len(pairs)
        self.tokens += sum(len(pair.ids) for pair in pairs)
        self.net.eval()
        bf16 = self._arithmetic == "bf16"
        with torch.inference_mode(), torch.autocast(self.net.device.type, torch.bfloat16, enabled=bf16):
            found: np.ndarray = self.net.read(pairs).float().cpu().numpy()
        return found


class CrossEncoder:
    """Reads the mention together with each of its first k candidates.

    Args:
        settings: Whom it looks at, and how it computes.
        saved: What was trained.
        reader: The network over the knowledge base.
    """

    name: ClassVar[str] = "cross-encoder"
    paper: ClassVar[str] = "after BLINK's cross-encoder (Wu et al., EMNLP 2020); figures, blend and scope are ours"

    def __init__(self, settings: CrossEncoderSettings, saved: Saved, reader: Reader) -> None:
        self.scope: Scope = settings
        self._settings, self.saved, self._reader = settings, saved, reader
        self._seconds = 0.0

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> Self:
        """Read the folder of a trained one.

        Raises:
            ConfigError: No ``path``, or other settings than there are.
            NotFound: No trained cross-encoder there.
            InputError: It is damaged.
        """
        given = dict(settings)
        if "variant" in given:
            given["path"] = given.pop("variant")
        if "path" not in given:
            raise ConfigError(
                "cross-encoder needs the folder of a trained one", "write --rerank cross-encoder:FOLDER, made by "
                "'melink train-reranker'"
            )  # fmt: skip
        saved = read_saved(str(given["path"]))
        noted = {key: saved.fitted_on[key] for key in ("file", "sha256") if key in saved.fitted_on}
        fitted = {"fitted_on": noted} if noted else {}
        parsed = parse(CrossEncoderSettings, {**saved.scope, **fitted, **given}, "rerank")
        net = read_net(Path(parsed.path), saved, parsed.device)
        return cls(parsed, saved, Reader(net, context.kb, saved.parts, parsed.arithmetic))

    @property
    def label(self) -> str:
        """``cross-encoder``."""
        return self.name

    @property
    def retriever(self) -> Mapping[str, Any]:
        """What it was trained behind."""
        return self.saved.retriever

    def settings(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return self._settings.model_dump(mode="json")

    def states(self) -> dict[str, Any]:
        """Return what its answers depend on: whom it looks at, the hash of its weights, the arithmetic."""
        own = self._settings.model_dump(mode="json", exclude={"path", "device", "fitted_on"}, exclude_none=True)
        return {"name": self.name, **own, "weights": self.saved.digest[:16]}

    def look(self, cases: Sequence[Case]) -> list[Look]:
        """Read every case; all candidates are named, best first, equal ones in the order of the retrieval."""
        began = time.perf_counter()
        looks = [self._look(case, reading) for case, reading in zip(cases, self._reader(cases), strict=True)]
        self._seconds += time.perf_counter() - began
        return looks

    def usage(self) -> dict[str, Any]:
        """Return counts: pairs and tokens read, and the seconds that took."""
        return {"pairs": self._reader.pairs, "tokens": self._reader.tokens, "seconds": round(self._seconds, 3)}

    def _look(self, case: Case, reading: Reading) -> Look:
        logits = self.saved.blend.logits(table([reading.columns(self.saved.parts)]))[0]
        order = sorted(range(len(logits)), key=lambda place: (-logits[place], place))
        evidence: dict[int, dict[str, Any]] = {}
        for place in order:
            evidence[place] = {"figures": float(reading.own[place])}
            if reading.reading is not None:
                evidence[place]["reading"] = float(reading.reading[place])
        sure = () if self.saved.blend.keeps else _shares(case, logits)
        return Look(tuple(order), evidence=evidence, probabilities=sure)


def _device(name: str | None) -> str:
    """Return the device of that name, the best when None.

    Raises:
        ConfigError: There is no such device.
    """
    if name is None:
        return best_device()
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0][:100]
        raise ConfigError(f"rerank.device={name} cannot be used: {said}", "write cpu, or leave it out") from error
    return name


def _shares(case: Case, logits: Float64[np.ndarray, " k"]) -> tuple[float, ...]:
    """Return probabilities that add up to what the retrieval gave to all of them; none where it gave none."""
    known = [candidate.probability for candidate in case.candidates if candidate.probability is not None]
    if len(known) < len(logits):
        return ()
    shares = softmax(logits) * min(sum(known), 1.0)
    return tuple(round(share, 6) for share in shares.tolist())


def read_saved(folder: str | Path) -> Saved:
    """Return what a folder's ``reranker.json`` holds.

    Raises:
        NotFound: There is none.
        ConfigError: It cannot be used.
    """
    file = Path(folder) / NAME
    if not file.is_file():
        raise NotFound(
            f"{folder} holds no trained cross-encoder ({NAME})",
            "make one: melink train-reranker KB --run RUN -o FOLDER …",
        )
    try:
        data = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{file}: {error}", "restore the file, or train again") from error
    return parse(Saved, data, str(file))


def read_net(folder: Path, saved: Saved, device: str | None = None) -> CrossNet:
    """Return the network of a folder, frozen.

    Args:
        folder: Of a trained cross-encoder.
        saved: What its ``reranker.json`` holds.
        device: Where it runs; the accelerator when there is one, if None.

    Raises:
        InputError: It is damaged.
        ConfigError: There is no such device.
    """
    where = _device(device)
    if saved.settings.encoder is not None and not (folder / "encoder" / "config.json").is_file():
        raise InputError(f"{folder} lacks its encoder", "copy the whole folder, or train again")
    net = CrossNet(saved.settings, str(folder / "encoder"), where)
    read_tensors(net.heads, folder)
    net.requires_grad_(False).to(where)
    return net
