"""The cluster files: valid where Ray has a schema, and in agreement with each other and with us."""

import json
import re
import shlex
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

from ray_jobs.config import RunConfig
from synth.config.loading import load_config
from synth.config.schema import Labels
from synth.pools import lifecycle
from tests.ray_jobs.conftest import Cli

# Importing Ray Serve warns of Ray's own use of pydantic.
pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\..*")

FOLDER = Path(str(files("ray_jobs") / "cluster"))
AWS: dict[str, Any] = yaml.safe_load((FOLDER / "aws.yaml").read_text())
CONFIG_MAP, JOB = yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text())
CLUSTER: dict[str, Any] = JOB["spec"]["rayClusterSpec"]
HEAD: dict[str, Any] = CLUSTER["headGroupSpec"]
GROUPS: dict[str, Any] = {group["groupName"]: group for group in CLUSTER["workerGroupSpecs"]}
TYPES: dict[str, Any] = AWS["available_node_types"]
DOCUMENT = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")


def pod(group: dict[str, Any]) -> dict[str, Any]:
    return group["template"]["spec"]


def container(group: dict[str, Any]) -> dict[str, Any]:
    [only] = pod(group)["containers"]
    return only


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """The configuration that the RayJob runs."""
    [(name, text)] = CONFIG_MAP["data"].items()
    (tmp_path / name).write_text(text)
    return load_config(tmp_path / name, (), RunConfig)


def select(labels: Labels, groups: dict[str, Any]) -> list[str]:
    """Return the groups that have the labels."""
    return [name for name, group in groups.items() if labels.items() <= group["labels"].items()]


def test_the_launcher_file_is_one_by_rays_schema_and_its_own_checks() -> None:
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(AWS, json.loads(schema.read_text()))
    validate_config(prepare_config(AWS))


def test_the_launcher_starts_ray_with_options_it_has_and_the_token_everywhere() -> None:
    known = {option for parameter in start.params for option in parameter.opts}
    for kind in ("head", "worker"):
        [_, command] = AWS[f"{kind}_start_ray_commands"]
        assert "RAY_AUTH_MODE=token" in command
        words = shlex.split(command[command.index("ray start") :])[2:]
        assert {word.partition("=")[0] for word in words} <= known
    head = AWS["head_start_ray_commands"][1]
    assert "--dashboard-host=127.0.0.1" in head  # reached through SSH, and not by strangers
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head
    assert AWS["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_the_rays_are_one() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert CLUSTER["rayVersion"] == ray.__version__
    assert f">={ray.__version__.rpartition('.')[0]}" in project


def test_both_leave_a_job_the_time_to_drain(config: RunConfig) -> None:
    needed = config.limits.drain_s + lifecycle._LEAVE_S
    wait = {entry["name"]: entry["value"] for entry in container(HEAD)["env"]}
    assert float(wait["RAY_JOB_STOP_WAIT_TIME_S"]) > needed
    found = re.search(r"RAY_JOB_STOP_WAIT_TIME_S=(\d+)", AWS["head_start_ray_commands"][1])
    assert found is not None
    assert float(found[1]) > needed
    assert pod(HEAD)["terminationGracePeriodSeconds"] > float(wait["RAY_JOB_STOP_WAIT_TIME_S"])


def test_the_entry_point_is_there_and_runs_the_mounted_configuration(
    cli: Cli, config: RunConfig, tmp_path: Path
) -> None:
    python, minus_m, module, path = shlex.split(JOB["spec"]["entrypoint"])
    assert (python, minus_m) == ("python", "-m")
    assert find_spec(module) is not None
    [mount] = container(HEAD)["volumeMounts"]
    [volume] = pod(HEAD)["volumes"]
    assert mount["name"] == volume["name"]
    assert volume["configMap"]["name"] == CONFIG_MAP["metadata"]["name"]
    assert path == f"{mount['mountPath']}/{next(iter(CONFIG_MAP['data']))}"
    assert config.run.startswith("s3://")  # a pod's disk goes with it
    assert cli("check", tmp_path / "run.yaml", "--cluster").code == 0


def test_nothing_is_run_twice_whatever_the_exit_code() -> None:
    assert JOB["spec"]["backoffLimit"] == 0
    assert all(pod(group)["restartPolicy"] == "Never" for group in (HEAD, *GROUPS.values()))


def test_engines_are_on_spot_and_workers_are_not(config: RunConfig) -> None:
    engines, workers = config.teacher.resources.labels, config.limits.worker_labels
    assert select(engines, GROUPS) == ["engines"]
    assert select(workers, GROUPS) == ["stable"]
    assert any("spot" in entry.get("value", "") for entry in pod(GROUPS["engines"])["tolerations"])
    assert "tolerations" not in pod(GROUPS["stable"])
    assert "tolerations" not in pod(HEAD)
    assert HEAD["rayStartParams"]["num-cpus"] == "0"
    spot = {name for name, kind in TYPES.items() if "InstanceMarketOptions" in kind["node_config"]}
    assert spot == {"engines"}
    for name in ("engines", "stable"):
        assert select({"group": name}, TYPES) == [name]
        assert f"{{group: {name}}}" in DOCUMENT
    assert "--num-cpus=0 --labels=group=head" in AWS["head_start_ray_commands"][1]
    assert TYPES["head"]["labels"] == {"group": "head"}


def test_groups_grow_to_what_the_run_asks_for(config: RunConfig) -> None:
    engines, limits = GROUPS["engines"], container(GROUPS["engines"])["resources"]["limits"]
    assert CLUSTER["enableInTreeAutoscaling"]
    assert engines["minReplicas"] == 0
    gpus = int(limits["nvidia.com/gpu"]) * engines["maxReplicas"]
    assert gpus >= config.teacher.resources.num_gpus * config.teacher.replicas.max
    assert TYPES["engines"]["min_workers"] == 0
    assert AWS["max_workers"] == sum(kind["max_workers"] for kind in TYPES.values())
    for group in (HEAD, *GROUPS.values()):
        resources = container(group)["resources"]
        assert resources["requests"] == resources["limits"]


def test_secrets_and_the_token_come_from_the_cluster_and_stand_nowhere() -> None:
    assert CLUSTER["authOptions"] == {"mode": "token", "secretName": "guideweave-token"}
    for group in (HEAD, *GROUPS.values()):
        assert container(group)["envFrom"] == [{"secretRef": {"name": "guideweave-secrets"}}]
    assert "runtimeEnvYAML" not in JOB["spec"]
    for name in ("guideweave-token", "guideweave-secrets", "RAY_JOB_STOP_WAIT_TIME_S"):
        assert name in DOCUMENT


def test_ports_are_those_that_the_document_names() -> None:
    ports = {port["name"]: port["containerPort"] for port in container(HEAD)["ports"]}
    head = AWS["head_start_ray_commands"][1]
    assert f"--port={ports['gcs']} " in head
    assert f"--dashboard-port={ports['dashboard']} " in head
    for command in (head, AWS["worker_start_ray_commands"][1]):
        assert f"--metrics-export-port={ports['metrics']}" in command
    assert f"http://127.0.0.1:{ports['dashboard']}" in DOCUMENT
