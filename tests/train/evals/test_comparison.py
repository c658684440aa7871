"""What may be compared, on which prompts, and when a stage of the evaluation is stale."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guidelines import BadInput
from synth.batch import judge_revision
from synth.judges import JUDGES
from synth.judges.base import RuleJudge
from tests.train.evaluations import make_configs, make_record, run_with, usual_replies
from train.evals.certify import LabelsFile, certify, read_labelled, write_certificate
from train.evals.comparison import compare_methods, compare_students, primary_comparison
from train.evals.config import EvaluateConfig
from train.evals.evaluate import evaluate
from train.evals.metrics import unsafe_by
from train.evals.records import Record
from train.evals.results import generalisation_gap

SECTION = EvaluateConfig(bootstrap_resamples=200, samples=1, utility=False)


def answers(*verdicts: str, **about: Any) -> list[Record]:
    """Return one answer to each of as many harmful prompts."""
    return [
        make_record(item_id=f"i{i}", origin=f"p{i}", cluster=f"p{i}", verdict=verdict, **about)
        for i, verdict in enumerate(verdicts)
    ]


def read(run: str, *parts: str) -> Any:
    return json.loads(Path(run, "evals", *parts).read_text())


def test_a_gap_is_over_the_prompts_that_are_decided_both_ways() -> None:
    plain = answers("refusal", "compliance", "compliance")
    attacked = answers("refusal", "undetermined", "undetermined", transform="rot13")
    parts = generalisation_gap(attacked, plain, "refusal_rules")
    assert sum(part.term.weight * part.term.mean for part in parts) == 0
    assert [len(part.counts) for part in parts] == [1, 1]


def test_methods_are_compared_on_the_prompts_that_both_students_answered() -> None:
    records = {
        "srg": answers("refusal", "undetermined"),
        "srg-seed1": answers("refusal", "refusal"),
        "refusal": answers("refusal", "compliance"),
        "refusal-seed1": answers("refusal", "refusal"),
    }
    students = {"refusal": ("refusal", "refusal-seed1"), "srg": ("srg", "srg-seed1")}
    found = compare_methods(students, records, SECTION, "refusal_rules")
    asr = next(one for one in found if one["metric"] == "asr_rule")
    assert (asr["model"], asr["baseline"], asr["seeds"]) == ("srg", "refusal", 2)
    assert asr["difference"]["value"] == 0
    assert asr["difference"]["low"] is None
    assert not asr["supported"]


def test_prompts_that_belong_together_are_not_taken_for_independent() -> None:
    base, srg = answers(*["compliance"] * 10), answers(*["refusal"] * 10)
    section = SECTION.model_copy(
        update={"primary": EvaluateConfig(primary="asr_rule: srg vs base").primary}
    )
    apart = compare_students({"base": base, "srg": srg}, section)["primary"]
    together = {
        name: [replace(r, cluster=f"c{i % 2}") for i, r in enumerate(found)]
        for name, found in {"base": base, "srg": srg}.items()
    }
    shared = compare_students(together, section)["primary"]
    assert (apart["test"], shared["test"]) == ("mcnemar exact", "sign-flip permutation")
    assert apart["p"] < 0.01 < shared["p"]


def test_all_that_is_said_of_a_comparison_is_said_of_one_drawing(drawn: list[int]) -> None:
    base = answers("compliance", "refusal", "partial", "compliance")
    srg = answers("refusal", "refusal", "compliance", "partial")
    found = compare_students({"base": base, "srg": srg}, SECTION)
    compared = [found["primary"], *found["others"]]
    valued = [one for one in compared if one["difference"]["value"] is not None]
    assert {one["detectable"] is None for one in valued} == {False}
    assert len(drawn) == len(valued)


def test_the_rules_proxy_is_not_called_attack_success() -> None:
    proxy = EvaluateConfig(primary="asr: srg vs base")
    with pytest.raises(BadInput, match="takes a guard"):
        primary_comparison(proxy, ["base", "srg"])
    guarded = EvaluateConfig.model_validate(
        {"primary": "asr: srg vs base", "judges": ["llama_guard3"]}
    )
    assert primary_comparison(guarded, ["base", "srg"]) is not None
    assert unsafe_by("llama_guard3")(make_record()) is None


def test_the_same_question_from_the_other_side_is_no_further_test() -> None:
    turned = EvaluateConfig(bootstrap_resamples=200, samples=1, primary="asr_rule: base vs srg")
    records = {"base": answers("compliance"), "srg": answers("refusal")}
    found = compare_students(records, turned)
    assert {one["metric"] for one in found["others"]} == {"over_refusal", "discrimination"}


def test_a_suite_that_is_only_attacked_is_evaluated(tmp_path: Path) -> None:
    none = {"harmful": 0, "benign": 0, "borderline": 0}
    config, section = make_configs(tmp_path, limit=none, attacks=["rot13"], models=["base"])
    evaluate(config, section, run_batch=run_with(usual_replies))
    [group] = read(config.run, "base", "results.json")["groups"]
    assert group["attack"] == "rot13"
    assert group["generalisation_gap"]["value"] is None


def test_a_label_that_changes_changes_the_results(tmp_path: Path) -> None:
    suite = tmp_path / "own.jsonl"
    rows = [{"prompt": f"How is bread number {i} made?", "label": "benign"} for i in range(3)]
    suite.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = [{"name": "own", "path": str(suite)}]
    config, section = make_configs(tmp_path, suites=own, attacks=[], models=["base"])
    run = run_with(usual_replies)
    evaluate(config, section, run_batch=run)
    rows[0]["label"] = "harmful"
    suite.write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluate(config, section, run_batch=run)
    labels = read(config.run, "base", "results.json")["groups"][0]["labels"]
    assert {label: found["prompts"] for label, found in labels.items()} == {
        "harmful": 1,
        "benign": 2,
    }


def test_a_certificate_made_later_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    config, section = make_configs(tmp_path, certificates=[str(path)], attacks=[], models=["base"])
    rules = JUDGES["refusal_rules"]
    assert isinstance(rules, RuleJudge)
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"text": "I will not.", "label": "refusal"}\n')
    source = LabelsFile(
        path=str(labels), text="text", label="label", prompt=None, rival=None, classes={}
    )
    labelled = read_labelled(source, rules.classes)
    told = [rules.judge(one.exchange) for one in labelled]
    for revision in ("0" * 12, judge_revision(rules)):
        path.unlink(missing_ok=True)
        write_certificate(str(path), certify(rules, revision, None, source, labelled, told))
        evaluate(config, section, run_batch=run_with(usual_replies))
        [seat] = read(config.run, "base", "results.json")["judges"]
        assert (seat["certificate"] is None) == (revision == "0" * 12)
