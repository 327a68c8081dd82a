"""A comparison as tables: plain cells, which the terminal prints, and the same as Markdown and as a page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from melink.evaluate.compare import METRICS, Comparison, Figure, Part, Row
from melink.evaluate.markup import document, plain, text
from melink.evaluate.paired import Difference

HEADS: Final = ("system", "reads", "Hits@1", "Hits@3", "Hits@5", "Hits@10", "MRR", "Δ Hits@1 (95 %)", "p")
_SHARED: Final = ("ranked", "knowledge base", "ties", "gold not among the candidates", "mentions")
_STARS: Final = ((0.01, "‡"), (0.05, "†"))
_SPECIAL: Final = re.compile(r"([\\`*_\[\]|~#])")


@dataclass(frozen=True, slots=True)
class Cell:
    """Plain text, bold where it is the best of its column."""

    text: str
    best: bool = False


def title(part: Part, by_sentence: bool) -> str:
    """Return what stands above a table."""
    sentences = f" of {part.sentences:,} sentences" if by_sentence else ""
    return f"{plain(part.name).replace('_', ' ')}: {part.mentions:,} mentions{sentences}"


def cells(part: Part) -> list[list[Cell]]:
    """Return the rows of a table, in the columns of :data:`HEADS`; shares in per cent."""
    best = {metric: max(_shown(row.figures[metric].mean) for row in part.rows) for metric in METRICS}
    return [
        [
            Cell(_name(row)),
            Cell(plain(row.system.reads)),
            *(_figure(row, metric, best[metric]) for metric in METRICS),
            Cell(_gain(row.differences.get("hits@1"))),
            Cell(_p(row.differences.get("hits@1"))),
        ]
        for row in part.rows
    ]


def notes(comparison: Comparison) -> list[str]:
    """Return what a reader must know to read the tables, one paragraph each."""
    drawn, rivals = "sentences" if comparison.by_sentence else "mentions", len(comparison.systems) - 1
    draws = f"{comparison.resamples:,} resamples, seed {comparison.seed}"
    corrected = f", Holm-corrected for {rivals} systems, each metric and slice apart" if rivals > 1 else ""
    found = [
        f"Per cent; bold: best of the column. † p < 0.05, ‡ p < 0.01: differs from {comparison.baseline.name}, "
        f"two-sided paired bootstrap over {drawn} ({draws}){corrected}. "
        "The t-test is in --json. Reads: which text of the same knowledge base the system reads."
    ]
    if any(len(system.results) > 1 for system in comparison.systems):
        found.append(
            "±: standard deviation over seeds. Differences and p are of the mean over the seeds; they say what other "
            f"{drawn} would give, not what another seed would."
        )
    if comparison.left_out:
        names = ", ".join(comparison.left_out)
        found.append(f"Slices left out because they do not hold the same mentions in all results: {names}.")
    shared = dict(comparison.baseline.results[0].protocol.items())
    found.append(f"Protocol: {'; '.join(f'{name}: {shared[name]}' for name in _SHARED)}.")
    return [plain(note) for note in found]


def sources(comparison: Comparison) -> list[str]:
    """Return one line for each result: system, file, and what of its protocol is its own."""
    return [
        f"{system.name}: {result.path}; "
        + "; ".join(f"{name}: {value}" for name, value in result.protocol.items() if name not in _SHARED)
        for system in comparison.systems
        for result in system.results
    ]


def markdown(comparison: Comparison) -> str:
    """Return the tables as Markdown; what comes from files is escaped."""
    lines = []
    for part in comparison.parts:
        lines += [f"### {_md(title(part, comparison.by_sentence))}", ""]
        lines += [f"| {' | '.join(map(_md, HEADS))} |", f"|---|---|{'--:|' * (len(HEADS) - 2)}"]
        for row in cells(part):
            lines.append(f"| {' | '.join(f'**{_md(c.text)}**' if c.best else _md(c.text) for c in row)} |")
        lines.append("")
    lines += [paragraph for note in notes(comparison) for paragraph in (_md(note), "")]
    lines += [f"- {_md(source)}" for source in sources(comparison)]
    return "\n".join(lines) + "\n"


def html(comparison: Comparison, name: str = "Comparison") -> str:
    """Return the tables as one self-contained page; what comes from files is escaped."""
    heads = "".join(f"<th>{text(head)}</th>" for head in HEADS)
    body = [f"<header><h1>{text(name)}</h1></header>"]
    for part in comparison.parts:
        rows = "".join(f"<tr>{''.join(map(_td, row))}</tr>" for row in cells(part))
        body.append(f"<h2>{text(title(part, comparison.by_sentence))}</h2>")
        body.append(f'<div class="wide"><table class="plain figures-table"><tr>{heads}</tr>{rows}</table></div>')
    body += [f'<p class="counts">{text(note, 2000)}</p>' for note in notes(comparison)]
    lines = "".join(f"<li>{text(source, 2000)}</li>" for source in sources(comparison))
    body.append(f'<h2>Results</h2><ul class="counts">{lines}</ul>')
    return document(name, "\n".join(body), styles=("page.css", "report.css"))


def _td(cell: Cell) -> str:
    return f"<td><b>{text(cell.text)}</b></td>" if cell.best else f"<td>{text(cell.text)}</td>"


def _md(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", text(value, 2000).replace("&quot;", '"').replace("&#x27;", "'"))


def _name(row: Row) -> str:
    seeds = len(row.system.results)
    return plain(row.system.name) + (f" ({seeds} seeds)" if seeds > 1 else "")


def _shown(share: float) -> float:
    return round(100 * share, 2)


def _figure(row: Row, metric: str, best: float) -> Cell:
    figure: Figure = row.figures[metric]
    spread = "" if figure.sd is None else f" ± {100 * figure.sd:.2f}"
    apart = row.differences.get(metric)
    mark = "" if apart is None else next((star for bound, star in _STARS if apart.p_holm < bound), "")
    return Cell(f"{_shown(figure.mean):.2f}{spread}{mark}", _shown(figure.mean) == best)


def _gain(apart: Difference | None) -> str:
    if apart is None:
        return "–"
    return f"{100 * apart.mean:+.2f} ({100 * apart.low:+.2f} to {100 * apart.high:+.2f})"


def _p(apart: Difference | None) -> str:
    return "–" if apart is None else "<0.001" if apart.p_holm < 0.001 else f"{apart.p_holm:.3f}"
