"""Files of prompts: what is read from each format, and what is refused and where."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.config.schema import SeedsConfig
from synth.errors import BadInput
from synth.seeds import files as seed_files
from synth.seeds.files import MAX_LINE_BYTES, read_file_rows
from synth.seeds.seeds import check_seeds, load_seeds

HARMLESS = "How do I sharpen a kitchen knife?"


def refusal(path: Path, **config: Any) -> BadInput:
    """Return the error a file is refused with, which is always one line."""
    with pytest.raises(BadInput) as caught:
        check_seeds(SeedsConfig.model_validate({"path": str(path), "label": "benign", **config}))
    assert "\n" not in str(caught.value)
    assert caught.value.file == str(path)
    return caught.value


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def prompts(path: Path, **config: Any) -> list[str]:
    config = {"path": str(path), "label": "benign", **config}
    return [seed.prompt for seed in load_seeds(SeedsConfig.model_validate(config))]


TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
    min_size=1,
    max_size=8,
    unique=True,
)


@given(texts=TEXTS)
def test_every_format_gives_the_same_seeds(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    lines = "\n".join(json.dumps({"prompt": text}) for text in texts)
    jsonl = write(folder / "a.jsonl", lines)
    parquet = write_parquet(folder / "a.parquet", {"prompt": texts})
    quoted = ('"' + text.replace('"', '""') + '"' for text in texts)
    table = write(folder / "a.csv", "\n".join(["prompt", *quoted]))
    assert prompts(jsonl) == prompts(parquet) == prompts(table) == texts


def test_a_uri_is_read_like_a_path(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps({"prompt": HARMLESS, "label": "benign"}))
    assert [row.cells["prompt"] for row in read_file_rows(path.as_uri(), ["prompt"])] == [HARMLESS]
    assert len(load_seeds(SeedsConfig(path=path.as_uri()))) == 1


def test_a_csv_comment_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    text = '\ufeff# version=1.2, "unclosed\r\nprompt,extra\r\n\r\nfirst,x\r\nsecond,y\r\n'
    assert prompts(write(tmp_path / "a.csv", text)) == ["first", "second"]


def test_parquet_text_may_be_dictionary_encoded_or_large(tmp_path: Path) -> None:
    encoded = pa.array(["one", "two"]).dictionary_encode()
    labels = pa.array(["benign", "benign"], pa.large_string())
    path = write_parquet(tmp_path / "a.parquet", {"prompt": encoded, "label": labels})
    assert prompts(path) == ["one", "two"]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path / "none.jsonl")
    assert (error.field, error.value) == ("seeds.path", "No such file or directory")


@pytest.mark.parametrize("name", ["a.txt", "a", "a.json", "a.jsonl.gz"])
def test_an_unknown_suffix_is_refused(tmp_path: Path, name: str) -> None:
    assert refusal(write(tmp_path / name, "{}")).field == "seeds.path"


@pytest.mark.parametrize("uri", ["nowhere://host/a.jsonl", "file:///no/such/file.jsonl"])
def test_an_unreachable_uri_is_refused(uri: str) -> None:
    with pytest.raises(BadInput, match=r"seeds\.path"):
        load_seeds(SeedsConfig(path=uri))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    assert refusal(tmp_path / "a.jsonl").value == "Is a directory"


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", b""), ("a.jsonl", b"\n\n"), ("a.csv", b""), ("a.csv", b"prompt\n")],
)
def test_a_file_without_rows_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    assert refusal(write(tmp_path / name, content)).rule == "must hold at least one seed"


def test_parquet_that_is_long_but_unfolds_to_no_more_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_files, "UNFOLDED_BYTES", 1 << 16)
    texts = [f"{number} " * 1_000 for number in range(100)]
    path = write_parquet(tmp_path / "a.parquet", {"prompt": texts})
    assert [row.cells["prompt"] for row in read_file_rows(str(path), ["prompt"])] == texts


def test_parquet_that_unfolds_to_many_times_its_size_is_refused_where_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_files, "UNFOLDED_BYTES", 1 << 20)
    path = write_parquet(tmp_path / "a.parquet", {"prompt": ["a" * 10_000] * 1_000})
    assert path.stat().st_size * seed_files.UNFOLDED_TIMES < 10_000_000
    error = refusal(path)
    assert error.field.startswith("row ")
    assert error.rule.startswith("must not unfold")


def test_a_long_list_of_categories_is_counted_only_where_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_files, "UNFOLDED_BYTES", 1 << 20)
    monkeypatch.setattr(seed_files, "UNFOLDED_TIMES", 1)
    texts = [f"How is bread number {number} made?" for number in range(10_000)]
    encoded = pa.array(texts).dictionary_encode()
    assert prompts(write_parquet(tmp_path / "a.parquet", {"prompt": encoded})) == texts


def test_parquet_rows_that_are_too_long_are_refused_by_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_files, "PARQUET_ROWS_BYTES", 1 << 16)
    texts = [f"short {number}" for number in range(seed_files.PARQUET_ROWS)]
    columns = {"prompt": [*texts, "a" * (1 << 16), "b"]}
    error = refusal(write_parquet(tmp_path / "a.parquet", columns))
    assert error.field == "rows 65 to 66"
    assert "bytes" in error.rule


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"prompt": pa.array([], pa.string())})
    assert refusal(path).rule == "must hold at least one seed"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"prompt": "a"}\n{"prompt": "\xff\xfe"}\n', 2),
        (b'{"prompt": "a"}\n\n{"prompt": ', 3),
        (b'{"prompt": "a"}\n[1]\n', 2),
        (b'{"prompt": "a"}\n' + b"[" * 100_000, 2),
        (b'{"prompt": "a"}\n' + b'{"prompt": "' + b"a" * MAX_LINE_BYTES, 2),
        (b'{"prompt": "a"}\n{"prompt": "\\ud800"}', 2),
    ],
    ids=["utf-8", "cut", "list", "nested", "long", "surrogate"],
)
def test_a_broken_jsonl_line_is_named(tmp_path: Path, content: bytes, line: int) -> None:
    assert refusal(write(tmp_path / "a.jsonl", content)).field.startswith(f"line {line}")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'prompt,label\n"two\nlines",benign\n"\nthree\n",other\n', 4),
        (b"# comment\nprompt,label\na,benign\nb,benign,c\n", 4),
        (b"prompt,label\na,benign\nb\n", 3),
        (b'prompt,label\na,benign\n"b,benign\n\n', 3),
        (b'prompt,label\na,benign\n"b"c,benign\n', 3),
        (b"prompt,label\na,benign\n\xc3,benign\n", 3),
        (b"prompt,label\n" + b"a" * 200_000, 2),
        (b"prompt,label,prompt\na,benign,b\n", 1),
    ],
    ids=["newlines", "more", "fewer", "unclosed", "quotes", "utf-8", "long", "columns"],
)
def test_a_broken_csv_row_is_named_by_the_line_it_begins_on(
    tmp_path: Path, content: bytes, line: int
) -> None:
    assert refusal(write(tmp_path / "a.csv", content)).field.startswith(f"line {line}")


def test_broken_text_in_parquet_is_named_by_its_row(tmp_path: Path) -> None:
    offsets = pa.array([0, 1, 3], pa.int32()).buffers()[1]
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"a\xff!")])
    error = refusal(write_parquet(tmp_path / "a.parquet", {"prompt": broken}))
    assert (error.field, error.rule) == ("row 2", "must be UTF-8")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"bytes"]),
        pa.array([1], pa.timestamp("ns")),
        pa.array([{"text": "a"}]),
        pa.array([["a"]]),
    ],
    ids=lambda column: str(column.type),
)
def test_an_odd_parquet_column_is_refused(tmp_path: Path, column: pa.Array) -> None:
    error = refusal(write_parquet(tmp_path / "a.parquet", {"prompt": column}))
    assert error.field == "column prompt"
    assert error.rule.startswith("must be of text")


def test_a_parquet_prompt_of_numbers_or_nulls_is_refused(tmp_path: Path) -> None:
    numbers = write_parquet(tmp_path / "a.parquet", {"prompt": [1, 2]})
    assert refusal(numbers).rule == "must be text"
    nulls = write_parquet(tmp_path / "b.parquet", {"prompt": pa.nulls(2)})
    assert refusal(nulls).rule == "must hold a prompt"


def test_a_parquet_file_with_one_column_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["prompt", "prompt"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert refusal(tmp_path / "a.parquet").rule == "must name each column once"


def test_parquet_without_a_prompt_is_refused(tmp_path: Path) -> None:
    error = refusal(write_parquet(tmp_path / "a.parquet", {"goal": ["a"]}))
    assert error.field == "row 1: prompt"


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"prompt": ["a" * 50]})
    whole = path.read_bytes()
    for damaged in (whole[:-30], b"no parquet at all", b"", whole[:4] + b"z" * 40 + whole[44:]):
        refusal(write(path, damaged))


def test_messages_are_read_from_parquet(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": HARMLESS}]
    path = write_parquet(tmp_path / "a.parquet", {"messages": [turns], "other": [b"bytes"]})
    [seed] = load_seeds(SeedsConfig(path=str(path), label="benign"))
    assert seed.messages == turns


def test_of_a_large_file_the_first_rows_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.jsonl", '{"prompt": "a"}\nnot JSON\n')
    assert refusal(path).field == "line 2"
    monkeypatch.setattr("synth.seeds.seeds.CHECKED_BYTES", 10)
    monkeypatch.setattr("synth.seeds.seeds.CHECKED_ROWS", 1)
    check_seeds(SeedsConfig(path=str(path), label="benign"))
