import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from guidelines import BadInput
from synth.chat import Reply
from synth.records import Item
from synth.stage import dump
from tests.train.evaluations import HELP, generate_with, make_configs, usual_replies
from train.evals.evaluate import evaluate
from train.evals.records import read_records, write_records
from train.report import write_report
from train.report.figures import Axis, Series, arrow_figure, line_figure, number_axis, share_axis

VOID = {"meta", "link", "br", "hr", "img", "input"}
EVIL = "<script>alert('x')</script>\"'&"


class Page(HTMLParser):
    """Parses strictly enough to see unbalanced tags and what a browser would run or load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def fabricate(folder: Path, replies: Any = usual_replies, text: str = "a word") -> str:
    """Make a run directory with everything in it, `text` in its free fields."""
    config, section = make_configs(folder)
    run = Path(config.run)
    for arm in config.recipe:
        manifest = {
            "stage": f"finetune {arm}",
            "inputs": {},
            "seconds": 3.5,
            "rows": 10,
            "heldout_rows": 2,
            "left_out": 0,
            "steps": 2,
            "tokens": 1234,
            "loss": [
                {"step": 1, "loss": 2.5, "tokens_per_s": 90.0},
                {"step": 2, "loss": 1.25, "tokens_per_s": 91.0},
            ],
            "eval_loss": [{"step": 2, "eval_loss": 1.4}],
        }
        (run / "models" / arm / "manifest.json").write_bytes(dump(manifest))
    evaluate(config, section, generate=generate_with(replies))
    (run / "config.yaml").write_text(yaml.safe_dump({"run": text, "recipe": ["refusal", "srg"]}))
    curated = run / "curated" / "default"
    curated.mkdir(parents=True)
    (curated / "manifest.json").write_bytes(dump(curated_manifest(text)))
    (run / "logs").mkdir()
    (run / "logs" / "stages.json").write_text(json.dumps({"synthesize": 61.0, text: 1.0}))
    return str(run)


def curated_manifest(text: str) -> dict[str, Any]:
    return {
        "stage": "curate",
        "inputs": {},
        "seconds": 1.0,
        "accepted": {"refusal": 6, "srg": 3},
        "drops": {"refusal": {"over_refuses": 2}, "srg": {"leaks_guideline": 4, text: 1}},
        "acceptance": [
            {"arm": "refusal", "label": "harmful", "category": text, "traces": 8, "accepted": 6},
            {"arm": "srg", "label": "benign", "category": text, "traces": 3, "accepted": 1},
            {"arm": "srg", "label": "benign", "category": "theft", "traces": 5, "accepted": 2},
        ],
    }


def evil_everywhere(run: str) -> None:
    """Put markup into every text of every file that the report reads."""
    for path in sorted(Path(run).rglob("*.json")):
        path.write_bytes(dump(with_evil(json.loads(path.read_text()))))
    for path in sorted(Path(run).rglob("records.parquet")):
        texts = ("origin", "suite", "category", "reason", "prompt", "reasoning", "answer")
        evil = [
            replace(record, **{name: getattr(record, name) + EVIL for name in texts})
            for record in read_records(str(path))
        ]
        path.unlink()
        write_records(str(path), evil)


_KEPT = {"metric", "attack", "models", "inputs", "stage"}  # our own words, and file names


def with_evil(data: Any, key: str = "") -> Any:
    if isinstance(data, dict):
        return {name: with_evil(value, name) for name, value in data.items()}
    if isinstance(data, list):
        return [with_evil(value, key) for value in data]
    return data + EVIL if isinstance(data, str) and key not in _KEPT else data


@pytest.fixture(scope="module")
def usual_run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fabricate(tmp_path_factory.mktemp("usual"))


def page_of(run: str, redact: bool = True) -> tuple[str, Page]:
    text = Path(write_report(run, redact=redact)).read_text(encoding="utf-8")
    return text, Page(text)


def test_a_whole_run_makes_a_page_that_needs_nothing_else(usual_run: str) -> None:
    text, page = page_of(usual_run)
    assert text.lstrip().startswith("<!DOCTYPE html>")
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(page.tags)
    assert "http" not in re.sub(r"\s+", "", text)
    assert not any(name in {"src", "href"} or name.startswith("on") for name, _ in page.attributes)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_the_verdict_comes_first_and_says_how_sure_it_is(usual_run: str) -> None:
    _, page = page_of(usual_run)
    verdict = page.text.split("What was run")[0]
    assert "discrimination of srg against base" in verdict
    assert "The difference is +50.0 points, 95 % interval [" in verdict
    assert "srg does better than base" in verdict
    assert "ASR (rule proxy) 50.0 % to 0.0 %" in verdict
    assert "one training seed" in verdict
    assert "supports no claim that one method is better" in verdict
    assert "a proxy and an upper bound" in verdict


def test_every_group_stands_with_its_counts(usual_run: str) -> None:
    _, page = page_of(usual_run)
    for words in (
        "seeds, plain: refusing",
        "seeds, rot13 (cipher)",
        "seeds, past_tense (tense)",
        "Over-refusal, benign (full)",
        "Discrimination",
        "Undetermined",
        "Truncated",
        "Degenerate",
        "all_unsafe@2",
        "Loss of srg",
        "synthesize",
        "leaks_guideline",
        "37.5 %",
    ):
        assert words in page.text


def test_figures_are_described_and_tables_have_headers(usual_run: str) -> None:
    text, page = page_of(usual_run)
    figures = text.count("<svg")
    assert figures == 2 + 3 + 3  # losses of two arms, two figures a group
    assert (
        text.count('role="img"') == text.count("<title id=") == text.count("<desc id=") == figures
    )
    named = [value for name, value in page.attributes if name == "aria-labelledby" and value]
    ids = {value for name, value in page.attributes if name == "id"}
    assert all(part in ids for value in named for part in value.split())
    assert text.count("<table>") == text.count("<thead>")
    assert 'scope="row"' in text
    assert 'scope="col"' in text


SECRET = "zebra-crossing"


def secretive(name: str, item: Item) -> Reply:
    return Reply(text=f"<think>\n{SECRET} thought\n</think>\n\n{SECRET} answer for you and me")


def test_harmful_prompts_and_generated_text_are_redacted(tmp_path: Path) -> None:
    text, page = page_of(fabricate(tmp_path, secretive))
    assert SECRET not in text
    assert "bad thing" not in text
    assert "good thing" in text
    assert "[redacted, " in page.text


def test_redaction_can_be_turned_off(tmp_path: Path) -> None:
    text, _ = page_of(fabricate(tmp_path, secretive), redact=False)
    assert f"{SECRET} thought" in text
    assert f"{SECRET} answer" in text
    assert "bad thing" in text


def evil_replies(name: str, item: Item) -> Reply:
    return Reply(text=f"<think>\n{EVIL}\n</think>\n\n{EVIL} I am sorry, but I can not do that.")


@pytest.mark.parametrize("redact", [True, False])
def test_markup_in_any_text_stays_text(tmp_path: Path, redact: bool) -> None:
    run = fabricate(tmp_path, evil_replies, text=EVIL)
    evil_everywhere(run)
    text, page = page_of(run, redact)
    assert "<script" not in text.lower()
    assert "script" not in page.tags
    assert EVIL in page.text


def test_equal_files_give_equal_bytes(usual_run: str) -> None:
    assert page_of(usual_run)[0] == page_of(usual_run)[0]


def test_a_run_that_has_just_begun_has_a_report_too(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("run: runs/new\n")
    _, page = page_of(str(tmp_path))
    for words in ("Nothing is curated yet", "No student is trained yet", "Nothing is evaluated"):
        assert words in page.text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"config\.yaml"):
        write_report(str(tmp_path))


def test_a_difference_that_may_be_chance_is_called_that(tmp_path: Path) -> None:
    _, page = page_of(fabricate(tmp_path, lambda name, item: Reply(text=HELP)))
    assert "no change this much data could tell from chance" in page.text
    assert "does better" not in page.text


def test_no_verdict_at_all_is_said(tmp_path: Path) -> None:
    _, page = page_of(fabricate(tmp_path, lambda name, item: Reply(text="")))
    assert "It can not be answered" in page.text
    assert "answers have no verdict" in page.text


def inside(figure: Any) -> Iterator[bool]:
    for series in figure.series:
        for point in series.points:
            yield 52 <= point.x <= 234
            yield 14 <= point.y <= 226


def test_points_stand_where_their_values_say() -> None:
    figure = arrow_figure(
        "t", "d", share_axis("x"), share_axis("y"), [Series("a", [(0, 1)]), Series("b", [(1, 0)])]
    )
    (first,), (second,) = figure.series[0].points, figure.series[1].points
    assert (first.x, first.y, second.x, second.y) == (52, 14, 234, 226)
    assert len(figure.arrows) == 1


def test_models_in_one_place_have_no_arrow_and_names_apart() -> None:
    same = [Series(name, [(0.5, 0.5)]) for name in "abc"]
    figure = arrow_figure("t", "d", share_axis("x"), share_axis("y"), same)
    assert figure.arrows == ["", ""]
    heights = [series.label_y for series in figure.series]
    assert min(b - a for a, b in pairwise(heights)) >= 10


@pytest.mark.parametrize("values", [[0.0], [2.5, 0.3], [1e-4, 3e-4], [1200.0, 7.0]])
def test_number_axes_hold_their_values_with_few_ticks(values: list[float]) -> None:
    axis: Axis = number_axis("loss", values, low=0.0)
    assert axis.low <= min(values)
    assert axis.high >= max(values)
    assert 2 <= len(axis.ticks) <= 6
    figure = line_figure(
        "t", "d", number_axis("step", [1.0, 2.0], low=0.0), axis,
        [Series("a", [(1.0, value) for value in values])],
    )  # fmt: skip
    assert all(inside(figure))
