"""Take each protection out of a copy of the project, and see a test fail.

    python -m tests.protections [WORD ...]

`tests/data/protections*.yaml`, each about a part of the project, name what protects, the lines
that do it, and the tests that must notice. All of them take most of an hour on two cores; words
choose those whose name or file holds one. The exit code is 1 where a protection could be taken
out unnoticed.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
TABLES = sorted((ROOT / "tests/data").glob("protections*.yaml"))
CAUGHT = 1  # pytest's exit code where tests ran and some failed
TIMEOUT_S = 600.0
_LEFT_BEHIND = shutil.ignore_patterns(".*", "runs", "build", "__pycache__", "*.egg-info")


@dataclass(frozen=True, slots=True)
class Protection:
    """What protects.

    Attributes:
        name: What it does.
        file: Where it stands.
        cut: Each text that goes, and what comes in its place.
        tests: Words for pytest.
    """

    name: str
    file: str
    cut: tuple[tuple[str, str], ...]
    tests: str

    def taken_out(self, text: str) -> str:
        """Return the file's text without it.

        Raises:
            LookupError: The text to cut is not there, or is there twice.
        """
        for old, new in self.cut:
            if text.count(old) != 1:
                raise LookupError(f"{self.name}: {self.file} holds {text.count(old)} times {old!r}")
            text = text.replace(old, new)
        return text


def read_table() -> list[Protection]:
    """Return every protection."""
    return [
        Protection(
            name=entry["protection"],
            file=entry["file"],
            cut=tuple((cut["from"], cut["to"]) for cut in entry["cut"]),
            tests=entry["tests"],
        )
        for table in TABLES
        for entry in yaml.safe_load(table.read_text())
    ]


def is_noticed(protection: Protection, copy: Path) -> bool:
    """Say whether a test of `copy` fails without `protection`; put it back."""
    file = copy / protection.file
    whole = file.read_text()
    file.write_text(protection.taken_out(whole))
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-x", *shlex.split(protection.tests)]
        env = {**os.environ, "PYTHONPATH": str(copy)}
        done = subprocess.run(
            command, cwd=copy, env=env, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    finally:
        file.write_text(whole)
    last = (done.stdout.splitlines() or [done.stderr])[-1]
    print(f"{_verdict(done.returncode)}: {protection.name}: {last}", flush=True)
    return done.returncode == CAUGHT


def _verdict(code: int) -> str:
    return {CAUGHT: "noticed", 0: "UNNOTICED"}.get(code, f"NO VERDICT ({code})")


def main(words: Sequence[str]) -> int:
    """Try those that hold one of the words, or all; return the exit code."""
    table = read_table()
    chosen = [p for p in table if not words or any(w in f"{p.name} {p.file}" for w in words)]
    with tempfile.TemporaryDirectory(prefix="gw-protections-") as folder:
        copy = Path(folder, "copy")
        shutil.copytree(ROOT, copy, ignore=_LEFT_BEHIND)
        missed = [p.name for p in chosen if not is_noticed(p, copy)]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} noticed; not: {missed}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
