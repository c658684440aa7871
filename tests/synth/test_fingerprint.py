"""What a run directory refuses to mix: rows that other code, judges or prompts have made."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from guidelines import GuidelineSet
from synth.checks.static import check_static
from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.judges import JUDGES, find_judge
from synth.judges.base import ModelJudge
from synth.judges.refusal import judge_refusal
from synth.recipes import RECIPES
from synth.recipes.asking import refusal_pattern
from synth.recipes.base import Models, Recipe, Step
from synth.records import Item, Trace
from synth.run import Run, fingerprint, load_run, open_run, read_config
from synth.students import check_recipe
from tests.synth.reached import Reached, shared, steps_of, undeclared

SCRIPTED = ModelConfig(model="scripted")


def make_run(folder: Path, recipe: str, options: Mapping[str, Any] | None = None) -> Run:
    config = SynthConfig(
        run=str(folder / "run"),
        recipe=(recipe,),
        options={} if options is None else {recipe: dict(options)},
        teacher=SCRIPTED,
        guard=SCRIPTED,
        judge=SCRIPTED,
    )
    return load_run(config)


def refused(run: Run) -> str:
    """Return what a run directory says differs when its recipes are made as they are now."""
    made = {n: r.configure(r.options) if r.configure else r for n, r in run.recipes.items()}
    with pytest.raises(BadInput) as caught:
        open_run(run, fingerprint(replace(run, recipes=made)))
    assert caught.value.field == "fingerprint"
    return str(caught.value.value)


@pytest.mark.parametrize(
    ("recipe", "options", "judge"),
    [
        ("sgasa", None, "refusal_rules"),
        ("thinksafe", None, "llama_guard3"),
        ("thinksafe", {"guard": "refusal_rules"}, "refusal_rules"),
        ("saro", {"judge": "llama_guard3"}, "llama_guard3"),
    ],
)
def test_a_judge_whose_verdicts_are_in_the_rows_may_not_change(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    options: dict[str, Any] | None,
    judge: str,
) -> None:
    run = make_run(tmp_path, recipe, options)
    open_run(run, fingerprint(run))
    before = JUDGES[judge]
    monkeypatch.setitem(JUDGES, judge, replace(before, version=before.version + 1))
    assert refused(run) == f"judge {judge}"


def test_what_a_judge_is_asked_may_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, "thinksafe")
    open_run(run, fingerprint(run))
    guard = JUDGES["llama_guard3"]
    assert isinstance(guard, ModelJudge)
    asked = replace(guard, ask=lambda exchange: guard.ask(replace(exchange, prompt="another")))
    monkeypatch.setitem(JUDGES, "llama_guard3", asked)
    assert refused(run) == "judge llama_guard3"


@pytest.mark.parametrize("recipe", RECIPES)
def test_code_that_recipes_share_may_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    run = make_run(tmp_path, recipe)
    open_run(run, fingerprint(run))
    for module in RECIPES[recipe].shares:
        with monkeypatch.context() as changed:
            changed.setattr(sys.modules[module], "VERSION", 1000)
            assert refused(run) == f"code {module}"


def test_prompts_of_shared_code_may_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, "star1")
    open_run(run, fingerprint(run))
    copytree(str(files("synth.prompts")), tmp_path / "prompts")
    with (tmp_path / "prompts" / "srg.md").open("a") as file:
        file.write("One word more.")
    monkeypatch.setattr("synth.run.files", lambda package: tmp_path / "prompts")
    assert refused(run) == "prompts srg"


def test_a_directory_that_does_not_know_of_judges_and_shared_code_is_gone_on_with(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path, "sgasa")
    parts = fingerprint(run)
    new = {name for name in parts if name.startswith(("code ", "judge "))}
    assert new
    open_run(run, {name: value for name, value in parts.items() if name not in new})
    check_static(run.config)
    assert open_run(run, parts) == []
    assert read_config(run.config.run)["fingerprint"] == parts


def test_shared_code_without_a_version_is_refused() -> None:
    for module in ("synth.records", "synth.nowhere"):
        with pytest.raises(BadInput, match="must be a module with a VERSION"):
            check_recipe(replace(RECIPES["refusal"], shares=(module,)))


OPTIONS = {
    "saro": [{"judge": name} for name in ("llama_guard3", "wildguard")],
    "thinksafe": [{"guard": "refusal_rules"}],
}


def variants(recipe: Recipe) -> list[Recipe]:
    """Return the recipe with other options as well, where they choose its judge."""
    chosen = [type(recipe.options)(**options) for options in OPTIONS.get(recipe.name, [])]
    assert recipe.configure or not chosen
    return [recipe, *(recipe.configure(options) for options in chosen if recipe.configure)]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_declares_what_its_rows_are_made_with(name: str) -> None:
    found = variants(RECIPES[name])
    for recipe in found:
        assert undeclared(recipe) == set()
    used = set().union(*(shared(recipe, Reached(steps_of(recipe))) for recipe in found))
    assert {*RECIPES[name].shares} - used == set()


def _decline(text: str) -> bool:
    return judge_refusal(text).verdict == "refusal"


async def _by_rules(item: Item, models: Models, _: GuidelineSet | None) -> list[Trace]:
    told = item.seed.prompt + refusal_pattern()
    return [Trace(reasoning="", answer=told)] if _decline(told) else []


async def _by_table(item: Item, models: Models, _: GuidelineSet | None) -> list[Trace]:
    return [Trace(reasoning="", answer=find_judge(item.seed.prompt).name)]


def test_what_a_recipe_leaves_unsaid_is_found() -> None:
    ruled = Recipe(name="ruled", version=1, steps=(Step(_by_rules),))
    assert {"synth.recipes.asking", "synth.recipes.srg", "synth.judges.refusal.judge"} <= (
        undeclared(ruled)
    )
    said = replace(
        ruled,
        shares=("synth.recipes.asking", "synth.recipes.srg"),
        judges=(JUDGES["refusal_rules"],),
    )
    assert undeclared(said) == set()
    assert {*JUDGES} <= undeclared(Recipe(name="table", version=1, steps=(Step(_by_table),)))
