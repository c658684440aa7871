"""Training for real, on a random model of two layers with the embedded model's tokenizer."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from synth.config import SynthConfig
from synth.embedded import embedded_model_folder
from synth.errors import BadInput, RunFault
from synth.stage import read_manifest
from tests.train.curated import sft_row, write_curated
from train.config import FinetuneConfig
from train.sft import finetune

pytestmark = [
    pytest.mark.train,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # Ray Data sets its own deprecated settings when Ray Train loads it.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]

NUM_ROWS, BATCH, EPOCHS = 12, 2, 4
STEPS = EPOCHS * NUM_ROWS // BATCH
CONFIG = FinetuneConfig(
    epochs=EPOCHS, batch_size=BATCH, save_steps=1, max_failures=0, learning_rate=1e-3
)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    from synth.cluster import ray_cluster  # noqa: PLC0415 (heavy, as all imports in functions)

    with ray_cluster():
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    import torch  # noqa: PLC0415
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("base")
    tokenizer: Any = AutoTokenizer.from_pretrained(embedded_model_folder())
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(shape).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def run(tmp_path: Path) -> SynthConfig:
    """A run whose two arms have the same rows, so that they train alike."""
    texts = [(f"s{i:02}", f"Question {i}, " * (1 + i % 5), f"Answer {i}.") for i in range(NUM_ROWS)]
    train = [sft_row(s, arm, p, c) for s, p, c in texts for arm in ("refusal", "srg")]
    write_curated(tmp_path / "run", train, [sft_row("h0", "srg", "Held out?", "Yes.")])
    return SynthConfig(run=str(tmp_path / "run"), recipe=("refusal", "srg"))


class Killer(threading.Thread):
    """Kills the training worker once, when it has saved a checkpoint; notes the steps saved."""

    def __init__(self, models: Path) -> None:
        super().__init__(daemon=True)
        self.models, self.killed_at, self.steps, self.over = models, 0, [], False

    def run(self) -> None:
        while not self.over:
            if (step := self._saved_step()) and step not in self.steps[-1:]:
                self.steps.append(step)
            if self.steps and not self.killed_at:
                self.killed_at = self.steps[-1]
                for process in psutil.Process().children(recursive=True):
                    if "RayTrainWorker" in "".join(process.cmdline()):
                        os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.02)

    def _saved_step(self) -> int | None:
        for file in self.models.glob(".train/*/checkpoint_manager_snapshot.json"):
            try:
                latest = json.loads(file.read_text())["latest_checkpoint_result"]
            except (ValueError, FileNotFoundError):  # being written
                continue
            return (latest or {}).get("metrics", {}).get("step")
        return None

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        self.join()


def curve(manifest: dict[str, Any]) -> list[tuple[int, float]]:
    return [(point["step"], round(point["loss"], 4)) for point in manifest["loss"]]


def test_killed_trainings_go_on_and_come_out_as_if_never_killed(
    run: SynthConfig, base: str
) -> None:
    models = Path(run.run) / "models"
    with Killer(models) as first, pytest.raises(RunFault) as e0:
        finetune(run, CONFIG, base)
    print("E0", repr(e0.value)[:1500], repr(e0.value.__cause__)[:1500])
    assert 0 < first.killed_at < STEPS
    assert read_manifest(str(models / "refusal")) is None

    # Another driver: it goes on from the first one's checkpoint, and its own worker dies, too.
    with Killer(models) as second:
        manifests = finetune(run, CONFIG.model_copy(update={"max_failures": 1}), base)
    assert second.steps[0] >= first.killed_at
    assert second.steps[: STEPS - 1] == sorted(second.steps[: STEPS - 1])
    killed, unharmed = manifests["refusal"], manifests["srg"]
    assert killed["steps"] == STEPS
    assert curve(killed) == curve(unharmed)
    assert killed["tokens"] == unharmed["tokens"]
    assert not list((models / ".train").iterdir())


def test_a_model_is_complete_and_made_again_only_when_an_input_changes(
    run: SynthConfig, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    config = CONFIG.model_copy(update={"epochs": 1, "arms": ("srg",), "save_steps": 100})
    folder = Path(run.run) / "models" / "srg"
    manifest = finetune(run, config, base)["srg"]
    assert (manifest["rows"], manifest["heldout_rows"]) == (NUM_ROWS, 1)
    assert len(manifest["eval_loss"]) == 1
    assert {file["path"] for file in manifest["files"]} == {
        path.name for path in folder.iterdir() if path.name != "manifest.json"
    }
    assert [path.name for path in folder.glob("*.safetensors")] == ["model.safetensors"]

    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    start: Any = AutoModelForCausalLM.from_pretrained(base)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(base).chat_template
    moved = [
        not torch.equal(a, b) for a, b in zip(model.parameters(), start.parameters(), strict=True)
    ]
    assert all(moved)

    (folder / "stale.txt").write_text("of an older model")
    assert finetune(run, config, base)["srg"] == manifest
    assert (folder / "stale.txt").exists()

    caplog.set_level("INFO")
    lora = config.model_copy(update={"method": "lora"})
    again = finetune(run, lora, base)["srg"]
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
