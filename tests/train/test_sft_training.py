"""Training for real, on a random model of two layers with the embedded model's tokenizer."""

from pathlib import Path
from typing import Any

import pytest

from synth.config.schema import SynthConfig
from synth.errors import BadInput, RunFault
from synth.workspace.stage import read_manifest
from tests.train.curated import sft_row, write_curated
from tests.train.jobs import UNDER_RAY_TRAIN
from tests.train.killer import Killer
from train.config import FinetuneConfig
from train.students import finetune

pytestmark = UNDER_RAY_TRAIN

NUM_ROWS, BATCH, EPOCHS = 12, 2, 4
STEPS = EPOCHS * NUM_ROWS // BATCH
CONFIG = FinetuneConfig(
    epochs=EPOCHS, batch_size=BATCH, save_steps=1, max_failures=0, learning_rate=1e-3
)


@pytest.fixture
def run(tmp_path: Path) -> SynthConfig:
    """A run whose two arms have the same rows, so that they train alike."""
    texts = [(f"s{i:02}", f"Question {i}, " * (1 + i % 5), f"Answer {i}.") for i in range(NUM_ROWS)]
    train = [sft_row(s, arm, p, c) for s, p, c in texts for arm in ("refusal", "srg")]
    heldout = [sft_row("h0", "srg", "Held out?", "Yes.")]
    write_curated(tmp_path / "run", train, heldout, shard_rows=NUM_ROWS)
    return SynthConfig(run=str(tmp_path / "run"), recipe=("refusal", "srg"))


def curve(manifest: dict[str, Any]) -> list[tuple[int, float]]:
    return [(point["step"], round(point["loss"], 4)) for point in manifest["loss"]]


def test_killed_trainings_go_on_and_come_out_as_if_never_killed(
    run: SynthConfig, base: str
) -> None:
    models = Path(run.run) / "models"
    with Killer(models / ".train" / "refusal-*", STEPS) as first, pytest.raises(RunFault):
        finetune(run, CONFIG, base)
    assert 0 < first.killed_at < STEPS
    assert read_manifest(str(models / "refusal")) is None

    # As another driver would: from the first one's checkpoint. Its own worker dies, too.
    with Killer(models / ".train" / "refusal-*", STEPS) as second:
        manifests = finetune(run, CONFIG.model_copy(update={"max_failures": 1}), base).manifests
    assert first.killed_at < second.killed_at < STEPS
    assert second.steps == sorted(second.steps)  # no step was ever done again from the start
    killed, unharmed = manifests["refusal"], manifests["srg"]
    assert killed["steps"] == STEPS
    assert curve(killed) == curve(unharmed)
    assert killed["tokens"] == unharmed["tokens"]
    assert (unharmed["rows"], unharmed["heldout_rows"]) == (NUM_ROWS, 0)
    assert unharmed["heldout_left_out_by_reason"] == {"not_in_every_arm": 1}
    assert not list((models / ".train").iterdir())


def test_a_model_is_complete_and_made_again_only_when_an_input_changes(
    run: SynthConfig, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    config = CONFIG.model_copy(update={"epochs": 1, "arms": ("srg",), "save_steps": 100})
    folder = Path(run.run) / "models" / "srg"
    manifest = finetune(run, config, base).manifests["srg"]
    assert (manifest["rows"], manifest["heldout_rows"]) == (NUM_ROWS, 1)
    assert len(manifest["eval_loss"]) == 1
    assert {file["path"] for file in manifest["files"]} == {
        path.name for path in folder.iterdir() if path.name != "manifest.json"
    }
    assert [path.name for path in folder.glob("*.safetensors")] == ["model.safetensors"]

    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    start: Any = AutoModelForCausalLM.from_pretrained(base)
    tokenizers: list[Any] = [AutoTokenizer.from_pretrained(path) for path in (folder, base)]
    assert model.dtype == torch.bfloat16
    assert tokenizers[0].chat_template == tokenizers[1].chat_template
    moved = [
        not torch.equal(a, b) for a, b in zip(model.parameters(), start.parameters(), strict=True)
    ]
    assert all(moved)

    (folder / "stale.txt").write_text("of an older model")
    assert finetune(run, config, base).manifests["srg"] == manifest
    assert (folder / "stale.txt").exists()

    caplog.set_level("INFO")
    lora = config.model_copy(update={"method": "lora"})
    again = finetune(run, lora, base).manifests["srg"]
    assert "changed: finetune" in caplog.text
    assert not (folder / "stale.txt").exists()
    assert again["inputs"]["data"] == manifest["inputs"]["data"]
    merged: Any = AutoModelForCausalLM.from_pretrained(folder)
    assert merged.config.architectures == ["LlamaForCausalLM"]
    assert not (folder / "adapter_model.safetensors").exists()


def test_rows_that_are_all_too_long_end_the_training_at_once(run: SynthConfig, base: str) -> None:
    config = CONFIG.model_copy(update={"max_length": 3, "max_failures": 2})
    with pytest.raises(BadInput, match="max_length"):
        finetune(run, config, base)
