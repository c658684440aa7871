"""Measures: what the rules say of traces, and how it is kept."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from guidelines import BadInput
from synth.measures import (
    JUDGEMENTS,
    MEASURES,
    Judgement,
    ensure_measures,
    measure_revisions,
    publish_measure,
    read_measures,
)
from synth.workspace.workspace import Workspace
from tests.synth.traces import (
    GUIDELINE_TEXT,
    GUIDELINES,
    HELPING,
    REFUSING,
    make_refused,
    make_table,
    make_trace,
    publish_traces,
)


def judge(name: str, row: dict[str, Any]) -> Judgement:
    [found] = MEASURES[name].judge(make_table([row]), [GUIDELINES])
    return found


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "complete"),
        ({"reasoning": "  "}, "no_reasoning"),
        ({"answer": "\n"}, "no_answer"),
        ({"answer": None, "reasoning": None}, "no_answer"),
        ({"answer": "Stir them.</think>"}, "open_reasoning"),
        ({"reasoning": "<think> eggs"}, "open_reasoning"),
        ({"payload": {"sections": {"Request": "eggs", "Risk": " "}}}, "empty_section"),
        ({"payload": {"sections": {"Request": "eggs", "Risk": "a hot pan"}}}, "complete"),
        ({"payload": {}}, "complete"),
        ({"reasoning": "", "payload": {"sections": {"Risk": ""}}}, "empty_section"),
    ],
)
def test_sections(changes: dict[str, Any], verdict: str) -> None:
    assert judge("sections", make_trace(**changes)).verdict == verdict


@pytest.mark.parametrize(
    ("label", "decision", "answer", "verdict"),
    [
        ("harmful", "decline", REFUSING, "consistent"),
        ("harmful", None, REFUSING, "consistent"),
        ("harmful", "help", REFUSING, "inconsistent"),
        ("harmful", "decline", HELPING, "inconsistent"),
        ("benign", "help", HELPING, "consistent"),
        ("benign", "decline", HELPING, "inconsistent"),
        ("benign", "help", REFUSING, "inconsistent"),
        ("benign", None, HELPING, "consistent"),
        ("borderline", "help", HELPING, "consistent"),
        ("borderline", "help", REFUSING, "inconsistent"),
        ("harmful", "decline", "", "undetermined"),
        ("harmful", "help", "", "inconsistent"),
    ],
)
def test_consistency(label: str, decision: str | None, answer: str, verdict: str) -> None:
    row = make_trace(label=label, decision=decision, answer=answer)
    assert judge("consistency", row).verdict == verdict


@pytest.mark.parametrize(
    "text",
    [
        "According to the guidelines, this is fine.",
        "My safety policy is clear about knives.",
        "The rules I was given say so.",
        "As guideline 3 puts it, look at the purpose.",
        "Applying these safety guidelines, I see no risk.",
        "The question is who could be harmed here.",
    ],
)
@pytest.mark.parametrize("part", ["reasoning", "answer"])
def test_naming_the_guidelines_leaks(text: str, part: str) -> None:
    assert judge("leakage", make_trace() | {part: text}).verdict == "named"


@pytest.mark.parametrize(
    "text",
    [
        "The shop's return policy gives you thirty days.",
        "Follow the instructions on the packet, and the rules of the road.",
        "Here are some guidelines for a good compost heap.",
        "In principle, a rule of thumb is one cup of rice to two of water.",
    ],
)
def test_speaking_of_other_rules_does_not_leak(text: str) -> None:
    assert judge("leakage", make_trace(answer=text)).verdict == "clean"


def test_quoting_a_guideline_shows_in_the_overlap() -> None:
    quoting = make_trace(reasoning=f"Let me see. {GUIDELINE_TEXT} A pan is hot, no more.")
    assert judge("leakage", quoting).value == 1.0
    assert judge("leakage", make_trace()).value == 0.0
    brushing = make_trace(answer="Say who could be hurt if you answered the door.")
    assert 0 < (judge("leakage", brushing).value or 0) < 0.5


def test_a_trace_made_without_guidelines_can_not_leak_them() -> None:
    row = make_trace(answer="It goes against my safety guidelines.", guideline_ids=[])
    assert judge("leakage", row) == Judgement(0.0, "clean", "")


def test_length_counts_words_of_both_parts() -> None:
    found = judge("length", make_trace(reasoning="One, two.", answer="It's three words"))
    assert found.value == 5
    assert json.loads(found.raw) == {"reasoning": 2, "answer": 3}


def test_repetition_is_that_of_the_worse_part() -> None:
    loop = judge("repetition", make_trace(answer="stir the eggs well " * 20))
    assert loop.verdict == "degenerate"
    assert loop.raw == "answer"
    assert judge("repetition", make_trace()) == Judgement(0.0, "varied", "reasoning")
    taken_up = judge("repetition", make_trace(reasoning=HELPING, answer=HELPING))
    assert taken_up.value == 0.0


def test_refusal_is_told_from_the_answer_alone() -> None:
    row = make_refused("Harm them.", answer=HELPING, reasoning="I can't help with that.")
    assert judge("refusal", row).verdict == "compliance"
    assert judge("refusal", make_refused("Harm them.")).verdict == "refusal"


def test_missing_judgements_are_made_once_and_never_replaced(tmp_path: Path) -> None:
    workspace = str(tmp_path)
    rows = [make_trace(f"Question {i}?") for i in range(6)]
    [first, *_] = publish_traces(workspace, rows[:4])
    revision = measure_revisions(["length"], [GUIDELINES])["length"]
    mine = [Judgement(-1.0, "mine", "")] * 4
    publish_measure(workspace, "length", revision, first, [r["row_id"] for r in rows[:4]], mine)
    publish_traces(workspace, rows[4:])
    assert ensure_measures(Workspace(workspace), ["length"], [GUIDELINES]) == {"length": revision}
    found = read_measures(Workspace(workspace), "length", revision)
    assert found.schema == JUDGEMENTS
    verdicts = dict(zip(found["row_id"].to_pylist(), found["verdict"].to_pylist(), strict=True))
    assert [verdicts[row["row_id"]] for row in rows] == ["mine"] * 4 + ["counted"] * 2


def test_one_task_a_lease_and_none_when_all_is_there(tmp_path: Path) -> None:
    tasks: list[str] = []

    def counting_map(function: Any, leases: Any) -> Any:
        for lease in leases:
            tasks.append(lease)
            yield function(lease)

    leases = publish_traces(str(tmp_path), [make_trace(f"Question {i}?") for i in range(10)])
    ensure_measures(Workspace(str(tmp_path)), list(MEASURES), [GUIDELINES], counting_map)
    assert sorted(tasks) == sorted(leases)
    ensure_measures(Workspace(str(tmp_path)), list(MEASURES), [GUIDELINES], counting_map)
    assert len(tasks) == len(leases)


def test_only_finished_traces_are_judged(tmp_path: Path) -> None:
    rows = [make_trace("A?"), make_trace("B?", outcome="failed", answer=""), make_trace("C?")]
    publish_traces(str(tmp_path), rows)
    found = ensure_measures(Workspace(str(tmp_path)), ["refusal"], [])
    table = read_measures(Workspace(str(tmp_path)), "refusal", found["refusal"], ["row_id"])
    assert set(table["row_id"].to_pylist()) == {rows[0]["row_id"], rows[2]["row_id"]}


def test_only_leakage_depends_on_the_guidelines() -> None:
    with_set, without = measure_revisions(MEASURES, [GUIDELINES]), measure_revisions(MEASURES, [])
    assert [name for name in MEASURES if with_set[name] != without[name]] == ["leakage"]


def test_nothing_measured_reads_as_an_empty_table(tmp_path: Path) -> None:
    found = read_measures(Workspace(str(tmp_path)), "length", "0" * 12)
    assert found.equals(pa.Table.from_pylist([], JUDGEMENTS))


def test_an_unknown_measure_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must be one of sections"):
        ensure_measures(Workspace(str(tmp_path)), ["beauty"], [])
