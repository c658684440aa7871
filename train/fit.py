"""Running one arm's training on Ray Train.

This leaf imports Ray Train and, with the worker's loop, torch and TRL.
"""

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.train.v2.api.config import (
    CheckpointConfig,
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
)
from ray.train.v2.api.exceptions import TrainingFailedError
from ray.train.v2.api.result import Result
from ray.train.v2.torch.torch_trainer import TorchTrainer

from synth import storage
from synth.cluster.room import LOOK_S, Watch, section_demand
from synth.config.schema import ModelConfig
from synth.errors import BadInput, RunFault
from synth.models.identity import identify
from train.config import FinetuneConfig
from train.encode import TrainingJob
from train.worker import MODEL, SUMMARY, train_loop

# On CPUs. Tensors of a step are freed and allocated again in the next one: by default glibc
# returns each large one to the system, and a fifth of a step goes into page faults. Threads
# that wait for each other sleep: by default they spin, which doubles the time of a step as
# soon as anything else runs on the machine.
CPU_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 30),
    "OMP_WAIT_POLICY": "PASSIVE",
}


def fit(job: TrainingJob, name: str, training: str, folder: Path) -> dict[str, Any]:
    """Train and write the model into `folder`; return what the manifest says of it.

    Args:
        job: The training.
        name: Of the Ray Train run. Where `training` has checkpoints of a run of this name, it
            goes on from the last: a name must tell apart all that trains differently.
        training: Where Ray Train keeps its runs, reachable from every node.
        folder: Where the model goes.

    Raises:
        BadInput: The rows or the model can not be trained on.
        RunFault: The workers failed more often than the config allows.
    """
    result = _run(_trainer(_with_reference(job), name, training), job.config)
    if isinstance(result.return_value, BadInput):
        raise result.return_value
    if result.checkpoint is None:
        raise RunFault(f"the training of arm {job.arm} ended without a model")
    with result.checkpoint.as_directory() as found:
        shutil.copytree(Path(found, MODEL), folder, dirs_exist_ok=True)
        return json.loads(Path(found, SUMMARY).read_text(encoding="utf-8"))


def _with_reference(job: TrainingJob) -> TrainingJob:
    """Return the job with its reference model as workers find it: by an absolute path."""
    name = job.config.dpo.reference
    if job.kind != "dpo" or name is None:
        return job
    dpo = job.config.dpo.model_copy(update={"reference": identify(ModelConfig(model=name)).path})
    return replace(job, config=job.config.model_copy(update={"dpo": dpo}))


def _trainer(job: TrainingJob, name: str, training: str) -> TorchTrainer:
    config = job.config
    path, filesystem = storage.ray_train_storage(training)
    environment = {} if config.on_gpu else CPU_ENVIRONMENT
    return TorchTrainer(
        train_loop,
        train_loop_config={"job": job},
        scaling_config=_scaling(config),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=config.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            worker_runtime_env={"env_vars": {"HF_HUB_DISABLE_TELEMETRY": "1", **environment}},
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
    )


def _scaling(config: FinetuneConfig) -> ScalingConfig:
    resources = {"CPU": config.resources.num_cpus}
    if config.on_gpu:
        resources["GPU"] = config.resources.num_gpus
    return ScalingConfig(
        num_workers=config.workers,
        use_gpu=config.on_gpu,
        resources_per_worker=resources,
        label_selector=config.resources.labels or None,
    )


def _run(trainer: TorchTrainer, config: FinetuneConfig) -> Result:
    """Run the trainer in a thread of its own.

    In the main thread `fit` would install a handler that turns an interrupt into exit code 0,
    and leave it installed.

    Raises:
        BadInput: The cluster can never hold the workers.
    """
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(trainer.fit())
        except Exception as error:  # noqa: BLE001 (raised again, in the caller's thread)
            outcome.append(error)

    thread = threading.Thread(target=run, name="ray-train", daemon=True)
    thread.start()
    watch = Watch([section_demand("finetune", config.resources, config.workers, "workers")])
    while thread.is_alive():
        thread.join(LOOK_S)
        watch.look()
    (result,) = outcome
    if isinstance(result, TrainingFailedError):
        raise RunFault(f"training failed: {result}") from result
    if isinstance(result, Exception):
        raise result
    return result
