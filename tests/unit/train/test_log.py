"""The log of steps: losses to the last digit; a resumed training goes on where its checkpoint is."""

from __future__ import annotations

from pathlib import Path

from melink.train.log import StepLog

HEAD = "step,epoch,loss,rate,seconds\n"


def write(folder: Path, first: int, last: int, start: int = 0) -> None:
    log = StepLog(folder, start)
    for step in range(first, last + 1):
        log.row(step, 0, step / 3, 0.5, 0.125)
    log.close()


def test_rows(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    assert (tmp_path / "steps.csv").read_text() == HEAD + (
        "1,0,0.3333333333333333,0.5,0.12\n2,0,0.6666666666666666,0.5,0.12\n"
    )


def test_steps_after_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    write(tmp_path, 1, 12)
    write(tmp_path, 11, 12, start=10)
    whole = (tmp_path / "steps.csv").read_text()
    write(tmp_path / "other", 1, 12)
    assert whole == (tmp_path / "other" / "steps.csv").read_text()


def test_a_new_training_begins_a_new_log(tmp_path: Path) -> None:
    write(tmp_path, 1, 5)
    write(tmp_path, 1, 1)
    assert (tmp_path / "steps.csv").read_text().count("\n") == 2


def test_a_row_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    write(tmp_path, 1, 4)
    with (tmp_path / "steps.csv").open("a") as out:
        out.write("1")  # the beginning of 105,…
    write(tmp_path, 5, 5, start=4)
    steps = [line.split(",")[0] for line in (tmp_path / "steps.csv").read_text().splitlines()]
    assert steps == ["step", "1", "2", "3", "4", "5"]


def test_a_step_can_be_followed_at_once(tmp_path: Path) -> None:
    log = StepLog(tmp_path, 0)
    log.row(1, 0, 0.5, 1.0, 0.0)
    assert (tmp_path / "steps.csv").read_text().endswith("1,0,0.5,1,0.00\n")
    log.close()
