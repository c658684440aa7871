"""Training on pairs for real, under Ray Train, on a random model of two layers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from synth.curate.shards import Split
from synth.models.families import STEP_TOKENS
from synth.recipes.surgery import write_steps
from tests.train.curated import pair_row, sft_row, write_curated
from tests.train.jobs import UNDER_RAY_TRAIN, job
from tests.train.killer import Killer
from train.encode import choose_rows

pytestmark = UNDER_RAY_TRAIN

PAIRS = [
    pair_row(f"s{i}", "stair", f"Answer {i}, " * (1 + i % 3), f"Refusal {i}.") for i in range(4)
]


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [sft_row(f"s{i}", "stair", f"Question {i}", write_steps(["It."], "So.")) for i in (1, 2)]
    return write_curated(tmp_path_factory.mktemp("run"), rows, (), PAIRS, PAIRS[:1])


def trained(base: str, curated: Path, folder: Path, kind: Any, **fields: Any) -> dict[str, Any]:
    """Train into `folder`, with the part of the manifest that the next training looks at."""
    from train.fit import fit  # noqa: PLC0415

    own = job(base, curated, kind, **{"save_steps": 100, "max_failures": 0, **fields})
    if kind == "sft":
        chosen = {split: choose_rows({own.arm: own}, split)[own.arm] for split in get_args(Split)}
        own = replace(own, chosen=chosen)
    folder.mkdir(exist_ok=True)
    outcome = fit(own, folder.name, str(folder.parent / ".train"), folder)
    (folder / "manifest.json").write_text(json.dumps(outcome), encoding="utf-8")
    return outcome


def test_a_student_of_marked_steps_goes_on_to_pairs_and_to_a_reward_model(
    base: str, curated: Path, tmp_path: Path
) -> None:
    from transformers import (  # noqa: PLC0415
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    tokens = {"special_tokens": STEP_TOKENS}
    sft = trained(base, curated, tmp_path / "sft", "sft", method="lora", epochs=2, **tokens)
    assert (sft["kind"], sft["special_tokens"]) == ("sft", list(STEP_TOKENS))
    student: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "sft")
    tokenizers: list[Any] = [AutoTokenizer.from_pretrained(p) for p in (base, tmp_path / "sft")]
    tokenizer, size = tokenizers[1], len(tokenizers[0]) + len(STEP_TOKENS)
    assert student.config.vocab_size == len(student.lm_head.weight) == len(tokenizer) == size
    assert student.config.architectures == ["LlamaForCausalLM"]
    opened = tokenizer.convert_tokens_to_ids(STEP_TOKENS[0])
    assert tokenizer.encode(f"a{STEP_TOKENS[0]}b", add_special_tokens=False)[1] == opened
    assert not list((tmp_path / "sft").glob("adapter*"))

    dpo = trained(str(tmp_path / "sft"), curated, tmp_path / "dpo", "dpo", method="lora", **tokens)
    assert (dpo["steps"], dpo["rows"], dpo["heldout_rows"]) == (2, len(PAIRS), 1)
    assert dpo["tokens"] > 0
    assert {"step", "loss", "accuracy", "margin"} <= dpo["loss"][0].keys()
    assert {"eval_loss", "eval_accuracy", "eval_margin"} <= dpo["eval_loss"][0].keys()
    merged: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "dpo")
    assert merged.config.vocab_size == size
    assert not list((tmp_path / "dpo").glob("adapter*"))

    reward = trained(str(tmp_path / "dpo"), curated, tmp_path / "prm", "reward", **tokens)
    assert reward["steps"] == 2
    assert {"loss", "accuracy", "margin"} <= reward["loss"][0].keys()
    scorer: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "prm")
    assert scorer.config.architectures == ["LlamaForSequenceClassification"]
    assert (scorer.config.num_labels, scorer.config.problem_type) == (1, "regression")
    assert scorer.config.pad_token_id == tokenizer.pad_token_id
    assert [path.name for path in (tmp_path / "prm").glob("*.safetensors")] == ["model.safetensors"]


def test_a_killed_dpo_training_goes_on_and_comes_out_as_if_never_killed(
    base: str, curated: Path, tmp_path: Path
) -> None:
    section = {"dpo": {"epochs": 4, "learning_rate": 1e-3}, "save_steps": 1, "max_failures": 1}
    steps = 8
    unharmed = trained(base, curated, tmp_path / "unharmed", "dpo", **section)
    with Killer(tmp_path / ".train" / "killed", steps) as killer:
        killed = trained(base, curated, tmp_path / "killed", "dpo", **section)
    assert 0 < killer.killed_at < steps
    assert killer.steps == sorted(killer.steps)  # no step was ever done again from the start
    assert killed["steps"] == steps

    def curve(outcome: dict[str, Any]) -> list[tuple[int, float, float]]:
        return [(p["step"], round(p["loss"], 5), round(p["margin"], 5)) for p in outcome["loss"]]

    assert curve(killed) == curve(unharmed)
