"""Write README.md's table of results and docs/reproductions.md from reproductions/*.yaml.

    python tools/figures.py            write them
    python tools/figures.py --check    only say whether they are up to date

Records with different protocols never stand in one table: each protocol gets its own, with its terms above it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from melink.errors import ConfigError
from melink.evaluate.agreement import ranking, terms
from melink.evaluate.measured import Row
from melink.evaluate.reproduction import Published, Reproduction, read_all

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = ROOT / "README.md"
PAGE: Final = ROOT / "docs" / "reproductions.md"
RECORDS: Final = ROOT / "reproductions"
BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
NOTE: Final = "<!-- made by tools/figures.py from reproductions/*.yaml; do not edit -->"
NONE: Final = "No figures have been recorded yet."
SLICE: Final = "ambiguous"
"""The slice that stands beside the whole split in the README."""
HEAD: Final = f"""\
# Reproductions

{NOTE}

Every figure in the README is recorded with the commands that gave it, and can be had again:

<!-- not run: needs the benchmark files -->
```bash
melink reproduce --list
melink reproduce names-wikimel --data data --dry-run     # the commands, to run by hand
melink reproduce names-wikimel --data data               # runs them and compares
```

Steps that are done are not done again: several reproductions share a knowledge base, and one that was stopped goes on.
At the end stand the published, the recorded and the new figures side by side. The exit status is 1 when a figure is
farther from the recorded one than its tolerance, or when the protocol is another; a knowledge base of the same size
with other content is told as a warning.

## The data

melink fetches nothing. `--data` (or `MELINK_DATA`) names a folder laid out like this:

| file | is |
|---|---|
| `wikimel/train.jsonl`, `wikimel/valid.jsonl` | WikiMEL, split by mention |
| `richpediamel/train.jsonl`, `richpediamel/valid.jsonl` | RichpediaMEL |
| `wikidiverse/train.jsonl`, `wikidiverse/valid.jsonl` | WikiDiverse, each sentence in one split |
| `kb/entities.jsonl.gz`, `kb/triples.tsv.gz`, `kb/relations.tsv` | the knowledge base, as `melink kb build` reads it |
| `images/index.csv` | pictures of entities and mentions |
| `slices/<benchmark>_valid_ambiguous.tsv` | ids of the mentions whose words are in the names of several entities |

Mentions come from the releases: `melink datasets convert wikimel RELEASE -o data/wikimel` writes the files of one
benchmark ([benchmarks](datasets.md)). The knowledge base of the recorded figures was put together from public snapshots
of Wikidata and from the entities that the authors of WikiMEL and RichpediaMEL released. It and the slices do not come
with melink. Whoever uses others gets other figures, and `melink reproduce` names the terms that differ.

## What is recorded

A figure is judged when it has a tolerance. Figures are shares in 0–1 but for the mean rank.
"""


def main() -> int:
    """Write the two files, or compare them with ``--check``."""
    records = read_all(RECORDS)
    wanted = {README: replaced(README.read_text(encoding="utf-8"), render(records)), PAGE: page(records)}
    if "--check" in sys.argv[1:]:
        return (
            0
            if all(path.is_file() and path.read_text(encoding="utf-8") == text for path, text in wanted.items())
            else 1
        )
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


def render(records: Iterable[Reproduction]) -> str:
    """Return the tables of the README, one for each protocol."""
    groups: dict[str, list[Reproduction]] = {}
    for record in records:
        groups.setdefault(terms(record.protocol), []).append(record)
    captions = [_caption(own) for own in groups.values()]
    tables = []
    for caption, (about, own) in zip(captions, groups.items(), strict=True):
        tables.append(f"{caption if captions.count(caption) == 1 else f'**{about}**'}\n\n{table(own)}")
    return "\n\n".join(tables) or NONE


def table(records: Sequence[Reproduction]) -> str:
    """Return one table: a row for each method, the weakest first; published figures of the same protocol below it."""
    nil = any(record.ours.overall.nil for record in records)
    heads = ["", "Hits@1", f"{SLICE} Hits@1", "Hits@3", "Hits@5", "MRR", *(["NIL F1"] if nil else [])]
    rows = [f"| {' | '.join(heads)} |", "|---|" + "--:|" * (len(heads) - 1)]
    for record in sorted(records, key=lambda each: (each.ours.get("hits@1") or 0, each.name)):
        ours = record.ours
        cells = [_first(ours.overall), _first(ours.slices.get(SLICE))]
        cells += [_share(ours.get(figure)) for figure in ("hits@3", "hits@5", "mrr")]
        rows.append(_cells([_linked(record), *cells, *([_share(ours.get("nil/f1"))] if nil else [])]))
        for paper in (each for each in record.published if each.differs is None):
            names = ("hits@1", f"{SLICE}/hits@1", "hits@3", "hits@5", "mrr", *(["nil/f1"] if nil else []))
            rows.append(
                _cells([f"{record.method}, published: {paper.source}", *map(_share, map(paper.figures.get, names))])
            )
    return "\n".join(rows)


def page(records: Iterable[Reproduction]) -> str:
    """Return docs/reproductions.md."""
    return "\n".join([HEAD, *map(section, records)])


def section(record: Reproduction) -> str:
    """Return what the page says about one record."""
    ours = record.ours
    names = dict.fromkeys(metric for row in (ours.overall, *ours.slices.values()) for metric in row.figures)
    rows = [_cells(["", "n", *(_title(name) for name in names)]), "|---|" + "--:|" * (len(names) + 1)]
    # a slice that holds every mention says nothing new
    slices = {name.replace("_", " "): row for name, row in ours.slices.items() if row.n != ours.overall.n}
    for name, row in {"all": ours.overall, **slices}.items():
        cells = [_first(row) if metric == "hits@1" else _value(metric, row.figures.get(metric)) for metric in names]
        rows.append(_cells([name, f"{row.n:,}", *cells]))
    commands = "\n".join(each.replace("{data}", "$DATA").replace("{seed}", "$SEED") for each in record.commands)
    return "\n".join(
        [
            f"### {record.name}\n",
            f"{record.method} on {terms(record.protocol)}.\n",
            *rows,
            "",
            *(f"- {line}" for line in _facts(record)),
            f"\n<!-- not run: needs the benchmark files -->\n```bash\n{commands}\n```\n",
        ]
    )


def _facts(record: Reproduction) -> list[str]:
    ours = record.ours
    nil = ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in ours.overall.nil.items())
    judged = ", ".join(f"{name} ± {value:g}" for name, value in record.tolerance.items())
    took = "" if record.minutes is None else f", {record.minutes:g} minutes{' for each seed' if ours.seeds else ''}"
    return [
        *([f"NIL: {nil}"] if nil else []),
        *(
            [f"mean ± standard deviation over the seeds {', '.join(map(str, ours.seeds))}"]
            if len(ours.seeds) > 1
            else []
        ),
        *(_paper(each) for each in record.published),
        *([f"no published figure: {record.unpublished}"] if record.unpublished else []),
        f"judged: {judged}",
        *(f"deviation: {each}" for each in record.deviations),
        f"{record.date}; {record.machine}{took}",
    ]


def _paper(each: Published) -> str:
    figures = ", ".join(f"{name} {_share(value)}" for name, value in each.figures.items())
    return f"published: {figures} ({each.source})" + (f"; another protocol: {each.differs}" if each.differs else "")


def _caption(records: Sequence[Reproduction]) -> str:
    """Return what stands above a table: the split, how many mentions, what was ranked."""
    ours, protocol = records[0].ours, records[0].protocol
    small = ours.slices.get(SLICE)
    counts = f"{ours.overall.n:,} mentions" + (f", {small.n:,} of them {SLICE}" if small else "")
    counts += f", and {ours.overall.nil['n_nil']:,} NIL" if ours.overall.nil else ""
    usual = protocol.ties == "mean" and protocol.miss_policy == "miss"
    rules = "" if usual else f"; ties: {protocol.ties}; gold that is no candidate: {protocol.miss_policy}"
    return f"**{protocol.split}** — {counts}; {protocol.kb}, {ranking(protocol)}{rules}"


def _linked(record: Reproduction) -> str:
    return f"[{record.method}](docs/{PAGE.name}#{''.join(c for c in record.name if c.isalnum() or c in '-_')})"


def _first(row: Row | None) -> str:
    """Return Hits@1 with its interval, or with its deviation over seeds."""
    if row is None:
        return ""
    bounds, deviation = row.ci95.get("hits@1"), row.sd.get("hits@1")
    spread = f" ({'–'.join(map(_share, bounds))})" if bounds else ""
    return _share(row.figures.get("hits@1")) + (spread if deviation is None else f" ± {_share(deviation)}")


def _title(metric: str) -> str:
    words = {"mrr": "MRR", "mr": "mean rank", "candidate_recall": "recall"}
    return words.get(metric, metric.capitalize())


def _value(metric: str, value: float | None) -> str:
    return f"{value:,.1f}" if metric == "mr" and value is not None else _share(value)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else _share(value)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".removeprefix("0") if value < 1 else "1"


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def replaced(text: str, block: str) -> str:
    """Return a text with the block between the marks replaced.

    Raises:
        ConfigError: The marks are not there.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"README.md has no {BEGIN} … {END}", "put the two comments where the table belongs")
    return f"{head}{BEGIN}\n{NOTE}\n\n{block}\n\n{END}{tail}"


if __name__ == "__main__":
    raise SystemExit(main())
