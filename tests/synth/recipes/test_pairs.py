"""Outcome and process pairs: two sides of one prompt, and never a pair without contrast."""

import json
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.recipes.pairs import by_outcome, by_reflection, make_pair, think_text
from synth.records import TraceRow, digest
from tests.synth.traces import make_trace

Drawn = tuple[int, str, bool | None]  # seed, answer, outcome
DRAWN = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from("abcdefg"), st.sampled_from([True, False, None])),
    max_size=24,
)
CAPS = st.none() | st.integers(1, 4)


def make_rows(drawn: Sequence[Drawn]) -> list[TraceRow]:
    return [
        make_trace(f"Question {seed}?", answer=answer, payload={"good": good}, sample_index=index)
        for index, (seed, answer, good) in enumerate(drawn)
    ]


def good(row: TraceRow) -> bool | None:
    return json.loads(row["payload"])["good"]


@given(DRAWN, CAPS, st.booleans())
def test_outcome_pairs_keep_their_promises(
    drawn: list[Drawn], per_seed: int | None, shortest: bool
) -> None:
    rows = make_rows(drawn)
    by_id = {row["row_id"]: row for row in rows}
    pairs = by_outcome(rows, good, per_seed=per_seed, shortest=shortest)
    for pair in pairs:
        chosen, rejected = by_id[pair.chosen_id], by_id[pair.rejected_id]
        assert (good(chosen), good(rejected)) == (True, False)
        assert chosen["seed_id"] == rejected["seed_id"] == pair.seed_id
        assert (pair.chosen, pair.rejected) == (think_text(chosen), think_text(rejected))
        assert pair.prompt[-1]["content"] == chosen["prompt"]
    assert len({(p.seed_id, p.chosen, p.rejected) for p in pairs}) == len(pairs)
    assert len({pair.row_id for pair in pairs}) == len(pairs)
    assert max(Counter(p.seed_id for p in pairs).values(), default=0) <= (
        per_seed or len(rows) ** 2
    )


@given(DRAWN, CAPS, st.booleans(), st.randoms(use_true_random=False))
def test_outcome_pairs_do_not_depend_on_the_order_of_rows(
    drawn: list[Drawn], per_seed: int | None, shortest: bool, random: Random
) -> None:
    rows = make_rows(drawn)
    shuffled = random.sample(rows, len(rows))
    found = by_outcome(rows, good, per_seed=per_seed, shortest=shortest)
    assert by_outcome(shuffled, good, per_seed=per_seed, shortest=shortest) == found


@given(DRAWN)
def test_every_prompt_with_contrast_gives_a_pair_and_no_other_does(drawn: list[Drawn]) -> None:
    rows = make_rows(drawn)
    with_contrast = set()
    for seed_id in {row["seed_id"] for row in rows}:
        verdicts: dict[str, set[bool]] = {}
        for row in rows:
            if row["seed_id"] == seed_id and (ended := good(row)) is not None:
                verdicts.setdefault(row["answer"], set()).add(ended)
        agreed = {frozenset(v) for v in verdicts.values() if len(v) == 1}
        if len(agreed) == 2:
            with_contrast.add(seed_id)
    assert {pair.seed_id for pair in by_outcome(rows, good)} == with_contrast


@pytest.mark.parametrize("other", [True, False])
def test_a_text_judged_in_two_ways_is_in_no_pair(other: bool) -> None:
    rows = make_rows([(0, "a", True), (0, "a", False), (0, "b", other)])
    assert by_outcome(rows, good) == []


def test_the_shortest_good_sample_is_the_chosen_one() -> None:
    rows = [
        make_trace("Why?", answer="good " * length, payload={"good": True}, sample_index=length)
        for length in (7, 2, 5)
    ]
    rows += [
        make_trace("Why?", answer=f"bad {i}", payload={"good": False}, sample_index=10 + i)
        for i in range(3)
    ]
    pairs = by_outcome(rows, good, shortest=True)
    assert {pair.chosen for pair in pairs} == {think_text(rows[1])}
    assert len(pairs) == 3


def test_a_pair_across_seeds_can_not_be_made() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        make_pair(make_trace("Why?"), make_trace("How?"), think_text, "outcome")


def make_chain(seed: int, sample: int = 0) -> TraceRow:
    return make_trace(f"Question {seed}?", answer=f"chain {sample}", sample_index=sample)


def make_reflection(chain: TraceRow, index: int, sample: int = 0, answer: str = "No.") -> TraceRow:
    return make_trace(
        chain["prompt"],
        row_id=digest(chain["row_id"], index, sample),
        reasoning=f"{index} steps, then a turn",
        answer=answer,
        payload={"index": index},
        parents=[chain["row_id"]],
        step=3,
    )


def test_the_earlier_reflection_is_preferred_and_each_over_the_chain() -> None:
    chain = make_chain(0)
    first, second, fourth = (make_reflection(chain, index) for index in (1, 2, 4))
    pairs = by_reflection([fourth, first, second], [chain])
    assert {(pair.chosen_id, pair.rejected_id) for pair in pairs} == {
        (first["row_id"], second["row_id"]),
        (first["row_id"], fourth["row_id"]),
        (second["row_id"], fourth["row_id"]),
        *((row["row_id"], chain["row_id"]) for row in (first, second, fourth)),
    }
    assert len(pairs) == 6
    assert {pair.kind for pair in pairs} == {"process"}


def test_reflections_of_equal_texts_are_in_no_pair_with_each_other() -> None:
    chain = make_chain(0)
    first, second = make_reflection(chain, 1), make_reflection(chain, 2)
    second = {**second, "reasoning": first["reasoning"]}
    pairs = by_reflection([first, second], [chain])
    assert {pair.rejected_id for pair in pairs} == {chain["row_id"]}


REFLECTED = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(1, 4), st.integers(0, 1)),
    unique=True,
    max_size=20,
)


@given(REFLECTED, st.randoms(use_true_random=False))
def test_process_pairs_keep_their_promises(
    drawn: list[tuple[int, int, int, int]], random: Random
) -> None:
    chains = {(seed, i): make_chain(seed, i) for seed in range(3) for i in range(2)}
    stranger = make_chain(3)
    reflected = [
        make_reflection(chains.get((seed, i), stranger), index, sample)
        for seed, i, index, sample in drawn
    ]
    pairs = by_reflection(reflected, chains.values())
    by_id = {row["row_id"]: row for row in (*reflected, *chains.values())}
    index_of = {row["row_id"]: json.loads(row["payload"])["index"] for row in reflected}
    for pair in pairs:
        chosen, rejected = by_id[pair.chosen_id], by_id[pair.rejected_id]
        assert chosen["seed_id"] == rejected["seed_id"] == pair.seed_id != stranger["seed_id"]
        chain = chosen["parents"][0]
        assert pair.rejected_id == chain or rejected["parents"] == [chain]
        assert index_of[pair.chosen_id] < index_of.get(pair.rejected_id, 5)
    assert len({pair.row_id for pair in pairs}) == len(pairs)
    shuffled = random.sample(reflected, len(reflected))
    assert by_reflection(shuffled, random.sample(list(chains.values()), 6)) == pairs


def test_a_chain_without_reflections_gives_no_pair() -> None:
    assert by_reflection([], [make_chain(0)]) == []
