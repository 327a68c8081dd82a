"""Write the table of figures in README.md from reproductions/*.yaml (their keys: reproductions/README.md).

    python tools/figures.py            write it
    python tools/figures.py --check    only say whether it is up to date

Records with different protocols never stand in one table: each protocol gets its own, with its terms above it.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import Field

from melink.config import Config, parse
from melink.errors import ConfigError

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = ROOT / "README.md"
RECORDS: Final = ROOT / "reproductions"
BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
NOTE: Final = "<!-- made by tools/figures.py from reproductions/*.yaml; do not edit -->"
NONE: Final = "No figures have been recorded yet."


class Record(Config):
    """One file of reproductions/; reproductions/README.md says what each key holds."""

    name: str
    command: str
    protocol: dict[str, Any]
    published: str | None
    ours: dict[str, Any]
    slices: Mapping[str, dict[str, Any]] = Field(default_factory=dict)
    date: datetime.date
    machine: str
    deviations: str | list[str] | None = None


def main() -> int:
    """Write the block, or compare it with ``--check``."""
    text = README.read_text(encoding="utf-8")
    wanted = replaced(text, render(read_records(RECORDS)))
    if "--check" in sys.argv[1:]:
        return 0 if wanted == text else 1
    README.write_text(wanted, encoding="utf-8")
    return 0


def read_records(folder: Path) -> list[Record]:
    """Read every record, in order of file name.

    Raises:
        ConfigError: Not YAML, a key that is missing or unknown, or one of the wrong type; names the file.
    """
    records = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ConfigError(f"{path}: {error}", "see reproductions/README.md") from error
        if not isinstance(data, dict):
            raise ConfigError(f"{path}: expected keys and values", "see reproductions/README.md")
        records.append(parse(Record, data, str(path)))
    return records


def render(records: Iterable[Record]) -> str:
    """Return the tables, one for each protocol."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(terms(record.protocol), []).append(record)
    return "\n\n".join(f"{about}\n\n{table(own)}" for about, own in groups.items()) or NONE


def terms(protocol: Mapping[str, Any]) -> str:
    """Return a protocol in one line."""
    words = "; ".join(f"{str(key).replace('_', ' ')}: {_plain(value)}" for key, value in protocol.items())
    return f"**Protocol** — {words}"


def table(records: Iterable[Record]) -> str:
    """Return the table of some records, each with its slices below it, and their footnotes."""
    rows = ["| | n | Hits@1 | 95 % | Hits@3 | Hits@5 | MRR |", "|---|--:|--:|:-:|--:|--:|--:|"]
    notes = []
    for record in records:
        rows.append(_row(record.name, record.ours))
        rows += [_row(f"– {name.replace('_', ' ')}", figures) for name, figures in record.slices.items()]
        notes.append(_note(record))
    about = "<details><summary>Commands, machines, deviations</summary>"
    return "\n".join([*rows, "", about, "", "\n\n".join(notes), "", "</details>"])


def _note(record: Record) -> str:
    """Return what stands below the table about one record."""
    said = record.deviations or []
    deviations = "; ".join([said] if isinstance(said, str) else said)
    published = f"published: {record.published}" if record.published else "no published figure for this protocol"
    words = [record.name, str(record.date), record.machine, published, deviations and f"deviations: {deviations}"]
    return f"{'; '.join(filter(None, words))}\n\n```text\n{record.command.strip()}\n```"


def _row(name: str, figures: Mapping[str, Any]) -> str:
    interval = figures.get("ci95")
    if isinstance(interval, Mapping):
        interval = interval.get("hits@1")
    spread = "–".join(_share(value) for value in interval) if interval else ""
    n = figures.get("n")
    shares = {key: _share(figures.get(key)) for key in ("hits@1", "hits@3", "hits@5", "mrr")}
    first, *rest = shares.values()
    return f"| {' | '.join([name, '' if n is None else f'{n:,}', first, spread, *rest])} |"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".removeprefix("0")


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


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
