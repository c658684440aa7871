"""The flow on `s3://`, with a tenth of all requests failing on the way."""

import asyncio
import hashlib
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import pytest

from guidelines.released import ROOT as GUIDELINES
from synth import storage
from synth.chat.scripted import plausible
from synth.config.schema import ModelConfig, StorageConfig
from synth.errors import BadInput
from synth.models.identity import identify
from synth.records import Message, Sampling
from synth.run import load_set
from tests.chaos.check import count
from tests.commands import Cli
from tests.synth.s3_proxy import FaultProxy, running
from tests.synth.s3_server import BUCKET, CREDENTIALS, connect, download, s3_server

SEED = 11
ROWS = 64
ROOT = Path(__file__).parents[3]
CONFIG = """
run: s3://bucket/RUN
recipe: [refusal, srg]
guidelines: s3://bucket/rules/mine
samples: 2
seeds: {path: s3://bucket/seeds.jsonl, limit: {harmful: 6, benign: 6, borderline: 4}}
teacher: {model: scripted}
limits: {workers: 0}
storage: {endpoint_url: "URL", timeout_s: 1}
"""
_calls = itertools.count()


async def gradual(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer each call a little later than the one before it."""
    await asyncio.sleep(0.06 * next(_calls))
    return plausible(messages, sampling)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A store with seeds and guidelines in it."""
    with s3_server() as url:
        client = connect(url)
        seeds = files("synth") / "data" / "seeds.jsonl"
        client.put_object(Bucket=BUCKET, Key="seeds.jsonl", Body=seeds.read_bytes())
        for path in (GUIDELINES / "srg").rglob("*.md"):
            name = path.relative_to(GUIDELINES / "srg").as_posix()
            client.put_object(Bucket=BUCKET, Key=f"rules/mine/{name}", Body=path.read_bytes())
        yield url


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    storage.use(StorageConfig())


@pytest.fixture
def proxy(server: str) -> Iterator[FaultProxy]:
    with running(FaultProxy(server, 0.1, SEED)) as proxy:
        yield proxy


def write_config(folder: Path, run: str, url: str) -> Path:
    path = folder / f"{run}.yaml"
    path.write_text(CONFIG.replace("RUN", run).replace("URL", url))
    return path


def check_whole(server: str, run: str, folder: Path) -> None:
    """Check, past the project's own readers, that nothing is lost, double or damaged."""
    download(server, run, folder / "downloaded")
    counted = count(folder / "downloaded")
    assert (counted.planned, counted.lost, counted.double) == (ROWS, 0, 0)
    curated = folder / "downloaded" / "curated" / "default"
    manifest = json.loads((curated / "manifest.json").read_text())
    assert manifest["shards"]
    for shard in manifest["shards"]:
        data = (curated / shard["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (shard["bytes"], shard["sha256"])


def test_the_flow_through_a_kill_while_requests_fail(
    cli: Cli, server: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path, "flow", proxy.url)
    kept = kill_after_a_lease(server, config)
    assert 1 <= len(kept) < 4
    # The script is another now, which is another fingerprint; that is not what this is about.
    changed = ("--force", "--accept-drift", "a test")
    ended = cli("run", config, *changed)
    assert ended.code == 0, ended.err
    assert ended.out.rstrip().endswith("report: s3://bucket/flow/report.html")
    assert proxy.seen.total() - proxy.seen["fine"] > 10
    check_whole(server, "flow", tmp_path)
    assert kept.items() <= leases(server, "flow").items()
    [log] = (tmp_path / "downloaded" / "logs").glob("*/driver.log")
    assert "synthesize" in log.read_text()

    again = cli("run", config)
    assert again.code == 0
    assert "synthesize: complete, nothing to do" in again.err
    assert "curate: complete, nothing to do" in again.err
    # Commands that know no configuration: the endpoint comes from the environment.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server)
    storage.use(StorageConfig(deadline_s=59))  # one whose client no test has opened yet
    status = cli("status", "s3://bucket/flow")
    assert status.code == 0, status.err
    assert f"4 of 4 leases done, {ROWS} rows planned" in status.out
    assert "0 failed items" in cli("retry", "s3://bucket/flow").out


def kill_after_a_lease(server: str, config: Path) -> dict[str, str]:
    """Kill a slow driver once it has published a lease; return those that it has published."""
    slow = "teacher={model: scripted, engine_args: {script: 'tests.synth.storage.test_s3:gradual'}}"
    driver = subprocess.Popen(
        [sys.executable, "-m", "ray_jobs.synthesize", str(config), "--set", slow],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        while not leases(server, "flow"):
            assert driver.poll() is None, "it ended by itself"
            time.sleep(0.05)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    return leases(server, "flow")


@pytest.mark.ray
def test_workers_reach_the_store_as_their_driver_does(
    server: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    config = write_config(tmp_path, "workers", proxy.url)
    # A process of its own: a cluster's workers have the environment it was started in.
    done = subprocess.run(
        [sys.executable, "-m", "ray_jobs.run", str(config), "--set", "limits.workers=2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    check_whole(server, "workers", tmp_path)


def leases(server: str, run: str) -> dict[str, str]:
    """Return the tags of the finished leases, by name."""
    found = connect(server).list_objects_v2(Bucket=BUCKET, Prefix=f"{run}/traces/")
    return {entry["Key"]: entry["ETag"] for entry in found.get("Contents", ())}


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("run=gs://bucket/run", "run: value 'gs://bucket/run': must be a local path, or s3://"),
        ("run=s3://bucket/../run", "none that is . or .."),
        ("teacher.model=s3://b", "teacher.model: value 's3://b': must name a bucket"),
        ("storage.endpoint_url=http://me:hush@host", "value 'host': must hold no user or pass"),
        ("storage.endpoint_url='http://[x'", "must be a URL such as https://host:9000"),
        ("storage.secret_key=x", "unknown key"),
    ],
)
def test_what_is_said_without_asking_the_store(
    cli: Cli, tmp_path: Path, field: str, rule: str
) -> None:
    ended = cli("check", write_config(tmp_path, "x", "http://127.0.0.1:9"), "--set", field)
    assert ended.code == 2
    assert rule in ended.line
    assert "hush" not in ended.err


def test_a_check_asks_nobody(cli: Cli, tmp_path: Path) -> None:
    assert cli("check", write_config(tmp_path, "x", "http://127.0.0.1:9")).code == 0


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("run=s3://no-such/run", "bucket: value 'no-such': must exist"),
        ("seeds.path=s3://bucket/none.jsonl", "none.jsonl: seeds.path: value 'no such object'"),
        ("guidelines=s3://bucket/none", "guidelines: value 's3://bucket/none': must be a Markd"),
        ("guidelines=s3://bucket/rules", "s3://bucket/rules"),
        ("teacher.model=s3://bucket/none", "it has no config.json"),
    ],
)
def test_what_the_deep_check_finds(
    cli: Cli, server: str, tmp_path: Path, field: str, rule: str
) -> None:
    config = write_config(tmp_path, "deep", server)
    ended = cli("check", config, "--deep", "--set", field)
    assert ended.code == 2
    assert rule in ended.err
    assert leases(server, "deep") == {}


def test_a_model_is_the_same_wherever_it_lies(server: str, tmp_path: Path) -> None:
    storage.use(StorageConfig(endpoint_url=server))
    model = tmp_path / "student"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "empty").touch()
    header = json.dumps({"w": {"shape": [2]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(2_000_000)
    (model / "model.safetensors").write_bytes(weights)
    storage.upload_folder(model, f"s3://{BUCKET}/models/student")
    here, there = (
        identify(ModelConfig(model=m)) for m in (str(model), "s3://bucket/models/student")
    )
    assert here.model_id == there.model_id
    assert Path(storage.local_copy(there.path), "model.safetensors").read_bytes() == weights


def test_a_set_of_guidelines_is_the_same_wherever_it_lies(server: str) -> None:
    storage.use(StorageConfig(endpoint_url=server))
    assert load_set("s3://bucket/rules/mine/").digest == load_set("srg").digest
    first = next(path for path in (GUIDELINES / "srg").glob("*.md"))
    assert load_set(f"s3://bucket/rules/mine/{first.name}").name == first.stem
    storage.replace("s3://bucket/broken/one.md", b"no front matter")
    with pytest.raises(BadInput, match=r"^s3://bucket/broken/one\.md: "):
        load_set("s3://bucket/broken")
