"""What all tests share."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ray_jobs.cli import main
from synth.checks import endpoints
from tests.commands import Cli, Ended

# Hypothesis's default deadline is a timing assertion, and a shared machine stalls. A person's
# runs look for new examples; an automatic run repeats the same ones, so that it judges the change.
settings.register_profile("guideweave", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("guideweave")


@pytest.fixture(autouse=True)
def _nothing_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of one test have shown nothing to the next, whose may be at the same address."""
    monkeypatch.setattr(endpoints, "_shown", set())


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Cli]:
    """The command line, called in this process, which is left as it was."""
    path = sys.path[:]
    terminate = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)

    def call(*argv: str | Path) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in argv])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, out, err)

    yield call
    sys.path[:] = path
    signal.signal(signal.SIGTERM, terminate)


@pytest.fixture(scope="session")
def scripted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all its files up to those of its evaluation, every model scripted: to be read."""
    from tests.train.scripted_run import write_run  # noqa: PLC0415 (heavy)

    return write_run(tmp_path_factory.mktemp("scripted"))


@pytest.fixture
def own_run(scripted_run: Path, tmp_path: Path) -> Path:
    """A copy of the scripted run, to be changed."""
    return Path(shutil.copytree(scripted_run, tmp_path / "run"))
