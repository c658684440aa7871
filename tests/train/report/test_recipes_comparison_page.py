"""A comparison from run directories to its JSON, its page and its tables on the console."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from guidelines import BadInput
from synth.curate.select import DROPS
from synth.workspace.stage import dump
from tests.synth.traces import publish_traces
from tests.train.curated import sft_row, write_curated
from tests.train.evaluations import make_configs, run_with, usual_replies
from tests.train.report.test_recipes_comparison import trace_row
from tests.train.report.test_recipes_comparison_answers import write_tokenizer
from tests.train.report_page import Page
from train.evals.evaluate import evaluate
from train.report.recipes import compare_recipes, recipes_tables

EVIL = "<script>alert('x')</script>\"'&"
ACCEPTED = {"refusal": 4, "srg": 2}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recipes, both tables: 6 seeds with one trace each, students really evaluated."""
    folder = tmp_path_factory.mktemp("compared")
    config, section = make_configs(folder)
    run = Path(config.run)
    for arm in config.recipe:
        write_tokenizer(run / "models" / arm)
    evaluate(config, section, run_batch=run_with(usual_replies))
    write_traces(run)
    write_accepted(run, ACCEPTED)
    settings: dict[str, Any] = {"run": "moved since", "recipe": list(config.recipe), "samples": 1}
    settings["evaluate"] = section.model_dump(mode="json")
    for table, given in (
        ("tokens", {"tokens": 50, "finetune": {"match": None}}),
        ("rows", {"tokens": None, "finetune": {"match": "rows"}}),
    ):
        shutil.copytree(run, folder / "both" / table)
        file = folder / "both" / table / "config.yaml"
        file.write_text(yaml.safe_dump(settings | given))
    return folder / "both"


@pytest.fixture
def own(usual: Path, tmp_path: Path) -> Path:
    """A copy of the usual runs, to be changed."""
    return Path(shutil.copytree(usual, tmp_path / "both"))


def write_traces(run: Path) -> None:
    for recipe in ACCEPTED:
        rows = [trace_row(f"s{i}", row_id=f"s{i}-0-{recipe}", recipe=recipe) for i in range(6)]
        publish_traces(str(run), rows, lease_rows=6)


def write_accepted(run: Path, accepted: dict[str, int]) -> None:
    rows = [
        sft_row(f"s{i}", arm, "How?", "So.")
        for arm, number in accepted.items()
        for i in range(number)
    ]
    folder = write_curated(run, rows)
    manifest = json.loads((folder / "manifest.json").read_text())
    about = {"seconds": 1.0, "pairs": {}, "drops": {}, "acceptance": []}
    (folder / "manifest.json").write_bytes(dump(manifest | about))
    lost = [
        {"row_id": f"s{i}-0-{arm}", "arm": arm, "reason": "undetermined_refusal"}
        for arm, number in accepted.items()
        for i in range(number, 6)
    ]
    pq.write_table(pa.Table.from_pylist(lost, DROPS), folder / "drops.parquet")


def compared(run: Path, tables: Sequence[str] = ("tokens", "rows")) -> dict[str, Any]:
    compare_recipes(str(run), tables)
    return json.loads((run / "recipes.json").read_text())


def page_of(run: Path) -> tuple[str, Page]:
    source = Path(compare_recipes(str(run))).read_text(encoding="utf-8")
    return source, Page(source)


def row_of(found: dict[str, Any], table: int, recipe: str) -> dict[str, Any]:
    return next(row for row in found["tables"][table]["recipes"] if row["recipe"] == recipe)


def test_both_tables_have_every_recipe_and_the_untrained_model(usual: Path) -> None:
    found = compared(usual)
    assert [table["table"] for table in found["tables"]] == ["tokens", "rows"]
    for table in found["tables"]:
        assert [row["recipe"] for row in table["recipes"]] == ["base", "refusal", "srg"]
    assert [table["tokens"] for table in found["tables"]] == [50, None]
    assert "50 tokens" in found["tables"][0]["what"]
    assert "as many rows" in found["tables"][1]["what"]
    srg = row_of(found, 1, "srg")
    assert (srg["generated_tokens"], srg["traces"], srg["accepted"]) == (60, 6, 2)
    assert srg["acceptance"]["undetermined"] == 4
    assert srg["tokens_per_accepted_row"]["value"] == 30
    assert srg["trained_rows"] == {"total": 240, "by_training": {"sft": 240}}
    assert srg["models"] == ["sft"]
    assert row_of(found, 0, "srg")["tokens_within_budget"] == 50
    assert row_of(found, 0, "srg")["over_budget"] == 1


def test_answers_are_those_of_the_results(usual: Path) -> None:
    found = compared(usual)
    for name in ("base", "refusal", "srg"):
        results = json.loads((usual / "rows" / "evals" / name / "results.json").read_text())
        row = row_of(found, 1, name)
        groups = {group["attack"]: group for group in results["groups"]}
        for attack, family in (("plain", "plain"), ("rot13", groups["rot13"]["family"])):
            harmful = groups[attack]["labels"]["harmful"]
            assert row["asr"]["families"][family] == harmful["asr"]["refusal_rules"]["sampled"]
        assert row["asr"]["macro"] == results["macro"][0]["asr_rule"]
        assert row["over_refusal"] == groups["plain"]["labels"]["benign"]["over_refusal"]
        assert row["discrimination"] == groups["plain"]["discrimination"]
        assert row["utility"] is None
    # "What is asked here, and whom could it harm?" is nine words and two marks.
    assert row_of(found, 1, "srg")["reasoning_tokens"]["value"] == 11
    assert row_of(found, 1, "refusal")["reasoning_tokens"]["value"] == 0


def test_a_small_n_is_said_before_anything_else(usual: Path) -> None:
    found = compared(usual)
    source, page = page_of(usual)
    assert found["small"]
    assert (
        page.text.split("Guideweave: recipes compared")[1]
        .strip()
        .startswith("n is too small to rank recipes: ")
    )
    prompts = found["tables"][0]["prompts"]
    assert f"{prompts['harmful']} harmful and {prompts['benign']} benign prompts" in page.text
    assert source.index("n is too small") < source.index("<h1>")
    for table in recipes_tables(str(usual)):
        assert table.title.startswith("n is too small to rank recipes: ")


def test_enough_prompts_make_no_such_line(own: Path) -> None:
    for table in ("tokens", "rows"):
        path = own / table / "evals" / "comparison.json"
        told = json.loads(path.read_text())
        for one in (told["primary"], *told["others"]):
            one.update(enough=True, detectable=0.08)
        path.write_bytes(dump(told))
    found = compared(own)
    assert not found["small"]
    assert "8.0 points or more" in found["first_line"]
    assert all("too small" not in table.title for table in recipes_tables(str(own)))


def test_made_again_the_bytes_are_the_same(own: Path) -> None:
    files = [own / "recipes.json", own / "recipes.html"]
    compare_recipes(str(own))
    before = [file.read_bytes() for file in files]
    moved = own.rename(own.parent / "elsewhere")
    compare_recipes(str(moved))
    assert [(moved / file.name).read_bytes() for file in files] == before


def test_a_missing_table_is_named_and_left_out(own: Path) -> None:
    shutil.rmtree(own / "tokens")
    found = compared(own)
    assert found["missing"] == ["tokens"]
    assert [table["table"] for table in found["tables"]] == ["rows"]
    assert "The table tokens is missing" in page_of(own)[1].text
    assert len(list(recipes_tables(str(own)))) == 2


def test_a_folder_without_any_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must hold a finished run in tokens or rows"):
        compare_recipes(str(tmp_path))
    assert not (tmp_path / "recipes.json").exists()


def test_an_arm_without_an_evaluation_is_counted_and_shown_as_a_dash(own: Path) -> None:
    shutil.rmtree(own / "rows" / "evals" / "srg")
    found = compared(own)
    assert found["tables"][1]["not_evaluated"] == ["srg"]
    assert row_of(found, 1, "srg")["evaluated"] is False
    assert row_of(found, 1, "srg")["accepted"] == 2
    assert "Not evaluated, shown as -: srg." in page_of(own)[1].text
    answers = list(recipes_tables(str(own)))[3]
    dashes = next(row for row in answers.rows if row[0] == "srg")
    assert set(dashes[1:]) == {"-"}
    assert len(dashes) == len(answers.columns)
    assert "no two students are compared" in found["first_line"]


def test_nothing_evaluated_and_nothing_curated_still_has_its_tables(own: Path) -> None:
    for table in ("tokens", "rows"):
        for part in ("evals", "curated", "models"):
            shutil.rmtree(own / table / part)
    found = compared(own)
    row = row_of(found, 1, "refusal")
    assert (row["accepted"], row["models"], row["trained_rows"]["total"]) == (0, [], None)
    assert [row["recipe"] for row in found["tables"][0]["recipes"]] == ["refusal", "srg"]
    for shown in recipes_tables(str(own)):
        assert all(len(cells) == len(shown.columns) for cells in shown.rows)


def test_a_recipe_without_accepted_rows_is_named(own: Path) -> None:
    for table in ("tokens", "rows"):
        shutil.rmtree(own / table / "curated")
        write_accepted(own / table, {"refusal": 4, "srg": 0})
    found = compared(own)
    assert row_of(found, 0, "srg")["tokens_per_accepted_row"]["value"] is None
    assert "Nothing accepted: srg." in found["tables"][0]["notes"]
    made = next(recipes_tables(str(own)))
    shown = dict(zip(made.columns, next(r for r in made.rows if r[0] == "srg"), strict=True))
    assert shown["Tokens per accepted row"] == "-"
    assert shown["Acceptance"].startswith("0.0 % [0.0, ")


def test_unequal_tables_say_so(own: Path) -> None:
    path = own / "rows" / "models" / "srg" / "manifest.json"
    path.write_bytes(dump(json.loads(path.read_text()) | {"rows": 7}))
    file = own / "tokens" / "config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"tokens": 5000}))
    tokens, rows = compared(own)["tables"]
    assert "Spent less than 90% of the tokens: refusal and srg." in tokens["notes"]
    assert any(note.startswith("The numbers of training rows differ") for note in rows["notes"])


def test_no_name_in_a_run_is_trusted(own: Path) -> None:
    for table in ("tokens", "rows"):
        path = own / table / "models" / "srg" / "manifest.json"
        path.write_bytes(dump(json.loads(path.read_text()) | {"base": {"name": EVIL}}))
        for name in ("base", "refusal", "srg"):
            folder = own / table / "evals" / name
            told = json.loads((folder / "results.json").read_text())
            for group in told["groups"]:
                group |= {"suite": EVIL, "family": group["family"] + EVIL}
            (folder / "results.json").write_bytes(dump(told))
    source, page = page_of(own)
    assert "<script" not in source.lower()
    assert "script" not in page.tags
    assert EVIL in page.text


def test_the_page_stands_alone_and_its_tables_have_headers(usual: Path) -> None:
    source, page = page_of(usual)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    [policy] = [one["content"] for one in page.all("meta") if "http-equiv" in one]
    assert (policy or "").startswith("default-src 'none'")
    assert page.tags.count("table") == 4
    assert source.count("<caption>") == 4
    assert [level for level, _ in page.headings] == [1, 2, 2, 2, 2]
    ids = {one["id"] for one in page.all("h2")}
    assert {(one["href"] or "")[1:] for one in page.all("a")} == ids
    for words in (
        "ASR is a proxy",
        "One judge",
        "One training seed",
        "embedded (269 MB of weights)",
        "What the columns mean",
        "50 within the budget",
    ):
        assert words in page.text
