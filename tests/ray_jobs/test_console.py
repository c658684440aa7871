"""What reaches a screen."""

import io
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from ray_jobs.cli import VERBS
from ray_jobs.console import clock, live_progress, make_table, pace
from ray_jobs.logs import logging_to
from synth.calls.snapshot import Snapshot
from synth.drive.drive import Progress


def progress(done: int, planned: int, tokens: int = 0) -> Progress:
    snapshot = Snapshot(
        outcomes={"ok": done},
        output_tokens=tokens,
        roles={},
        oldest_row="",
        oldest_step=0,
        oldest_age_s=0,
        oldest_waits_for="",
    )
    return Progress(leases_planned=1, rows_planned=planned, snapshots={0: snapshot})


def test_a_table_takes_no_markup_from_its_cells() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(make_table("T", ("A [red]", "B"), [("[bold]x[/bold]", 3)]))
    out = console.file.getvalue()  # pyrefly: ignore[missing-attribute]
    assert "A [red]" in out
    assert "[bold]x[/bold]" in out


def test_the_pace_by_hand() -> None:
    assert str(pace(progress(25, 100, tokens=500), 50.0)) == (
        "25/100 rows · ok 25 · 0.50 rows/s · 10 tok/s · 2:30 left"
    )
    assert str(pace(progress(0, 100), 0.0)) == "0/100 rows"
    assert "left" not in str(pace(progress(100, 100), 50.0))


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (61, "1:01"), (3723, "1:02:03")])
def test_durations(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_log_gets_a_line_at_first_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), live_progress(Console(file=io.StringIO())) as tell:
        for done in range(5):
            tell("synthesize", progress(done, 5))
        last = progress(5, 5)
        last.leases_done = 1
        tell("synthesize", last)
    first, end = caplog.messages
    assert first.startswith("synthesize: 0/5 rows")
    assert end.startswith("synthesize: 5/5 rows")


def test_a_terminal_gets_a_bar() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    with live_progress(console) as tell:
        tell("evaluate [srg]", progress(1, 2))
    assert "evaluate [srg]" in screen.getvalue()
    assert "1/2 rows" in screen.getvalue()


def test_only_our_lines_reach_the_screen_and_all_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        with logging_to(Console(file=io.StringIO()), run=tmp_path):
            logging.getLogger("synth.anything").info("ours")
            logging.getLogger("third.party").info("theirs")
            raise ZeroDivisionError("the end")

    with pytest.raises(ZeroDivisionError):
        work()
    err = capsys.readouterr().err
    assert err.endswith("ours\n")
    assert len(err.splitlines()) == 1
    kept = (tmp_path / "logs" / "driver.log").read_text()
    for line in ("INFO synth.anything: ours", "INFO third.party: theirs", "ZeroDivisionError"):
        assert line in kept


def test_a_library_can_not_write_past_us() -> None:
    code = (
        "import logging, sys; from rich.console import Console;"
        "from ray_jobs.logs import logging_to\n"
        "with logging_to(Console(stderr=True)):\n"
        "  log = logging.getLogger('ray'); log.propagate = False\n"
        "  log.addHandler(logging.StreamHandler()); log.warning('noise')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_every_verb_is_listed_with_a_help_line() -> None:
    assert all(line.endswith(".") and len(line) < 60 for line in VERBS.values())


def test_the_pace_is_that_of_the_drive_at_work(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage may hold several drives, and the hours of the first say nothing of the second."""
    times = iter((0.0, 3600.0, 3620.0, 3640.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    with caplog.at_level(logging.INFO), live_progress(Console(file=io.StringIO())) as tell:
        first, second = progress(36_000, 36_000), progress(10, 20)
        for drive in (first, first, second, second):
            tell("synthesize", drive)
    assert "10.00 rows/s" in caplog.messages[1]
    assert "0.50 rows/s" in caplog.messages[-1]
    assert caplog.messages[-1].endswith("0:20 left")
