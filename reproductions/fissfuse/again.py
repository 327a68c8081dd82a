"""A trained FissFuse with a reranker behind it: KAR on ambiguous mentions, the cross-encoder on all of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

sys.path += [str(Path(__file__).resolve().parent.parent / name) for name in ("kgmel_rerank", "cross_encoder")]

KAR: Final = 5
"""Candidates that the language model chooses from."""
LIST: Final = 100


class Asked:
    """What decides a cell beside the system.

    Args:
        data: Folder of the benchmark data.
        output: Folder of the study.
        name: Benchmark.
        seed: Of FissFuse and of the cross-encoder.
        mentions: Ambiguous mentions that the language model is asked about.
        url: Its server; the bundled small model when None.
        model: Its name there.
        readers: Folder of ``reproductions/cross_encoder/study.py``, whose network reads; trained here when None.
    """

    def __init__(
        self,
        data: Path,
        output: Path,
        name: str,
        seed: int,
        mentions: int,
        url: str | None,
        model: str,
        readers: Path | None = None,
    ) -> None:
        self.data, self.output, self.name, self.seed = data, output, name, seed
        self.mentions, self.url, self.model, self.readers = mentions, url, model, readers

    @property
    def run(self) -> Path:
        """Folder of the trained FissFuse."""
        return self.output / "runs" / f"{self.name}-{self.seed}"


def save(method: Any, run: Any, asked: Asked) -> None:
    """Write a trained method as a run directory that ranks given lists."""
    from melink.runs import write_run

    asked.run.mkdir(parents=True, exist_ok=True)
    made = run.model_copy(update={"settings": method.settings(), "generators": ("given",), "k": LIST})
    write_run(made.model_copy(update=method.save(asked.run)), asked.run, method.paper)


def retriever(kb: Any, asked: Asked, valid: Sequence[Any]) -> Any:
    """Return FissFuse on the fused lists, its confidence fitted on validation as ``melink train`` fits it."""
    from melink.datasets.files import replacing
    from melink.linker import assemble
    from melink.runs import read_run, write_run
    from melink.train.fit import fit

    both = asked.output / "lists" / f"{asked.name}.jsonl"
    if not both.is_file():
        with replacing(both) as out:
            out.write(b"".join((both.parent / f"{asked.name}-{s}.jsonl").read_bytes() for s in ("train", "valid")))
    run = read_run(asked.run)
    linker = assemble(run, kb, both)
    if run.metrics is None:
        found = fit(linker, valid)
        run = run.model_copy(update={"settings": found.settings, "metrics": found.metrics})
        write_run(run, asked.run, linker.method.paper)
        linker = assemble(read_run(asked.run), kb, both)
    return linker


def kar(kb: Any, asked: Asked, train: Sequence[Any], valid: Sequence[Any], hard: set[str]) -> dict[str, Any]:
    """Let a language model choose among the first few candidates of ambiguous mentions."""
    from local import ambiguous, serving

    some = [row["id"] for row in ambiguous(asked.data, asked.name)[: asked.mentions]]
    sample = [each for each in valid if each.mention.id in some]
    with contextlib.nullcontext(asked.url) if asked.url else serving() as url:
        llm = {"url": url, "model": asked.model, "identity": asked.url or "bundled", "timeout": 600, "concurrency": 1}
        cache = str(asked.output / "answers.sqlite")
        plan = {"name": "kar", "k": KAR, "llm": {**llm, "images": "never"}, "cache": cache}
        return moved(retriever(kb, asked, valid), plan, sample, hard)


def figures(kb: Any, asked: Asked, train: Sequence[Any], valid: Sequence[Any], hard: set[str]) -> dict[str, Any]:
    """Train a cross-encoder of figures alone for this FissFuse."""
    return crossed(kb, asked, train, valid, hard, None)


def read(kb: Any, asked: Asked, train: Sequence[Any], valid: Sequence[Any], hard: set[str]) -> dict[str, Any]:
    """Train a cross-encoder that reads for this FissFuse."""
    return crossed(kb, asked, train, valid, hard, "minilm")


def crossed(
    kb: Any, asked: Asked, train: Sequence[Any], valid: Sequence[Any], hard: set[str], encoder: str | None
) -> dict[str, Any]:
    """Train a cross-encoder for this FissFuse; its training lists are those of zeroshot."""
    from judge import K, judged

    from melink.linker import assemble
    from melink.rerank.base import Scope
    from melink.rerank.cross_encoder import NAME
    from melink.rerank.cross_model import CrossSettings
    from melink.runs import Run
    from melink.train.cross_refit import refit
    from melink.train.reranker import Recipe, train_reranker

    folder = asked.output / "rerankers" / f"{asked.name}-{encoder or 'figures'}-{asked.seed}"
    lists = asked.output / "rerankers" / "lists"
    linker, scope = retriever(kb, asked, valid), Scope(k=K, probability=0.98)
    made = asked.readers / "rerankers" / f"{asked.name}-0" if encoder and asked.readers else None
    if made is not None and not (folder / NAME).is_file():
        refit(linker, valid, folder, made, Recipe(scope=scope), lists=lists)
    if not (folder / NAME).is_file():
        plain = Run(method="zeroshot", image_encoder=None, generators=("given",), k=LIST)
        lister = assemble(plain, kb, asked.output / "lists" / f"{asked.name}.jsonl")
        settings = CrossSettings(encoder=encoder)
        recipe = Recipe(settings=settings, scope=scope, train={"seed": asked.seed})
        resume = (folder / "checkpoint").is_dir()
        train_reranker(linker, (train, valid), folder, recipe, lister, resume=resume, cpu=True, lists=lists)
    found = judged(linker, valid, folder, lists, hard, full=False)
    row = "reading" if encoder and "reading" in found["rows"] else "own"
    count = {"all": found["n"], "ambiguous": found["n ambiguous"]}
    parts = {part: {"n": n, "hits@1": found["rows"][row][part], "candidate_recall": None} for part, n in count.items()}
    parts |= {f"before {part}": {"hits@1": found["rows"]["retrieval"][part]} for part in count}
    return {**parts, "row": row, "detail": found}


RERANKERS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "kar": kar,
    "cross-encoder, figures": figures,
    "cross-encoder": read,
}


def moved(linker: Any, plan: dict[str, Any], samples: Sequence[Any], hard: set[str]) -> dict[str, Any]:
    """Return figures of the lists before and after a reranker."""
    from melink.evaluate.metrics import summarise
    from melink.evaluate.reranked import reranked
    from melink.evaluate.run import outcomes, rank_candidates
    from melink.rerank.again import Count
    from melink.rerank.base import load_reranker

    reranker = load_reranker(plan, linker.method.context)
    linker.reranker = reranker  # so that outcomes carry all that it looks at
    before = outcomes(linker, samples, rank_candidates(linker, samples, LIST))
    after = reranked(reranker, before, linker.kb)
    count = Count()
    count.add(outcome.link for outcome in after)
    ambiguous = [place for place, sample in enumerate(samples) if sample.mention.id in hard]
    ks = (1, 2, 3, 5)
    found = {"all": after, "before all": before}
    made = {part: summarise([outcome.rank for outcome in own], ks=ks) for part, own in found.items()}
    made["ambiguous"] = summarise([after[place].rank for place in ambiguous], ks=ks)
    made["before ambiguous"] = summarise([before[place].rank for place in ambiguous], ks=ks)
    return {**made, "counts": count.to_dict(), "usage": reranker.usage()}
