"""Hostile names, YAML, lines and parquet: exit 2 with one line, in bounded time and memory."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.commands import Cli, Ended

GIB = 1 << 30
OWN_RECIPE = "tests.hostile.step"


def check(cli: Cli, folder: Path, **fields: object) -> Ended:
    """Check a configuration; nothing but its file is written."""
    path = folder / "run.yaml"
    base = {"run": "run", "recipe": "refusal", "teacher": {"model": "scripted"}}
    path.write_text(yaml.safe_dump(base | fields))
    before = sorted(folder.rglob("*"))
    ended = cli("check", path)
    assert sorted(folder.rglob("*")) == before
    return ended


def assert_refused(ended: Ended, part: str = "") -> None:
    assert ended.code == 2, ended
    assert ended.line.isprintable()
    assert part in ended.line


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"run": "a\0b"}, "run"),
        ({"run": "s3://bucket/../up"}, "none that is . or .."),
        ({"run": "s3://key:secret@bucket/run"}, "bucket"),
        ({"recipe": ".."}, "recipe"),
        ({"recipe": "../x.y"}, "recipe"),
        ({"recipe": "os.path/../x"}, "recipe"),
        ({"recipe": "__main__.x"}, "recipe"),
        ({"recipe": "\x1b[31m.x"}, "recipe"),
        ({"guidelines": ".."}, "guidelines"),
        ({"guidelines": "a\0b"}, "guidelines"),
        ({"guidelines": "s3://bucket/../srg"}, "guidelines"),
        ({"seeds": {"path": "a\0b.jsonl"}}, "seeds.path"),
        ({"seeds": {"path": "\x1b[31m.jsonl"}}, "seeds.path"),
        ({"seeds": {"path": "s3://bucket/../a.jsonl"}}, "seeds.path"),
        ({"seeds": {"path": "s3://key:secret@bucket/a.jsonl"}}, "seeds.path"),
        ({"teacher": {"model": "../../etc"}}, "teacher.model"),
        ({"teacher": {"model": "a\0b"}}, "teacher.model"),
        ({"recipe": OWN_RECIPE, "finetune": {"arms": [".."]}}, "finetune.arms"),
        ({"recipe": OWN_RECIPE, "finetune": {"arms": ["../../up"]}}, "finetune.arms"),
        ({"recipe": OWN_RECIPE, "finetune": {"arms": ["a\n"]}}, "finetune.arms"),
        ({"recipe": OWN_RECIPE, "evaluate": {"models": ["../../up"]}}, "evaluate.models"),
        ({"evaluate": {"suites": [{"name": "../up", "path": "a.csv"}]}}, "evaluate.suites"),
    ],
    ids=str,
)
def test_a_name_that_leads_elsewhere_is_refused(
    cli: Cli, tmp_path: Path, fields: dict[str, object], part: str
) -> None:
    assert_refused(check(cli, tmp_path, **fields), part)


@pytest.mark.parametrize(
    "name", ["...yaml", ".hidden.yaml", "a\nb.yaml", "a\x1bb.yaml", "a:b.yaml"]
)
def test_a_policys_name_can_not_lead_out_of_its_folder(cli: Cli, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("min_answer_words: 4\n")
    assert_refused(check(cli, tmp_path, curate={"policy": name}), "curate.policy")


@pytest.mark.parametrize("path", ["tests.hostile.ESCAPING", "tests.hostile.blocking", "os.system"])
def test_a_recipe_that_is_none_or_would_name_a_folder_elsewhere(
    cli: Cli, tmp_path: Path, path: str
) -> None:
    assert check(cli, tmp_path, recipe=path).code == 0, "located, not imported"
    ended = cli("run", tmp_path / "run.yaml")
    assert ended.code == 2
    assert ": recipe: value" in ended.err.splitlines()[-1]
    assert not (tmp_path / "run" / "traces").exists()


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(c + 1)}: &{chr(c + 1)} [{', '.join([f'*{chr(c)}'] * 9)}]\n" for c in range(97, 121)
)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (LAUGHS, "aliases"),
        ("seed: 1" + ":1" * 300_000, "number"),
        ("seed: 1" + ":1" * 300 + ".5", "number"),
        ("seed: 0b" + "1" * 900_000, "number"),
        ("run: " + "[" * 50_000, "recursion"),
        ("? " * 100_000, "recursion"),
        ("a: " + "x" * (1 << 20), "at most 1 MiB"),
        ("run: !!python/object/apply:os.system [id]", "constructor"),
        ("run: \x00", "special characters"),
        ("{" * 3, "expected"),
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.parametrize("kind", ["configuration", "policy", "the run's own"])
def test_a_yaml_bomb_is_refused(cli: Cli, tmp_path: Path, text: str, rule: str, kind: str) -> None:
    files = {"configuration": "run.yaml", "policy": "mine.yaml", "the run's own": "run/config.yaml"}
    (tmp_path / "run").mkdir()
    path = tmp_path / files[kind]
    path.write_text(text)
    if kind == "configuration":
        assert_refused(cli("check", path), rule)
    elif kind == "policy":
        assert_refused(check(cli, tmp_path, curate={"policy": "mine.yaml"}), rule)
    elif "at most" not in rule:
        assert_refused(cli("status", "run"), rule)
        assert_refused(check(cli, tmp_path), rule)


def check_bounded(folder: Path, seeds: Path) -> Ended:
    """Check seeds in a process that may take but little memory beyond what it starts with."""
    path = folder / "run.yaml"
    config = {
        "run": str(folder / "run"),
        "recipe": "refusal",
        "teacher": {"model": "scripted"},
        "seeds": {"path": str(seeds), "label": "benign"},
    }
    path.write_text(yaml.safe_dump(config))
    words = [sys.executable, "-c", BOUNDED, "check", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    return Ended(done.returncode, done.stdout, done.stderr)


BOUNDED = f"""
import re, resource
from pathlib import Path
from ray_jobs.cli import main
import ray_jobs.check, synth.seeds.files
synth.seeds.files.UNFOLDED_BYTES >>= 3  # or the test takes long to get there
used = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (used + {3 * GIB}, used + {3 * GIB}))
main()
"""


def long_line(path: Path) -> None:
    """Far longer than memory is wide; the file takes no room on the disk."""
    path.write_bytes(b'{"prompt": "')
    with path.open("r+b") as stream:
        stream.truncate(8 * GIB)


def endless_row(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(b"prompt,label\n")
        for _ in range(200):
            stream.write(b'"a\n",' * 200_000)


def many_columns(path: Path) -> None:
    path.write_bytes(b"c," * 500_000 + b"prompt\n" + b"," * 500_000 + b"a\n")


def repeated(text: str, count: int) -> pa.DictionaryArray:
    """A text so many times, held once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([text]))


def write_small(path: Path, column: str, values: pa.Array) -> None:
    pq.write_table(pa.table({column: values}), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 100_000


def repeated_text(path: Path) -> None:
    write_small(path, "prompt", repeated("a" * (1 << 20), 20_000))


def repeated_turn(path: Path) -> None:
    write_small(path, "messages", pa.ListArray.from_arrays(range(1_201), turns(1_200)))


def many_turns(path: Path) -> None:
    write_small(path, "messages", pa.ListArray.from_arrays([0, 10_000], turns(10_000)))


def turns(count: int) -> pa.StructArray:
    parts = [repeated("user", count), repeated("a" * (1 << 20), count)]
    return pa.StructArray.from_arrays(parts, names=["role", "content"])


def many_short_turns(path: Path) -> None:
    """Texts of no length at all, whose number alone fills the memory."""
    count = 20_000_000
    parts = [repeated("user", count), repeated("", count)]
    turns = pa.StructArray.from_arrays(parts, names=["role", "content"])
    write_small(path, "messages", pa.ListArray.from_arrays([0, count], turns))


def distinct_texts(path: Path) -> None:
    """Texts that are all different and yet compress to next to nothing."""
    with pq.ParquetWriter(path, pa.schema({"prompt": pa.string()}), compression="zstd") as writer:
        for start in range(0, 1_000, 50):
            texts = [f"{number} " + "a" * 1_000_000 for number in range(start, start + 50)]
            writer.write_batch(pa.record_batch({"prompt": texts}), row_group_size=1 << 20)
    assert path.stat().st_size < 1_000_000


def huge_cell(path: Path) -> None:
    table = pa.table({"prompt": ["b", "a" * (GIB // 4)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "suffix", "rule"),
    [
        (long_line, "jsonl", "must be at most 1048576 bytes"),
        (long_line, "csv", "must be at most 1048576 bytes"),
        (endless_row, "csv", "must be at most 1048576 bytes"),
        (many_columns, "csv", "must name each column once"),
        (repeated_text, "parquet", "must not unfold"),
        (repeated_turn, "parquet", "must not unfold"),
        (distinct_texts, "parquet", "must not unfold"),
        (many_turns, "parquet", "must be readable parquet"),  # no memory, and no crash
        (many_short_turns, "parquet", "must hold at most"),
        (huge_cell, "parquet", "must hold at most"),
    ],
)
def test_a_file_that_would_fill_the_memory_is_refused(
    tmp_path: Path, make: Callable[[Path], None], suffix: str, rule: str
) -> None:
    path = tmp_path / f"seeds.{suffix}"
    make(path)
    assert_refused(check_bounded(tmp_path, path), rule)


ODD = {
    "null": pa.nulls(1),
    "binary": pa.array([b"a"]),
    "floats": pa.array([1.5]),
    "decimal": pa.array([1], pa.decimal128(5)),
    "times": pa.array([1 << 62], pa.timestamp("ns")),
    "map": pa.array([[("a", "b")]], pa.map_(pa.string(), pa.string())),
    "list of text": pa.array([["a"]]),
    "deep list": pa.array([[[[["a"]]]]]),
    "struct": pa.array([{"role": "user", "content": "a"}]),
    "dictionary of numbers": pa.array([1]).dictionary_encode(),
    "fixed size": pa.array([b"ab"], pa.binary(2)),
    "uuid": pa.array([b"a" * 16], pa.uuid()),
    "json": pa.array(['{"a": 1}'], pa.json_(pa.string())),
    "turns of numbers": pa.array([[{"role": 1, "content": 2}]]),
    "turns without content": pa.array([[{"role": "user"}]]),
    "turns of lists": pa.array([[{"role": ["user"], "content": ["a"]}]]),
    "no turns": pa.array([[]], pa.list_(pa.struct([("role", pa.string())]))),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("column", ["prompt", "messages"])
def test_an_odd_parquet_schema_is_refused(cli: Cli, tmp_path: Path, name: str, column: str) -> None:
    pq.write_table(pa.table({column: ODD[name], "label": ["benign"]}), tmp_path / "a.parquet")
    assert_refused(check(cli, tmp_path, seeds={"path": "a.parquet"}))


def test_hostile_column_names_are_shown_plain(cli: Cli, tmp_path: Path) -> None:
    pq.write_table(pa.table({"\x1b[31m": ["a"]}), tmp_path / "a.parquet")
    columns = {"path": "a.parquet", "columns": {"prompt": "\x1b[31m", "label": "\u202e"}}
    assert_refused(check(cli, tmp_path, seeds=columns))


def test_categories_and_ids_are_free_text_that_names_no_file(cli: Cli, tmp_path: Path) -> None:
    seeds = [
        {
            "prompt": f"Bread {i}?",
            "label": "benign",
            "id": f"../../{i}\n",
            "category": f"../{i}\n/x",
        }
        for i in range(4)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, seeds)))
    seeds_section = {"path": "a.jsonl", "eval_share": 0.0}
    assert check(cli, tmp_path, seeds=seeds_section, limits={"workers": 0}).code == 0
    before = {path.name for path in tmp_path.iterdir()} | {"run"}
    assert cli("run", tmp_path / "run.yaml").code == 0
    assert {path.name for path in tmp_path.iterdir()} == before
    told = cli("status", "run").out
    assert "refusal, benign, ../0\\n/x" in told
