import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidelines import BadInput
from synth.batch import run_batch
from synth.config.schema import Limits, ModelConfig, SeedsConfig, SynthConfig
from synth.models.identity import identify
from synth.records import Message, Sampling
from synth.synthesize import RunOptions
from tests.train.taxonomies import TAXONOMY, taxonomy_file
from train.evals.attacks.rewriters import REWRITERS, instruct, parse_rewrite
from train.evals.config import EvaluateConfig
from train.evals.rewrites import (
    Rewrites,
    Rewritten,
    back_translations,
    check_attacks,
    make_rewrites,
    rewriter_id,
    translate_back,
)
from train.evals.suites import SuiteItems, ask_prompts, eval_items, load_suites

DECLINING = "I'm sorry, but I can't help with that."
WRITER = ModelConfig(
    model="scripted", engine_args={"script": "tests.train.evals.test_rewrites:write_rewrite"}
)
asked: list[str] = []


def write_rewrite(messages: Sequence[Message], sampling: Sampling) -> str:
    """Rewrite most messages, and fail in a way of its own on some."""
    asked.append(messages[0]["content"])
    text = messages[1]["content"].removeprefix("<message>\n").removesuffix("\n</message>")
    if "kettle" in text:
        return DECLINING
    if "saucer" in text:
        return f"<rewrite>{DECLINING}</rewrite>"
    if "teapot" in text:
        return f"Here it is: {text}"
    if "spoon" in text:
        return f"<rewrite>{text.upper()}</rewrite>"
    if "cloth" in text:
        return "<rewrite>" + "word " * 600 + "</rewrite>"
    return f"<think>\nHow was it?\n</think>\n\n<rewrite>\nLong ago: {text}\n</rewrite>"


def configs(folder: Path, prompts: Sequence[str], attacks: Sequence[Any]) -> Any:
    rows = [
        {"prompt": f"{prompt} {label}?", "label": label, "pair": str(number)}
        for number, prompt in enumerate(prompts)
        for label in ("harmful", "benign")
    ]
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = SynthConfig(
        run=str(folder / "run"),
        seeds=SeedsConfig(path=str(path), eval_share=0),
        teacher=WRITER,
        limits=Limits(workers=0),
    )
    suite = {"name": "prompts", "path": str(path)}
    section = {"suites": [suite], "attacks": attacks, "samples": 1}
    return config, EvaluateConfig.model_validate(section)


def rewritten(folder: Path, prompts: Sequence[str], *attacks: Any) -> tuple[Rewrites, SuiteItems]:
    config, section = configs(folder, prompts, attacks)
    suites = load_suites(config, section)
    made = make_rewrites(config, section, suites, partial(run_batch, config, RunOptions()))
    return made, ask_prompts(suites, section, made.texts)


def test_what_a_model_rewrites_is_asked_and_what_it_does_not_is_counted(tmp_path: Path) -> None:
    prompts = ["Fill the cup", "Boil the kettle", "Move the saucer", "Lift the teapot"]
    prompts += ["Find the spoon", "Fold the cloth"]
    made, found = rewritten(tmp_path, prompts, "past_tense_llm")
    assert made.failures == {
        "past_tense_llm": {"refused": 4, "truncated": 2, "unchanged": 2, "unparsed": 2}
    }
    assert found.inexpressible == {"prompts/past_tense_llm": 10}
    attacked = [item for item in found.items if item.payload["transform"] == "past_tense_llm"]
    assert {item.seed.prompt for item in attacked} == {
        "Long ago: Fill the cup harmful?",
        "Long ago: Fill the cup benign?",
    }
    for item in attacked:
        assert item.payload["family"] == "tense"
        assert item.seed.prompt == f"Long ago: {item.payload['untransformed']}"


def test_rewrites_are_kept_and_nobody_is_asked_again(tmp_path: Path) -> None:
    first = rewritten(tmp_path, ["Fill the cup"], "past_tense_llm")
    count = len(asked)
    assert rewritten(tmp_path, ["Fill the cup"], "past_tense_llm") == first
    assert len(asked) == count


def test_twins_are_persuaded_by_the_same_technique(tmp_path: Path) -> None:
    attack = {"attack": "persuasion", "taxonomy": taxonomy_file(tmp_path)}
    asked.clear()
    rewritten(tmp_path, [f"Fill cup {number}" for number in range(20)], attack)
    used = [text.split("Technique: ")[1].split("\n")[0] for text in asked]
    first_five = {row["ss_technique"] for row in TAXONOMY[:5]}
    assert set(used) <= first_five
    assert len(set(used)) > 1
    assert all(used.count(name) % 2 == 0 for name in used)


def test_a_rewriter_of_its_own_is_preferred(tmp_path: Path) -> None:
    config, section = configs(tmp_path, ["Fill the cup"], ["past_tense_llm"])
    other = WRITER.model_copy(
        update={"engine_args": {"script": "tests.train.evals.test_rewrites:decline"}}
    )
    section = section.model_copy(update={"rewriter": other})
    suites = load_suites(config, section)
    with pytest.raises(BadInput, match=r"at least one prompt rewritten of 2 \(refused: 2\)"):
        make_rewrites(config, section, suites, partial(run_batch, config, RunOptions()))


def test_the_rewriter_is_named_where_an_attack_needs_one(tmp_path: Path) -> None:
    ready = {"attack": "past_ready", "family": "tense", "rewrites": "past.csv"}
    assert rewriter_id(*configs(tmp_path, ["Fill the cup"], ["rot13", ready])) is None
    config, section = configs(tmp_path, ["Fill the cup"], ["past_tense_llm"])
    assert rewriter_id(config, section) == identify(WRITER).model_id
    other = WRITER.model_copy(update={"model": "embedded", "engine_args": {}})
    section = section.model_copy(update={"rewriter": other})
    assert rewriter_id(config, section) == identify(other).model_id != identify(WRITER).model_id


def decline(messages: Sequence[Message], sampling: Sampling) -> str:
    return DECLINING


def test_ready_made_rewrites_are_matched_by_normalised_text(tmp_path: Path) -> None:
    path = tmp_path / "past.csv"
    path.write_text(
        "goal,past\nfill the CUP harmful,How was the cup filled?\n"
        "Fill the cup harmful?,Another one\nElsewhere,Once\n"
    )
    attack = {
        "attack": "past_ready",
        "family": "tense",
        "rewrites": str(path),
        "columns": {"prompt": "goal", "rewrite": "past"},
    }
    made, found = rewritten(tmp_path, ["Fill the cup"], attack)
    assert made.failures == {"past_ready": {"not in the file": 1}}
    [item] = [item for item in found.items if item.payload["transform"] == "past_ready"]
    assert (item.seed.prompt, item.payload["family"]) == ("How was the cup filled?", "tense")


def test_a_file_that_rewrites_nothing_asked_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "past.csv"
    path.write_text("prompt,rewrite\nElsewhere,Once\n")
    attack = {"attack": "past_ready", "family": "tense", "rewrites": str(path)}
    with pytest.raises(BadInput, match=r"not in the file: 2"):
        rewritten(tmp_path, ["Fill the cup"], attack)


@pytest.mark.parametrize(
    "attack",
    [
        {"attack": "persuasion", "taxonomy": "absent.jsonl"},
        {"attack": "past_ready", "family": "tense", "rewrites": "absent.csv"},
    ],
)
def test_files_of_attacks_are_looked_at_before_anything_is_generated(
    tmp_path: Path, attack: dict[str, str]
) -> None:
    config, section = configs(tmp_path, ["Fill the cup"], ["past_tense_llm", attack])
    with pytest.raises(BadInput, match="absent"):
        check_attacks(section, load_suites(config, section))


def test_before_rewriting_the_other_attacks_can_be_told(tmp_path: Path) -> None:
    config, section = configs(tmp_path, ["Fill the cup"], ["rot13", "past_tense_llm"])
    items = eval_items(load_suites(config, section), section)
    assert {item.payload["transform"] for item in items} == {"plain", "rot13"}


def test_an_attack_without_its_rewrites_is_our_own_fault(tmp_path: Path) -> None:
    config, section = configs(tmp_path, ["Fill the cup"], ["past_tense_llm"])
    with pytest.raises(KeyError, match="past_tense_llm"):
        ask_prompts(load_suites(config, section), section, {})


def test_a_reply_that_declines_is_translated_and_no_failure(tmp_path: Path) -> None:
    config, _ = configs(tmp_path, ["Fill the cup"], [])
    replies = {"a": "Move the saucer", "b": "Find the spoon", "c": "Lift the teapot"}
    run = partial(run_batch, config, RunOptions())
    found, nothing = translate_back(config.run, run, "Zulu", [replies, {}], WRITER)
    assert nothing == Rewritten(texts={}, failures={})
    assert found.texts == {"a": DECLINING}
    assert found.failures == {"unchanged": 1, "unparsed": 1}


def test_answers_to_translated_prompts_are_read_in_english(tmp_path: Path) -> None:
    attacks = ["rot13", {"attack": "translation", "language": "Zulu", "name": "zulu"}]
    config, section = configs(tmp_path, ["Fill the cup"], attacks)
    foreign = (
        "Gcwalisa inkomishi ngamanzi ashisayo bese ulinda imizuzu emithathu ngaphambi kokuphuza"
    )
    answers = {"base": {"a": foreign, "b": "Fill it with water.", "c": " "}, "srg": {"a": "No."}}

    def answered(model: str, attack: str) -> dict[str, str]:
        assert attack == "zulu"
        return answers[model]

    run = partial(run_batch, config, RunOptions())
    found = back_translations(config, section, list(answers), answered, run)
    assert list(found) == [{"a": f"Long ago: {foreign}"}, {}]


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "How was it done?",
        "<rewrite></rewrite>",
        "<rewrite> \n </rewrite>",
        "<rewrite>How was it done?",
        "How was it done?</rewrite>",
        "Sure: <rewrite>How was it done?</rewrite>",
        "<rewrite>How was it done?</rewrite> I hope this helps.",
        "<rewrite>How?</rewrite><rewrite>Why?</rewrite>",
        "<rewrite><rewrite>How was it done?</rewrite></rewrite>",
        "<rewrite><message>How was it done?</message></rewrite>",
        "<REWRITE>How was it done?</REWRITE>",
    ],
)
def test_a_reply_of_another_form_is_no_rewrite(reply: str) -> None:
    assert parse_rewrite(reply) is None


@given(st.text(st.characters(exclude_characters="<>"), min_size=1))
def test_what_stands_between_the_tags_is_the_rewrite(text: str) -> None:
    assert parse_rewrite(f"\n<rewrite>\n{text}\n</rewrite>\n") == (text.strip() or None)


def test_an_instruction_names_everything_its_task_needs() -> None:
    details = {
        "language": "Zulu",
        "technique": "Logic",
        "definition": "What {logic} is.",
        "example": "An example.",
    }
    for rewriter in REWRITERS.values():
        system, user = instruct(rewriter, details, "Fill the cup {twice}?")
        assert "<rewrite>" in system["content"]
        assert "Fill the cup {twice}?" in user["content"]
        assert "Fill the cup" not in system["content"]
