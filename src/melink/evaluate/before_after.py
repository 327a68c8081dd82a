"""The reranker in the report: figures before and after, how gold moved (FissFuse paper, Figure 9), whom to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from melink.evaluate.markup import text
from melink.evaluate.plots import asked_plot
from melink.evaluate.svg import WIDTH

_FIGURES: Final = {"hits@1": "Hits@1", "hits@3": "Hits@3", "hits@5": "Hits@5", "hits@10": "Hits@10", "mrr": "MRR"}
_LEFT: Final = 70
_TOP: Final = 44


def section(result: Mapping[str, Any]) -> str:
    """Return the HTML of a result's reranker; nothing when it has none."""
    found = result.get("rerank")
    if not found:
        return ""
    picture = grid(found["matrix"]["ranks"], found["matrix"]["counts"])
    about = (
        "Mentions by the rank of the right answer before (rows) and after (columns): above the diagonal it fell, below "
        "it rose. Strength of colour: share of the row."
    )
    return (
        f'<h2>Reranked by {text(found["by"])}</h2><p class="counts">{_words(found)}</p>{_table(result)}'
        f'<div class="plots"><figure><h3>How the right answer moved</h3><p>{about}</p>{picture}</figure>'
        f"{_asked(found)}</div>"
    )


def _asked(found: Mapping[str, Any]) -> str:
    """Return Hits@1 over the share of mentions asked about; nothing when some were passed over as sure."""
    points = found.get("asked_curve", ())
    if len(points) < 2:
        return ""
    plot = asked_plot({found["by"]: points})
    about = "Hits@1 when only so many mentions are asked about, those first whose first two scores are closest."
    return f"<figure><h3>Whom to ask about</h3><p>{about}</p>{plot}</figure>"


def grid(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Return counts as a picture: one cell for each pair of classes, as dark as its share of the row.

    Args:
        names: Classes, of rows and of columns.
        counts: Row by row.
    """
    wide = (WIDTH - _LEFT - 6) / len(names)
    tall = min(wide, 34.0)
    cells = [
        f'<text class="axis" x="{_LEFT + wide * len(names) / 2:.1f}" y="14" text-anchor="middle">rank after</text>',
        '<text class="axis" x="2" y="14">before</text>',
    ]
    for at, name in enumerate(names):
        middle = _LEFT + (at + 0.5) * wide
        cells.append(f'<text class="axis" x="{middle:.1f}" y="{_TOP - 8}" text-anchor="middle">{text(name)}</text>')
    for row, (name, own) in enumerate(zip(names, counts, strict=True)):
        y, whole = _TOP + row * tall, max(sum(own), 1)
        base = y + tall / 2 + 4
        cells.append(f'<text class="axis" x="{_LEFT - 8}" y="{base:.1f}" text-anchor="end">{text(name)}</text>')
        for column, count in enumerate(own):
            x, kind = _LEFT + column * wide, "series0" if column == row else "good" if column < row else "poor"
            dark = 0.04 + 0.66 * count / whole
            cells.append(
                f'<rect class="{kind}" fill-opacity="{dark:.3f}" x="{x + 1:.1f}" y="{y + 1:.1f}" '
                f'width="{wide - 2:.1f}" height="{tall - 2:.1f}" rx="2"/>'
            )
            if count:
                cells.append(f'<text x="{x + wide / 2:.1f}" y="{base:.1f}" text-anchor="middle">{count:,}</text>')
    height = _TOP + tall * len(names) + 6
    head = f'<svg class="plot" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="ranks before and after">'
    return f'{head}<g font-size="{11 if len(names) < 9 else 9}">{"".join(cells)}</g></svg>'


def lines(result: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return, for a table, each slice with its number of mentions and ``before → after`` of each figure in per cent."""
    found = result["rerank"]["before"]
    pairs = {"all": (found["overall"], result["overall"])}
    pairs |= {name: (found["slices"][name], row) for name, row in result["slices"].items() if name in found["slices"]}
    return [
        (name, [f"{after['n']:,}", *(_change(before[key], after[key]) for key in _FIGURES)])
        for name, (before, after) in pairs.items()
    ]


def heads() -> list[str]:
    """Return the heads of the columns of :func:`lines`."""
    return ["", "n", *_FIGURES.values()]


def _change(before: float | None, after: float | None) -> str:
    return "–" if before is None or after is None else f"{100 * before:.2f} → {100 * after:.2f}"


def _table(result: Mapping[str, Any]) -> str:
    top = "".join(f"<th>{head}</th>" for head in heads())
    rows = "".join(
        f"<tr><th>{text(name.replace('_', ' '))}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for name, cells in lines(result)
    )
    return f'<div class="wide"><table class="plain figures-table"><tr>{top}</tr>{rows}</table></div>'


def _words(found: Mapping[str, Any]) -> str:
    counts, each, usage = found["counts"], found["per_mention"], found["usage"]
    said = (
        f"The first {found['k']:,} candidates of {counts['asked']:,} of {counts['mentions']:,} mentions were looked at "
        f"again; {counts['answered']:,} answers counted, {counts['changed']:,} put another candidate first."
    )
    left = {**counts["passed_over"], **counts["failures"]}
    if left:
        said += f" Left as they were: {', '.join(f'{n:,} {text(why)}' for why, n in left.items())}."
    if counts["agreement"]["mean"] is not None:
        said += f" Agreement between orders of the same list: {counts['agreement']['mean']:.3f} on average."
    if "tokens_in" in each:
        said += f" {each['tokens_in']:,.0f} + {each['tokens_out']:,.1f} tokens for each mention asked about"
        said += f"; {usage.get('cached', 0):,} of {usage.get('prompts', 0):,} answers from the cache."
    return said
