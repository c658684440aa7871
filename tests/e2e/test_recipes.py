"""Every recipe that ships, end to end: one real teacher for all of them, and a tiny student.

The student is a random model of two layers, so what it says means nothing; that it is trained,
asked, searched with, trained on pairs and asked again is what is tested. The embedded model plays
every other role, its one engine open once for all recipes.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray

from synth import synthesize as synthesis
from synth.config.schema import Limits, ModelConfig, SamplingConfig, SeedsConfig, SynthConfig
from synth.dataset import curate_run, make_traces
from synth.models.families import STEP_TOKENS
from synth.pools.layout import PoolPlan, chats_of
from synth.recipes import RECIPES
from synth.records import Outcome
from synth.rounds import due_steps
from synth.run import Run, load_run
from synth.students import student_name, trainings
from synth.synthesize import RunOptions
from synth.workspace.stage import Manifest, read_manifest
from tests.train.curated import random_model
from train.config import FinetuneConfig
from train.students import finetune

pytestmark = [
    pytest.mark.ray,
    pytest.mark.engine,
    pytest.mark.train,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
]

ENGINE = ModelConfig(model="embedded", engine_args={"max_model_len": 4096, "max_num_seqs": 64})
SEEDS = {"limit": {"harmful": 4, "benign": 4, "borderline": 0}}
FEW = {"harmful": 2, "benign": 2}
SMALL: dict[str, dict[str, Any]] = {
    "saro": {"samples": 2},
    "sgasa": {
        "examples": 2,
        "guidelines": 1,
        "shown": 2,
        "guideline_tries": 8,
        "verify_share": 0.5,
        "prompts": FEW,
        "prompt_tries": 48,
        "sft": FEW,
        "dpo": FEW,
    },
    "stair": {
        "rounds": 1,
        "budget": 10,
        "width": 3,
        "depth": 3,
        "step_tokens": 24,
        "rollout_tokens": 48,
        "reward": "tests.e2e.rewards:by_words",
        "min_visits": 1,
    },
    "star1": {"min_grade": 0},
    "thinksafe": {"guard": "refusal_rules"},
}
SECTION = FinetuneConfig(epochs=1, batch_size=8, match=None, without_data="go_on", max_length=2048)


@dataclass
class Made:
    """A finished run.

    Attributes:
        run: The run.
        sessions: Roles of every time that engines were opened.
        manifest: Of its curation.
        models: Manifests of all its models.
    """

    run: Run
    sessions: list[set[str]] = field(default_factory=list)
    manifest: Manifest = field(default_factory=dict)
    models: dict[str, Manifest] = field(default_factory=dict)

    def rows(self, recipe: str, step: int | None = None) -> list[dict[str, Any]]:
        """Return a recipe's traces."""
        found = self.run.workspace.traces(recipes=[recipe]).to_pylist()
        return [row for row in found if step in (None, row["step"])]

    def folder(self, model: str) -> Path:
        """Return a model's folder."""
        return Path(self.run.config.run, "models", model)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """The flow, round after round, until no new model has a step waiting for it."""
    folder = tmp_path_factory.mktemp("recipes")
    student = random_model(folder / "base")
    config = SynthConfig(
        run=str(folder / "run"),
        recipe=tuple(RECIPES),
        options=SMALL,
        samples=3,
        seeds=SeedsConfig.model_validate(SEEDS),
        teacher=ENGINE,
        judge=ENGINE,
        sampling=SamplingConfig(max_tokens=256),
        limits=Limits(call_timeout_s=240),
    )
    ray.init(address="local", num_cpus=16, include_dashboard=False, log_to_driver=False)
    made = Made(run=load_run(config))
    with pytest.MonkeyPatch.context() as patch:
        open_pools = synthesis.open_pools

        def noted(config: SynthConfig, pools: Sequence[PoolPlan]) -> Any:
            made.sessions.append({*chats_of(pools)})
            return open_pools(config, pools)

        patch.setattr(synthesis, "open_pools", noted)
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
        waiting: tuple[str, ...] = ("all",)
        while waiting:
            make_traces(made.run, RunOptions())
            made.manifest = curate_run(made.run)
            due = due_steps(made.run)
            made.models, waiting = finetune(config, SECTION, student, due)
    yield made
    ray.shutdown()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_makes_rows_and_a_student_of_them(made: Made, recipe: str) -> None:
    assert made.manifest["accepted"][recipe] > 0
    first = trainings(made.run.recipes[recipe])[0]
    model = made.models[student_name(made.run.recipes[recipe], first.name)]
    assert model["steps"] > 0
    assert model["rows"] > 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_trace_of_a_recipe_ends_in_one_place(made: Made, recipe: str) -> None:
    ended = made.manifest["accepted"][recipe] + made.manifest["paired"][recipe]
    assert ended + sum(made.manifest["drops"][recipe].values()) == len(made.rows(recipe))
    assert made.run.workspace.owed() == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_student_of_a_recipe_answers(made: Made, recipe: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 (heavy)

    folder = made.folder(recipe)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    turns = [{"role": "user", "content": "How do I bake bread?"}]
    asked = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    told = model.generate(**asked, max_new_tokens=8, do_sample=False)
    assert told.shape[1] > asked["input_ids"].shape[1]


def test_one_teacher_serves_all_recipes(made: Made) -> None:
    first, *later = made.sessions
    assert first == {"teacher", "target", "judge"}
    assert all("student" in roles for roles in later if roles != first)
    assert later.count(first) <= 1, "only reflecting on what a student said comes later"


def test_trained_models_are_asked_by_the_steps_that_name_them(made: Made) -> None:
    for recipe, model in (("saro", "saro-rw"), ("sgasa", "sgasa-sft"), ("stair", "stair-sft")):
        asked = {row["teacher"].split("@")[0] for row in made.rows(recipe)}
        assert model in asked


def test_stair_searches_with_marks_that_are_tokens_and_learns_from_its_trees(made: Made) -> None:
    from transformers import AutoTokenizer  # noqa: PLC0415 (heavy)

    tokenizer: Any = AutoTokenizer.from_pretrained(made.folder("stair"))
    ids = [tokenizer.encode(mark, add_special_tokens=False) for mark in STEP_TOKENS]
    assert [len(each) for each in ids] == [1] * len(STEP_TOKENS)
    trees = [row for row in made.rows("stair") if row["step"] > 0]
    assert len(trees) == 8
    grown = [json.loads(row["payload"]) for row in trees if row["outcome"] == Outcome.OK]
    assert grown
    assert made.manifest["pairs"]["stair"]["dpo1"].get("step", 0) > 0
    for model in ("stair", "stair-prm"):
        manifest = read_manifest(str(made.folder(model)))
        assert manifest is not None
        assert manifest["steps"] > 0


def test_a_finished_run_does_nothing_again(made: Made) -> None:
    sessions = len(made.sessions)
    make_traces(made.run, RunOptions())
    assert curate_run(made.run) == made.manifest
    assert len(made.sessions) == sessions
