"""A first look at a run, on scripted teachers."""

from pathlib import Path
from typing import Any

from synth.config.schema import Limits, ModelConfig, SynthConfig
from synth.preview import PreviewRow, preview
from synth.run import load_run

SCRIPTS = "tests.synth.scripts"


def look(folder: Path, rows: int, script: str | None = None, **fields: Any) -> list[PreviewRow]:
    args = {"script": f"{SCRIPTS}:{script}"} if script else {}
    teacher = ModelConfig(model="scripted", engine_args=args)
    config = SynthConfig(
        run=str(folder / "run"), teacher=teacher, limits=Limits(workers=0), **fields
    )
    return preview(load_run(config), rows)


def test_labels_and_recipes_take_turns(tmp_path: Path) -> None:
    rows = look(tmp_path, 6, recipe=("refusal", "srg"))
    shown = [(row.trace["label"], row.trace["recipe"]) for row in rows]
    assert shown == [
        (label, recipe)
        for label in ("harmful", "benign", "borderline")
        for recipe in ("refusal", "srg")
    ]
    assert not (tmp_path / "run").exists()


def test_a_workspace_that_is_shared_is_not_touched(tmp_path: Path) -> None:
    assert look(tmp_path, 2, recipe=("refusal",), traces=str(tmp_path / "shared"), tokens=9000)
    assert list(tmp_path.iterdir()) == []


def test_every_row_is_judged(tmp_path: Path) -> None:
    for row in look(tmp_path, 4):
        assert row.verdicts["sections"] == "complete"
        assert {"consistency", "leakage", "length", "repetition", "refusal"} <= row.verdicts.keys()
        agrees = row.verdicts["consistency"] == "consistent"
        assert (row.dropped is None) == agrees


def test_a_lost_row_says_why(tmp_path: Path) -> None:
    [row] = look(tmp_path, 1, recipe=(f"{SCRIPTS}.broken",))
    assert row.dropped is not None
    assert row.dropped.reason == "failed"
    assert row.dropped.detail == "ZeroDivisionError: this recipe has a bug"
    assert row.verdicts == {}


def test_later_steps_follow_the_rows_they_are_made_from(tmp_path: Path) -> None:
    rows = look(tmp_path, 2, "repeat", recipe=(f"{SCRIPTS}.TWO_STEPS",))
    assert [row.trace["step"] for row in rows] == [0, 1, 0, 1]
    for draft, final in zip(rows[::2], rows[1::2], strict=True):
        assert final.trace["answer"] == f"Better: {draft.trace['answer']}"
