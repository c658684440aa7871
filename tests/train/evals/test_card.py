"""The evaluation card: complete, the same bytes again, and without a word of any prompt."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from synth.config.schema import Limit
from synth.records import Item, Seed
from synth.workspace.stage import dump
from tests.train.scripted_run import ATTACKS, GUARD, MODELS, SECOND
from train.evals.attacks.config import AttackConfig
from train.evals.card import card, card_markdown, software
from train.evals.metrics import Json
from train.evals.suites import Overlap, Suite

ABOUT = {"category": "theft", "source": "seeds.jsonl"}
SEEDS = [
    Seed(seed_id="seed-7", prompt="How do I do the bad thing?", label="harmful", **ABOUT),
    Seed(seed_id="seed-8", prompt="How do I do the good thing?", label="benign", **ABOUT),
]
SUITE = Suite(
    name="seeds",
    path="/home/somebody/data/seeds.jsonl",
    seeds=SEEDS,
    limit=Limit(),
    licence="CC-BY-4.0",
    sha256={"/home/somebody/data/seeds.jsonl": "ab" * 32},
    left_out={"no_prompt": 2},
)
OVERLAP = Overlap(first="seeds", second="training", exact=1, near=0, ids=["seed-7"])
ASKED = [AttackConfig(attack="rot13"), AttackConfig(attack="past_tense_llm")]


def item(attack: str, family: str) -> Item:
    payload = {"transform": attack, "family": family, "version": 1}
    return Item(seed=SEEDS[0], recipe="evaluate", sample_index=0, payload=payload)


def section(made: Json, title: str) -> str:
    return card_markdown(made).split(f"## {title}\n")[1].split("\n## ")[0]


def read(run: Path, *parts: str) -> Any:
    return json.loads(Path(run, "evals", *parts).read_text())


@pytest.fixture(scope="module")
def parts(scripted_run: Path) -> dict[str, Any]:
    return {
        "suites": [SUITE],
        "items": [
            item("plain", "plain"),
            item("rot13", "cipher"),
            item("rot13", "cipher"),
            item("past_tense_llm", "tense"),
        ],
        "attacks": ASKED,
        "rewrite_failures": {"past_tense_llm": {"unchanged": 2, "refused": 3}},
        "rewriter": "writer@5e4f3c",
        "overlaps": [OVERLAP],
        "results": {name: read(scripted_run, name, "results.json") for name in MODELS},
        "manifests": {name: read(scripted_run, name, "manifest.json") for name in MODELS},
        "comparison": read(scripted_run, "comparison.json"),
        "engine_seed": 17,
    }


def test_the_card_says_where_everything_comes_from(parts: dict[str, Any]) -> None:
    made = card(**parts)
    assert made["data"] == [
        {
            "suite": "seeds",
            "files": [{"name": "seeds.jsonl", "sha256": "ab" * 32}],
            "rows": {"benign": 1, "harmful": 1},
            "left_out": {"no_prompt": 2},
            "licence": "CC-BY-4.0",
        }
    ]
    rot13 = {"attack": "rot13", "family": "cipher", "needs_llm": False}
    past = {"attack": "past_tense_llm", "family": "tense", "needs_llm": True}
    assert made["attacks"] == [one | {"version": 1, "files": []} for one in (rot13, past)]
    assert made["overlaps"] == [OVERLAP]
    assert made["inexpressible"]["own/morse"] == 1
    assert made["seeds"] == {"bootstrap": {"resamples": 200, "seed": 0}, "engine": 17}
    assert made["decoding"]["samples"] == 2
    assert [one["digest"] for one in made["models"]] == [
        parts["manifests"][name]["inputs"]["model"] for name in MODELS
    ]
    assert made["software"]["python"]


def test_prompts_that_were_not_rewritten_are_counted_by_reason(parts: dict[str, Any]) -> None:
    made = card(**parts)
    assert made["rewrites"] == {"past_tense_llm": {"refused": 3, "unchanged": 2}}
    assert made["rewriter"] == "writer@5e4f3c"
    attacks = section(made, "Attacks")
    assert "3 refused, 2 unchanged" in attacks
    assert "writer@5e4f3c" in attacks


def test_files_of_attacks_are_named_by_their_hashes(tmp_path: Path, parts: dict[str, Any]) -> None:
    rewrites, taxonomy = tmp_path / "past.csv", tmp_path / "taxonomy.jsonl"
    for path in (rewrites, taxonomy):
        path.write_text(path.name)
    attacks = [
        AttackConfig(attack="mine", family="tense", rewrites=str(rewrites)),
        AttackConfig(attack="persuasion", taxonomy=str(taxonomy)),
    ]
    items = [item("mine", "tense"), item("persuasion", "persuasion")]
    made = card(**parts | {"attacks": attacks, "items": items})
    hashes = {
        path.name: hashlib.sha256(path.name.encode()).hexdigest() for path in tmp_path.iterdir()
    }
    files = [one for attack in made["attacks"] for one in attack["files"]]
    assert {one["name"]: one["sha256"] for one in files} == hashes
    assert [one["needs_llm"] for one in made["attacks"]] == [False, True]
    assert all(value in section(made, "Attacks") for value in hashes.values())


def test_no_verdict_is_counted_for_every_label_and_judge(parts: dict[str, Any]) -> None:
    harmful, benign = (
        next(
            one["undetermined_by_judge"]
            for one in card(**parts)["answers"]
            if (one["suite"], one["label"]) == ("own", label)
        )
        for label in ("harmful", "benign")
    )
    assert benign == {GUARD: 2, SECOND: 0, "xstest": 2}
    assert harmful == benign | {"refusal_rules": 0, "strongreject": 2}


def test_no_number_stands_without_what_it_was_bought_with(parts: dict[str, Any]) -> None:
    made = card(**parts)
    assert len(made["numbers"]) == len(MODELS) * 2 * (1 + len(ATTACKS))
    for one in made["numbers"]:
        for name in ("asr", "over_refusal", "discrimination", "degenerate"):
            assert one[name]["low"] <= one[name]["value"] <= one[name]["high"]
    assert made["headline"] == GUARD
    assert {one["truncated"] for one in made["answers"] if one["model"] == "srg"} == {0.5}
    unlike = {(one["model"], one["baseline"]) for one in made["truncation_unlike"]}
    assert unlike == {("srg", "base"), ("srg", "refusal")}


def test_judges_stand_with_their_certificates(parts: dict[str, Any]) -> None:
    judges = section(card(**parts), "Judges")
    agreement = "accuracy 0.979 \\[0.927, 0.994\\], kappa 0.958 \\[0.875, 1.000\\], n 96"
    assert judges.count(agreement) == 3
    assert judges.count("uncertified") == 4
    results = copy.deepcopy(parts["results"])
    results["base"]["judges"][0]["certificate"]["kappa_interval"] = None
    assert "kappa 0.958, n 96" in section(card(**parts | {"results": results}), "Judges")


def test_the_same_evaluation_gives_the_same_bytes(parts: dict[str, Any]) -> None:
    first, second = card(**parts), card(**copy.deepcopy(parts))
    assert dump(first) == dump(second)
    assert card_markdown(first) == card_markdown(json.loads(dump(first)))


def test_no_prompt_and_no_place_of_this_machine_is_in_it(
    parts: dict[str, Any], scripted_run: Path
) -> None:
    made = card(**parts)
    for text in (dump(made).decode(), card_markdown(made)):
        assert "bad thing" not in text
        assert "good thing" not in text
        assert "/home" not in text
        assert str(scripted_run.parent) not in text
        assert "seed-7" in text


def test_markup_in_a_name_stays_text(parts: dict[str, Any]) -> None:
    evil = Suite(
        name="<script>x</script> | ![a](b)\n# no", path="p", seeds=SEEDS, limit=Limit(),
        licence="a|b",
    )  # fmt: skip
    html = (
        MarkdownIt("commonmark", {"html": True})
        .enable("table")
        .render(card_markdown(card(**parts | {"suites": [evil]})))
    )
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("<h1>") == 1
    assert html.count("<table>") >= 8


def test_a_single_model_has_a_card_too(parts: dict[str, Any]) -> None:
    alone: dict[str, Any] = {
        "results": {"base": parts["results"]["base"]},
        "comparison": {"primary": None, "others": []},
    }
    page = card_markdown(card(**parts | alone))
    assert "Fixed beforehand" not in page
    assert "## Comparisons of unlike truncation\n\nNone." in page


def test_software_is_what_is_installed() -> None:
    found = software()
    assert {"python", "numpy", "scipy"} <= found.keys()
    assert all(found.values())
