"""Submitting: what goes with a job, what is refused before anything does, and how it ends."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ray.job_submission import JobStatus

from ray_jobs import submit
from synth.cluster.job import came_with_its_folder
from synth.config.schema import SynthConfig
from tests.ray_jobs.conftest import Cli

# Importing Ray's client warns of Ray's own use of pydantic.
pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\..*")

URL = "http://127.0.0.1:9"
CONFIG = """
run: s3://bucket/run
recipe: refusal
teacher: {endpoint: {base_url: "http://host/v1", model: m, api_key_env: TEACHER_KEY}}
"""


@dataclass
class Details:
    status: JobStatus
    driver_exit_code: int | None = None
    message: str | None = None


@dataclass
class Client:
    """A cluster's job server: a log in parts, the connection lost after some of them."""

    ended: Details
    parts: tuple[str, ...] = ("one\n", "two\n", "three\n")
    lost_after: list[int] = field(default_factory=list)
    submitted: dict[str, Any] = field(default_factory=dict)
    interrupt: bool = False

    def submit_job(self, **words: Any) -> str:
        self.submitted = words
        return "raysubmit_1"

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        until = self.lost_after.pop(0) if self.lost_after else len(self.parts) - 1
        for part in self.parts[:until]:
            yield part
        if self.interrupt:
            raise KeyboardInterrupt
        if until < len(self.parts) - 1:
            raise RuntimeError("WebSocket connection closed unexpectedly")

    def get_job_info(self, job: str) -> Details:
        return self.ended

    def get_job_logs(self, job: str) -> str:
        return "".join(self.parts)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    fake = Client(Details(JobStatus.SUCCEEDED, 0))
    monkeypatch.setattr(submit, "connect_to_jobs", lambda address: fake)
    monkeypatch.setattr(submit, "_AGAIN_S", 0)
    return fake


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    return path


def test_the_folder_goes_with_the_job_and_no_secret(
    cli: Cli, tmp_path: Path, config: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_KEY", "planted")
    why = ("--accept-drift", "it's a test")
    ended = cli("submit", "run.yaml", "--address", URL, "--set", "samples=2", "--force", *why)
    assert ended.code == 0, ended.err
    assert "every node of the cluster must have in its environment: TEACHER_KEY" in ended.out
    assert client.submitted == {
        "entrypoint": "python -m ray_jobs.run run.yaml --set samples=2 --force "
        "--accept-drift 'it'\"'\"'s a test'",
        "runtime_env": {"working_dir": str(tmp_path), "excludes": list(submit.EXCLUDES)},
    }
    assert "planted" not in repr(client.submitted)
    assert {".git", ".env", "*.pem"} <= set(submit.EXCLUDES)


def test_the_log_is_followed_once_whatever_is_lost(cli: Cli, config: Path, client: Client) -> None:
    client.lost_after = [1, 0]
    client.parts = ("one\n", "\x1b]0;owned\x07two\n", "three\n")
    ended = cli("submit", "run.yaml", "--address", URL)
    assert ended.code == 0
    _, job, *lines = ended.out.splitlines()
    assert job == "submitted raysubmit_1"
    assert lines == ["one", "\\x1b]0;owned\\x07two", "three"]
    assert ended.err.count("trying again") == 2


def test_a_cluster_that_is_gone_is_not_followed_for_ever(
    cli: Cli, config: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "_LOST_S", -1)
    client.lost_after = [0]
    ended = cli("submit", "run.yaml", "--address", URL)
    assert ended.code == 1
    assert "the cluster has not answered for" in ended.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("details", "code"),
    [
        (Details(JobStatus.SUCCEEDED, 0), 0),
        (Details(JobStatus.FAILED, 1), 1),
        (Details(JobStatus.FAILED, 2), 2),
        (Details(JobStatus.FAILED, 3), 3),
        (Details(JobStatus.FAILED, 130), 130),
        (Details(JobStatus.STOPPED), 130),
        (Details(JobStatus.FAILED, -9, "killed\nTraceback"), 1),
        (Details(JobStatus.FAILED, None, "the node is gone"), 1),
    ],
)
def test_the_exit_code_is_the_jobs(
    cli: Cli, config: Path, client: Client, details: Details, code: int
) -> None:
    client.ended = details
    ended = cli("submit", "run.yaml", "--address", URL)
    assert ended.code == code
    if details.message:
        assert f"the job was lost, submitting again resumes: {details.message.splitlines()[0]}" in (
            ended.out
        )


@pytest.mark.parametrize(
    ("interrupt", "options", "code"), [(True, (), 130), (False, ("--no-wait",), 0)]
)
def test_a_job_that_is_not_followed_goes_on(
    cli: Cli, config: Path, client: Client, interrupt: bool, options: tuple[str, ...], code: int
) -> None:
    client.interrupt = interrupt
    ended = cli("submit", "run.yaml", "--address", URL, *options)
    assert ended.code == code
    assert f"to stop it: ray job stop --address {URL} raysubmit_1" in ended.out


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--set", "run=runs/x"), "run: value 'runs/x': must be on s3://, or an absolute path"),
        (("--address", "ray://host:10001"), "--address: value 'host': must be the address of a"),
        (("--address", "127.0.0.1:8265"), "--address: value None: must be the address of a"),
        (("--address", "http://u:pw@host:1"), "--address: value 'host': must be the address"),
        (
            ("--set", "teacher.endpoint.api_key_env=sk-planted"),
            "teacher.endpoint.api_key_env: value '(not shown)': must be the name of a variable",
        ),
        (
            ("--set", "storage.endpoint_url=https://me:planted@minio:9000"),
            "storage.endpoint_url: value 'minio': must hold no user or password",
        ),
        (("--set", "samples=0"), "samples: value 0"),
    ],
)
def test_what_can_not_work_is_refused_before_anything_is_sent(
    cli: Cli, config: Path, options: tuple[str, ...], line: str
) -> None:
    ended = cli("submit", "run.yaml", "--address", URL, *options)
    assert ended.code == 2
    assert line in ended.line
    assert "planted" not in ended.err
    assert "pw" not in ended.err


def test_a_file_outside_the_folder_does_not_go_with_it(
    cli: Cli, tmp_path: Path, config: Path
) -> None:
    for path in (config, Path("..") / tmp_path.name / "run.yaml"):
        ended = cli("submit", path, "--address", URL)
        assert ended.code == 2
        assert "must lie in the current folder" in ended.line


def test_no_cluster_is_one_line_and_the_address_is_the_one_that_was_given(
    cli: Cli, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://elsewhere:1")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://elsewhere:2")
    ended = cli("submit", "run.yaml", "--address", URL)
    assert ended.code == 1
    line = ended.err.splitlines()[-1]
    assert line.startswith(f"no cluster answers at {URL}")
    assert "elsewhere" not in ended.err


def test_names_are_checked_here_and_values_where_the_run_is(
    cli: Cli, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    assert "TEACHER_KEY" in cli("check", "run.yaml").line
    assert cli("check", "run.yaml", "--cluster").code == 0
    monkeypatch.setenv("TEACHER_KEY", "planted")
    assert cli("check", "run.yaml").code == 0


def test_a_job_with_its_folder_keeps_no_run_in_it(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.yaml").write_text("run: runs/x\nteacher: {model: scripted}\n")
    told = '{"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}}'
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", told)
    assert came_with_its_folder()
    assert "must be on s3://" in cli("synthesize", "run.yaml").line
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {}}')
    assert not came_with_its_folder()


def test_secrets_are_named_once() -> None:
    endpoint = {"base_url": "http://h/v1", "model": "m", "api_key_env": "KEY"}
    roles = {role: {"endpoint": endpoint} for role in ("teacher", "judge")}
    config = SynthConfig.model_validate({"run": "r", **roles})
    assert submit.secret_names(config) == ["KEY"]
