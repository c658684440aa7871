import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from synth.config.schema import EndpointConfig, ModelConfig
from synth.errors import BadInput
from train.evals import lm_harness
from train.evals.lm_harness import benchmark, lm_eval_scores, read_scores

# What the harness returns, abridged: made up after its own code, as it is not installed here.
RESULTS: dict[str, Any] = {
    "results": {
        "ifeval": {
            "alias": "ifeval",
            "prompt_level_strict_acc,none": 0.25,
            "prompt_level_strict_acc_stderr,none": 0.0185,
            "inst_level_loose_acc,none": 0.4,
            "inst_level_loose_acc_stderr,none": "N/A",
        },
        "gsm8k": {
            "alias": "gsm8k",
            "sample_len": 1319,
            "exact_match,strict-match": 0.5,
            "exact_match_stderr,strict-match": 0.0138,
            "exact_match,flexible-extract": 0.5625,
            "exact_match_stderr,flexible-extract": 0.0137,
        },
    },
    "versions": {"ifeval": 4.0, "gsm8k": 3.0},
    "n-samples": {"gsm8k": {"original": 1319, "effective": 1319}},
    "config": {"model": "hf"},
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A harness that notes how it is called."""
    seen: list[dict[str, Any]] = []

    def simple_evaluate(**given: Any) -> dict[str, Any]:
        seen.append(given)
        return RESULTS

    stub: Any = ModuleType(lm_harness.PACKAGE)
    stub.simple_evaluate, stub.__version__ = simple_evaluate, "0.4.99"
    stub.__spec__ = object()
    monkeypatch.setitem(sys.modules, lm_harness.PACKAGE, stub)
    return seen


def model_folder(folder: Path) -> ModelConfig:
    (folder / "config.json").write_text("{}")
    return ModelConfig(model=str(folder))


def test_every_metric_keeps_its_filter_and_its_error() -> None:
    found = read_scores(RESULTS)
    assert found["gsm8k"] == {
        "version": 3.0,
        "examples": 1319,
        "metrics": [
            {
                "metric": "exact_match",
                "filter": "flexible-extract",
                "value": 0.5625,
                "stderr": 0.0137,
            },
            {"metric": "exact_match", "filter": "strict-match", "value": 0.5, "stderr": 0.0138},
        ],
    }
    assert [m["stderr"] for m in found["ifeval"]["metrics"]] == [None, 0.0185]
    assert found["ifeval"]["examples"] is None


def test_thoughts_are_stripped_and_the_chat_template_is_used(
    calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    found = lm_eval_scores(model_folder(tmp_path), ["gsm8k", "ifeval"], seed=3)
    [call] = calls
    assert call["model_args"] == {"pretrained": str(tmp_path), "think_end_token": "</think>"}
    assert (call["tasks"], call["apply_chat_template"]) == (["gsm8k", "ifeval"], True)
    assert call["fewshot_random_seed"] == call["torch_random_seed"] == 3
    assert found["lm_eval"] == "0.4.99"
    assert list(found["tasks"]) == ["gsm8k", "ifeval"]


def test_each_model_is_scored_once(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    models = {"base": model_folder(tmp_path)}
    for _ in range(2):
        benchmark(str(tmp_path / "run"), models, ["gsm8k"])
    scores = tmp_path / "run" / "evals" / "base" / "lm_eval" / "scores.json"
    assert json.loads(scores.read_bytes())["tasks"] == read_scores(RESULTS)
    benchmark(str(tmp_path / "run"), models, ["gsm8k", "ifeval"])
    assert [call["tasks"] for call in calls] == [["gsm8k"], ["gsm8k", "ifeval"]]


def test_an_endpoint_can_not_be_loaded(calls: list[dict[str, Any]]) -> None:
    endpoint = EndpointConfig(base_url="http://localhost:1/v1", model="m")
    with pytest.raises(BadInput, match="loaded"):
        lm_eval_scores(ModelConfig(endpoint=endpoint), ["gsm8k"])
    assert not calls


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lm_harness, "PACKAGE", "no_such_harness")
    with pytest.raises(BadInput, match=r"guideweave\[lm-eval\]"):
        lm_eval_scores(model_folder(tmp_path), ["gsm8k"])
