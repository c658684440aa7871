"""What is said about a run before it runs."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from synth.checks import static
from synth.checks.deep import check_deep, within
from synth.checks.static import check_resources, check_static, local_gpus
from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.run import fingerprint, load_run, open_run

SCRIPTED = ModelConfig(model="scripted")


def make_config(folder: Path, **fields: Any) -> SynthConfig:
    return SynthConfig.model_validate({"run": str(folder / "run"), "teacher": SCRIPTED, **fields})


def test_a_good_run_passes_and_nothing_is_written(tmp_path: Path) -> None:
    check_static(make_config(tmp_path, recipe=("refusal", "srg")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("run", ["", "  ", "a\0b"])
def test_a_run_needs_a_name(tmp_path: Path, run: str) -> None:
    with pytest.raises(BadInput, match="must name a folder"):
        check_static(make_config(tmp_path, run=run))


def test_a_run_directory_under_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="is no folder"):
        check_static(make_config(tmp_path, run=str(tmp_path / "file" / "deeper" / "run")))


def test_a_dangling_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="is no folder"):
        check_static(make_config(tmp_path))


def test_a_model_folder_without_a_config(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(BadInput) as caught:
        check_static(make_config(tmp_path, guard=ModelConfig(model=str(tmp_path / "model"))))
    assert caught.value.field == "guard.model"


def test_an_address_holds_no_password(tmp_path: Path) -> None:
    endpoint: Any = {"base_url": "http://me:hush@host/v1", "model": "m"}
    with pytest.raises(BadInput) as caught:
        check_static(make_config(tmp_path, judge=ModelConfig(endpoint=endpoint)))
    assert "hush" not in str(caught.value)


def test_gpus_are_counted_without_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(static, "_DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    assert local_gpus() == 2
    check_resources("teacher.resources.num_gpus", 2)
    with pytest.raises(BadInput, match="at most the 2 GPUs"):
        check_resources("teacher.resources.num_gpus", 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert local_gpus() == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert local_gpus() == 0
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    check_resources("teacher.resources.num_gpus", 3)


def test_the_fingerprint_that_is_expected_is_the_one_that_is_written(tmp_path: Path) -> None:
    config = make_config(tmp_path, recipe=("refusal", "srg"))
    run = load_run(config)
    open_run(run, fingerprint(run))
    check_static(config)
    hotter = config.model_copy(
        update={"sampling": config.sampling.model_copy(update={"temperature": 1.5})}
    )
    with pytest.raises(BadInput, match="value 'sampling': differs"):
        check_static(hotter)
    check_static(hotter, accept_drift="hotter is better")


def test_the_embedded_model_is_expected_without_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = load_run(make_config(tmp_path, teacher=ModelConfig(model="embedded")))
    parts = fingerprint(run)
    assert parts["teacher"].startswith("embedded@")
    open_run(run, parts | {"teacher": "embedded@000000000000"})
    with pytest.raises(BadInput, match="value 'teacher': differs"):
        check_static(run.config)
    assert not (tmp_path / "cache").exists()


def test_what_hangs_is_given_up_on() -> None:
    with pytest.raises(BadInput, match=r"recipe: value 'slow': must answer within 0\.01 s"):
        within(0.01, "recipe", "slow", lambda: time.sleep(1))


def test_what_fails_in_time_fails_as_itself() -> None:
    def fail() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        within(10, "recipe", "broken", fail)


def test_a_server_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.checks.deep.ENDPOINT_S", 10)
    endpoint: Any = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
    config = make_config(tmp_path, judge=ModelConfig(endpoint=endpoint))
    with pytest.raises(BadInput) as caught:
        list(check_deep(config))
    assert caught.value.field == "judge.endpoint"
    assert caught.value.rule.startswith("must answer: ")


@pytest.mark.slow
def test_a_tokenizer_that_does_not_load(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(BadInput, match="its tokenizer must load: "):
        list(check_deep(make_config(tmp_path, target=ModelConfig(model=str(model)))))
