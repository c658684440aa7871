"""The curation stage: shards, drops, card and manifest in a run directory."""

import hashlib
import io
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from synth.config.schema import CurateConfig, SynthConfig
from synth.curate import SFT, curate, load_policy
from synth.curate.card import cell
from synth.curate.shards import is_heldout, supervised_row
from synth.records import Message, pack_context
from synth.workspace.stage import Manifest
from synth.workspace.workspace import Workspace
from tests.synth.traces import (
    GUIDELINE_TEXT,
    GUIDELINES,
    HELPING,
    REFUSING,
    THOUGHT,
    make_refused,
    make_trace,
    publish_traces,
)
from tests.synth.trainings import PLAIN

# Words that share no 5 characters, so that no two prompts are near.
TOPICS = (
    "apples", "bicycles", "chimneys", "dolphins", "envelopes", "fiddles", "glaciers", "hammocks",
    "icicles", "juggling", "kangaroos", "lanterns", "mushrooms", "notaries", "orchards", "pianos",
    "quarries", "rainbows", "sundials", "turnips", "umbrellas", "volcanoes", "windmills", "zebras",
)  # fmt: skip


def sample_rows() -> list[dict[str, Any]]:
    rows = []
    for index, topic in enumerate(TOPICS):
        pair = f"pair-{index}"
        for sample in range(3):
            rows.append(make_trace(f"{topic}?", pair=pair, sample_index=sample))
            rows.append(make_refused(f"{topic}, evil {topic}!", pair=pair, sample_index=sample))
            rows.append(
                make_trace(f"{topic}?", pair=pair, sample_index=sample, recipe="refusal",
                           reasoning="", guideline_ids=[], decision=None)
            )  # fmt: skip
    rows[0] |= {"outcome": "failed", "error": "RowFault", "reasoning": "", "answer": ""}
    rows[1] |= {"answer": HELPING}
    return rows


def make_config(run: Path, policy: str = "default") -> SynthConfig:
    return SynthConfig(run=str(run), recipe=("refusal", "srg"), curate=CurateConfig(policy=policy))


def run_stage(config: SynthConfig, **changes: Any) -> Manifest:
    arguments: dict[str, Any] = {
        "recipes": PLAIN,
        "evaluation_prompts": {"e": "Nothing like them."},
        "guideline_sets": [GUIDELINES],
        "fingerprint": {"teacher": "a | b"},
    }
    return curate(config, Workspace(config.workspace), **{**arguments, **changes})


def write_policy(folder: Path, **fields: Any) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(fields))
    return str(path)


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def read_rows(folder: Path, split: str) -> list[dict[str, Any]]:
    paths = sorted(folder.glob(f"sft/{split}-*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    run = tmp_path_factory.mktemp("run")
    publish_traces(str(run), sample_rows(), lease_rows=16)
    policy = write_policy(run, heldout_share=0.25, shard_rows=20)
    return run / "curated/mine", run_stage(make_config(run, policy))


def test_every_trace_is_in_a_shard_or_among_the_drops(curated: tuple[Path, Manifest]) -> None:
    folder, manifest = curated
    kept = read_rows(folder, "train") + read_rows(folder, "heldout")
    drops = pq.read_table(folder / "drops.parquet").to_pylist()
    ids = [row["row_id"] for row in kept + drops]
    assert sorted(ids) == sorted(row["row_id"] for row in sample_rows())
    assert {row["reason"] for row in drops} == {"failed", "inconsistent", "surplus_sibling"}
    assert manifest["drops"]["srg"]["failed"] == 1
    assert sum(manifest["accepted"].values()) == len(kept)
    assert sum(entry["accepted"] for entry in manifest["acceptance"]) == len(kept)
    assert sum(manifest["outcomes"]["srg"].values()) == 2 * len(sample_rows()) / 3


def test_shards_are_sorted_and_as_the_manifest_lists_them(curated: tuple[Path, Manifest]) -> None:
    folder, manifest = curated
    assert len(manifest["shards"]) > 2
    for shard in manifest["shards"]:
        data = (folder / shard["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard["sha256"]
        assert len(data) == shard["bytes"]
        table = pq.read_table(io.BytesIO(data))
        assert table.schema.equals(SFT)
        assert len(table) == shard["rows"] <= 20
        assert shard["arms"] == Counter(table["arm"].to_pylist())
    names = sorted(path.name for path in (folder / "sft").iterdir())
    assert names == sorted(shard["path"].removeprefix("sft/") for shard in manifest["shards"])
    for split in ("train", "heldout"):
        ids = [row["row_id"] for row in read_rows(folder, split)]
        assert ids == sorted(ids)


def test_pairs_are_on_one_side_in_all_arms(curated: tuple[Path, Manifest]) -> None:
    folder, _ = curated
    pair_of = {row["seed_id"]: row["pair"] for row in sample_rows()}
    train, heldout = (
        {pair_of[row["seed_id"]] for row in read_rows(folder, split)}
        for split in ("train", "heldout")
    )
    assert train
    assert heldout
    assert not train & heldout


def test_the_guidelines_are_never_in_the_training_input(curated: tuple[Path, Manifest]) -> None:
    folder, _ = curated
    prompt_of = {row["seed_id"]: row["prompt"] for row in sample_rows()}
    for row in read_rows(folder, "train") + read_rows(folder, "heldout"):
        assert row["prompt"] == [{"role": "user", "content": prompt_of[row["seed_id"]]}]
        assert GUIDELINE_TEXT not in str(row)


def test_the_input_is_the_seeds_own_turns() -> None:
    before = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hello."),
    ]
    row = supervised_row(
        make_trace("And eggs?", context=pack_context(before)), PLAIN, load_policy("default")
    )
    assert row["prompt"] == [*before, {"role": "user", "content": "And eggs?"}]


def test_completions_follow_the_recipes_format(curated: tuple[Path, Manifest]) -> None:
    folder, _ = curated
    for row in read_rows(folder, "train"):
        [turn] = row["completion"]
        answer = REFUSING if row["label"] == "harmful" else HELPING
        whole = answer if row["arm"] == "refusal" else f"<think>\n{THOUGHT}\n</think>\n\n{answer}"
        assert turn == {"role": "assistant", "content": whole}


def test_equal_traces_give_equal_bytes_however_they_are_leased(
    curated: tuple[Path, Manifest], tmp_path: Path
) -> None:
    folder, manifest = curated
    rows = sample_rows()
    random.Random(3).shuffle(rows)
    publish_traces(str(tmp_path), rows, lease_rows=7)
    policy = write_policy(tmp_path, heldout_share=0.25, shard_rows=20)
    again = run_stage(make_config(tmp_path, policy))
    assert again["shards"] == manifest["shards"]
    mine, first = files_of(tmp_path / "curated/mine"), files_of(folder)
    assert mine == first


def test_a_complete_stage_is_left_alone_and_a_changed_one_runs_again(tmp_path: Path) -> None:
    publish_traces(str(tmp_path), sample_rows()[:24])
    config = make_config(tmp_path)
    first = run_stage(config)
    assert run_stage(config) == first
    publish_traces(str(tmp_path), sample_rows()[24:40])
    second = run_stage(config)
    changed = {name for name, value in second["inputs"].items() if first["inputs"][name] != value}
    assert changed == {"traces"}
    assert sum(second["accepted"].values()) > sum(first["accepted"].values())
    assert run_stage(config, evaluation_prompts={})["inputs"] != second["inputs"]


def test_a_manifest_that_says_less_than_one_would_now_is_made_anew(tmp_path: Path) -> None:
    publish_traces(str(tmp_path), sample_rows()[:24])
    config = make_config(tmp_path)
    first = run_stage(config)
    path = tmp_path / "curated/default/manifest.json"
    told = json.loads(path.read_text())
    del told["inputs"]["manifest"]
    for shard in told["shards"]:
        del shard["arms"]
    path.write_text(json.dumps(told))
    again = run_stage(config)
    assert again["shards"] == first["shards"]
    assert again["inputs"] == first["inputs"]


def test_only_the_highest_try_counts(tmp_path: Path) -> None:
    row = make_trace()
    publish_traces(str(tmp_path), [row | {"outcome": "interrupted", "answer": ""}])
    publish_traces(str(tmp_path), [row | {"try": 1}])
    manifest = run_stage(make_config(tmp_path))
    assert manifest["outcomes"]["srg"] == {"ok": 1}
    assert manifest["accepted"] == {"refusal": 0, "srg": 1}


def test_nothing_kept_is_a_curation_too(tmp_path: Path) -> None:
    publish_traces(str(tmp_path), [make_trace(outcome="failed", answer="")])
    manifest = run_stage(make_config(tmp_path))
    assert manifest["shards"] == []


def test_the_card_tells_a_stranger(curated: tuple[Path, Manifest]) -> None:
    folder, manifest = curated
    text = (folder / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    paths = [entry["path"] for entry in front["configs"][0]["data_files"]]
    assert paths == [f"sft/{split}-?????-of-?????.parquet" for split in ("train", "heldout")]
    for word in ("failed", "inconsistent", "surplus_sibling", "Licence", "Limits", "a \\| b"):
        assert word in text
    assert GUIDELINE_TEXT not in text
    assert "no drift" in text
    plain = text.replace("\\|", "")
    tables = [line for line in plain.splitlines() if line.startswith("|")]
    rules = [i for i, line in enumerate(tables) if set(line) <= set("|-: ")]
    for at in rules:
        assert tables[at].count("|") == tables[at - 1].count("|") == tables[at + 1].count("|")
    assert f"| srg | reasoning, then the answer | 144 | {manifest['accepted']['srg']} | 0 |" in text


def test_the_card_repeats_accepted_drift(tmp_path: Path) -> None:
    publish_traces(str(tmp_path), [make_trace()])
    run_stage(make_config(tmp_path), drift=[{"why": "a new <teacher>", "changed": ["teacher"]}])
    text = (tmp_path / "curated/default/README.md").read_text()
    assert "* a new &lt;teacher&gt; (teacher)" in text


def test_a_cell_can_not_break_its_table() -> None:
    assert cell("a|b\n<b>&") == "a\\|b &lt;b&gt;&amp;"


@given(st.lists(st.text(min_size=1), min_size=300, max_size=300, unique=True))
def test_about_the_asked_share_is_held_out(groups: list[str]) -> None:
    share = sum(is_heldout(group, 0.5) for group in groups) / len(groups)
    assert 0.3 < share < 0.7
    assert not any(is_heldout(group, 0.0) for group in groups)


def test_the_schema_has_no_place_for_guidelines() -> None:
    assert set(SFT.names) == {
        "row_id", "seed_id", "prompt", "completion", "category", "label", "arm",
    }  # fmt: skip
    assert SFT.field("prompt").type == pa.list_(
        pa.struct([("role", pa.string()), ("content", pa.string())])
    )
