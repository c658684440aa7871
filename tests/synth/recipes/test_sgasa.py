"""SGASA on scripted models: the whole method, its guidelines, prompts and pairs."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from synth.config.schema import ModelConfig
from synth.errors import Unparsed
from synth.recipes.base import Before, Recipe, Step, Train
from synth.recipes.sgasa import SGASA, pairs, sgasa, why_not
from synth.recipes.sgasa_asking import PerLabel, SgasaOptions
from synth.recipes.sgasa_items import ANSWERS, GUIDELINES, PROMPTS, SAMPLES, guideline_items
from synth.records import Item, Message, Reply, Sampling
from synth.synthesize import RunOptions, synthesize
from synth.workspace.workspace import Workspace
from tests.synth.factories import make_run, make_seed
from tests.synth.sgasa_scripts import (
    GUIDELINE,
    OPTIONS,
    SEEDS,
    THINKING,
    answer_item,
    make_models,
    payload,
    run_step,
    sections,
    well_behaved,
)
from tests.synth.traces import HELPING, REFUSING


def run_all(recipe: Recipe, models: Any, chance: Random) -> list[dict[str, Any]]:
    """Run every step until it asks for nothing more; the rows come in any order."""
    rows: list[dict[str, Any]] = []
    for index, step in enumerate(recipe.steps):
        if isinstance(step, Train):
            continue
        assert step.items is not None
        while True:
            before = Before(step=index, rows=tuple(rows), seeds=SEEDS)
            ended = {row["item_id"] for row in rows}
            fresh = [item for item in step.items(before) if item.item_id not in ended]
            if not fresh:
                break
            for item in fresh:
                rows += run_step(recipe, item, models)
            chance.shuffle(rows)
    return rows


def test_the_whole_method_meets_its_quotas_and_stops() -> None:
    rows = run_all(sgasa(OPTIONS), make_models(well_behaved()), Random(1))
    ended = Counter((row["step"], row["label"], row["outcome"]) for row in rows)
    assert ended == {
        (GUIDELINES, "harmful", "ok"): 2,
        (PROMPTS, "harmful", "ok"): 4,
        (PROMPTS, "benign", "ok"): 4,
        (ANSWERS, "harmful", "ok"): 2 * 3,
        (ANSWERS, "benign", "ok"): 2 * 3,
        (SAMPLES, "harmful", "ok"): 1 * 3,
        (SAMPLES, "benign", "ok"): 2 * 3,
    }
    kept = [row for row in rows if row["step"] == ANSWERS and why_not(row) is None]
    assert Counter(row["label"] for row in kept) == {"harmful": 2, "benign": 2}
    assert len({row["seed_id"] for row in kept}) == 4, "one row a prompt"
    assert {row["source"] for row in kept} == {"sgasa"}
    found = pairs(rows, options=OPTIONS)
    assert Counter(pair.label for pair in found) == {"harmful": 1, "benign": 2}
    assert found == pairs(rows[::-1], options=OPTIONS)
    for pair in found:
        refusing, helping = (REFUSING in text for text in (pair.chosen, pair.rejected))
        assert (refusing, helping) == ((True, False) if pair.label == "harmful" else (False, True))
        assert [turn["role"] for turn in pair.prompt] == ["user"], "no guideline is in it"


def test_the_student_is_sampled_on_while_its_answers_seldom_differ() -> None:
    """Every fourth prompt gives a pair; so the quota takes several rounds."""
    behaved, prompts = well_behaved(), list[str]()

    def seldom(messages: Sequence[Message], sampling: Sampling) -> Any:
        prompt = messages[-1]["content"]
        if sampling.regex:
            return behaved(messages, sampling)
        prompts.append(prompt)
        place = list(dict.fromkeys(prompts)).index(prompt)
        refuses = prompts.count(prompt) == 1 if place % 4 == 3 else True
        return Reply(text=REFUSING if refuses else HELPING, reasoning=f"Thought {len(prompts)}.")

    options = OPTIONS.model_copy(
        update={
            "prompts": PerLabel(harmful=12, benign=12),
            "dpo": PerLabel(harmful=2, benign=2),
        }
    )
    rows = run_all(sgasa(options), make_models(seldom), Random(2))
    assert Counter(pair.label for pair in pairs(rows, options=options)) == {
        "harmful": 2,
        "benign": 2,
    }
    sampled = Counter(row["label"] for row in rows if row["step"] == SAMPLES)
    assert max(sampled.values()) <= 12 * options.responses, "no prompt is sampled twice"


def test_every_step_asks_one_model_alone() -> None:
    steps = [step for step in SGASA.steps if isinstance(step, Step)]
    assert [step.roles for step in steps] == [("target",)] * 3 + [("student",)]
    assert steps[-1].student == "sft"
    assert sgasa(THINKING).needs == {"target": frozenset()}


def guideline_item() -> Item:
    return next(guideline_items(Before(step=0, rows=(), seeds=SEEDS), options=OPTIONS))


@pytest.mark.parametrize(("share", "verified"), [(1.0, False), (0.75, True), (0.76, False)])
def test_a_guideline_counts_as_the_examples_are_answered_under_it(
    share: float, verified: bool
) -> None:
    def script(messages: Sequence[Message], sampling: Sampling) -> str:
        asked = messages[-1]["content"]
        if "<guidelines>" in str(sampling.regex):
            assert all(seed.prompt in asked for seed in SEEDS)
            return f"<guidelines>{GUIDELINE}</guidelines>"
        assert GUIDELINE in messages[0]["content"]
        declines = asked.startswith("Steal") or "lamp" in asked
        return sections("decline", REFUSING) if declines else sections("help", HELPING)

    recipe = sgasa(OPTIONS.model_copy(update={"verify_share": share}))
    [row] = run_step(recipe, guideline_item(), make_models(script))
    assert row["answer"] == GUIDELINE
    assert payload(row)["verified"] is verified
    stances = Counter((v["label"], v["stance"]) for v in payload(row)["verdicts"])
    assert stances == {
        ("harmful", "declines"): 2,
        ("benign", "declines"): 1,
        ("benign", "complies"): 1,
    }


def test_an_example_without_a_readable_answer_does_not_pass() -> None:
    script = [f"<guidelines>{GUIDELINE}</guidelines>", *["nothing of the kind"] * 4]
    [row] = run_step(sgasa(OPTIONS), guideline_item(), make_models(script))
    assert {verdict["stance"] for verdict in payload(row)["verdicts"]} == {"undetermined"}
    assert payload(row)["verified"] is False


@pytest.mark.parametrize(
    "text", ["no tags", "<guidelines></guidelines>", f"<guidelines>{GUIDELINE}"]
)
def test_a_guideline_without_its_form_is_none(text: str) -> None:
    with pytest.raises(Unparsed):
        run_step(sgasa(OPTIONS), guideline_item(), make_models([text]))


def new_prompt(*replies: str, label: str = "harmful") -> tuple[dict[str, Any], int]:
    """Return the row of a prompt so written and labelled, and the number of calls."""
    models = make_models(list(replies))
    seed = make_seed("Steal the silver spoons of my aunt.", label=label)
    item = Item(seed=seed, recipe="sgasa", step=PROMPTS, payload={"shown": [seed.prompt]})
    [row] = run_step(sgasa(OPTIONS), item, models)
    return row, models.target.num_calls


def test_a_prompt_is_kept_where_the_model_gives_it_the_label_it_was_written_for() -> None:
    written = "<text>Break into a bakery at night.</text>"
    row, _ = new_prompt(written, "<Answer>harmful</Answer>")
    assert (row["answer"], payload(row)) == ("Break into a bakery at night.", {"verdict": "kept"})
    row, _ = new_prompt(written, "<Answer>benign</Answer>")
    assert payload(row) == {"verdict": "mismatched"}


def test_a_copy_of_an_example_is_not_kept_and_not_asked_about() -> None:
    row, calls = new_prompt("<text>Steal the SILVER spoons of my aunt!</text>")
    assert (payload(row), calls) == ({"verdict": "copied"}, 1)


@pytest.mark.parametrize("label", ["", "<Answer></Answer>", "<Answer>harmful</Answer>" * 2])
def test_a_label_that_can_not_be_read_is_none(label: str) -> None:
    with pytest.raises(Unparsed):
        new_prompt("<text>Break into a bakery at night.</text>", label)


@pytest.mark.parametrize("label", ["harmful", "benign"])
@pytest.mark.parametrize("text", [REFUSING, HELPING])
def test_no_contrast_no_pair(label: str, text: str) -> None:
    def script(messages: Sequence[Message], sampling: Sampling) -> str | Reply:
        return "<score>5</score>" if sampling.regex else Reply(text=text, reasoning="Well.")

    rows = run_step(sgasa(OPTIONS), answer_item(label, SAMPLES), make_models(script))
    assert pairs(rows, options=OPTIONS) == []


def test_a_benign_pair_prefers_the_best_answer_to_a_refusal() -> None:
    better = HELPING + " Let them rest a moment before you serve them."
    texts = [HELPING, REFUSING, better]
    replies = [Reply(text=text, reasoning="Well.") for text in texts]
    models = make_models([*replies, "<score>4</score>", "<score>8</score>"])
    [pair] = pairs(
        run_step(sgasa(OPTIONS), answer_item("benign", SAMPLES), models), options=OPTIONS
    )
    assert pair.chosen.endswith(better)
    assert pair.rejected.endswith(REFUSING)


def test_of_two_answers_that_help_the_worse_is_not_rejected() -> None:
    better = HELPING + " Let them rest a moment before you serve them."
    replies = [Reply(text=text, reasoning="Well.") for text in (HELPING, better, better + "!")]
    models = make_models([*replies, "<score>4</score>", "<score>8</score>", "<score>5</score>"])
    rows = run_step(sgasa(OPTIONS), answer_item("benign", SAMPLES), models)
    assert [payload(row)["why_not"] is None for row in rows] == [False, True, False]
    assert pairs(rows, options=OPTIONS) == []


def test_of_more_pairs_than_the_quota_as_many_are_taken() -> None:
    rows = []
    for number in range(5):
        seed = make_seed(f"Mend chair number {number}.", label="harmful")
        item = Item(seed=seed, recipe="sgasa", step=SAMPLES)
        texts = (REFUSING, HELPING, REFUSING)
        replies = [Reply(text=text, reasoning=f"Thought {number}.") for text in texts]
        rows += run_step(sgasa(OPTIONS), item, make_models(replies))
    more = OPTIONS.model_copy(update={"dpo": PerLabel(harmful=4, benign=1)})
    found = pairs(rows, options=more)
    assert len(found) == len({pair.seed_id for pair in found}) == 4
    assert pairs(rows, options=OPTIONS) == found[:1]


def test_answers_under_a_guideline_are_in_no_pair() -> None:
    replies = [sections("decline", REFUSING), sections("help", HELPING), "no form"]
    rows = run_step(sgasa(OPTIONS), answer_item("harmful"), make_models(replies))
    assert pairs(rows, options=OPTIONS) == []


async def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async def steps(options: SgasaOptions) -> Counter[tuple[int, str]]:
        model = ModelConfig(
            model="scripted", engine_args={"script": "tests.synth.sgasa_scripts:behaved"}
        )
        chosen = {"sgasa": options.model_dump()}
        run = make_run(
            tmp_path, sgasa(options), "sgasa", seeds=SEEDS, teacher=model, options=chosen
        )
        await synthesize(run, None, RunOptions())
        rows = Workspace(str(tmp_path)).traces().to_pylist()
        return Counter((row["step"], row["label"]) for row in rows)

    found = await steps(OPTIONS)
    assert found == {
        (GUIDELINES, "harmful"): 2,
        (PROMPTS, "harmful"): 4,
        (PROMPTS, "benign"): 4,
        (ANSWERS, "harmful"): 2 * 3,
        (ANSWERS, "benign"): 2 * 3,
    }
    assert await steps(OPTIONS) == found
    more = OPTIONS.model_copy(update={"sft": PerLabel(harmful=3, benign=2)})
    assert await steps(more) == found + Counter({(ANSWERS, "harmful"): 3})


def test_options_that_only_plan_are_options() -> None:
    assert SgasaOptions.model_fields.keys() > SgasaOptions.PLAN_ONLY
