"""Jobs made up for the tests of training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from train.config import FinetuneConfig, TrainKind
from train.encode import TrainingJob

UNDER_RAY_TRAIN = [  # marks of modules that train for real; the fixture is in conftest.py
    pytest.mark.train,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("ray_train"),
]
OF_JOB = frozenset({"arm", "arms", "chosen", "special_tokens", "training"})


def job(base: str, curated: Path, kind: TrainKind = "dpo", **fields: Any) -> TrainingJob:
    """Make up a job of arm `stair`; fields that are none of a job's are the config's."""
    section = {name: value for name, value in fields.items() if name not in OF_JOB}
    config = {"batch_size": 2, "dtype": "float32", "match": None, **section}
    plain = TrainingJob(
        arm="stair",
        arms=("stair",),
        training="dpo",
        kind=kind,
        curated=str(curated),
        base=base,
        revision=None,
        family=None,
        config=FinetuneConfig.model_validate(config),
    )
    return replace(plain, **{name: fields[name] for name in OF_JOB & fields.keys()})
