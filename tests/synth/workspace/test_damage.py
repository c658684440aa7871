"""Files that can not be read, and files that are nobody's."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from synth.dataset import curate_run, retry_failed, set_apart_damaged
from synth.errors import BadInput
from synth.run import Run
from synth.status import read_status
from synth.synthesize import RunOptions, synthesize
from synth.workspace.workspace import Workspace
from tests.synth.factories import make_loaves, make_run
from tests.synth.scripts import ECHO

ROWS = 40


def a_run(folder: Path) -> Run:
    path = "tests.synth.scripts.ECHO"
    return make_run(folder, ECHO, path, seeds=make_loaves(ROWS), samples=1)


async def make(folder: Path) -> Counter[str]:
    return await synthesize(a_run(folder), None, RunOptions(force=True))


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def end_early(path: Path) -> None:
    """Keep the footer, and lose what it speaks of."""
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\0" * (len(data) // 2) + data[4 + len(data) // 2 :])


@pytest.mark.parametrize("damage", [halve, empty])
@pytest.mark.parametrize("part", ["plan", "traces"])
async def test_a_damaged_file_is_named_set_aside_and_owed_again(
    tmp_path: Path, part: str, damage: Callable[[Path], None]
) -> None:
    assert await make(tmp_path) == {"ok": ROWS}
    broken = min((tmp_path / part).iterdir())
    damage(broken)
    for ask in (
        lambda: read_status(str(tmp_path)),
        lambda: curate_run(a_run(tmp_path)),
        lambda: retry_failed(str(tmp_path)),
    ):
        with pytest.raises(BadInput, match="retry --damaged") as named:
            ask()
        assert named.value.file == str(broken)
    with pytest.raises(BadInput, match="retry --damaged"):
        await make(tmp_path)
    assert set_apart_damaged(str(tmp_path)) == [str(broken)]
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    assert await make(tmp_path) == {"ok": ROWS}
    assert read_status(str(tmp_path)).outcomes == {"ok": ROWS}


async def test_measures_go_with_the_traces_that_they_are_of(tmp_path: Path) -> None:
    await make(tmp_path)
    before = curate_run(a_run(tmp_path))
    broken = min((tmp_path / "traces").iterdir())
    end_early(broken)
    moved = set_apart_damaged(str(tmp_path))
    measures = list((tmp_path / "measures").glob(f"*/{broken.name}"))
    assert measures == []
    assert len(moved) == 1 + len(list((tmp_path / "measures").iterdir()))
    await make(tmp_path)
    after = curate_run(a_run(tmp_path))
    assert after["accepted"] == before["accepted"]
    assert after["inputs"]["traces"] != before["inputs"]["traces"], "its rows have other texts"


async def test_a_damaged_manifest_is_named_and_its_stage_runs_again(tmp_path: Path) -> None:
    await make(tmp_path)
    before = curate_run(a_run(tmp_path))
    [manifest] = (tmp_path / "curated").glob("*/manifest.json")
    halve(manifest)
    with pytest.raises(BadInput, match="retry --damaged") as named:
        curate_run(a_run(tmp_path))
    assert named.value.file == str(manifest)
    assert set_apart_damaged(str(tmp_path)) == [str(manifest)]
    assert curate_run(a_run(tmp_path))["shards"] == before["shards"]


async def test_what_is_whole_stays(tmp_path: Path) -> None:
    await make(tmp_path)
    curate_run(a_run(tmp_path))
    assert set_apart_damaged(str(tmp_path)) == []


async def test_other_files_beside_a_runs_own_are_nobodys(tmp_path: Path) -> None:
    await make(tmp_path)
    before = curate_run(a_run(tmp_path))
    for part in ("traces", "plan"):
        first = min((tmp_path / part).iterdir())
        shutil.copy(first, first.with_name(f"{first.stem} (1).parquet"))
        shutil.copy(first, first.with_name(f"{first.name}.part"))
        for name in ("Thumbs.db", "README.txt", ".DS_Store"):
            (tmp_path / part / name).write_bytes(b"nobody's")
    assert read_status(str(tmp_path)).outcomes == {"ok": ROWS}
    assert await make(tmp_path) == {"ok": ROWS}
    assert Workspace(str(tmp_path)).traces().num_rows == ROWS
    (tmp_path / "curated").rename(tmp_path / "before")
    assert curate_run(a_run(tmp_path))["shards"] == before["shards"]
    assert set_apart_damaged(str(tmp_path)) == []
