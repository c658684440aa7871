"""What the traces of each step of a recipe may become, and the recipe's own rules about them."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from synth.curate import Drop, Policy, accept, load_policy
from synth.curate.arms import make_arms
from synth.curate.shards import completion_of
from synth.recipes.base import Recipe, Step, Train
from synth.recipes.r1_act import R1_ACT
from synth.records import TraceRow
from tests.synth.curate.test_selection import PROMPTS, judge_all, kept, reasons, run
from tests.synth.curate.test_stage import make_config, read_rows, run_stage
from tests.synth.traces import HELPING, THOUGHT, make_table, make_trace, publish_traces
from tests.synth.trainings import PAIRING, PLAIN, SRG, TWO_STEPS, good_over_bad, nothing

POLICY = load_policy("default")
POLICIES = Path(__file__).parents[3] / "ray_jobs/configs/policies"
STEP = Step(nothing)


def train(name: str, kind: Literal["sft", "dpo", "reward"]) -> Train:
    return Train(name=name, kind=kind, pairs=None if kind == "sft" else good_over_bad)


def of_steps(*steps: Step | Train, **changes: Any) -> Recipe:
    return replace(SRG, name="made", steps=steps, **changes)


@pytest.mark.parametrize(
    ("steps", "supervised"),
    [
        ((STEP,), 0),
        ((STEP, STEP), 1),
        ((STEP, train("a", "sft"), STEP, train("b", "dpo")), 0),
        ((STEP, STEP, train("a", "sft"), STEP, train("b", "sft")), 1),
        ((STEP, train("a", "dpo"), STEP, train("b", "sft")), None),
        ((STEP, train("a", "reward")), None),
        ((train("a", "sft"), STEP), None),
    ],
)
def test_supervised_is_the_step_before_the_first_training(
    steps: tuple[Step | Train, ...], supervised: int | None
) -> None:
    assert make_arms({"made": of_steps(*steps)})["made"].supervised == supervised


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (0, Drop.EARLIER_STEP),
        (1, None),
        (3, Drop.NO_CONTRAST),
        (5, Drop.NO_CONTRAST),
        (7, Drop.UNUSED_STEP),
    ],
)
def test_other_steps_serve_the_pairs_of_the_trainings_after_them(
    step: int, reason: Drop | None
) -> None:
    trainings = (train("warm", "sft"), train("one", "dpo"), train("prm", "reward"))
    steps = (STEP, STEP, trainings[0], STEP, trainings[1], STEP, trainings[2], STEP)
    dropped = make_arms({"made": of_steps(*steps)})["made"].elsewhere(step)
    assert (dropped.reason if dropped else None) is reason


def test_the_rules_judge_supervised_traces_alone() -> None:
    rows = [
        make_trace(PROMPTS[0], recipe="pairing", answer="No."),
        make_trace(PROMPTS[0], recipe="pairing", step=2, answer="No.", reasoning=""),
        make_trace(PROMPTS[0], recipe="pairing", step=2, sample_index=1, outcome="failed"),
    ]
    found = accept(make_table(rows), judge_all(rows), POLICY, {"pairing": PAIRING})
    assert found.to_pylist() == ["too_short", "no_contrast", "failed"]


def test_a_recipes_own_rule_comes_before_all_others() -> None:
    def keep(row: TraceRow) -> str | None:
        assert row["outcome"] == "ok"
        assert row["step"] == 1
        return None if row["raw"] == "fine" else f"raw is {row['raw']}"

    two = replace(TWO_STEPS, keep=keep)
    rows = [
        make_trace(PROMPTS[0], recipe="two", step=0, raw="bad"),
        make_trace(PROMPTS[0], recipe="two", step=1, raw="fine"),
        make_trace(PROMPTS[1], recipe="two", step=1, raw="bad", answer="No."),
        make_trace(PROMPTS[2], recipe="two", step=1, raw="bad", outcome="truncated"),
        make_trace(PROMPTS[3], raw="bad"),
    ]
    found = run(rows, recipes=PLAIN | {"two": two})
    assert kept(found) == {rows[1]["row_id"], rows[4]["row_id"]}
    assert reasons(found)[rows[2]["row_id"]] == Drop.REJECTED_BY_RECIPE
    assert reasons(found)[rows[3]["row_id"]] == Drop.TRUNCATED
    assert "raw is bad" in found.drops["detail"].to_pylist()


def test_a_recipes_own_rule_waits_for_its_last_step() -> None:
    def keep(row: TraceRow) -> str | None:
        raise AssertionError("these traces are not those it is about")

    rows = [make_trace(PROMPTS[0], recipe="two", step=0)]
    found = run(rows, recipes={"two": replace(TWO_STEPS, keep=keep, max_rows=0)})
    assert kept(found) == {rows[0]["row_id"]}


def test_a_recipe_keeps_its_most_diverse_rows() -> None:
    recipes = {"srg": replace(SRG, max_rows=3)}
    rows = [make_trace(prompt, category="common") for prompt in PROMPTS[:4]]
    rows.append(make_trace(PROMPTS[4], category="rare"))
    rows.append(make_trace(PROMPTS[5], payload={"decision": "help", "categories": ["x", "y"]}))
    found = run(rows, recipes=recipes)
    assert len(found.accepted) == 3
    assert {rows[4]["row_id"], rows[5]["row_id"]} <= kept(found)
    assert set(reasons(found).values()) == {"less_diverse"}


@pytest.mark.parametrize("limit", [6, 100])
def test_no_row_goes_where_there_is_room(limit: int) -> None:
    rows = [make_trace(prompt) for prompt in PROMPTS[:6]]
    assert len(kept(run(rows, recipes={"srg": replace(SRG, max_rows=limit)}))) == 6


SECTIONS = {"Request": "How to scramble eggs.", "Risk": THOUGHT, "Decision": "help"}


@pytest.mark.parametrize(
    ("asked", "reasoning"),
    [
        (None, THOUGHT),
        (["Risk"], THOUGHT),
        (["Risk", "Request"], f"{THOUGHT} How to scramble eggs."),
        (["Risk", "Verdict"], THOUGHT),
    ],
)
def test_a_policy_chooses_sections_of_the_traces_that_have_them(
    asked: list[str] | None, reasoning: str
) -> None:
    policy = Policy.model_validate({**POLICY.model_dump(), "sections": asked})
    row = make_trace(payload={"sections": SECTIONS})
    assert completion_of(row, SRG, policy) == f"<think>\n{reasoning}\n</think>\n\n{HELPING}"
    assert completion_of(row, replace(SRG, format="answer"), policy) == HELPING


def test_marked_steps_are_written_as_such() -> None:
    row = make_trace(payload={"steps": ["Title: One\nIt is about eggs.", "Title: Two\nFine."]})
    text = completion_of(row, replace(SRG, format="steps"), POLICY)
    assert text.index("eggs") < text.index("Fine") < text.index(HELPING)
    assert text.startswith("<|Reasoning_step|>")


def test_lengths_are_those_of_the_chosen_sections() -> None:
    policy = Policy.model_validate({**POLICY.model_dump(), "sections": ["Request"]})
    rows = [make_trace(payload={"sections": SECTIONS}), make_trace(PROMPTS[0])]
    assert reasons(run(rows, policy)) == {rows[0]["row_id"]: "too_short"}


PARTS = {
    "understanding": "The user wants to know how eggs are scrambled, with a pan and little time.",
    "assessment": "This request is harmless because it is about breakfast and nobody is hurt.",
    "condition": "So I think of the pan first, then of butter and of stirring without haste.",
}
ABLATIONS = ("no-understanding", "no-assessment", "no-condition")


def test_each_ablation_of_r1_act_is_a_policy_and_generates_nothing(tmp_path: Path) -> None:
    payload = {"decision": "help", "sections": PARTS}
    whole = " ".join(PARTS.values())
    rows = [make_trace(recipe="r1_act", step=1, payload=payload, reasoning=whole)]
    publish_traces(str(tmp_path), rows)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "traces").iterdir()}
    for name in ("default", *ABLATIONS):
        policy = name if name == "default" else str(POLICIES / f"r1_act-{name}.yaml")
        run_stage(make_config(tmp_path, policy), recipes={"r1_act": R1_ACT})
        [row] = read_rows(tmp_path / "curated" / Path(policy).stem, "*")
        left = [text for part, text in PARTS.items() if not name.endswith(part)]
        thought = " ".join(left)
        assert row["completion"][0]["content"] == f"<think>\n{thought}\n</think>\n\n{HELPING}"
        assert len(left) == (3 if name == "default" else 2)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "traces").iterdir()} == before
