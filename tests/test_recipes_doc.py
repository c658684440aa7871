"""The recipe that docs/recipes.md walks through is one."""

import re
from pathlib import Path

import pytest

from synth import build_dataset
from synth.config.schema import Limits, ModelConfig, SeedsConfig, SynthConfig
from synth.recipes import RECIPES, find_recipe
from tests.synth.reached import undeclared
from tests.test_marks import unmarked

TEXT = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8")
FILE = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[0]


def test_the_recipe_of_the_walk_through_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unanimous_recipe.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    path = "unanimous_recipe.UNANIMOUS"
    assert find_recipe(path, {"answers": 2}).options.model_dump() == {"answers": 2}
    assert undeclared(find_recipe(path)) == set()
    config = SynthConfig(
        run=str(tmp_path / "run"),
        recipe=(path,),
        options={"unanimous": {"answers": 3}},
        samples=1,
        seeds=SeedsConfig.model_validate({"limit": {"harmful": 4, "benign": 4, "borderline": 0}}),
        teacher=ModelConfig(model="scripted"),
        limits=Limits(workers=0),
    )
    dataset = build_dataset(config)
    rows = dataset.traces().to_pylist()
    assert {(row["outcome"], row["calls"]) for row in rows} == {("ok", 3)}
    manifest = dataset.manifest
    ended = manifest["accepted"]["unanimous"] + sum(manifest["drops"]["unanimous"].values())
    assert ended == len(rows) == 8


def test_the_recipe_of_the_walk_through_marks_its_constants() -> None:
    assert unmarked(FILE) == []


def test_every_recipe_that_ships_is_named() -> None:
    named = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert sorted(named) == sorted(RECIPES)
