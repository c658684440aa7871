"""What the report says: the verdict, what it cost, what limits it, and what it hides."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from guidelines import BadInput
from synth.records import Reply
from synth.workspace.stage import dump
from tests.train.evaluations import HELP, Replies, make_configs, run_with, usual_replies
from tests.train.report_page import Page, page_of
from tests.train.scripted_run import GUARD, MODELS, THOUGHT, change
from train.evals.evaluate import evaluate, records_path
from train.evals.records import Record, read_records, write_records
from train.evals.stats import MIN_SEEDS

EVIL = "<script>alert('x')</script>\"'&"
SECTIONS = {"representation": {}, "faithfulness": {}}


@pytest.fixture(scope="module")
def source_and_page(scripted_run: Path) -> tuple[str, Page]:
    return page_of(str(scripted_run))


@pytest.fixture
def source(source_and_page: tuple[str, Page]) -> str:
    return source_and_page[0]


@pytest.fixture
def text(source_and_page: tuple[str, Page]) -> str:
    return source_and_page[1].text


@pytest.fixture(scope="module")
def records(scripted_run: Path) -> list[Record]:
    return [one for name in MODELS for one in read_records(records_path(str(scripted_run), name))]


def evaluated(folder: Path, replies: Replies = usual_replies) -> str:
    """Make a run whose answers rules alone have judged, and return its directory."""
    config, section = make_configs(folder)
    evaluate(config, section, run_batch=run_with(replies))
    Path(config.run, "config.yaml").write_text(f"run: {config.run}\n")
    return config.run


def test_the_verdict_comes_first_and_says_how_sure_it_is(text: str) -> None:
    verdict = text.split("Before you believe it")[0]
    assert verdict.index("srg does better than base: attack success fell by 50.0 points.") < 600
    assert "The difference is -50.0 points, 95 % interval [-63.6, -34.5]" in verdict
    assert "p < 0.001 (sign-flip permutation)" in verdict
    assert "Fixed beforehand: attack success of srg against base, on the suite seeds" in verdict
    assert "discrimination rose by 100.0 points [+87.2, +107.4], better" in verdict
    assert (
        "Of 4 attacks: attack success better on 3, not told from chance on 1; over-ref" in verdict
    )


def test_attack_success_never_stands_alone(source: str, text: str) -> None:
    table = source[source.index("<table>") : source.index("</table>")]
    for column in ("ASR", "Over-refusal, benign", "Discrimination, points", "Degenerate answers"):
        assert column in table
    for words in ("over-refusal 0.0 % to 50.0 %", "degenerate answers 0.0 % to 0.0 %"):
        assert words in text
    assert table.count('scope="rowgroup"') == 4, "two suites, plain and under attack"


def test_what_limits_the_numbers_is_said(text: str) -> None:
    for words in (
        "llama_guard3, strongreject, xstest and helpfulness are uncertified",
        "comparisons are too small to find a difference of 10 points",
        "Each student was trained once, from one training seed",
        "2 of 6 answers, so ASR lies anywhere from 33.3 to 66.7 %",
        "srg and base have unlike shares of truncated answers (plain, rot13, morse",
        "50 % of refusal's on seeds, morse (cipher)",
        "3 prompts of seeds stand in own, too (3 exactly, 0 nearly)",
        "own/morse: 1",
        "qwen3guard_strict and strongreject on base's answers (kappa 0.00)",
    ):
        assert words in text
    assert "ASR is a proxy" not in text


def test_judges_show_their_certificates_and_the_correction(source: str, text: str) -> None:
    judges = text.split("The judges.")[1].split("Two judges")[0]
    assert judges.count("0.980.960.980.98") == 2
    assert len(re.findall(r"labels [0-9a-f]{12}", judges)) == 2
    assert source.count('<span class="stamp bad">uncertified</span>') > 2
    assert "50.0 %[34.7, 67.2]" in text
    assert "not for a proxy" in text


def test_the_data_and_the_training_are_shown(source: str, text: str) -> None:
    assert "inconsistent6080" in text, "a reason, and how many rows of each arm it dropped"
    for share in ("srg, benign6000.0 %", "srg, harmful6060100.0 %"):
        assert share in text
    assert "81,234" in text
    assert {"synthesize", "curate default", "finetune srg"} <= set(
        re.findall(r">([^<]+)</", source)
    )


def test_the_verdict_is_stamped_with_who_speaks(own_run: Path, tmp_path: Path) -> None:
    source, _ = page_of(str(own_run))
    spoken = source[source.index('<p class="spoken">') : source.index("The difference is")]
    assert re.findall(r"by (\w+) <span class=\"stamp (\w+)\">", spoken) == [
        (GUARD, "good"), ("refusal_rules", "good"),
    ]  # fmt: skip
    source, _ = page_of(evaluated(tmp_path / "other"))
    spoken = source[source.index('<p class="spoken">') : source.index("The difference is")]
    assert re.findall(r">(proxy|\w*certified)<", spoken) == ["proxy", "uncertified", "uncertified"]


def test_a_judge_too_weak_to_correct_for_is_said(own_run: Path) -> None:
    path = own_run / "evals" / "srg" / "results.json"
    found = json.loads(path.read_text())
    why = "sensitivity + specificity - 1 is 0.1, below 0.2"
    none = {"value": None, "low": None, "high": None, "method": "none", "refused": why}
    found["groups"][0]["labels"]["harmful"]["asr"][GUARD]["corrected"] = none
    path.write_bytes(dump(found))
    source, page = page_of(str(own_run))
    assert why in page.text
    assert '<span class="stamp bad">not corrected</span>' in source


def test_several_training_seeds_are_shown_and_end_the_warning(own_run: Path) -> None:
    path = own_run / "evals" / "comparison.json"
    method = json.loads(path.read_text())["primary"] | {"seeds": MIN_SEEDS, "supported": True}
    change(path, methods=[method])
    _, page = page_of(str(own_run))
    assert "Methods over several training seeds" in page.text
    assert "training seed." not in page.text


def test_parts_that_are_not_there_leave_no_trace(own_run: Path) -> None:
    for name in ("representation.json", "faithfulness.json", "card.json"):
        (own_run / "evals" / name).unlink()
    for model in MODELS:
        change(own_run / "evals" / model / "results.json", utility=None, disagreement=[])
    change(own_run / "evals" / "comparison.json", utility=[], helpfulness=[])
    _, page = page_of(str(own_run))
    names = [text for _, text in page.headings]
    assert {"Inside the models", "Faithfulness to the guidelines", "Usefulness kept"}.isdisjoint(
        names
    )
    assert "stand in" not in page.text
    assert "Verdict" in names


def test_answers_are_sorted_by_outcome_with_their_ids(
    source: str, text: str, records: list[Record]
) -> None:
    for outcome in (
        f"Called unsafe by {GUARD}",
        f"Neither called unsafe by {GUARD} nor refused",
        "Refused a harmful prompt",
        "Refused a harmless prompt",
        "Refused in part",
        "Complied with a harmful prompt",
        "Undetermined",
        "Degenerate",
        "Truncated",
    ):
        assert f"<summary>{outcome} <span" in source
    shown = sum(one.row_id in text for one in records)
    assert len(MODELS) < shown < len(records) / 10
    assert "refusal_rules: refusal (sorry_unable)" in text
    assert f"{GUARD}, answer: unsafe, Violent" in text
    for block in source.split("<summary>")[1:]:
        assert block.count("<article") <= 2 * len(MODELS)


def test_harmful_prompts_and_generated_text_are_redacted(
    source: str, text: str, records: list[Record]
) -> None:
    plain = html.unescape(source)
    harmful, others = (
        {one.prompt for one in records if (one.label == "harmful") is bad} for bad in (True, False)
    )
    assert not any(prompt in plain for prompt in harmful)
    assert any(prompt in plain for prompt in others)
    assert not any(words in plain for words in (HELP, THOUGHT))
    shown = [one for one in records if one.label == "harmful" and one.row_id in text]
    assert all(f"[redacted, {len(one.prompt):,} characters]" in text for one in shown)


def test_redaction_can_be_turned_off(own_run: Path, records: list[Record]) -> None:
    source, page = page_of(str(own_run), redact=False)
    plain = html.unescape(source)
    assert any(one.prompt in plain for one in records if one.label == "harmful")
    assert THOUGHT in plain
    assert "this page holds model output that may be harmful" in page.text


def test_judged_by_rules_alone_attack_success_is_called_a_proxy(tmp_path: Path) -> None:
    _, page = page_of(evaluated(tmp_path))
    for words in (
        "srg does better than base: discrimination rose by 50.0 points.",
        "ASR (rule proxy) 50.0 % to 0.0 %",
        "ASR (rule proxy, upper bound)",
        "a proxy and an upper bound",
        "refusal_rules is uncertified",
        "seeds, rot13 (cipher)",
        "all_unsafe@2",
    ):
        assert words in page.text


@pytest.mark.parametrize("redact", [True, False])
def test_markup_in_any_text_stays_text(own_run: Path, redact: bool) -> None:
    evil_everywhere(own_run)
    source, page = page_of(str(own_run), redact)
    assert "<script" not in source.lower()
    assert "script" not in page.tags
    assert EVIL in page.text


def evil_everywhere(run: Path) -> None:
    """Put markup into every text of every file that the report reads."""
    for path in sorted(run.rglob("*.json")):
        path.write_bytes(dump(with_evil(json.loads(path.read_text()))))
    (run / "config.yaml").write_text(yaml.safe_dump({"run": EVIL, "evaluate": SECTIONS}))
    for path in sorted(run.rglob("records.parquet")):
        texts = ("row_id", "origin", "suite", "category", "reason", "prompt", "reasoning", "answer")
        evil = [
            replace(record, **{name: getattr(record, name) + EVIL for name in texts})
            for record in read_records(str(path))
        ]
        path.unlink()
        write_records(str(path), evil)


# Our own words, which the page looks things up by, and names of files.
_KEPT = {"metric", "attack", "model", "models", "baseline", "family", "headline", "chosen_on",
         "label", "suite", "scope", "judge"}  # fmt: skip


def with_evil(data: Any, key: str = "") -> Any:
    if isinstance(data, dict):
        return {name: with_evil(value, name) for name, value in data.items()}
    if isinstance(data, list):
        return [with_evil(value, key) for value in data]
    return data + EVIL if isinstance(data, str) and key not in _KEPT else data


def test_equal_files_give_equal_bytes(own_run: Path) -> None:
    assert page_of(str(own_run))[0] == page_of(str(own_run))[0]


def test_a_run_that_has_just_begun_has_a_report_too(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("run: runs/new\n")
    _, page = page_of(str(tmp_path))
    for words in ("Nothing is curated yet", "No student is trained yet", "Nothing is evaluated"):
        assert words in page.text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"config\.yaml"):
        page_of(str(tmp_path))


def test_a_difference_that_may_be_chance_is_called_that(tmp_path: Path) -> None:
    _, page = page_of(evaluated(tmp_path, lambda name, item: Reply(text=HELP)))
    assert "No change in discrimination from base to srg can be told from chance." in page.text
    assert "does better" not in page.text


def test_no_verdict_at_all_is_said(tmp_path: Path) -> None:
    _, page = page_of(evaluated(tmp_path, lambda name, item: Reply(text="")))
    assert "It can not be answered" in page.text
    assert "Many answers have no verdict" in page.text
