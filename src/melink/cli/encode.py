"""``melink encode``: compute what methods need of a knowledge base, ahead of time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from melink.cli import options
from melink.cli.common import err, report, verb, write_json

if TYPE_CHECKING:
    from melink.errors import Problems
    from melink.kb.store import KnowledgeBase


@verb
def encode(
    kb: options.KB,
    text_encoder: Annotated[
        str, typer.Option("--text-encoder", help="minilm, or a Hugging Face name or path; 'none' for none.")
    ] = "minilm",
    image_encoder: Annotated[
        str, typer.Option("--image-encoder", help="classical, or a name or path; 'none' for none.")
    ] = "classical",
    encoder: options.DualEncoder = None,
    entity_text: Annotated[
        str, typer.Option("--entity-text", help="auto, description, attributes, extract, all, static or dynamic.")
    ] = "auto",
    tokens: Annotated[bool, typer.Option("--tokens", help="Also keep token and patch vectors (large).")] = False,
    json: options.Json = False,
    problems: Annotated[
        Path | None, typer.Option("--problems", help="Write every unreadable picture here, as JSONL.")
    ] = None,
) -> None:
    """Encode the texts and pictures of all entities; what is there already is not computed again.

    Examples:

        melink encode KB

        melink encode KB --encoder openai/clip-vit-base-patch32
    """
    from melink.errors import Problems
    from melink.features.load import load_image, load_pair, load_text
    from melink.kb.store import KnowledgeBase

    store, found = KnowledgeBase.open(kb), Problems(path=problems)
    if encoder is not None:
        chosen = list(load_pair(encoder))
    else:
        chosen = [
            load(name) for load, name in ((load_text, text_encoder), (load_image, image_encoder)) if name != "none"
        ]
    rows = [_one(store, each, entity_text, tokens, found) for each in chosen]
    if json:
        write_json({"encoded": rows, "problems": dict(found.counts)})
    else:
        for row in rows:
            err.print(
                f"{row['encoder']} ({row['modality']}): {row['encoded']:,} encoded, "
                f"{row['present']:,} of {row['items']:,} present, {row['seconds']:.1f} s"
                + (f"; missing: {row['missing']}" if row["missing"] else "")
            )
    report(found)


def _one(kb: KnowledgeBase, encoder: Any, entity_text: str, tokens: bool, problems: Problems) -> dict[str, Any]:
    from melink.features.store import FeatureStore
    from melink.features.text import entity_texts
    from melink.kb.texts import KINDS

    if entity_text in KINDS:
        kb, entity_text = kb.reading(entity_text), "auto"
    view = kb.view()
    if encoder.modality == "text":
        items = entity_texts(view, entity_text)
    else:
        items = [path for paths in view.column("images") for path in paths]
    began = time.perf_counter()
    table = FeatureStore(kb.features_dir).encode(encoder, items, tokens, problems)
    return {
        "encoder": encoder.name,
        "modality": encoder.modality,
        "items": len(items),
        "present": int(table.present.sum()),
        "encoded": table.encoded,
        "missing": dict(table.missing),
        "seconds": round(time.perf_counter() - began, 3),
    }
