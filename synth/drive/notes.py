"""What a run notes beside its files for people: a quota's last count, and how long stages took."""

import json
from collections.abc import Mapping

from synth import storage
from synth.records import Cell
from synth.workspace.stage import dump


def note_accepted(run: str, accepted: Mapping[Cell, int], barren: Mapping[Cell, int]) -> None:
    """Keep what a quota's last count has found, for who asks how the run stands.

    Args:
        run: The run's directory.
        accepted: Accepted rows by cell.
        barren: Cells that get no more, and how many candidates in a row gave nothing.
    """
    found = {"accepted": accepted, "barren": barren}
    body = {
        name: [[*cell, number] for cell, number in sorted(numbers.items())]
        for name, numbers in found.items()
    }
    storage.replace(_accepted_path(run), dump(body))


def read_accepted(run: str) -> dict[Cell, int] | None:
    """Return the accepted rows that a quota's last count has found; None where none was made."""
    return _read_count(run, "accepted")


def read_barren(run: str) -> dict[Cell, int]:
    """Return the cells that a quota has given up, and how many candidates in a row gave nothing."""
    return _read_count(run, "barren") or {}


def _read_count(run: str, name: str) -> dict[Cell, int] | None:
    try:
        numbers = json.loads(storage.read(_accepted_path(run))).get(name, [])
    except FileNotFoundError:
        return None
    return {(recipe, label, category): number for recipe, label, category, number in numbers}


def note_seconds(run: str, stage: str, seconds: float) -> None:
    """Add a stage's wall-clock seconds to `logs/stages.json`."""
    path = storage.join(run, "logs", "stages.json")
    try:
        stages = json.loads(storage.read(path))
    except FileNotFoundError:
        stages = {}
    stages[stage] = round(stages.get(stage, 0.0) + seconds, 1)
    storage.replace(path, dump(stages))


def _accepted_path(run: str) -> str:
    return storage.join(run, "logs", "accepted.json")
