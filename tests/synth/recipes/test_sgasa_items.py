"""What SGASA tries next: never beyond a budget, until a quota is met, and always the same."""

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.errors import BadInput
from synth.recipes.base import Before
from synth.recipes.sgasa_asking import PerLabel, SgasaOptions
from synth.recipes.sgasa_items import (
    ANSWERS,
    GUIDELINES,
    PROMPTS,
    SAMPLES,
    answer_items,
    examples_of,
    further,
    guideline_items,
    kept_prompts,
    prompt_items,
    sample_items,
)
from synth.records import Item, Message, Seed, digest, row_id
from tests.synth.factories import make_seed
from tests.synth.traces import make_trace

OPTIONS = SgasaOptions(examples=2, shown=1, guidelines=2, guideline_tries=5, prompt_tries=6)
SEEDS = [
    make_seed(f"{verb} the {thing}.", label=label, category="locks")
    for label, verb in (("harmful", "Pick"), ("benign", "Oil"))
    for thing in ("padlock of a neighbour", "old cellar door", "bicycle chain")
]


def make_row(item: Item, payload: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the first row of an item that ended so."""
    seed = item.seed
    told = {"category": seed.category, "answer": "", **fields}
    return make_trace(
        seed.prompt,
        label=seed.label,
        payload=payload,
        recipe="sgasa",
        step=item.step,
        seed_id=seed.seed_id,
        sample_index=item.sample_index,
        parents=list(item.parents),
        item_id=item.item_id,
        row_id=row_id(item.item_id, 0),
        **told,
    )


def before(step: int, rows: Iterable[dict[str, Any]] = ()) -> Before:
    return Before(step=step, rows=sorted(rows, key=lambda r: r["row_id"]), seeds=SEEDS)


def guideline_rows(verified: Iterable[bool]) -> list[dict[str, Any]]:
    items = guideline_items(
        before(GUIDELINES), options=OPTIONS.model_copy(update={"guidelines": 5})
    )
    return [
        make_row(item, {"verified": is_verified}, answer=f"Guideline {place}.")
        for place, (item, is_verified) in enumerate(zip(items, verified, strict=False))
    ]


def prompt_rows(answers: dict[str, Iterable[str]], verdict: str = "kept") -> list[dict[str, Any]]:
    items = list(prompt_items(before(PROMPTS, guideline_rows([True])), options=OPTIONS))
    return [
        make_row(item, {"verdict": verdict}, answer=answer)
        for label, texts in answers.items()
        for item, answer in zip((i for i in items if i.seed.label == label), texts, strict=False)
    ]


@given(
    num_items=st.integers(0, 30),
    wanted=st.integers(1, 12),
    share=st.floats(0, 1),
    chance=st.integers(0, 2**32),
)
def test_a_quota_is_tried_for_within_its_budget_and_no_longer(
    num_items: int, wanted: int, share: float, chance: int
) -> None:
    items = [Item(seed=make_seed(f"Prompt {i}"), recipe="sgasa", step=1) for i in range(num_items)]
    random = Random(chance)
    good = {item.item_id for item in items if random.random() < share}
    tried: list[Item] = []
    while True:
        now = before(1, [make_row(item, {}) for item in tried])
        have = sum(item.item_id in good for item in tried)
        due = further(items, now, wanted, have)
        assert due == further(items, now, wanted, have)
        assert not {item.item_id for item in due} & {item.item_id for item in tried}
        if not due:
            break
        assert have < wanted
        tried += due
    assert len(tried) <= num_items
    assert have >= wanted or len(tried) == num_items


@given(wanted=st.integers(1, 20))
def test_as_many_are_tried_first_as_are_wanted(wanted: int) -> None:
    items = [Item(seed=make_seed(f"Prompt {i}"), recipe="sgasa") for i in range(30)]
    assert further(items, before(0), wanted, 0) == items[:wanted]


def test_a_low_share_asks_for_more_but_never_for_more_than_were_tried() -> None:
    items = [Item(seed=make_seed(f"Prompt {i}"), recipe="sgasa") for i in range(100)]
    ended = [make_row(item, {}) for item in items[:10]]
    assert len(further(items, before(0, ended), 10, 9)) == 2  # one missing at 10 of 11
    assert len(further(items, before(0, ended), 10, 0)) == 10
    assert len(further(items, before(0, ended), 4, 1)) == 10


def test_a_seed_that_has_given_what_is_wanted_is_not_tried_again() -> None:
    items = [Item(seed=make_seed(f"Prompt {i}"), recipe="sgasa") for i in range(4)]
    met = {items[0].seed.seed_id, items[2].seed.seed_id}
    assert further(items, before(0), 9, 2, met) == [items[1], items[3]]


def test_examples_are_the_first_seeds_of_one_turn() -> None:
    longer = Seed(
        seed_id="0",
        prompt="And then?",
        context=(Message(role="user", content="Hello."),),
        label="benign",
        category="locks",
        source="test",
    )
    unsure = make_seed("Oil the trap.", label="borderline")
    expected = sorted((s for s in SEEDS if s.label == "benign"), key=lambda s: s.seed_id)[:2]
    for seeds in ([longer, unsure, *SEEDS], [*reversed(SEEDS), unsure, longer]):
        found = examples_of(Before(step=0, rows=(), seeds=seeds), "benign", OPTIONS)
        assert found == expected


def test_too_few_examples_are_the_users_to_mend() -> None:
    items = guideline_items(before(GUIDELINES), options=SgasaOptions(examples=4))
    with pytest.raises(BadInput, match=r"harmful training seeds: value 3: .* needs 4 "):
        next(items)


def test_guidelines_are_written_until_enough_are_verified() -> None:
    assert len(list(guideline_items(before(GUIDELINES), options=OPTIONS))) == 2
    for verified, further_tries in (
        ([True, False], 2),
        ([False, False], 2),
        ([False] * 4, 1),
        ([False] * 5, 0),
        ([True, False, True], 0),
    ):
        rows = guideline_rows(verified)
        items = list(guideline_items(before(GUIDELINES, rows), options=OPTIONS))
        assert len(items) == further_tries, verified
    [item, *_] = guideline_items(before(GUIDELINES), options=OPTIONS)
    labels = [example["label"] for example in item.payload["examples"]]
    assert labels == ["harmful", "harmful", "benign", "benign"]


def test_failed_tries_use_up_the_budget() -> None:
    rows = [row | {"outcome": "unparsed", "payload": "{}"} for row in guideline_rows([True] * 5)]
    assert list(guideline_items(before(GUIDELINES, rows), options=OPTIONS)) == []


def test_new_prompts_show_examples_of_their_label_and_vary() -> None:
    items = list(prompt_items(before(PROMPTS, guideline_rows([True])), options=OPTIONS))
    assert [item.seed.label for item in items] == ["harmful"] * 6 + ["benign"] * 6
    shown = {tuple(item.payload["shown"]) for item in items}
    assert len(shown) == 4  # two of each label, one at a time
    for item in items:
        assert item.payload["shown"] == [item.seed.prompt]


def test_a_kept_prompt_is_a_seed_as_a_file_would_make_it() -> None:
    rows = prompt_rows({"harmful": ["Pick the lock of a shed."]})
    [(seed, row)] = kept_prompts(before(ANSWERS, rows), "harmful")
    assert seed == Seed(
        seed_id=digest([{"role": "user", "content": "Pick the lock of a shed."}]),
        prompt="Pick the lock of a shed.",
        label="harmful",
        category="locks",
        source="sgasa",
    )
    assert row["row_id"] == rows[0]["row_id"]
    assert kept_prompts(before(ANSWERS, rows), "benign") == []


@pytest.mark.parametrize("verdict", ["mismatched", "copied"])
def test_other_prompts_are_not_kept(verdict: str) -> None:
    rows = prompt_rows({"harmful": ["Pick the lock of a shed."]}, verdict)
    assert kept_prompts(before(ANSWERS, rows), "harmful") == []
    rows += guideline_rows([True])
    asked = list(prompt_items(before(PROMPTS, rows), options=OPTIONS))
    assert len(asked) == 11, "it was tried, and the others are still wanted"


def test_prompts_that_are_nearly_the_same_count_once() -> None:
    texts = ["Oil the hinges of a gate", "oil the hinges of a gate!", "How do I grease a chain?"]
    rows = prompt_rows({"benign": texts})
    assert len(kept_prompts(before(ANSWERS, rows), "benign")) == 2


def three_prompts() -> list[dict[str, Any]]:
    return prompt_rows({"benign": ["Oil a gate in May.", "Grease the chain.", "Wax a zip."]})


def test_a_prompt_is_answered_under_a_verified_guideline_and_always_the_same() -> None:
    rows = [*guideline_rows([True, False, True]), *three_prompts()]
    items = list(answer_items(before(ANSWERS, rows), (), options=OPTIONS))
    assert items == list(answer_items(before(ANSWERS, reversed(rows)), (), options=OPTIONS))
    assert len(items) == 3
    verified = {row["row_id"]: row["answer"] for row in (rows[0], rows[2])}
    for item in items:
        _, guideline = item.parents
        assert item.payload == {"guideline": verified[guideline]}


def test_without_a_verified_guideline_nothing_is_written_or_answered() -> None:
    rows = [*guideline_rows([False, False]), *three_prompts()]
    assert list(prompt_items(before(PROMPTS, rows[:2]), options=OPTIONS)) == []
    assert list(answer_items(before(ANSWERS, rows), (), options=OPTIONS)) == []


@pytest.mark.parametrize("tries", [1, 2])
def test_answers_stop_when_the_quota_is_met_and_the_tries_are_used_up(tries: int) -> None:
    options = OPTIONS.model_copy(
        update={"answer_tries": tries, "sft": PerLabel(harmful=1, benign=2)}
    )
    rows = [*guideline_rows([True]), *three_prompts()]
    tried: list[Item] = []
    while items := list(answer_items(before(ANSWERS, rows), (), options=options)):
        tried += items
        rows += [make_row(item, {}) for item in items]
    assert len(tried) == len({item.item_id for item in tried}) == 3 * tries
    met = {item.seed.seed_id for item in tried[:2]}
    assert list(answer_items(before(ANSWERS, rows[:4]), met, options=options)) == []


def test_the_student_is_asked_other_prompts_first_than_the_sft_took() -> None:
    options = OPTIONS.model_copy(update={"sft": PerLabel(harmful=1, benign=1)})
    rows = [*guideline_rows([True]), *three_prompts()]
    [answered] = answer_items(before(ANSWERS, rows), (), options=options)
    sampled = list(sample_items(before(SAMPLES, rows), (), options=options))
    assert [item.seed.seed_id for item in sampled][-1] == answered.seed.seed_id
    assert len(sampled) == 3
    assert all(item.payload == {} for item in sampled), "no guideline goes with them"
