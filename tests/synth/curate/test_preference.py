"""Preference pairs: their shards, what is counted of them, and which can be none."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from synth.curate import PREFERENCE, load_policy
from synth.curate.arms import make_arms
from synth.curate.preference import make_preferences
from synth.curate.rules import Drop
from synth.curate.shards import is_heldout
from synth.recipes.base import Recipe, Train
from synth.recipes.pairs import Pair
from synth.records import TraceRow
from synth.workspace.stage import Manifest
from tests.synth.curate.test_stage import TOPICS, make_config, run_stage, write_policy
from tests.synth.traces import make_refused, make_trace, publish_traces
from tests.synth.trainings import PAIRING, PLAIN, make_pair

RECIPES = PLAIN | {"pairing": PAIRING}
GOOD, BAD = "Good morning, here is the answer.", "Sure, here is what you should not have."
HELDOUT = {"heldout_share": 0.25}


def warm_up(topics: Sequence[str] = TOPICS) -> list[dict[str, Any]]:
    return [make_trace(f"{topic}?", recipe="pairing", guideline_ids=[]) for topic in topics]


def sampled(topic: str, index: int, answer: str, **fields: Any) -> dict[str, Any]:
    return make_trace(
        f"{topic}?", recipe="pairing", step=2, sample_index=index, answer=answer, reasoning="",
        guideline_ids=[], **fields,
    )  # fmt: skip


def samples() -> list[dict[str, Any]]:
    """Return samples of every topic: of the even ones three with a contrast, else two alike."""
    rows = []
    for place, topic in enumerate(TOPICS):
        answers = [GOOD, BAD, BAD + " Really."] if place % 2 == 0 else [BAD, BAD]
        rows += [sampled(topic, index, answer) for index, answer in enumerate(answers)]
    return rows


def curated(folder: Path, rows: Sequence[dict[str, Any]], **changes: Any) -> tuple[Path, Manifest]:
    folder.mkdir(parents=True, exist_ok=True)
    publish_traces(str(folder), rows, lease_rows=changes.pop("lease_rows", 16))
    policy = write_policy(folder, **changes.pop("policy", HELDOUT))
    manifest = run_stage(make_config(folder, policy), **{"recipes": RECIPES, **changes})
    return folder / "curated/mine", manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    rows = [*warm_up(), *samples(), make_trace("srg?")]
    policy = {**HELDOUT, "shard_rows": 8}
    return curated(tmp_path_factory.mktemp("run"), rows, policy=policy)


def pairs_of(folder: Path, manifest: Manifest, split: str) -> list[dict[str, Any]]:
    shards = [s for s in manifest["shards"] if s.get("split") == split]
    return [row for shard in shards for row in pq.read_table(folder / shard["path"]).to_pylist()]


def test_shards_hold_the_pairs_as_the_manifest_lists_them(made: tuple[Path, Manifest]) -> None:
    folder, manifest = made
    shards = [shard for shard in manifest["shards"] if "training" in shard]
    for split in ("train", "heldout"):
        found = [shard for shard in shards if shard["split"] == split]
        for index, shard in enumerate(found):
            name = f"{split}-pairing-prefer-{index:05d}-of-{len(found):05d}.parquet"
            assert shard["path"] == f"preference/{name}"
            data = (folder / shard["path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == shard["sha256"]
            assert len(data) == shard["bytes"]
            assert (shard["arm"], shard["training"]) == ("pairing", "prefer")
            table = pq.read_table(folder / shard["path"])
            assert table.schema.equals(PREFERENCE)
            assert len(table) == shard["rows"] <= 8
    assert len(shards) > 2
    names = {f"preference/{path.name}" for path in (folder / "preference").iterdir()}
    assert names == {shard["path"] for shard in shards}


def test_pairs_are_rows_of_the_students_text(made: tuple[Path, Manifest]) -> None:
    folder, manifest = made
    rows = [row for split in ("train", "heldout") for row in pairs_of(folder, manifest, split)]
    assert len(rows) == len(TOPICS)  # two of every other topic
    assert {row["prompt"][0]["content"] for row in rows} == {f"{t}?" for t in TOPICS[::2]}
    for row in rows:
        assert row["chosen"] == [{"role": "assistant", "content": GOOD}]
        assert row["rejected"][0]["content"].startswith(BAD)
        assert (row["kind"], row["arm"], row["training"]) == ("outcome", "pairing", "prefer")
        assert row["chosen_ends"]
        assert row["rejected_ends"]
    for split in ("train", "heldout"):
        ids = [row["row_id"] for row in pairs_of(folder, manifest, split)]
        assert ids == sorted(ids)


def test_pairs_are_held_out_by_their_prompt(made: tuple[Path, Manifest]) -> None:
    folder, manifest = made
    for split in ("train", "heldout"):
        rows = pairs_of(folder, manifest, split)
        assert rows
        assert {is_heldout(row["seed_id"], 0.25) for row in rows} == {split == "heldout"}


def test_twins_are_on_one_side(tmp_path: Path) -> None:
    rows = []
    for index, topic in enumerate(TOPICS):
        pair = f"pair-{index}"
        rows.append(sampled(topic, 0, GOOD, pair=pair))
        rows.append(sampled(topic, 1, BAD, pair=pair))
        rows.append(make_refused(f"evil {topic}!", recipe="pairing", pair=pair))
    folder, manifest = curated(tmp_path, rows)
    for split in ("train", "heldout"):
        topics = [row["prompt"][0]["content"][:-1] for row in pairs_of(folder, manifest, split)]
        sides = {is_heldout(f"pair-{TOPICS.index(topic)}", 0.25) for topic in topics}
        assert sides == {split == "heldout"}


def test_the_manifest_counts_pairs_and_places(made: tuple[Path, Manifest]) -> None:
    _, manifest = made
    assert manifest["pairs"] == {
        "pairing": {"prefer": {"outcome": len(TOPICS)}},
        "refusal": {},
        "srg": {},
    }
    assert manifest["contaminated_pairs"]["pairing"] == {"prefer": 0}
    assert manifest["accepted"] == {"pairing": len(TOPICS), "refusal": 0, "srg": 1}
    assert manifest["paired"] == {"pairing": 3 * len(TOPICS) // 2, "refusal": 0, "srg": 0}
    assert manifest["drops"]["pairing"] == {"no_contrast": len(TOPICS)}
    assert manifest["drops_by_step"] == [
        {"arm": "pairing", "step": 2, "reason": "no_contrast", "rows": len(TOPICS)}
    ]
    assert manifest["outcomes"]["pairing"] == {"ok": len(warm_up()) + len(samples())}
    of_pairing = [part for part in manifest["acceptance"] if part["arm"] == "pairing"]
    assert [(part["traces"], part["accepted"]) for part in of_pairing] == [(24, 24)]


def test_the_card_tells_of_pairs(made: tuple[Path, Manifest]) -> None:
    folder, _ = made
    text = (folder / "README.md").read_text()
    configs = {
        c["config_name"]: c["data_files"] for c in yaml.safe_load(text.split("---\n")[1])["configs"]
    }
    assert list(configs) == ["default", "pairing-prefer"]
    for files in configs.values():
        for entry in files:
            found = {path.name.split("-")[0] for path in folder.glob(entry["path"])}
            assert found == {entry["split"]}
    assert "| pairing | prefer | preference (DPO) | 24 outcome | 0 |" in text
    assert "rejected sides of pairs may not" in text


def test_a_run_without_pairs_says_nothing_of_them(tmp_path: Path) -> None:
    folder, manifest = curated(tmp_path, [make_trace()], recipes=PLAIN)
    assert "reference pairs:" not in (text := (folder / "README.md").read_text())
    assert "### Preference" not in text
    assert not (folder / "preference").exists()
    assert manifest["paired"] == {"refusal": 0, "srg": 0}


def test_no_contrast_is_no_pair_and_counted(tmp_path: Path) -> None:
    rows = [*warm_up(), *(sampled(topic, i, BAD) for topic in TOPICS for i in range(2))]
    folder, manifest = curated(tmp_path, rows)
    assert manifest["pairs"]["pairing"] == {"prefer": {}}
    assert manifest["drops"]["pairing"]["no_contrast"] == 2 * len(TOPICS)
    assert (
        "| pairing | prefer | preference (DPO) | none | 0 |" in (folder / "README.md").read_text()
    )


def test_pairs_of_prompts_near_the_evaluations_are_left_out(tmp_path: Path) -> None:
    evaluation = {"e": f"{TOPICS[0]}!"}
    rows = [*warm_up(), *samples()]
    folder, manifest = curated(tmp_path, rows, evaluation_prompts=evaluation)
    prompts = {
        row["prompt"][0]["content"]
        for split in ("train", "heldout")
        for row in pairs_of(folder, manifest, split)
    }
    assert prompts == {f"{topic}?" for topic in TOPICS[2::2]}
    assert manifest["contaminated_pairs"]["pairing"] == {"prefer": 2}
    drops = pq.read_table(folder / "drops.parquet").to_pylist()
    dropped = Counter((row["step"], row["reason"]) for row in drops)
    assert dropped == {(0, "contaminated"): 1, (2, "contaminated"): 3, (2, "no_contrast"): 24}


def test_stale_traces_are_in_nothing(tmp_path: Path) -> None:
    stale = {row["row_id"]: Drop.STALE for row in samples() if row["answer"] == GOOD}
    folder, before = curated(tmp_path, [*warm_up(), *samples()])
    assert before["pairs"]["pairing"] == {"prefer": {"outcome": len(TOPICS)}}
    assert list((folder / "preference").iterdir())
    config = make_config(tmp_path, str(tmp_path / "mine.yaml"))
    manifest = run_stage(config, recipes=RECIPES, excluded=stale)
    assert manifest["inputs"]["aside"] != before["inputs"]["aside"]
    assert manifest["pairs"]["pairing"] == {"prefer": {}}
    assert manifest["drops"]["pairing"]["stale"] == len(stale)
    assert not list((folder / "preference").iterdir())


def test_a_trace_of_the_supervised_step_may_be_in_pairs_too(tmp_path: Path) -> None:
    def over_warm_up(rows: Sequence[TraceRow]) -> list[Pair]:
        by_seed = {row["seed_id"]: row for row in rows if row["step"] == 2}
        before = [row for row in rows if row["step"] == 0]
        return [make_pair(by_seed[row["seed_id"]], row) for row in before]

    rows = [*warm_up(TOPICS[:2]), *(sampled(topic, 0, GOOD) for topic in TOPICS[:2])]
    rows[1] |= {"answer": "No."}
    recipes = RECIPES | {"pairing": with_pairs(over_warm_up)}
    _, manifest = curated(tmp_path, rows, recipes=recipes)
    assert manifest["accepted"]["pairing"] == 1
    assert manifest["paired"]["pairing"] == 3  # too short for a row, and yet a rejected side
    assert manifest["drops"]["pairing"] == {}


def test_pairs_do_not_depend_on_the_order_of_the_leases(tmp_path: Path) -> None:
    rows = [sampled(topic, i, GOOD if i else BAD) for topic in TOPICS for i in range(4)]
    _, manifest = curated(tmp_path / "a", rows)
    _, again = curated(tmp_path / "b", rows[::-1], lease_rows=5)
    assert again["shards"] == manifest["shards"]
    assert again["pairs"]["pairing"] == {"prefer": {"outcome": len(TOPICS)}}


def with_pairs(pairs: Any) -> Recipe:
    *steps, last = PAIRING.steps
    assert isinstance(last, Train)
    return replace(PAIRING, steps=(*steps, replace(last, pairs=pairs)))


def test_every_training_sees_the_current_traces_before_it() -> None:
    seen: dict[str, list[tuple[int, str]]] = {}

    def watch(name: str) -> Any:
        def pairs(rows: Sequence[TraceRow]) -> list[Pair]:
            assert [row["row_id"] for row in rows] == sorted(row["row_id"] for row in rows)
            assert all(json.loads(row["payload"]) == {"decision": "help"} for row in rows)
            seen[name] = sorted((row["step"], row["split"]) for row in rows)
            return []

        return Train(name=name, kind="dpo", pairs=pairs)

    step = PAIRING.steps[0]
    recipe = replace(PAIRING, steps=(step, PAIRING.steps[1], step, watch("a"), step, watch("b")))
    rows = (make_trace(recipe="pairing", step=at) for at in (0, 2, 4))
    policy = load_policy("default").model_copy(update={"heldout_share": 0.0})
    arms = make_arms({"pairing": recipe})
    ordered = sorted(rows, key=lambda row: row["row_id"])
    found = make_preferences({"pairing": ordered}, arms, policy, {})
    before = [(0, "train"), (2, "train")]
    assert seen == {"a": before, "b": [*before, (4, "train")]}
    assert [(each.training, each.kinds) for each in found.trainings] == [("a", {}), ("b", {})]


def forged(changes: Mapping[str, Any]) -> Any:
    def pairs(rows: Sequence[TraceRow]) -> list[Pair]:
        good, bad, other = rows
        made: dict[str, Any] = {"other_seed": other["seed_id"], "other_row": other["row_id"]}
        told: dict[str, Any] = {name: made.get(value, value) for name, value in changes.items()}
        return [replace(make_pair(good, bad), **told)]

    return pairs


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"seed_id": "nowhere"}, "both must be traces of seed nowhere"),
        ({"seed_id": "other_seed"}, "both must be traces of seed"),
        ({"rejected_id": "other_row"}, "both must be traces of seed"),
        ({"chosen_id": "nowhere"}, "both must be traces of seed"),
        ({"chosen": "same", "rejected": "same"}, "the sides are the same"),
    ],
)
def test_a_pair_that_can_be_none_is_a_fault(changes: dict[str, str], match: str) -> None:
    rows = [sampled(TOPICS[0], 0, GOOD), sampled(TOPICS[0], 1, BAD), sampled(TOPICS[1], 0, GOOD)]
    arms = make_arms({"pairing": with_pairs(forged(changes))})
    with pytest.raises(ValueError, match=rf"training prefer of pairing: outcome pair .*{match}"):
        make_preferences({"pairing": rows}, arms, load_policy("default"), {})


def test_a_pair_made_twice_is_there_once() -> None:
    def twice(rows: Sequence[TraceRow]) -> list[Pair]:
        good, *bad = sorted(rows, key=lambda row: row["sample_index"])
        return [make_pair(good, row) for row in (*bad, *bad)]

    rows = [sampled(TOPICS[0], i, text) for i, text in enumerate((GOOD, BAD, BAD + " Really."))]
    arms = make_arms({"pairing": with_pairs(twice)})
    found = make_preferences({"pairing": rows}, arms, load_policy("default"), {})
    assert [each.kinds for each in found.trainings] == [{"outcome": 2}]
