"""Mentions per second: retrieval alone, and with a method or reranker looking at what was retrieved; size and work.

One run over validation mentions. ``reading`` is their texts through the encoder; every other stage finds them, and the
entities' features, in the store, and its mentions per second count what it needs before it. ``retrieval`` is all
generators fused; ``fissfuse on 100`` scores its candidates as ``melink link`` does, and so do ``biencoder on 100`` and
``mimic on 100``, from the same encoders; ``fissfuse, shortlist of 100`` is its fusion half over the whole knowledge
base, then its fission half, from kept terms. ``cross-encoder on 16`` looks at FissFuse's first 16 of every mention: by
figures alone, and reading them with ``minilm`` in 32 and 16 bits.
Floating-point operations are those of products of matrices, counted by torch (a multiplication and an addition are
two); so attention's softmax, layer norms and generators that are no products of torch (BM25, trigrams, ``dense``)
count nothing. Speed does not depend on the weights: without ``--model`` they are those that training starts with.

    python benchmarks/rerank_throughput.py KB --mentions valid.jsonl --json rerank.json [--model RUN] [--most 500]

Another stage is another function in ``STAGES``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count
from transformers import AutoModel

from common import machine, peak_mb
from melink.candidates.base import Candidates
from melink.candidates.fusion import fused
from melink.candidates.load import DEFAULT, load_generators
from melink.datasets.mentions import read_mentions
from melink.kb.store import KnowledgeBase
from melink.linker import BATCH, Linker, assemble, reader_of
from melink.ranking.rank import rank
from melink.records import Link, Mention
from melink.rerank.again import look_again
from melink.rerank.cross_encoder import CrossEncoder, CrossEncoderSettings, Reader, Saved
from melink.rerank.cross_model import Arithmetic, CrossNet, CrossSettings
from melink.runs import Run, read_run

K = 100
READ = 16
SEEN = ("reading", "retrieval")
SETTINGS = {"tokens": 24, "names": True}
"""Of ``fissfuse`` where no run is given: those of its study."""
OTHERS: dict[str, dict[str, Any]] = {"biencoder": {"tune": 0}, "mimic": SETTINGS}
"""Settings of the methods that score the same candidates."""
AT_ONCE = 64
"""Texts encoded at once."""


class Bench:
    """What stages work on.

    Attributes:
        linker: With ``fissfuse``; features of both sides are in the store.
        mentions: Any number.
        found: Candidates of each batch of mentions, once ``retrieval`` has run.
        links: FissFuse's first candidates, once a stage has asked for them.
    """

    def __init__(self, linker: Linker, mentions: Sequence[Mention]) -> None:
        self.linker, self.mentions = linker, mentions
        self.found: list[Candidates] = []
        self.links: list[Link] = []
        context: Any = linker.method.context  # type: ignore[attr-defined]
        self.context = context
        reader = reader_of(linker.method)
        self.generators = load_generators(DEFAULT, linker.kb, context.store, context.text, reader)
        fused(self.generators, [], K)  # reads what it searches

    def batches(self) -> Iterator[Sequence[Mention]]:
        """Yield mentions, as many at once as are linked at once."""
        for start in range(0, len(self.mentions), BATCH):
            yield self.mentions[start : start + BATCH]


class Stage(NamedTuple):
    """One way to work on all mentions.

    Attributes:
        work: What is timed.
        before: Stages whose time it needs as well.
        parameters: Of what it adds: those that are trained; for an encoder that reads, all. None where there are none.
    """

    work: Callable[[], Any]
    before: tuple[str, ...] = ()
    parameters: int | None = None


def reading(bench: Bench) -> Stage:
    """Encode the mentions, in batches of about equal length, as the feature store does; nothing is kept."""
    encoder: Any = bench.context.text
    method: Any = bench.linker.method
    texts = method.read_mentions(bench.mentions)
    order = sorted(range(len(texts)), key=dict(enumerate(encoder.sizes(texts))).__getitem__)

    def work() -> None:
        for start in range(0, len(order), AT_ONCE):
            encoder.encode([texts[place] for place in order[start : start + AT_ONCE]], tokens=True)

    return Stage(work, (), sum(p.numel() for p in AutoModel.from_pretrained(encoder.path).parameters()))


def retrieval(bench: Bench) -> Stage:
    """Fuse the candidates of all generators."""

    def work() -> None:
        bench.found = [fused(bench.generators, batch, K) for batch in bench.batches()]

    return Stage(work, ("reading",))


def on_candidates(bench: Bench) -> Stage:
    """Score those candidates by FissFuse; entities are read from cached features of the encoder."""

    def work() -> None:
        for batch, found in zip(bench.batches(), bench.found, strict=True):
            bench.linker.board(batch, found)

    return Stage(work, SEEN, trained(bench.linker))


def scored_by(method: str) -> Callable[[Bench], Stage]:
    """Return a stage that scores those candidates by another method, untrained."""

    def stage(bench: Bench) -> Stage:
        kb = bench.linker.kb
        encoders = {key: getattr(bench.linker.run, key) for key in ("text_encoder", "image_encoder", "encoder")}
        run = Run(method=method, settings=OTHERS[method], generators=("names",), **encoders)
        numbers = trained(assemble(run, kb), start=True)
        other = assemble(run, kb)
        other.method.warm(kb.view())
        other.method.mentions(bench.mentions)

        def work() -> None:
            for batch, found in zip(bench.batches(), bench.found, strict=True):
                other.board(batch, found)

        return Stage(work, SEEN, numbers)

    return stage


def crossed(encoder: str | None, arithmetic: Arithmetic = "fp32") -> Callable[[Bench], Stage]:
    """Return a stage that looks again at FissFuse's first candidates of every mention."""

    def stage(bench: Bench) -> Stage:
        net = CrossNet(CrossSettings(encoder=encoder))
        numbers = sum(p.numel() for p in net.parameters())
        net.requires_grad_(False)
        settings = CrossEncoderSettings(path="", k=READ, arithmetic=arithmetic)
        looks: Any = CrossEncoder(settings, Saved(), Reader(net, bench.linker.kb, (), arithmetic))
        if not bench.links:
            ranked = zip(bench.batches(), bench.found, strict=True)
            bench.links = [link for batch, found in ranked for link in bench.linker.rank(batch, found, READ)]
        return Stage(lambda: look_again(looks, bench.links, bench.linker.kb), (*SEEN, f"fissfuse on {K}"), numbers)

    return stage


def on_shortlist(bench: Bench) -> Stage:
    """Find 100 by FissFuse's own vectors in the whole knowledge base and score them; entities are kept as terms."""
    method, kb = bench.linker.method, bench.linker.kb
    rank(method, kb, bench.mentions[:1], 1, shortlist=K, sample=0)  # terms are made once, not timed
    return Stage(
        lambda: rank(method, kb, bench.mentions, K, shortlist=K, sample=0), ("reading",), trained(bench.linker)
    )


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


ON_CPU = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
"""Operators that torch's counter passes over."""
STAGES: dict[str, Callable[[Bench], Stage]] = {
    "reading": reading,
    "retrieval": retrieval,
    f"biencoder on {K}": scored_by("biencoder"),
    f"mimic on {K}": scored_by("mimic"),
    f"fissfuse on {K}": on_candidates,
    f"fissfuse, shortlist of {K}": on_shortlist,
    f"cross-encoder on {READ}, figures": crossed(None),
    f"cross-encoder on {READ}": crossed("minilm"),
    f"cross-encoder on {READ}, bf16": crossed("minilm", "bf16"),
}
"""In the order in which they run; each sees what those before it left in the bench."""


def trained(linker: Linker, start: bool = False) -> int:
    """Return how many numbers a method trains."""
    method: Any = linker.method
    if start:
        method.start_training()
    module: Any = method.module
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def measure(bench: Bench) -> dict[str, Any]:
    """Return, for each stage, mentions per second with all it needs, and what it costs alone."""
    result: dict[str, Any] = {}
    for name, make in STAGES.items():
        stage = make(bench)
        wall, cpu = time.perf_counter(), time.process_time()
        stage.work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        with FlopCounterMode(display=False, custom_mapping=ON_CPU) as counter:  # apart: counting takes time
            stage.work()
        count = len(bench.mentions)
        total = {kind: sum(result[n]["alone"][kind] for n in stage.before) for kind in ("wall", "cpu")}
        result[name] = {
            "mentions_per_second": round(count / (total["wall"] + wall), 2),
            "mentions_per_cpu_second": round(count / (total["cpu"] + cpu), 2),
            "alone": {"wall": round(wall, 3), "cpu": round(cpu, 3)},
            "mflop_per_mention": round(counter.get_total_flops() / count / 1e6, 3),
            "parameters": stage.parameters,
        }
    return result


def main() -> None:
    """Measure, write, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kb", type=Path, help="knowledge base")
    parser.add_argument("--mentions", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="run directory of a trained fissfuse")
    parser.add_argument("--most", type=int, default=500, help="mentions that are timed")
    parser.add_argument("--json", type=Path, help="write the result here")
    asked = parser.parse_args()
    mentions = [sample.mention for sample in read_mentions(asked.mentions)][: asked.most]
    linker = opened(asked.kb, asked.model)
    linker.method.mentions(mentions)  # into the store
    result = {
        "machine": machine() | {"threads": torch.get_num_threads()},
        "mentions": len(mentions),
        "entities": len(linker.kb),
        "settings": linker.method.settings(),
        "stages": measure(Bench(linker, mentions)),
        "peak_mb": peak_mb(),
    }
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def opened(kb: Path, model: Path | None) -> Linker:
    """Return a linker whose entities are encoded."""
    if model is not None:
        run = read_run(model)
    else:
        run = Run(method="fissfuse", settings=SETTINGS, text_encoder="minilm?max_tokens=40")
    base = KnowledgeBase.open(kb)
    made = assemble(run.model_copy(update={"generators": ("names",)}), base)
    made.method.warm(base.view())
    return made


if __name__ == "__main__":
    main()
