"""``melink evaluate --fit-margin``: fit on validation where a reranker need not be asked, and keep it in a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melink.cli.common import err

if TYPE_CHECKING:
    from melink.evaluate.outcome import Outcome
    from melink.linker import Linker


def check(linker: Linker, mentions: str) -> None:
    """Refuse what no margin can be fitted on, before any work.

    Raises:
        ConfigError: No reranker, or one that would not be asked about everybody: a margin, a budget.
        InputError: Mentions that no run can name.
    """
    from melink.errors import ConfigError, InputError

    if linker.reranker is None:
        raise ConfigError("--fit-margin without a reranker", "name one with --rerank")
    scope = linker.reranker.scope
    if scope.margin is not None or scope.probability is not None:
        raise ConfigError(
            "a margin is fitted on mentions that were all asked about",
            "add --set rerank.margin=null --set rerank.probability=null",
        )
    llm = (linker.run.rerank or {}).get("llm") or {}
    if limits := [name for name in ("max_requests", "max_cost") if llm.get(name) is not None]:
        raise ConfigError(
            f"a margin is fitted on mentions that were all asked about, and {' and '.join(limits)} may end that",
            "leave the budget out, or give fewer mentions; what is answered already is not asked again",
        )
    if mentions == "-":
        raise InputError("--fit-margin notes which file it was fitted on", "save standard input to a file first")


def fit(
    linker: Linker,
    outcomes: tuple[Sequence[Outcome], Sequence[Outcome]],
    mentions: str,
    folder: Path,
    generators: tuple[str, ...],
) -> dict[str, Any]:
    """Fit a margin, say what it saves and may lose, and write a run directory that has it.

    Args:
        linker: Who was evaluated.
        outcomes: Before and after the reranker, all validation mentions asked about.
        mentions: Their file.
        folder: Run directory to write.
        generators: Those of the run; an evaluation of the whole knowledge base needs none.

    Returns:
        The fitted gate (:class:`melink.evaluate.gate.Gate`) as plain values.
    """
    from melink.evaluate.gate import Both, fit_margin
    from melink.evaluate.protocol import file_hash
    from melink.runs import copy_own, write_run

    gate = fit_margin(Both.of(*outcomes))
    fitted_on = {"file": Path(mentions).name, "sha256": file_hash(mentions)}
    plan = {**(linker.run.rerank or {}), "margin": gate.margin, "fitted_on": fitted_on}
    run = linker.run.model_copy(update={"rerank": plan, "generators": generators})
    copy_own(run, folder)
    write_run(run, folder, linker.method.paper)
    err.print(f"{gate}; wrote {folder}", markup=False)
    return gate.to_dict()
