"""The door's promises, the same for a folder and for S3, and kept while requests fail."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth import storage
from synth.config.schema import StorageConfig
from synth.errors import BadInput, RunFault
from synth.storage import s3
from tests.synth import s3_proxy
from tests.synth.s3_proxy import FaultProxy, running
from tests.synth.s3_server import BUCKET, CREDENTIALS, connect, s3_server

SEED = 7
TIMEOUT_S = 1.0


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Let this process reach `s3://` at a URL."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)

    def reach(url: str, deadline_s: float = 60) -> None:
        section = StorageConfig(endpoint_url=url, timeout_s=TIMEOUT_S, deadline_s=deadline_s)
        storage.use(section)

    yield reach
    storage.use(StorageConfig())


@pytest.fixture(params=["local", "s3", "faulty s3"])
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, server: str, reach: Callable[..., None]
) -> Iterator[str]:
    """An empty folder: local, on S3, or on S3 while a tenth of the requests fails."""
    if request.param == "local":
        yield str(tmp_path)
        return
    share = 0.1 if request.param == "faulty s3" else 0.0
    with running(FaultProxy(server, share, SEED)) as proxy:
        reach(proxy.url)
        yield f"s3://{BUCKET}/{tmp_path.name}"


def fault(server: str, kind: str, share: float = 1.0) -> FaultProxy:
    return FaultProxy(server, share, SEED, [kind])


def test_what_is_published_is_there_and_stays_as_it_is(folder: str) -> None:
    path = storage.join(folder, "a", "b.bin")
    assert not storage.exists(path)
    assert storage.publish(path, b"first")
    assert not storage.publish(path, b"second")
    assert storage.exists(path)
    assert storage.read(path) == b"first"


def test_what_is_replaced_is_the_newest(folder: str) -> None:
    path = storage.join(folder, "progress.json")
    for data in (b"1", b"22", b""):
        storage.replace(path, data)
        assert storage.read(path) == data


def test_what_is_missing(folder: str) -> None:
    path = storage.join(folder, "none")
    for read in (storage.read, storage.open_input):
        with pytest.raises(FileNotFoundError):
            read(path)
    storage.remove(path)
    storage.remove_folder(folder + "/nothing")
    assert storage.list_files(path) == storage.list_folders(path) == []


def test_folders_list_what_is_directly_in_them(folder: str) -> None:
    names = ["b", "a b+c%20ü", "deep/x", "deep/er/y", ".hidden/z"]
    for name in names:
        storage.publish(storage.join(folder, name), b"")
    assert storage.list_files(folder) == ["a b+c%20ü", "b"]
    assert storage.list_folders(folder) == ["deep"]
    assert storage.list_folders(storage.join(folder, "deep")) == ["er"]
    storage.remove_folder(storage.join(folder, "deep"))
    assert storage.list_folders(folder) == []
    storage.remove(storage.join(folder, "b"))
    assert storage.list_files(folder) == ["a b+c%20ü"]


def test_one_of_many_writers_wins_and_its_bytes_stay(folder: str) -> None:
    for number in range(3):
        path = storage.join(folder, str(number))
        together = threading.Barrier(16)

        def write(writer: int, path: str = path, together: threading.Barrier = together) -> bool:
            together.wait()
            # Half of them write the same: only one of those may be told that it was first.
            return storage.publish(path, f"{min(writer, 8)}".encode())

        with ThreadPoolExecutor(16) as threads:
            won = list(threads.map(write, range(16)))
        assert won.count(True) == 1
        assert storage.read(path) == f"{min(won.index(True), 8)}".encode()


def test_parts_of_a_large_file_are_read_without_the_rest(folder: str) -> None:
    numbers = pa.table({"a": range(300_000), "b": [Random(i).random() for i in range(300_000)]})
    sink = pa.BufferOutputStream()
    pq.write_table(numbers, sink, row_group_size=50_000, compression="none")
    path = storage.join(folder, "large.parquet")
    data = sink.getvalue().to_pybytes()
    assert len(data) > 3 * s3.BLOCK_BYTES
    storage.publish(path, data)
    with storage.open_input(path) as source:
        assert pq.ParquetFile(source).read_row_group(2) == numbers.slice(100_000, 50_000)
    with storage.open_input(path) as source:
        assert pq.read_table(source, columns=["b"]) == numbers.select(["b"])
    with storage.open_input(path) as source:
        assert (source.size(), source.read()) == (len(data), data)


def test_a_folder_that_a_library_writes(folder: str, tmp_path: Path) -> None:
    path = storage.join(folder, "model")
    with storage.writing(path) as local:
        local.mkdir(parents=True, exist_ok=True)
        (local / "config.json").write_text("{}")
        (local / "weights").write_bytes(bytes(100_000))
    assert storage.list_files(path) == ["config.json", "weights"]
    copy = Path(storage.local_copy(path))
    assert (copy / "weights").read_bytes() == bytes(100_000)
    assert storage.local_copy(path) == str(copy)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def test_a_copy_follows_its_folder(server: str, reach: Callable[..., None]) -> None:
    reach(server)
    path = f"s3://{BUCKET}/followed"
    storage.replace(storage.join(path, "config.json"), b"1")
    first = storage.local_copy(path)
    storage.replace(storage.join(path, "config.json"), b"2")
    assert Path(storage.local_copy(path), "config.json").read_bytes() == b"2"
    assert Path(first, "config.json").read_bytes() == b"1"


def test_nothing_of_a_folder_that_failed_is_uploaded(
    server: str, reach: Callable[..., None]
) -> None:
    reach(server)

    def write() -> None:
        with storage.writing(f"s3://{BUCKET}/half") as local:
            (local / "config.json").write_text("{}")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write()
    assert storage.list_files(f"s3://{BUCKET}/half") == []


@pytest.mark.parametrize("kind", [s3_proxy.LOST, s3_proxy.TRUNCATED, s3_proxy.CONFLICT])
def test_an_answer_that_is_lost_or_says_nothing_makes_no_loser(
    server: str, reach: Callable[..., None], kind: str
) -> None:
    with running(fault(server, kind, 0.4)) as proxy:
        reach(proxy.url)
        for number in range(6):
            path = f"s3://{BUCKET}/{kind}/{number}"
            assert storage.publish(path, b"mine")
            assert not storage.publish(path, b"mine")
        assert proxy.seen[kind] > 3


def test_a_body_that_ends_early_is_never_taken_for_whole(
    server: str, reach: Callable[..., None]
) -> None:
    reach(server)
    data = Random(SEED).randbytes(1_000_000)
    storage.publish(f"s3://{BUCKET}/whole", data)
    with running(fault(server, s3_proxy.TRUNCATED, 0.5)) as proxy:
        reach(proxy.url)
        for _ in range(4):
            assert storage.read(f"s3://{BUCKET}/whole") == data
            with storage.open_input(f"s3://{BUCKET}/whole") as source:
                assert source.read() == data
        assert proxy.seen[s3_proxy.TRUNCATED] > 4


@pytest.mark.parametrize("kind", [s3_proxy.SLOW_DOWN, s3_proxy.RESET, s3_proxy.HANG])
def test_a_store_that_never_answers_ends_the_run(
    server: str, reach: Callable[..., None], kind: str
) -> None:
    with running(fault(server, kind)) as proxy:
        reach(proxy.url, deadline_s=0.5)
        with pytest.raises(RunFault, match=r"s3://bucket/x: no answer within 0\.5 s"):
            storage.publish(f"s3://{BUCKET}/x", b"")


def test_what_a_store_refuses_is_told_in_a_line(
    server: str, reach: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(server)
    for call in (storage.read, storage.list_files, lambda path: storage.publish(path, b"")):
        with pytest.raises(BadInput, match="bucket: value 'no-such': must exist"):
            call("s3://no-such/x")
    with running(fault(server, s3_proxy.DENIED)) as proxy:
        reach(proxy.url)
        with pytest.raises(BadInput, match="credentials: value 'AccessDenied': must be allowed"):
            storage.read(f"s3://{BUCKET}/x")
        with pytest.raises(BadInput, match="credentials: value '403': must be allowed"):
            storage.exists(f"s3://{BUCKET}/x")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    reach(server, deadline_s=59)
    with pytest.raises(BadInput, match="credentials: value None: must be given by the envir"):
        storage.read(f"s3://{BUCKET}/x")


@pytest.mark.parametrize(
    "path", ["gs://bucket/x", "s3://", "s3:///x", "s3://b/x", "s3://bucket//x", "s3://bucket/../x"]
)
def test_a_path_that_can_not_be_opened(path: str) -> None:
    with pytest.raises(BadInput, match="path: value "):
        storage.read(path)


def test_the_environment_names_the_endpoint_where_no_configuration_does(
    server: str, reach: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server)
    reach(server)
    storage.use(StorageConfig(deadline_s=58))
    storage.publish(f"s3://{BUCKET}/environment", b"told")
    answer = connect(server).get_object(Bucket=BUCKET, Key="environment")
    assert answer["Body"].read() == b"told"
