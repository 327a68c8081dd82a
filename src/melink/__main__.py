"""``python -m melink``: the command line, where no script is on the path."""

from __future__ import annotations

from melink.cli.main import app

if __name__ == "__main__":
    app(prog_name="melink")
