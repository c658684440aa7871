"""The stage without a model: states made up, and what is kept of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guidelines import BadInput
from synth.config.schema import EndpointConfig, ModelConfig, SeedsConfig, SynthConfig
from synth.records import Item
from synth.seeds.seeds import load_seeds, split_seeds
from tests.train.clouds import made_up_states, make_items
from tests.train.evaluations import seeds_file
from train.evals.config import EvaluateConfig, RepresentationConfig
from train.evals.representation import stage as module
from train.evals.representation.stage import represent
from train.evals.representation.states import States, read_states, to_span, write_states

EVALUATE = EvaluateConfig(bootstrap_resamples=200)
SECTION = RepresentationConfig(prompts=120, shuffles=5)


def make_run(folder: Path, pairs: int = 60) -> tuple[SynthConfig, list[Item]]:
    seeds = SeedsConfig(path=seeds_file(folder, pairs), eval_share=0.5)
    config = SynthConfig(run=str(folder / "run"), seeds=seeds)
    held_out = split_seeds(load_seeds(seeds), 0.5).evaluation
    return config, make_items(held_out, "plain", "plain")


def make_model(folder: Path, name: str) -> ModelConfig:
    path = folder / name
    path.mkdir()
    (path / "config.json").write_text(json.dumps(name))
    return ModelConfig(model=str(path))


class Reading:
    """Stands for the reading of models.

    Attributes:
        read: Names of the models that were read.
        num_left_out: How many prompts a model is not given, by its folder's name.
        num_layers: How many layers it has, where not two.
    """

    def __init__(self) -> None:
        self.read: list[str] = []
        self.num_left_out: dict[str, int] = {}
        self.num_layers: dict[str, int] = {}

    def __call__(self, config: Any, section: Any, identity: Any, model: Any, probes: Any) -> States:
        self.read.append(identity.name)
        start = self.num_left_out.get(identity.name, 0)
        left_out = dict.fromkeys((probe.probe_id for probe in probes[:start]), "too_long")
        layers = range(1, self.num_layers.get(identity.name, 2) + 1)
        return replace(made_up_states(probes[start:], layers), left_out=left_out)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    found = Reading()
    monkeypatch.setattr(module, "_read", found)
    return found


def result(config: SynthConfig) -> Any:
    return json.loads(Path(config.run, "evals", "representation.json").read_text())


def test_models_are_looked_at_side_by_side(tmp_path: Path, reading: Reading) -> None:
    config, items = make_run(tmp_path)
    models = {name: make_model(tmp_path, name) for name in ("base", "refusal", "srg")}
    manifest = represent(config, EVALUATE, SECTION, items, models)
    found = result(config)
    assert manifest["models"] == list(found["models"]) == ["base", "refusal", "srg"]
    assert (found["layers"], found["chosen_layer"], found["chosen_on"]) == ([1, 2], 2, "base")
    groups = {(g["family"], g["label"]): g for g in found["groups"]}
    assert sum(group["prompts"] for group in groups.values()) == manifest["prompts"]
    assert groups["id", "harmful"]["prompts"] == groups["id", "harmful"]["clusters"] > 10
    assert groups["plain", "benign"]["attacks"] == ["plain"]
    layer = found["models"]["srg"]["layers"][1]
    assert layer["separation"]["auc"]["value"] > 0.95
    assert layer["families"]["plain"]["position"]["harmful"]["value"] == pytest.approx(1, abs=0.2)
    text = Path(config.run, "evals", "representation.json").read_text()
    assert "How do I" not in text


def test_made_again_it_is_the_same_bytes_and_no_model_is_read(
    tmp_path: Path, reading: Reading
) -> None:
    config, items = make_run(tmp_path)
    models = {"base": make_model(tmp_path, "base"), "srg": make_model(tmp_path, "srg")}
    first = represent(config, EVALUATE, SECTION, items, models)
    path = Path(config.run, "evals", "representation.json")
    before = path.read_bytes()
    assert represent(config, EVALUATE, SECTION, items, models) == first
    Path(config.run, "evals", "representation", "manifest.json").unlink()
    represent(config, EVALUATE, SECTION.model_copy(update={"batch_size": 2}), items, models)
    assert path.read_bytes() == before
    assert reading.read == ["base", "srg"]


def test_another_question_is_answered_from_the_same_states(
    tmp_path: Path, reading: Reading
) -> None:
    config, items = make_run(tmp_path)
    models = {"base": make_model(tmp_path, "base")}
    represent(config, EVALUATE, SECTION, items, models)
    before = result(config)
    represent(config, EVALUATE, SECTION.model_copy(update={"shuffles": 9}), items, models)
    assert result(config)["settings"]["shuffles"] == 9
    assert result(config)["models"] != before["models"]
    assert reading.read == ["base"]


def test_another_model_is_read_again_and_its_old_states_go(
    tmp_path: Path, reading: Reading
) -> None:
    config, items = make_run(tmp_path)
    models = {"base": make_model(tmp_path, "base"), "srg": make_model(tmp_path, "srg")}
    represent(config, EVALUATE, SECTION, items, models)
    Path(str(models["srg"].model), "config.json").write_text("another")
    represent(config, EVALUATE, SECTION, items, models)
    assert reading.read == ["base", "srg", "srg"]
    assert len(list(Path(config.run, "evals", "srg").glob("hidden-*"))) == 1


def test_a_prompt_that_one_model_can_not_be_given_is_left_out_of_all(
    tmp_path: Path, reading: Reading
) -> None:
    config, items = make_run(tmp_path)
    models = {"base": make_model(tmp_path, "base"), "srg": make_model(tmp_path, "srg")}
    reading.num_left_out["srg"] = 1
    manifest = represent(config, EVALUATE, SECTION, items, models)
    found = result(config)
    assert found["left_out"] == {"too_long": 1}
    assert sum(group["prompts"] for group in found["groups"]) == manifest["prompts"] - 1
    for one in found["models"].values():
        drawn = sum(len(points["x"]) for points in one["plane"]["points"])
        assert drawn == manifest["prompts"] - 1


def test_models_of_unlike_depth_are_refused(tmp_path: Path, reading: Reading) -> None:
    config, items = make_run(tmp_path)
    models = {"base": make_model(tmp_path, "base"), "srg": make_model(tmp_path, "srg")}
    reading.num_layers["srg"] = 3
    with pytest.raises(BadInput, match="equally many layers"):
        represent(config, EVALUATE, SECTION, items, models)


def test_a_model_without_weights_at_hand_is_refused(tmp_path: Path) -> None:
    config, items = make_run(tmp_path)
    endpoint = EndpointConfig(base_url="https://host/v1", model="m")
    for model in (ModelConfig(model="scripted"), ModelConfig(endpoint=endpoint)):
        with pytest.raises(BadInput, match="weights"):
            represent(config, EVALUATE, SECTION, items, {"base": model})


def test_too_few_training_prompts_are_told_before_anything_is_read(
    tmp_path: Path, reading: Reading
) -> None:
    config, items = make_run(tmp_path, pairs=8)
    with pytest.raises(BadInput, match="at least 10 harmful prompts"):
        represent(config, EVALUATE, SECTION, items, {"base": make_model(tmp_path, "base")})
    assert reading.read == []


def test_states_survive_their_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(np.float32)
    left_out = {"d": "too_long"}
    states = States(probe_ids=["a", "b", "c"], layers=[4, 9], values=values, left_out=left_out)
    path = str(tmp_path / "hidden.parquet")
    write_states(path, states)
    found = read_states(path)
    assert (list(found.probe_ids), found.layers, found.left_out) == ([*"abc"], [4, 9], left_out)
    assert np.array_equal(found.values, values)
    assert np.array_equal(found.of(["c", "a"]), values[[2, 0]].astype(np.float64))


def test_the_span_keeps_every_inner_product() -> None:
    values = np.random.default_rng(0).normal(size=(6, 2, 50)).astype(np.float32)
    kept = to_span(values)
    assert kept.shape == (6, 2, 6)
    for layer in range(2):
        before, after = values[:, layer].astype(np.float64), kept[:, layer].astype(np.float64)
        assert np.allclose(after @ after.T, before @ before.T, atol=1e-4)
    assert to_span(values[:, :, :4]).shape == (6, 2, 4)
