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
from tests.train.report_files import write_run
from tests.train.report_parts import GUARD, MODELS
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


ATTACKS = [AttackConfig(attack="rot13"), AttackConfig(attack="past_tense_llm")]


def item(attack: str, family: str) -> Item:
    payload = {"transform": attack, "family": family, "version": 1}
    return Item(seed=SEEDS[0], recipe="evaluate", sample_index=0, payload=payload)


def section(made: Json, title: str) -> str:
    return card_markdown(made).split(f"## {title}\n")[1].split("\n## ")[0]


def read(run: str, *parts: str) -> Any:
    return json.loads(Path(run, "evals", *parts).read_text())


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = write_run(tmp_path_factory.mktemp("card"))
    manifests = {name: read(run, name, "manifest.json") for name in MODELS}
    inputs = {"inputs": {"model": "0d1860dc0a82"}, "outcomes": {"ok": 12}}
    return {
        "suites": [SUITE],
        "items": [
            item("plain", "plain"),
            item("rot13", "cipher"),
            item("rot13", "cipher"),
            item("past_tense_llm", "tense"),
        ],
        "attacks": ATTACKS,
        "rewrite_failures": {"past_tense_llm": {"unchanged": 2, "refused": 3}},
        "rewriter": "writer@5e4f3c",
        "overlaps": [OVERLAP],
        "results": {name: read(run, name, "results.json") for name in MODELS},
        "manifests": {name: found | inputs for name, found in manifests.items()},
        "comparison": read(run, "comparison.json"),
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
    assert made["inexpressible"] == {"jbb/morse": 4}
    assert made["seeds"] == {"bootstrap": {"resamples": 10000, "seed": 0}, "engine": 17}
    assert made["decoding"]["samples"] == 8
    assert [one["digest"] for one in made["models"]] == ["0d1860dc0a82"] * 3
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
    results = copy.deepcopy(parts["results"])
    labels = results["base"]["groups"][0]["labels"]
    labels["benign"]["guards"][GUARD]["answer"]["undetermined"] = 9
    labels["benign"]["refusals"] = {"xstest": {"refusal": {"undetermined": 4}}}
    labels["harmful"]["strongreject"]["undetermined"] = 5
    made = card(**parts | {"results": results})
    harmful, benign = (
        next(one for one in made["answers"] if one["label"] == label)["undetermined_by_judge"]
        for label in ("harmful", "benign")
    )
    assert benign == {GUARD: 9, "xstest": 4}
    assert (harmful["strongreject"], harmful[GUARD]) == (5, 12)
    labels["harmful"]["strongreject"] = None
    made = card(**parts | {"results": results})
    assert "strongreject" not in json.dumps(made["answers"][1])


def test_no_number_stands_without_what_it_was_bought_with(parts: dict[str, Any]) -> None:
    made = card(**parts)
    assert len(made["numbers"]) == 3 * 14
    for one in made["numbers"]:
        for name in ("asr", "over_refusal", "discrimination", "degenerate"):
            assert one[name]["low"] <= one[name]["value"] <= one[name]["high"]
    assert made["headline"] == GUARD
    answers = next(one for one in made["answers"] if one["label"] == "harmful")
    assert answers["undetermined_by_judge"][GUARD] == 12
    assert answers["truncated"] == 0.03
    unlike = {(one["model"], one["baseline"]) for one in made["truncation_unlike"]}
    assert unlike == {("srg", "base"), ("srg", "refusal")}


def test_judges_stand_with_their_certificates(parts: dict[str, Any]) -> None:
    judges = section(card(**parts), "Judges")
    assert "kappa 0.820" in judges
    assert judges.count("uncertified") == 2


def test_certificates_show_their_intervals(parts: dict[str, Any]) -> None:
    results = copy.deepcopy(parts["results"])
    certificate = results["base"]["judges"][0]["certificate"]
    certificate |= {"accuracy_interval": [0.88, 0.94], "kappa_interval": None}
    judges = section(card(**parts | {"results": results}), "Judges")
    accuracy = certificate["accuracy"]
    assert f"accuracy {accuracy:.3f} \\[0.880, 0.940\\], kappa 0.820, n 300" in judges


def test_the_same_evaluation_gives_the_same_bytes(parts: dict[str, Any]) -> None:
    first, second = card(**parts), card(**copy.deepcopy(parts))
    assert dump(first) == dump(second)
    assert card_markdown(first) == card_markdown(json.loads(dump(first)))


def test_no_prompt_and_no_place_of_this_machine_is_in_it(parts: dict[str, Any]) -> None:
    made = card(**parts)
    for text in (dump(made).decode(), card_markdown(made)):
        assert "bad thing" not in text
        assert "good thing" not in text
        assert "/home" not in text
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
