"""A training before it starts: what it waits for, and what becomes of it without any pair."""

from dataclasses import replace
from pathlib import Path

import pytest

from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.models.identity import identify
from synth.recipes.base import SFT, Recipe
from synth.students import trainings
from synth.workspace.stage import MANIFEST
from tests.synth.trainings import PAIRING
from tests.train.curated import sft_row, write_curated
from train.config import FinetuneConfig, Match
from train.students import Finetuned, Training, TrainingPlan, finetune, make


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder that passes for a student trained before."""
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / MANIFEST).write_text("{}")
    return folder


def preferring(run: Path, base: Path, config: FinetuneConfig) -> Training:
    """Return the DPO of the recipe of pairs, for data that have none."""
    curated = write_curated(run, [sft_row("s1", "pairing", "a", "A")])
    plan = TrainingPlan(
        config=config,
        recipes={"pairing": PAIRING},
        curated=str(curated),
        models=str(run / "models"),
        base=identify(ModelConfig(model=str(base))),
        family=None,
    )
    [_, prefer] = trainings(PAIRING)
    return Training(
        plan=plan, arm="pairing", train=prefer, student="pairing", config=config, start=plan.base
    )


def test_a_training_without_pairs_is_refused(tmp_path: Path, base: Path) -> None:
    with pytest.raises(BadInput, match="arm pairing has no pair"):
        make(preferring(tmp_path, base, FinetuneConfig()))
    assert not (tmp_path / "models").exists()


def test_a_student_without_pairs_may_stay_what_it_was(tmp_path: Path, base: Path) -> None:
    kept = make(preferring(tmp_path, base, FinetuneConfig(without_data="go_on")))
    assert (kept["kept"], kept["steps"]) == ("no pair to train on", 0)
    assert [file["path"] for file in kept["files"]] == ["config.json"]
    student = tmp_path / "models" / "pairing"
    assert [path.name for path in student.iterdir()] == ["config.json"]  # the manifest is its own


def test_the_tokens_of_arms_that_it_is_matched_with_decide_about_a_training(
    tmp_path: Path, base: Path
) -> None:
    training = preferring(tmp_path, base, FinetuneConfig())
    own, beside = (replace(PAIRING, name=name) for name in ("pairing", "beside"))
    marked = replace(beside, special_tokens=("<mark>",))

    def digest_of(match: Match, other: Recipe) -> str:
        config = FinetuneConfig(match=match)
        plan = replace(training.plan, recipes={"pairing": own, "beside": other})
        return replace(training, plan=plan, train=SFT, config=config).inputs["finetune"]

    assert digest_of("seeds", beside) != digest_of("seeds", marked)
    assert digest_of(None, beside) == digest_of(None, marked)


def test_a_training_waits_for_the_steps_before_it(tmp_path: Path, base: Path) -> None:
    write_curated(tmp_path, [])
    config = SynthConfig(run=str(tmp_path), recipe=("tests.synth.trainings.PAIRING",))
    waits = finetune(config, FinetuneConfig(), str(base), due={"pairing": 0})
    assert waits == Finetuned({}, ())
    with pytest.raises(BadInput):
        finetune(config, FinetuneConfig(), str(base))
