"""Storage that fails in the middle of a run, and clocks that jump: a clear end, and it resumes."""

import errno
import itertools
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
import yaml

from ray_jobs.exits import exit_code
from synth.records import Message, Sampling, digest
from synth.status import read_status
from synth.workspace.workspace import Workspace
from tests.commands import Cli

ROWS = 20
LIMIT_BYTES = 40_000  # room for logs and plan, none for a lease's file


def talkative(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer with what no compression makes small; one in four helps, so that some are accepted."""
    numbers = Random(digest(messages[-1]["content"]))
    if numbers.random() < 0.25:
        return "Here is what you asked for. Put the water on, wait for it to boil, and serve."
    return " ".join(f"{numbers.getrandbits(64):x}" for _ in range(300))


def write_config(folder: Path) -> Path:
    path = folder / "run.yaml"
    config = {
        "run": "run",
        "recipe": "refusal",
        "samples": 1,
        "seeds": {"limit": {"harmful": 0, "benign": ROWS, "borderline": 0}},
        "sampling": {"max_tokens": 1_000},
        "teacher": {"model": "scripted", "engine_args": {"script": "tests.test_faults:talkative"}},
        "limits": {"workers": 0},
    }
    path.write_text(yaml.safe_dump(config))
    return path


def row_ids(run: Path) -> list[str]:
    table = Workspace(str(run)).traces()
    assert Counter(table["outcome"].to_pylist()) == {"ok": ROWS}
    return sorted(table["row_id"].to_pylist())


def assert_told(err: str, reason: int) -> None:
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert os.strerror(reason) in last
    assert last.isprintable()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    words = [sys.executable, "-m", "ray_jobs.run", str(write_config(folder))]
    subprocess.run(words, cwd=folder, env=environment(), check=True, capture_output=True)
    return row_ids(folder / "run")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def test_files_that_can_not_grow_end_the_run_and_it_resumes(
    cli: Cli, tmp_path: Path, undisturbed: list[str]
) -> None:
    config = write_config(tmp_path)
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT_BYTES}, {LIMIT_BYTES}))"
    code = f"import resource; {limit}; from ray_jobs.cli import main; main()"
    words = [sys.executable, "-c", code, "run", str(config)]
    env = environment()
    full = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert full.returncode == 1, full.stderr
    assert_told(full.stderr, errno.EFBIG)
    assert "the same command resumes" in full.stderr
    left = [path for path in (tmp_path / "run").rglob(".*") if path.is_file()]
    assert left == [], "a half-written file would keep the disk full"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert cli("run", config).code == 0
    assert row_ids(tmp_path / "run") == undisturbed


@pytest.mark.parametrize("writes", [0, 1, 2, 3, 5, 7, 9, 11, 13])
def test_wherever_the_disk_fills_the_end_is_clear_and_the_run_resumes(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: list[str],
    writes: int,
) -> None:
    config = write_config(tmp_path)
    done = itertools.count()

    def fsync(handle: int) -> None:
        if next(done) >= 2 * writes:  # each file, and its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        full = cli("run", config)
    assert full.code in (1, 2)
    assert_told(full.err, errno.ENOSPC)
    assert cli("run", config).code == 0
    assert row_ids(tmp_path / "run") == undisturbed


def test_a_folder_lost_in_the_middle_ends_the_run_and_it_resumes(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list[str]
) -> None:
    config = write_config(tmp_path)
    traces, kept = tmp_path / "run" / "traces", tmp_path / "kept"
    calls = itertools.count()

    def losing(messages: Sequence[Message], sampling: Sampling) -> str:
        if next(calls) == 3:
            traces.mkdir(exist_ok=True)
            traces.rename(kept)
            traces.write_text("what was a folder is a file now")
        return talkative(messages, sampling)

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["tests.test_faults"], "talkative", losing)
        lost = cli("run", config)
    assert lost.code == 1
    assert_told(lost.err, errno.EEXIST)
    traces.unlink()
    kept.rename(traces)
    assert cli("run", config).code == 0
    assert row_ids(tmp_path / "run") == undisturbed


def test_a_log_on_a_full_disk_is_told_once_and_ends_nothing(cli: Cli, tmp_path: Path) -> None:
    logs = tmp_path / "run" / "logs"
    logs.mkdir(parents=True)
    (logs / "driver.log").symlink_to("/dev/full")
    ended = cli("run", write_config(tmp_path))
    assert ended.code == 0, ended.err
    assert ended.err.count("log lines are lost") == 1
    assert "Logging error" not in ended.err


class FromAWorker(Exception):
    """An error as Ray hands it on: the cause inside, a traceback as its text."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"ray::work()\n  File ...\n{cause}")
        self.cause = cause


def test_a_workers_full_disk_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise FromAWorker(OSError(errno.ENOSPC, "No space left on device", "run/traces/.a"))

    assert exit_code(fail) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("run/traces/.a: No space left on device; once that is mended")


def test_a_clock_that_jumps_changes_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list[str]
) -> None:
    jumps = Random(7)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jumps.choice((-1e7, -60.0, 0.0, 1e7)))
    monkeypatch.setattr("synth.drive.holder.BEAT_S", 0.02)
    config = write_config(tmp_path)
    assert cli("run", config).code == 0
    assert row_ids(tmp_path / "run") == undisturbed
    beat = read_status(str(tmp_path / "run")).beat
    assert beat is not None
    assert beat.age_s >= 0
    assert beat.tokens_per_s >= 0
    before = files(tmp_path / "run")
    assert cli("run", config).code == 0
    assert files(tmp_path / "run") == before


def files(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and "logs" not in path.parts and path.name != "report.html"
    }
