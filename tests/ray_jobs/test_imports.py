"""What importing the commands costs: nothing heavy, in a fresh interpreter."""

import subprocess
import sys

import pytest

from ray_jobs.cli import VERBS

HEAVY = ("torch", "vllm", "ray", "trl", "transformers")


def loaded_by(statement: str) -> list[str]:
    code = f"import sys; {statement}; print(*(n for n in {HEAVY!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_every_verb_loads_nothing_heavy() -> None:
    modules = ", ".join(f"ray_jobs.{verb}" for verb in VERBS)
    assert loaded_by(f"import ray_jobs.cli, {modules}") == []


def test_the_front_door_loads_nothing_heavy() -> None:
    assert loaded_by("from synth import build_dataset, load_config") == []


def test_the_list_of_verbs_needs_no_verb() -> None:
    code = "import sys, ray_jobs.cli; print('pydantic' in sys.modules, 'pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("package", ["guidelines", "synth", "train", "ray_jobs"])
def test_no_verb_is_named_like_a_package(package: str) -> None:
    assert package not in VERBS
