"""Which models of a recipe are trained when; what trains them is made up here."""

from pathlib import Path

import pytest

from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.students import is_trained
from synth.workspace.stage import Manifest
from tests.train.curated import pair_row, sft_row, write_curated
from train import students
from train.config import FinetuneConfig
from train.students import Training, arms_to_train, finetune, make

GO_ON = FinetuneConfig(without_data="go_on")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was trained, in its order, each as a folder with next to nothing in it."""
    names: list[str] = []

    def pretend(training: Training) -> Manifest:
        names.append(training.student)
        Path(training.folder).mkdir(parents=True, exist_ok=True)
        Path(training.folder, "config.json").write_text(training.run_name)
        return {"arm": training.arm, "training": training.train.name, "seed": training.config.seed}

    monkeypatch.setattr(students, "make", pretend)
    return names


def make_config(folder: Path, answer: str = "Knead it.") -> SynthConfig:
    base = folder / "base"
    base.mkdir(exist_ok=True)
    (base / "config.json").write_text("{}")
    pair = pair_row("s1", "iterated", "Knead.", "Wait.", training="second")
    write_curated(folder / "run", [sft_row("s1", "iterated", "How?", answer)], pairs=[pair])
    return SynthConfig(
        run=str(folder / "run"),
        recipe=("tests.synth.iterated.ITERATED",),
        teacher=ModelConfig(model="scripted"),
        target=ModelConfig(model=str(base)),
    )


def test_an_arm_goes_on_when_the_steps_after_a_training_have_run(
    tmp_path: Path, made: list[str]
) -> None:
    config = make_config(tmp_path)
    assert finetune(config, GO_ON).waiting == ("iterated",)
    assert made == ["iterated-first"]
    assert finetune(config, GO_ON, due={"iterated": 2}).waiting == ()
    assert made == ["iterated-first"]
    assert finetune(config, GO_ON).waiting == ("iterated",)
    found = finetune(config, GO_ON)
    assert found.waiting == ()
    assert made == ["iterated-first", "iterated"]  # there is no pair for the grader
    assert set(found.manifests) == set(made)


def test_models_that_follow_from_one_that_is_trained_anew_are_finished_no_more(
    tmp_path: Path, made: list[str]
) -> None:
    for _ in range(2):
        finetune(make_config(tmp_path), GO_ON)
    config = make_config(tmp_path, answer="Knead it well.")
    assert finetune(config, GO_ON).waiting == ("iterated",)
    assert made[2:] == ["iterated-first"]
    assert not is_trained(config, "iterated")
    finetune(config, GO_ON)
    assert made[2:] == ["iterated-first", "iterated"]


def test_further_seeds_are_of_the_last_student_and_hold_no_step_up(
    tmp_path: Path, made: list[str]
) -> None:
    config = make_config(tmp_path)
    for _ in range(2):
        finetune(config, GO_ON)
    more = GO_ON.model_copy(update={"more_seeds": (1,)})
    assert finetune(config, more).waiting == ()
    assert made == ["iterated-first", "iterated", "iterated-seed1"]


def test_an_arm_without_a_row_has_no_student_where_the_others_go_on(
    tmp_path: Path, made: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(tmp_path).model_copy(
        update={"recipe": ("srg", "tests.synth.iterated.ITERATED")}
    )
    in_rows = GO_ON.model_copy(update={"match": "rows"})
    for _ in range(3):
        found = finetune(config, in_rows)
    assert (found.waiting, made) == ((), ["iterated-first", "iterated"])
    assert "srg: no row to train it on; it is left out" in caplog.messages
    assert arms_to_train(config, FinetuneConfig()) == ("srg", "iterated")


def test_where_no_arm_has_a_row_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    write_curated(tmp_path / "run", [])
    with pytest.raises(BadInput, match="no training row for arm iterated"):
        finetune(config, GO_ON)


def test_no_pair_is_refused_by_the_name_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[str]
) -> None:
    config = make_config(tmp_path)
    finetune(config, GO_ON)
    write_curated(tmp_path / "run", [sft_row("s1", "iterated", "How?", "Knead it.")])
    monkeypatch.setattr(students, "make", make)
    with pytest.raises(BadInput, match="arm iterated has no pair") as refused:
        finetune(config, FinetuneConfig())
    assert refused.value.field == "second"
