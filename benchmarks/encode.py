"""Encoding the persons with minilm, against a plain loop over batches in file order; then a second run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from common import main, timed
from melink.features.load import load_image, load_text
from melink.features.store import FeatureStore
from melink.features.text import entity_texts
from melink.kb.store import KnowledgeBase

SAMPLE = 1024


def measure(scratch: Path) -> dict[str, Any]:
    """Encode every person's text and every picture; compare rate and vectors with the plain loop on a sample."""
    kb = KnowledgeBase.open(scratch / "persons")
    encoder, store, result = load_text("minilm"), FeatureStore(kb.features_dir), {}
    texts = entity_texts(kb.view())
    sample = random.Random(0).sample(range(len(texts)), SAMPLE)
    with timed(result, "plain_loop_sample"):
        plain = plainly([texts[row] for row in sample])
    with timed(result, "encode"):
        table = store.encode(encoder, texts)
    with timed(result, "encode_again"):
        again = store.encode(encoder, texts)
    result["texts"], result["encoded_again"] = len(texts), again.encoded
    result["texts_per_second"] = round(len(texts) / result["encode_seconds"], 1)
    result["ratio_to_plain_loop"] = round(result["texts_per_second"] * result["plain_loop_sample_seconds"] / SAMPLE, 2)
    result["largest_difference"] = float(np.abs(plain - table.vectors(np.asarray(sample))).max())
    pictures = [path for paths in kb.view().column("images") for path in paths]
    with timed(result, "encode_pictures"):
        result["pictures"] = store.encode(load_image("classical"), pictures).encoded
    return result


def plainly(texts: list[str]) -> np.ndarray:
    """Encode as a first version would: batches of 32 in the order of the file, padded to the longest of each."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from melink.features.minilm import weights

    tokenizer, model = AutoTokenizer.from_pretrained(weights()), AutoModel.from_pretrained(weights()).eval()
    rows = []
    for start in range(0, len(texts), 32):
        batch = tokenizer(texts[start : start + 32], padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
            rows.append(torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1).numpy())
    return np.concatenate(rows)


if __name__ == "__main__":
    main(measure)
