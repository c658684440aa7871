"""Released text stays as it was; new text is added beside it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guidelines import BadInput, load_guidelines, lock, write_lock
from guidelines.released import ROOT

NEW = "---\nid: disguises\ntitle: Disguises\nversion: 2\n---\nLook once more.\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the shipped sets and their lock."""
    shutil.copytree(ROOT / "srg", tmp_path / "srg")
    shutil.copy(ROOT / "lock.json", tmp_path)
    return tmp_path


def test_every_shipped_file_is_locked_and_nothing_else() -> None:
    shipped = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("*/**/*.md")}
    assert set(json.loads((ROOT / "lock.json").read_text())) == shipped


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25
)
@given(data=st.data())
def test_any_edited_byte_is_noticed(root: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted((root / "srg").rglob("*.md"))))
    released = path.read_bytes()
    place = data.draw(st.integers(0, len(released) - 1))
    edited = bytearray(released)
    edited[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(edited)
    try:
        for check in (lambda: load_guidelines("srg", root=root), lambda: write_lock(root)):
            with pytest.raises(BadInput, match="released text never changes") as caught:
                check()
            assert caught.value.file == str(path)
    finally:
        path.write_bytes(released)


def test_a_removed_file_is_noticed(root: Path) -> None:
    (root / "srg" / "exemplars" / "02-knives.md").unlink()
    with pytest.raises(BadInput, match="released text never changes"):
        load_guidelines("srg", root=root)


def test_a_new_version_is_added_without_touching_the_old(root: Path) -> None:
    before = json.loads((root / "lock.json").read_text())
    (root / "srg" / "03-disguises.v2.md").write_text(NEW)
    with pytest.raises(BadInput, match="not released"):
        load_guidelines("srg", root=root)
    assert write_lock(root) == ["srg/03-disguises.v2.md"]
    after = json.loads((root / "lock.json").read_text())
    assert {path: after[path] for path in before} == before
    loaded = load_guidelines("srg", root=root)
    assert (loaded.version, loaded.guidelines[2].text) == (2, "Look once more.")
    assert write_lock(root) == []


def test_a_refused_lock_is_left_as_it_was(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (root / "lock.json").read_bytes()
    (root / "srg" / "03-disguises.v2.md").write_text(NEW)
    (root / "srg" / "01-intent.md").write_text(NEW)
    assert lock.main(root) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (root / "lock.json").read_bytes() == before


def test_the_command_finds_nothing_new() -> None:
    command = [sys.executable, "-W", "error", "-m", "guidelines.lock"]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 new files\n", "")
