"""Training for real with everything on `s3://`: data, base model, checkpoints, student."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from synth import storage
from synth.config.schema import ModelConfig, StorageConfig, SynthConfig
from synth.models.identity import identify
from synth.workspace.stage import MANIFEST
from tests.synth.s3_server import BUCKET, CREDENTIALS, s3_server
from tests.train.curated import random_model, sft_row, write_curated
from train.config import FinetuneConfig
from train.evals.evaluate import model_config
from train.students import finetune

pytestmark = [
    pytest.mark.train,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

CONFIG = FinetuneConfig(epochs=1, batch_size=2, save_steps=2, max_failures=0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A store, and a cluster whose workers have the credentials for it."""
    import ray  # noqa: PLC0415 (heavy, as the next)

    from synth.cluster.joining import join_ray  # noqa: PLC0415

    ray.shutdown()
    with s3_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
        patch.setenv("HF_HOME", str(tmp_path / "hub"))
        join_ray()
        yield url
        ray.shutdown()
        storage.use(StorageConfig())


def test_a_student_is_trained_from_and_into_a_store(server: str, tmp_path: Path) -> None:
    run = f"s3://{BUCKET}/run"
    section = StorageConfig(endpoint_url=server, region="us-east-1")
    storage.use(section)
    rows = [sft_row(f"s{i}", "srg", f"Question {i}?", f"Answer {i}.") for i in range(8)]
    write_curated(tmp_path / "run", rows, rows[:1])
    storage.upload_folder(tmp_path / "run", run)
    storage.upload_folder(Path(random_model(tmp_path / "base")), f"s3://{BUCKET}/base")
    config = SynthConfig(run=run, recipe=("srg",), storage=section)

    manifest = finetune(config, CONFIG, f"s3://{BUCKET}/base").manifests["srg"]
    assert (manifest["rows"], manifest["steps"], manifest["base"]["name"]) == (8, 4, "base")
    folder = f"{run}/models/srg"
    listed = [file["path"] for file in manifest["files"]]
    assert storage.list_files(folder) == sorted([*listed, MANIFEST])
    sizes = [Path(storage.local_copy(folder), name).stat().st_size for name in listed]
    assert sizes == [file["bytes"] for file in manifest["files"]]
    assert storage.list_folders(f"{run}/models/.train") == []
    assert finetune(config, CONFIG, f"s3://{BUCKET}/base").manifests["srg"] == manifest

    student = model_config(config, "srg")
    assert student.model == folder
    assert identify(student).digest != identify(ModelConfig(model=f"s3://{BUCKET}/base")).digest
