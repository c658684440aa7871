"""The count beside a run is that of the curation that would follow, whatever came when."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.calls.aio import GivenUp
from synth.config.schema import CurateConfig, SynthConfig
from synth.curate import Counting, Drop, curate
from synth.curate import counting as counting_module
from synth.quota import Samples
from synth.records import Cell, Seed, digest
from synth.workspace.workspace import Workspace
from tests.synth.curate.test_stage import TOPICS, write_policy
from tests.synth.traces import GUIDELINES, HELPING, make_refused, make_trace, publish_traces
from tests.synth.trainings import PLAIN, TWO_STEPS

RECIPES = PLAIN | {"two": TWO_STEPS}
TESTED = {"e": "quarries?"}
PROMPTS = [*(f"{topic}?" for topic in TOPICS[:6]), "quarries?", "Apples?", "apples ?", "pianos!"]

DRAWN = st.fixed_dictionaries(
    {
        "prompt": st.sampled_from(PROMPTS),
        "label": st.sampled_from(["benign", "harmful"]),
        "category": st.sampled_from(["x", "y"]),
        "recipe": st.sampled_from(["srg", "srg", "two"]),
        "step": st.sampled_from([0, 0, 1]),
        "sample_index": st.integers(0, 3),
        "outcome": st.sampled_from(["ok", "ok", "ok", "failed", "interrupted"]),
        "answer": st.sampled_from([HELPING, "I can't help with that, and I am sorry.", "No."]),
    }
)
POLICIES = st.sampled_from(
    [{}, {"per_prompt": 1}, {"balance": {"labels": {"harmful": 1, "benign": 1}, "category_cap": 4}}]
)


def make_row(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trace; a prompt has one label and category, as a seed has."""
    at = PROMPTS.index(drawn["prompt"])
    seed = {"label": ("benign", "harmful")[at % 2], "category": "xy"[at % 3 // 2]}
    step = drawn["step"] if drawn["recipe"] == "two" else 0
    rest = {key: value for key, value in drawn.items() if key not in ("prompt", "label", "step")}
    make = make_trace if seed["label"] == "benign" else make_refused
    fields: dict[str, Any] = {**rest, "category": seed["category"], "step": step}
    return make(drawn["prompt"], **fields)


def with_retries(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield each item once, or again where it had not come out well."""
    tries: dict[str, dict[str, Any]] = {}
    for row in rows:
        before = tries.get(row["item_id"])
        if before is None:
            tries[row["item_id"]] = row
            yield row
        elif before["outcome"] != "ok":
            tries[row["item_id"]] = {**row, "try": before["try"] + 1}
            yield tries[row["item_id"]]


def seeds_of(rows: Iterable[Mapping[str, Any]]) -> list[Seed]:
    named = ("seed_id", "prompt", "label", "category", "source")
    seeds = {row["seed_id"]: Seed(**{name: row[name] for name in named}) for row in rows}
    return list(seeds.values())


def make_counting(folder: Path, seeds: Iterable[Seed] = (), **changes: Any) -> Counting:
    arguments: dict[str, Any] = {
        "recipes": RECIPES,
        "seeds": seeds,
        "evaluation_prompts": TESTED,
        "guideline_sets": [GUIDELINES],
    }
    config = SynthConfig(run=str(folder), curate=CurateConfig(policy=str(folder / "mine.yaml")))
    return Counting(config, Workspace(str(folder)), **{**arguments, **changes})


def curated(folder: Path) -> Counter[Cell]:
    """Return what curation accepts, by cell."""
    manifest = curate(
        SynthConfig(run=str(folder), curate=CurateConfig(policy=str(folder / "mine.yaml"))),
        Workspace(str(folder)),
        recipes=RECIPES,
        evaluation_prompts=TESTED,
        guideline_sets=[GUIDELINES],
        fingerprint={},
    )
    parts = manifest["acceptance"]
    return +Counter({(p["arm"], p["label"], p["category"]): p["accepted"] for p in parts})


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(DRAWN, max_size=8), min_size=1, max_size=4), POLICIES)
def test_a_count_is_that_of_the_curation_after_each_part(
    parts: list[list[dict[str, Any]]], policy: dict[str, Any]
) -> None:
    rows = iter([list(map(make_row, part)) for part in parts])
    known: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_policy(folder, **policy)
        counting = make_counting(folder, seeds_of(make_row(d) for part in parts for d in part))
        for part in rows:
            before = len(list(with_retries(known)))
            known += part
            publish_traces(name, list(with_retries(known))[before:], lease_rows=3)
            assert counting().accepted == curated(folder)
            for cell in counting().supply.cells:
                list(counting().supply.seeds(*cell))  # all that can be are known to be apart


def test_what_is_known_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_policy(tmp_path)
    read: list[str] = []
    count = make_counting(tmp_path)
    publish_traces(str(tmp_path), [make_trace(f"{topic}?") for topic in TOPICS[:8]])
    take = counting_module.read_parts

    def watched(workspace: Workspace, leases: list[str], *rest: Any) -> Any:
        read.extend(leases)
        return take(workspace, leases, *rest)

    monkeypatch.setattr(counting_module, "read_parts", watched)
    first = count()
    assert count() is first, "nothing has come since"
    publish_traces(str(tmp_path), [make_trace(f"{topic}?") for topic in TOPICS[8:16]])
    count.look()
    assert count().accepted.total() == 16
    assert len(read) == len(set(read)) == 4


def test_candidates_are_told_by_sample_and_full_seeds_are_named(tmp_path: Path) -> None:
    write_policy(tmp_path)
    rows = [make_trace("apples?", sample_index=i) for i in range(3)]
    rows += [make_trace("pianos?"), make_trace("zebras?", outcome="failed", answer="")]
    rows += [make_trace("turnips?", outcome="interrupted", answer="")]
    publish_traces(str(tmp_path), rows)
    found = make_counting(tmp_path)()
    cell = ("srg", "benign", "cooking")
    assert found.accepted == {cell: 3}
    assert [part.ended for part in found.samples[cell]] == [3, 1, 1]
    assert sum(part.kept for part in found.samples[cell]) == 3
    assert found.full == {("srg", digest([], "apples?"))}


def test_an_item_that_is_tried_again_is_one_candidate(tmp_path: Path) -> None:
    write_policy(tmp_path)
    lost = make_trace("apples?", outcome="failed", answer="")
    publish_traces(str(tmp_path), [lost, make_trace("pianos?")])
    count = make_counting(tmp_path)
    assert count().samples["srg", "benign", "cooking"] == [Samples(2, 1)]
    publish_traces(str(tmp_path), [make_trace("apples?") | {"try": 1}])
    assert count().samples["srg", "benign", "cooking"] == [Samples(2, 2)]


def test_what_the_balance_drops_is_no_reason_to_make_more(tmp_path: Path) -> None:
    write_policy(tmp_path, balance={"labels": {"harmful": 1, "benign": 1}, "category_cap": None})
    publish_traces(
        str(tmp_path), [make_refused("apples?"), *(make_trace(f"{t}?") for t in TOPICS[1:6])]
    )
    found = make_counting(tmp_path)()
    assert found.accepted["srg", "benign", "cooking"] == 1
    assert found.samples["srg", "benign", "cooking"] == [Samples(5, 5)]


def test_traces_that_went_out_of_the_question_count_no_more(tmp_path: Path) -> None:
    write_policy(tmp_path)
    stale: dict[str, Drop] = {}
    rows = [make_trace("apples?"), make_trace("pianos?")]
    publish_traces(str(tmp_path), rows)
    count = make_counting(tmp_path, find_excluded=lambda: dict(stale))
    assert count().accepted.total() == 2
    stale[rows[0]["row_id"]] = Drop.STALE
    assert count().accepted.total() == 1


def test_a_count_nobody_waits_for_ends_at_the_next_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_policy(tmp_path)
    publish_traces(str(tmp_path), [make_trace(f"{topic}?") for topic in TOPICS[:8]])
    asked = iter([None, None])

    def wanted() -> None:
        if next(asked, True):
            raise GivenUp

    monkeypatch.setattr(counting_module, "check_wanted", wanted)
    with pytest.raises(GivenUp):
        make_counting(tmp_path)()
