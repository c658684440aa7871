"""A run leaves no secret behind: not in its directory, not in Ray's session, not on a screen."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.gossip import PROMPTS, gossiping
from tests.leaks import WHOLE, leaked

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# No piece of them stands in a word, so that one on a screen is no accident.
PLANTED = {
    "GW_TEST_KEY": "sk-Qz7/7vRzkZx+Zq0wVy==xq8Kd",
    "AWS_ACCESS_KEY_ID": "AKIAQ7ZXVK3WJRMYPUQH",
    "AWS_SECRET_ACCESS_KEY": "zQw/9xVk+Rj2mYpTq7ZsWnLh4uGyKv8x",
    "AWS_SESSION_TOKEN": "QjxZ-vKwq-9zRm-XpTy-LhGs-uWnq",
}


@pytest.fixture
def session() -> Iterator[Path]:
    """A folder for Ray's own files: in a short path, for its sockets."""
    with tempfile.TemporaryDirectory(prefix="gw", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def leaks(*folders: Path) -> list[str]:
    """Return where a planted secret stands, in any spelling: in a file, or in its name."""
    found = []
    for path in (path for folder in folders for path in folder.rglob("*")):
        try:
            data = contents(path) if path.is_file() and not path.is_symlink() else b""
        except OSError:  # a file of a process that has just ended
            continue
        text = (data + os.fsencode(path.name)).lower()
        for name, secret in PLANTED.items():
            if any(spelling(secret).lower().encode() in text for spelling in WHOLE.values()):
                found.append(f"{name} in {path}")
    return found


def contents(path: Path) -> bytes:
    """Return a file's bytes, and the texts of a table, which are compressed in it."""
    data = path.read_bytes()
    if path.suffix == ".parquet":
        data += str(pq.read_table(path).to_pylist()).encode()
    return data


def run(folder: Path, session: Path, base_url: str) -> subprocess.CompletedProcess[str]:
    seeds = [{"prompt": prompt, "label": "benign"} for prompt in PROMPTS]
    (folder / "seeds.jsonl").write_text("\n".join(map(json.dumps, seeds)))
    endpoint = {"base_url": base_url, "model": "m", "api_key_env": "GW_TEST_KEY"}
    config = {
        "run": str(folder / "run"),
        "recipe": "refusal",
        "samples": 1,
        "seeds": {"path": str(folder / "seeds.jsonl"), "eval_share": 0.0},
        "teacher": {"endpoint": endpoint},
        "limits": {"workers": 2, "pool_deadline_s": 60},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config))
    words = [sys.executable, "-m", "ray_jobs.run", str(path), "--verbose"]
    env = {**os.environ, **PLANTED, "RAY_TMPDIR": str(session)}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=200)


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    said = [spelling(PLANTED["GW_TEST_KEY"]) for spelling in WHOLE.values()]
    for index, text in enumerate(said):
        (tmp_path / f"{index}").write_bytes(b"\0" + text.encode() + b"\n")
    pq.write_table(pa.table({"said": said}), tmp_path / "rows.parquet", compression="zstd")
    assert len(leaks(tmp_path)) == len(said) + 1


@pytest.mark.parametrize("refuses", [None, 401])
def test_no_secret_is_left_behind(tmp_path: Path, session: Path, refuses: int | None) -> None:
    with gossiping(refuses) as server:
        ended = run(tmp_path, session, server.url)
    told = ended.stdout + ended.stderr
    assert ended.returncode == (2 if refuses else 3), told
    assert server.keys_seen == {PLANTED["GW_TEST_KEY"]}, "it was used"
    assert {name for name, secret in PLANTED.items() if leaked(told, secret)} == set()
    assert list((tmp_path / "run").rglob("*.parquet")) or refuses
    if not refuses:
        assert list(session.rglob("*.log")), "Ray has logged there"
    assert leaks(tmp_path, session) == []
