"""Every trace ends in one place, and no later step changes what becomes of an earlier one."""

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.curate.rules import Drop
from tests.synth.curate.test_preference import BAD, GOOD, curated
from tests.synth.curate.test_stage import TOPICS, files_of
from tests.synth.traces import make_trace

DRAWN = st.lists(
    st.fixed_dictionaries(
        {
            "prompt": st.sampled_from([f"{topic}?" for topic in TOPICS[:4]]),
            "step": st.sampled_from([0, 2, 2]),
            "sample_index": st.integers(0, 3),
            "outcome": st.sampled_from(["ok", "ok", "ok", "failed"]),
            "answer": st.sampled_from([GOOD, BAD, "No."]),
        }
    ),
    max_size=20,
)


def make_rows(drawn: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    made = [make_trace(**row, recipe="pairing", decision=None) for row in drawn]
    return list({row["row_id"]: row for row in made}.values())


@settings(max_examples=15, deadline=None)
@given(DRAWN, st.randoms(use_true_random=False), st.booleans())
def test_every_trace_is_in_one_place_whatever_the_leases(
    drawn: list[dict[str, Any]], chance: random.Random, any_stale: bool
) -> None:
    rows = make_rows(drawn)
    stale = {r["row_id"]: Drop.STALE for r in rows[::3] if r["step"] == 2 and any_stale}
    with tempfile.TemporaryDirectory() as name:
        folder, manifest = curated(Path(name) / "a", rows, excluded=stale)
        kept = [row["row_id"] for p in folder.glob("sft/*") for row in pq.read_table(p).to_pylist()]
        drops = pq.read_table(folder / "drops.parquet")["row_id"].to_pylist()
        counts = (manifest["accepted"], manifest["paired"], manifest["drops"])
        accepted, paired, dropped = (each["pairing"] for each in counts)
        assert (accepted, sum(dropped.values())) == (len(kept), len(drops))
        assert not set(kept) & set(drops)
        assert paired == len({row["row_id"] for row in rows} - {*kept, *drops})
        assert accepted + paired + len(drops) == len(rows)
        chance.shuffle(rows)
        again, shuffled = curated(Path(name) / "b", rows, excluded=stale, lease_rows=3)
        assert shuffled["shards"] == manifest["shards"]
        assert files_of(again) == files_of(folder)


@settings(max_examples=15, deadline=None)
@given(DRAWN)
def test_later_steps_never_change_the_supervised_rows(drawn: list[dict[str, Any]]) -> None:
    rows = make_rows(drawn)
    first = [row for row in rows if row["step"] == 0]
    with tempfile.TemporaryDirectory() as name:
        before, alone = curated(Path(name) / "a", first)
        after, both = curated(Path(name) / "b", rows)
        supervised = [shard for shard in both["shards"] if "training" not in shard]
        assert supervised == alone["shards"]
        for shard in supervised:
            assert (after / shard["path"]).read_bytes() == (before / shard["path"]).read_bytes()
        assert both["accepted"] == alone["accepted"]
        assert both["acceptance"] == alone["acceptance"]
