"""What happened at each step, as CSV: ``steps.csv`` in the run directory."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import IO, Any, Final

from melink.datasets.files import replacing

COLUMNS: Final = ("step", "epoch", "loss", "rate", "seconds")


class StepLog:
    """Appends a row per step.

    Args:
        folder: The run directory.
        step: Rows after this step are dropped: they will happen again.
    """

    def __init__(self, folder: Path, step: int) -> None:
        file = folder / "steps.csv"
        rows: list[list[str]] = []
        if step and file.is_file():
            with file.open(newline="") as old:
                rows = [
                    row
                    for row in csv.reader(old)
                    if len(row) == len(COLUMNS) and row[0].isdigit() and int(row[0]) <= step
                ]
        with replacing(file) as out:
            out.write("".join(",".join(row) + "\n" for row in [list(COLUMNS), *rows]).encode())
        self._file: IO[str] = file.open("a", newline="", buffering=1)
        self._writer: Any = csv.writer(self._file, lineterminator="\n")

    def row(self, step: int, epoch: int, loss: float, rate: float, seconds: float) -> None:
        """Append a row; losses keep all their digits."""
        self._writer.writerow([step, epoch, repr(loss), f"{rate:.6g}", f"{seconds:.2f}"])

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
