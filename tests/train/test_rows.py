"""What a training learns from: chosen over all arms, read and encoded for one."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from synth import storage
from synth.config.schema import SynthConfig
from synth.curate.shards import Split
from synth.errors import BadInput
from synth.models.embedded import embedded_model_folder
from synth.recipes.surgery import STEP_TOKENS, write_steps
from tests.train.curated import pair_row, sft_row, write_curated
from tests.train.jobs import job
from train import encode
from train.config import FinetuneConfig, Match
from train.data import count_rows, supervised
from train.encode import TrainingJob, choose_rows, load_pairs, load_rows
from train.students import arms_to_train
from train.tokens import load_vocabulary

SPLITS: tuple[Split, ...] = ("train", "heldout")
BASE = str(embedded_model_folder())
NO_TOKENS: Mapping[str, tuple[str, ...]] = {"a": (), "b": ()}
LONG, SHORT = "word " * 200, "Fine."


@cache
def tokenizer(tokens: tuple[str, ...] = ()) -> Any:
    return load_vocabulary(BASE, None, tokens).tokenizer


def jobs_of(
    folder: Path, match: Match, tokens: Mapping[str, tuple[str, ...]] = NO_TOKENS
) -> dict[str, TrainingJob]:
    """Make up the supervised trainings of two arms, each with what is chosen for it."""
    make = partial(job, BASE, folder, "sft", arms=tuple(tokens), match=match, max_length=64)
    bare = {arm: make(arm=arm, special_tokens=own) for arm, own in tokens.items()}
    chosen = {split: choose_rows(bare, split) for split in SPLITS}
    return {
        arm: replace(one, chosen={split: chosen[split][arm] for split in SPLITS})
        for arm, one in bare.items()
    }


def seeds(own: TrainingJob, split: Split = "train") -> list[str]:
    loaded = load_rows(own, tokenizer(own.special_tokens), split)
    return [example.seed_id for example in loaded.examples]


def uneven_rows() -> list[dict[str, Any]]:
    """Several rows a seed, seeds that one arm lacks, and rows that are too long."""
    rows = [
        sft_row(f"s{seed}", arm, "Hi", SHORT, sample)
        for seed in range(4)
        for arm in "ab"
        for sample in range(2)
    ]
    rows += [sft_row("s5", "a", "Hi", SHORT), sft_row("s6", "b", "Hi", SHORT)]
    rows += [sft_row("s7", "a", "Hi", LONG), sft_row("s7", "b", "Hi", SHORT)]
    return [*rows, sft_row("s8", "a", "Hi", SHORT), sft_row("s9", "other", "Hi", SHORT)]


@pytest.mark.parametrize("match", ["seeds", "rows", None])
@pytest.mark.parametrize("shard_rows", [5, 1000])
def test_every_row_of_an_arm_is_trained_on_or_counted_with_a_reason(
    tmp_path: Path, match: Match, shard_rows: int
) -> None:
    rows = uneven_rows()
    folder = write_curated(tmp_path, rows, rows[3:], shard_rows=shard_rows)
    for arm, own in jobs_of(folder, match).items():
        for split in SPLITS:
            found = load_rows(own, tokenizer(), split)
            there = count_rows(str(folder), split)[arm]
            assert len(found.examples) + sum(found.left_out.values()) == there
            if match or arm == "a":
                assert found.left_out


def test_rows_are_chosen_over_all_shards_and_ordered(tmp_path: Path) -> None:
    rows = [
        sft_row("s2", "b", "b", "B", sample=1),
        sft_row("s2", "b", "b", "B", sample=0),
        sft_row("s1", "b", "a", "A"),
        sft_row("s1", "a", "b", "No"),
        sft_row("s2", "a", "b", "No"),
    ]
    for shard_rows in (1, 2, 1000):
        folder = write_curated(tmp_path / str(shard_rows), rows, shard_rows=shard_rows)
        found = load_rows(jobs_of(folder, "seeds")["b"], tokenizer(), "train")
        assert [example.row_id for example in found.examples] == ["s1-0-b", "s2-0-b"]
        assert found.left_out == {"sibling": 1}


def test_a_seed_that_one_arm_leaves_out_is_left_out_of_all(tmp_path: Path) -> None:
    rows = [sft_row(seed, arm, "Hi", SHORT) for seed in ("s1", "s2") for arm in ("a", "b")]
    rows[3]["completion"][0]["content"] = LONG
    folder = write_curated(tmp_path, rows)
    matched: Match = "seeds"
    for match, kept, left_out in ((matched, ["s1"], {"another_arm": 1}), (None, ["s1", "s2"], {})):
        loaded = load_rows(jobs_of(folder, match)["a"], tokenizer(), "train")
        assert [example.seed_id for example in loaded.examples] == kept
        assert loaded.left_out == left_out


def test_arms_of_equally_many_rows_stay_so_when_one_has_to_leave_a_row_out(tmp_path: Path) -> None:
    rows = [sft_row(f"a{i}", "a", "Hi", SHORT) for i in range(5)]
    rows += [sft_row(f"b{i}", "b", "Hi", LONG if i == 1 else SHORT) for i in range(3)]
    own = jobs_of(write_curated(tmp_path, rows), "rows")
    found = {arm: load_rows(one, tokenizer(), "train") for arm, one in own.items()}
    assert {arm: len(one.examples) for arm, one in found.items()} == {"a": 2, "b": 2}
    assert found["a"].left_out == {"another_arm": 1, "surplus": 2}
    assert found["b"].left_out == {"too_long": 1}


def test_what_is_too_long_for_an_arm_is_told_with_its_own_tokens(tmp_path: Path) -> None:
    steps = write_steps(["A word."] * 4, SHORT)
    rows = [sft_row(seed, "a", "Hi", SHORT) for seed in ("s1", "s2")]
    rows += [sft_row("s1", "b", "Hi", steps), sft_row("s2", "b", "Hi", SHORT)]
    folder = write_curated(tmp_path, rows)
    own = jobs_of(folder, "seeds", {"a": (), "b": STEP_TOKENS})
    assert seeds(own["a"]) == seeds(own["b"]) == ["s1", "s2"]
    plain = jobs_of(folder, "seeds")  # without the tokens its marks are many
    assert seeds(plain["a"]) == seeds(plain["b"]) == ["s2"]


def test_a_worker_reads_and_encodes_the_rows_of_its_own_arm_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = sorted(uneven_rows(), key=lambda row: row["arm"])
    folder = write_curated(tmp_path, rows, shard_rows=5)
    own = jobs_of(folder, "seeds")["a"]
    opened, encoded = list[str](), list[str]()
    read, encode_row = storage.read, encode._encode_row

    def noting_path(path: str) -> bytes:
        opened.append(path)
        return read(path)

    def noting_row(row: Mapping[str, Any], *rest: Any) -> encode.Example:
        encoded.append(row["row_id"])
        return encode_row(row, *rest)

    monkeypatch.setattr(storage, "read", noting_path)
    monkeypatch.setattr(storage, "open_input", lambda path: pytest.fail(f"opened {path}"))
    monkeypatch.setattr(encode, "_encode_row", noting_row)
    load_rows(own, tokenizer(), "train")
    assert encoded == own.chosen["train"].row_ids
    shards = {entry["path"] for entry in supervised(str(folder), "train") if "a" in entry["arms"]}
    assert {path.removeprefix(f"{folder}/") for path in opened} == {*shards, "manifest.json"}
    assert len(shards) < len(supervised(str(folder), "train"))


def test_who_has_rows_is_told_without_opening_a_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_curated(tmp_path, [sft_row("s1", "srg", "a", "A")] * 3)
    for shard in (folder / "sft").iterdir():
        shard.unlink()
    config = SynthConfig(run=str(tmp_path), recipe=("refusal", "srg"))
    assert arms_to_train(config, FinetuneConfig(without_data="go_on")) == ("srg",)
    assert count_rows(str(folder), "train") == Counter(srg=3)


def test_pairs_beyond_the_rows_of_an_arm_are_counted(tmp_path: Path) -> None:
    rows = [sft_row(f"s{i}", arm, "Hi", SHORT) for i in range(2) for arm in "ab"]
    pairs = [pair_row(f"s{i}", "a", "No.", "Yes.") for i in range(5)]
    pairs[0]["rejected"] = pairs[0]["chosen"]
    folder = write_curated(tmp_path, rows, rows[:2], pairs, pairs[1:])
    own = job(BASE, folder, "dpo", arm="a", arms=("a", "b"), match="rows")
    for split, there, kept in (("train", 5, 2), ("heldout", 4, 1)):
        found = load_pairs(own, tokenizer(), split)
        assert found.left_out["surplus"] == there - kept
        assert len(found.examples) + sum(found.left_out.values()) == there
    unbound = replace(own, config=own.config.model_copy(update={"match": None}))
    assert load_pairs(unbound, tokenizer(), "train").left_out == {"no_contrast": 1}


def test_a_manifest_without_counts_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = write_curated(tmp_path, [sft_row("s1", "srg", "a", "A")])
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"arms"', '"of"'))
    with pytest.raises(BadInput, match="curate again"):
        count_rows(str(folder), "train")
