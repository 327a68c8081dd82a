"""Progress is silent until it is asked for, and never touches stdout."""

from __future__ import annotations

import pytest

from melink import progress


def test_silent_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.task("working", 3) as advance:
        advance(3)
    assert list(progress.track([1, 2, 3], "working")) == [1, 2, 3]
    assert capfd.readouterr() == ("", "")


def test_shown_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    progress.enable()
    try:
        assert list(progress.track(range(3), "counting sheep", 3, "sheep")) == [0, 1, 2]
    finally:
        progress.enable(False)
    out, err = capfd.readouterr()
    assert out == ""
    assert "counting sheep" in err and "3/3" in err
