"""A trained cross-encoder for another retriever: its network as it is, only the last word fitted anew.

What the network learnt is the retriever's business in nothing: it never saw its scores. How much it counts beside them
is, and so is which of the retriever's parts count beside both (:mod:`melink.rerank.cross_blend`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from melink.errors import ConfigError, InputError
from melink.linker import Linker, states
from melink.records import Labelled
from melink.rerank.cross_encoder import Reader, Saved, read_net, read_saved
from melink.train.cross_lists import retrieved
from melink.train.loop import refuse_leftovers
from melink.train.reranker import Recipe, School, write


def refit(
    linker: Linker,
    valid: Sequence[Labelled],
    folder: Path,
    source: Path,
    recipe: Recipe,
    fitted_on: Mapping[str, str] | None = None,
    lists: Path | None = None,
) -> Saved:
    """Fit the last word of a trained cross-encoder for a retriever, and write both as a folder of their own.

    Args:
        linker: The retriever; without a reranker.
        valid: Validation mentions, which the last word is fitted on.
        folder: Where to write.
        source: The trained cross-encoder.
        recipe: Its scope and its candidates count; the settings of the network are those of ``source``.
        fitted_on: What the folder says about the validation file.
        lists: Where retrieved lists are kept; in the folder when None.

    Raises:
        NotFound, InputError: No trained cross-encoder there; nothing to validate with, or what its network learnt from.
        ConfigError: The folder holds a training, or is ``source``.
    """
    refuse_leftovers(folder, False)
    if folder.resolve() == source.resolve():
        raise ConfigError(f"{folder} is the trained cross-encoder itself", "choose another -o: nothing is lost then")
    before = read_saved(str(source))
    learnt = {name: value for name, value in before.fitted_on.items() if name not in ("file", "sha256")}
    if (fitted_on or {}).get("sha256") in learnt.values():
        raise InputError("the network was trained on these validation mentions", "give it mentions that it never met")
    recipe = recipe.model_copy(update={"settings": before.settings})
    net = read_net(source, before)
    valid = [sample for sample in valid if linker.kb.view().row(sample.gold or "") is not None]
    links = retrieved(linker, valid, recipe.scope.k, recipe.candidates == "full", lists or folder / "lists")
    parts = sorted({part for link in links for candidate in link.candidates for part in candidate.parts})
    school = School(linker.kb, Reader(net, linker.kb, parts), recipe)
    saved = school.closed(school.judged(valid, links), links, 1 / linker.method.confidence.temperature)
    if "reading" not in saved.blend.weights and net.reads:
        net = net.without_reading()
    trained = {name: value for name, value in before.metrics.items() if not name.startswith(("validation", "kept"))}
    return write(
        net,
        saved.model_copy(
            update={
                "settings": net.settings,
                "retriever": states(linker),
                "fitted_on": {**learnt, **(fitted_on or {})},
                "metrics": {**trained, "network of": before.digest[:16], **saved.metrics},
            }
        ),
        folder,
    )
