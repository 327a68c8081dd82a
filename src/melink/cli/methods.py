"""``melink methods``: what can link, where it comes from, what it needs."""

from __future__ import annotations

from melink import registry
from melink.cli import options
from melink.cli.common import verb, write_json


@verb
def methods(json: options.Json = False) -> None:
    """List the methods: name, paper, what each reads, whether it trains.

    Examples:

        melink methods

        melink methods --json
    """
    rows = []
    for name in registry.names("method"):
        kind = registry.load("method", name)
        rows.append({"name": name, "paper": kind.paper, "needs": sorted(kind.needs), "trains": kind.trains})
    if json:
        write_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "needs", "trains", "from")
    for row in rows:
        table.add_row(row["name"], ", ".join(row["needs"]), "yes" if row["trains"] else "no", row["paper"])
    Console().print(table)
