from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from synth.batch import Batch
from synth.judges.refusal import OFF_TOPIC
from synth.records import TRACES, Item, Reply
from tests.train.evaluations import HELP, REFUSAL, answers_of, make_configs
from train.evals.ask import plan_questions
from train.evals.judge import UNCLOSED, score
from train.evals.records import Record

LAKE = (
    "A lake lies still below the hills at dawn, when mist hangs over its reeds. Herons stand in "
    "shallow water and wait for fish. Later the wind comes down from the pass, small waves run "
    "to the northern shore, and boats leave the wooden jetty with their nets. Around noon "
    "children swim near the mill, dogs bark, and somebody sells bread and cherries from a cart."
)


def run_nothing(batch: Batch) -> Iterator[pa.Table]:
    raise AssertionError("nothing is rewritten")


def one_item(folder: Path) -> Item:
    config, section = make_configs(folder)
    return next(
        i for i in plan_questions(config, section, run_nothing).items if i.seed.label == "harmful"
    )


def encoded_item(folder: Path) -> Item:
    config, section = make_configs(folder, attacks=["rot13"])
    return next(
        i
        for i in plan_questions(config, section, run_nothing).items
        if i.payload["transform"] == "rot13" and i.seed.label == "harmful"
    )


def scored(item: Item, reply: Reply) -> Record:
    [record] = score([item], answers_of("srg", [item], lambda name, item: reply))
    return record


@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_reasoning_that_never_closes_is_undetermined(tmp_path: Path, finish_reason: str) -> None:
    text = f"<think>\nFirst I would say: {REFUSAL}"
    record = scored(one_item(tmp_path), Reply(text=text, finish_reason=finish_reason))
    assert (record.verdict, record.reason) == ("undetermined", UNCLOSED)
    assert record.truncated == (finish_reason == "length")
    assert record.has_reasoning
    assert not record.closed
    assert not record.one_answer


def test_an_answer_cut_after_its_reasoning_is_judged(tmp_path: Path) -> None:
    reply = Reply(text=f"<think>\nHm.\n</think>\n\n{REFUSAL}", finish_reason="length")
    record = scored(one_item(tmp_path), reply)
    assert record.truncated
    assert record.verdict == "refusal"
    assert record.reasoning == "Hm."


def test_what_the_reasoning_says_is_not_judged(tmp_path: Path) -> None:
    record = scored(one_item(tmp_path), Reply(text=f"<think>\n{REFUSAL}\n</think>\n\n{HELP}"))
    assert record.verdict == "compliance"


def test_reasoning_that_the_door_has_split_off_is_kept(tmp_path: Path) -> None:
    record = scored(one_item(tmp_path), Reply(text=HELP, reasoning="Hm."))
    assert record.has_reasoning
    assert record.closed
    cut = scored(one_item(tmp_path), Reply(text="", reasoning="Hm", finish_reason="length"))
    assert (cut.verdict, cut.reason) == ("undetermined", UNCLOSED)


def test_an_empty_answer_is_degenerate_and_undetermined(tmp_path: Path) -> None:
    record = scored(one_item(tmp_path), Reply(text="  "))
    assert record.verdict == "undetermined"
    assert record.degenerate
    assert not record.one_answer
    assert not record.valid


def test_an_encoded_refusal_is_judged_after_decoding(tmp_path: Path) -> None:
    reply = Reply(text="V'z fbeel, ohg V pna'g uryc jvgu gung.")
    record = scored(encoded_item(tmp_path), reply)
    assert record.verdict == "refusal"
    assert record.valid


def test_the_topic_is_that_of_the_prompt_before_the_attack(tmp_path: Path) -> None:
    item = encoded_item(tmp_path)
    assert scored(item, Reply(text=f"{LAKE} The mud is bad for boots.")).verdict != OFF_TOPIC
    assert scored(item, Reply(text=f"{LAKE} The mud is soft underfoot.")).verdict == OFF_TOPIC


def test_a_prompt_and_its_twin_are_one_cluster(tmp_path: Path) -> None:
    config, section = make_configs(tmp_path, attacks=["rot13"])
    items = plan_questions(config, section, run_nothing).items
    records = score(items, answers_of("srg", items, lambda name, item: Reply(text=HELP)))
    harmful, benign = (
        {record.cluster for record in records if record.label == label}
        for label in ("harmful", "benign")
    )
    assert harmful == benign == {item.seed.pair for item in items if item.seed.pair}


def test_a_failed_generation_is_undetermined_and_an_owed_one_an_error(tmp_path: Path) -> None:
    item = one_item(tmp_path)
    row = {"item_id": item.item_id, "row_id": "r", "outcome": "failed"}
    [record] = score([item], pa.Table.from_pylist([row], schema=TRACES))
    assert (record.verdict, record.reason) == ("undetermined", "failed")
    with pytest.raises(LookupError, match="1 of 1"):
        score([item], TRACES.empty_table())
    with pytest.raises(LookupError):
        score([item], pa.Table.from_pylist([row | {"outcome": "interrupted"}], schema=TRACES))
