"""Records are written whole and read by columns."""

import io
import random
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from synth import storage
from tests.train.evaluations import make_record
from train.evals.records import Judged, Said, Scored, read_records, read_scored, write_records


def judge_of(raw: str = "", value: float | None = None) -> Judged:
    given = ("S1", "S2")
    return Judged(
        judge="guard", scope="answer", verdict="unsafe", categories=given, raw=raw, value=value
    )


RECORDS = [
    make_record(judged=(judge_of("unsafe, I say", 0.5), judge_of())),
    make_record(sample=1, prompt="\u00e9\u4e2d", degenerate=True, output_tokens=None),
    make_record(sample=2, suite="utility", label="benign", answer="Paris"),
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "records.parquet")
    write_records(path, RECORDS)
    return path


def test_records_survive_their_file(path: str) -> None:
    assert read_records(path) == RECORDS


def test_what_is_scored_of_a_record_is_all_of_it_but_its_texts(path: str) -> None:
    for scored, record in zip(read_scored(path), RECORDS, strict=True):
        for name in (field.name for field in fields(Scored) if field.name != "judged"):
            assert getattr(scored, name) == getattr(record, name)
        told = [[getattr(one, field.name) for field in fields(Said)] for one in record.judged]
        assert [[getattr(one, f.name) for f in fields(Said)] for one in scored.judged] == told
        assert not hasattr(scored, "answer")
        assert scored.generated == record.generated


@pytest.mark.parametrize("read", [read_records, read_scored])
def test_some_of_the_records_may_be_read(path: str, read: object) -> None:
    found = read(path, pc.field("suite") == "utility")  # type: ignore[operator]
    assert [record.sample for record in found] == [2]


class Counting(io.FileIO):
    """A file that counts the bytes that are read of it."""

    num_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size)
        Counting.num_read += len(data)
        return data


def test_texts_are_not_read_where_only_what_is_scored_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, draw = str(tmp_path / "records.parquet"), random.Random(0)
    texts = [draw.randbytes(20_000).hex() for _ in range(50)]
    judged = [judge_of(raw=text) for text in texts]
    write_records(
        path,
        [make_record(answer=t, judged=(one,)) for t, one in zip(texts, judged, strict=True)],
    )
    monkeypatch.setattr(storage, "open_input", lambda path: pa.PythonFile(Counting(path)))
    assert len(read_scored(path)) == len(texts)
    assert 0 < Counting.num_read < Path(path).stat().st_size / 10
