"""Ranking the whole knowledge base and linking, against one mention at a time with the same scores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from common import data_folder, main, timed
from melink.candidates.name_score import similarity
from melink.datasets.mentions import read_mentions
from melink.evaluate.run import rank_full
from melink.features.text import entity_texts, mention_text
from melink.kb.store import KnowledgeBase
from melink.linker import Linker, assemble
from melink.methods.triple_score import context_words, coverage, tail_words
from melink.records import Labelled
from melink.runs import read_run

PLAIN = 3


def measure(scratch: Path) -> dict[str, Any]:
    """Return mentions per second of evaluate (exact, 34,662 entities) and of link, and the ratio to the plain loop."""
    kb = KnowledgeBase.open(scratch / "persons")
    linker = assemble(read_run("zeroshot"), kb)
    samples = list(read_mentions(data_folder() / "wikimel" / "valid.jsonl"))
    result: dict[str, Any] = {"entities": len(kb), "mentions": len(samples)}
    with timed(result, "rank_all"):
        ranked = rank_full(linker, samples)
    began = time.perf_counter()
    plain = [plainly(linker, sample) for sample in samples[:PLAIN]]
    each = (time.perf_counter() - began) / PLAIN
    result["ranked_per_second"] = round(len(samples) / result["rank_all_seconds"], 2)
    result["plain_seconds_per_mention"] = round(each, 3)
    result["ratio_to_plain_loop"] = round(result["ranked_per_second"] * each, 1)
    result["same_ranks"] = plain == ranked.ranks[:PLAIN]
    with timed(result, "link"):
        linker.link([sample.mention for sample in samples], top=10)
    result["linked_per_second"] = round(len(samples) / result["link_seconds"], 2)
    return result


def plainly(linker: Linker, sample: Labelled) -> float:
    """Rank one mention as a first version would: a loop over entities, each pair scored by the written formulas."""
    method, view = linker.method, linker.kb.view()
    weights, context = method.settings()["weights"], method.context
    own = context.store.encode(context.text, [mention_text(sample.mention)]).vectors()[0]
    vectors = context.store.encode(context.text, entity_texts(view)).vectors()
    words, scores = context_words(sample.mention), np.zeros(len(view), np.float32)
    for row in range(len(view)):
        names = (view.labels[row], *view.column("aliases")[row])
        name = max(similarity(sample.mention.surface, each) for each in names)
        missed = 1.0
        for tail, kept in {(t.tail, tail_words(t)) for t in view.triples(row)}:
            missed *= 1 - 0.9 * coverage(kept, words) * method._facts.rarity(tail)
        text = float(own @ vectors[row]) - method.neutral["text"]
        scores[row] = weights["name"] * name + weights["triples"] * (1 - missed) + weights["text"] * text
    rounded = np.round(scores, 5)
    gold = rounded[view.row(sample.gold or "")]
    return float(1 + (rounded > gold).sum() + ((rounded == gold).sum() - 1) / 2)


if __name__ == "__main__":
    main(measure)
