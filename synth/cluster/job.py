"""What this process can tell of the Ray job that it may be a part of; it needs no Ray for that."""

import json
import os

from synth import storage
from synth.errors import BadInput


def in_ray_job() -> bool:
    """Say whether this process was submitted to a cluster, whose nodes share no disk with us."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def check_seen_by_all(run: str) -> None:
    """Check that a run's folder is no part of the folder that goes with a job.

    Every node has a copy of that one, which is removed with the job.

    Raises:
        BadInput: It is.
    """
    if not storage.is_remote(run) and not os.path.isabs(run):
        rule = "must be on s3://, or an absolute path to a folder that every node sees"
        raise BadInput(file="config", field="run", value=run, rule=rule)


def came_with_its_folder() -> bool:
    """Say whether this process works in the copy of a folder that was submitted with its job."""
    told = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    return "working_dir" in told.get("runtime_env", {})
