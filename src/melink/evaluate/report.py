"""One self-contained page for an evaluation: figures with intervals, protocol, slices, plots, instructive mentions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from melink.evaluate import before_after, plots, svg
from melink.evaluate.cards import Lookup, card, legend
from melink.evaluate.instructive import ABOUT, instructive
from melink.evaluate.markup import document, text
from melink.evaluate.outcome import Outcome
from melink.evaluate.protocol import Protocol
from melink.evaluate.thumbnails import Thumbnails

_COLUMNS: Final = ("hits@1", "hits@3", "hits@5", "hits@10", "mrr", "mr", "candidate_recall")
_HEADLINE: Final = ("hits@1", "hits@5", "hits@10", "mrr", "candidate_recall")
_PLOTS: Final = (
    ("Hits@k", "Share of mentions whose right answer is among the first k.", plots.hits_curve),
    ("Rank of the right answer", "Per cent of mentions; a miss was not among the candidates.", plots.rank_histogram),
    ("What each part adds", "Mean score given to the right answer over its best rival.", plots.contributions),
    ("Right, by what decided", "Share of right answers (number of answers).", plots.deciders),
    ("Candidate recall", "Share of mentions whose right answer a generator proposed.", plots.recall_curve),
    ("Confidence", "Accuracy of the surest answers; it should fall to the right.", plots.confidence_curve),
    ("Reliability", "Accuracy over confidence (number of answers); off the line is wrong.", plots.reliability_diagram),
)


def report(
    result: Mapping[str, Any],
    outcomes: Sequence[Outcome],
    lookup: Lookup,
    title: str = "Evaluation",
    limit: int = 5,
) -> str:
    """Return the page.

    Args:
        result: What :func:`melink.evaluate.result.build_result` returned for these outcomes.
        outcomes: Judged mentions.
        lookup: Gives the entity of an id.
        title: Plain text.
        limit: Cards in each group of instructive mentions.
    """
    pictures = Thumbnails()
    body = (
        f"<header><h1>{text(title)}</h1>{_headline(result)}</header>"
        f"<h2>Protocol</h2>{_protocol(result)}<h2>Slices</h2>{_slices(result)}"
        f"{before_after.section(result)}"
        f'<h2>Plots</h2><div class="plots">{"".join(_plots(outcomes))}</div>'
        f"{_nil(result['overall']['nil'])}{_calibration(result['overall']['calibration'])}"
        f"{_mentions(outcomes, lookup, limit, pictures)}"
    )
    return document(title, body, styles=("page.css", "report.css"))


def share(value: float | None) -> str:
    """Return a share as per cent, a dash for None."""
    return "–" if value is None else f"{100 * value:.2f}%"


def _headline(result: Mapping[str, Any]) -> str:
    overall, cells = result["overall"], []
    for name in _HEADLINE:
        inside = overall["ci95"].get(name)
        reach = f"<small>{share(inside[0])} – {share(inside[1])}</small>" if inside else "<small>&nbsp;</small>"
        cells.append(f"<div><dt>{_title(name)}</dt><dd>{share(overall[name])}{reach}</dd></div>")
    counts = result["counts"]
    words = (
        f"{counts['linkable']:,} linkable mentions, {counts['nil']:,} NIL, {counts['unlabelled']:,} without gold, "
        f"{counts['passed_over']:,} rows passed over. "
        "Small figures: 95% bootstrap interval over sentences where they are known, else mentions."
    )
    protocol = Protocol.from_dict(result["protocol"])
    if protocol.exactness() != "exact":
        words += f" The ranking is {protocol.exactness()}."
    return f'<dl class="figures">{"".join(cells)}</dl><p class="counts">{words}</p>'


def _protocol(result: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{text(name)}</th><td>{text(value, 400)}</td></tr>"
        for name, value in Protocol.from_dict(result["protocol"]).items()
    )
    return f'<table class="plain">{rows}</table>'


def _slices(result: Mapping[str, Any]) -> str:
    heads = "".join(f"<th>{_title(name)}</th>" for name in _COLUMNS)
    everything = {"all": result["overall"], **result["slices"]}
    rows = "".join(_slice(name, figures) for name, figures in everything.items())
    top = f"<tr><th>slice</th><th>n</th>{heads}<th>answer right, NIL too</th><th>hits@1, 95%</th></tr>"
    return f'<div class="wide"><table class="plain figures-table">{top}{rows}</table></div>'


def _slice(name: str, figures: Mapping[str, Any]) -> str:
    cells = "".join(f"<td>{_cell(column, figures[column])}</td>" for column in _COLUMNS)
    cells += f"<td>{share(figures['nil']['accuracy'])}</td>"
    inside = figures["ci95"].get("hits@1")
    reach = svg.interval(inside[0], figures["hits@1"], inside[1]) if inside else ""
    unknown = f" ({figures['unknown_ids']:,} unknown ids)" if figures.get("unknown_ids") else ""
    return f"<tr><th>{text(name.replace('_', ' '))}{unknown}</th><td>{figures['n']:,}</td>{cells}<td>{reach}</td></tr>"


def _cell(column: str, value: float | None) -> str:
    return f"{value:,.1f}" if column == "mr" and value is not None else share(value)


def _plots(outcomes: Sequence[Outcome]) -> list[str]:
    drawn = [(name, about, draw(outcomes)) for name, about, draw in _PLOTS]
    return [f"<figure><h3>{name}</h3><p>{about}</p>{image}</figure>" for name, about, image in drawn if image]


def _nil(figures: Mapping[str, Any]) -> str:
    if not figures["n_nil"] and not figures["n_predicted"]:
        return ""
    names = ("precision", "recall", "f1", "auroc", "in_kb_accuracy", "accuracy")
    cells = "".join(f"<div><dt>{text(_title(name))}</dt><dd>{share(figures[name])}</dd></div>" for name in names)
    about = f"{figures['n_nil']:,} mentions are NIL; NIL was answered {figures['n_predicted']:,} times."
    return f'<h2>NIL</h2><p class="counts">{about}</p><dl class="figures">{cells}</dl>'


def _calibration(figures: Mapping[str, Any]) -> str:
    if not figures["n"]:
        return ""
    names = {"ece": "calibration error", "brier": "Brier score", "aurc": "area of risk over coverage"}
    cells = "".join(f"<div><dt>{name}</dt><dd>{figures[key]:.4f}</dd></div>" for key, name in names.items())
    about = f"Probabilities of {figures['n']:,} answers, NIL included; lower is better, 0 is perfect."
    return f'<h2>Calibration</h2><p class="counts">{about}</p><dl class="figures">{cells}</dl>'


def _mentions(outcomes: Sequence[Outcome], lookup: Lookup, limit: int, pictures: Thumbnails) -> str:
    groups = instructive(outcomes, limit)
    found = []
    for name, group in groups.items():
        cards = "".join(card(outcome, lookup, thumbnails=pictures) for outcome in group)
        found.append(f'<h2>{name}</h2><p class="counts">{ABOUT[name]}</p>{cards}')
    return f"<h2>Instructive mentions</h2>{legend()}{''.join(found)}" if found else ""


def _title(name: str) -> str:
    words = {"mrr": "MRR", "mr": "mean rank", "f1": "F1", "auroc": "AUROC", "in_kb_accuracy": "accuracy in the KB"}
    return words.get(name, name.replace("_", " ").capitalize())
