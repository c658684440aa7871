"""The page's structure, as a reader of screens, a printer and a browser's policy meet it."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.train.report_page import Page, page_of
from train import report

CSS = (Path(report.__file__).parent / "report.css").read_text(encoding="utf-8")
AA = 4.5  # least contrast of text, WCAG 2.2, 1.4.3
AA_GRAPHICS = 3.0  # of what is drawn, 1.4.11


@pytest.fixture(scope="module")
def source_and_page(scripted_run: Path) -> tuple[str, Page]:
    return page_of(str(scripted_run))


@pytest.fixture
def page(source_and_page: tuple[str, Page]) -> Page:
    return source_and_page[1]


@pytest.fixture
def source(source_and_page: tuple[str, Page]) -> str:
    return source_and_page[0]


def test_nothing_is_loaded_and_nothing_runs(source: str, page: Page) -> None:
    assert source.lstrip().startswith("<!DOCTYPE html>")
    assert {"script", "link", "img", "iframe", "object", "form", "base"}.isdisjoint(page.tags)
    assert not re.search(r"https?:|//\w|@import|url\((?!#)", source)
    assert not any(name == "src" or name.startswith("on") for name, _ in page.attributes)
    assert all((one["href"] or "").startswith("#") for one in page.all("a"))
    [policy] = [one["content"] for one in page.all("meta") if "http-equiv" in one]
    assert (policy or "").startswith("default-src 'none'")


def test_the_page_has_one_heading_and_its_landmarks(page: Page) -> None:
    for landmark in ("main", "header", "nav", "footer"):
        assert page.tags.count(landmark) == 1
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))
    assert all(text.strip() for _, text in page.headings)
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("title")


def test_every_link_leads_to_a_section_and_every_section_is_linked(page: Page) -> None:
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [one["href"] for one in page.all("a")]
    assert {(href or "")[1:] for href in links} <= set(ids)
    assert page.all("a")[0]["class"] == "skip"
    sections = {one["id"] for one in page.all("h2")}
    assert {f"#{name}" for name in sections} == set(links) - {"#main"}
    assert {one["aria-labelledby"] for one in page.all("section")} == sections


def test_tables_have_captions_and_headers(source: str, page: Page) -> None:
    tables = re.findall(r"<table>.*?</table>", source, re.DOTALL)
    assert len(tables) > 20
    for table in tables:
        assert table.count("<caption>") == table.count("<thead>") == 1
        assert 'scope="col"' in table
        assert 'scope="row"' in table
        width = table.count('scope="col"')
        for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL):
            assert row.count("<td") + row.count("<th ") == width
    assert all(set(one) & {"scope"} for one in page.all("th"))


def test_wide_things_scroll_in_a_box_that_keys_can_reach(page: Page) -> None:
    boxes = [one for one in page.all("div") if one.get("class") == "wide"]
    assert len(boxes) == page.tags.count("table")
    assert all(one["tabindex"] == "0" and one["role"] == "region" for one in boxes)
    assert all(one["aria-label"] for one in boxes)


def test_figures_are_described_in_words(source: str, page: Page) -> None:
    figures = [one for one in page.all("svg") if one.get("class") == "figure"]
    assert len(figures) == page.tags.count("figure")
    assert all(one["role"] == "img" for one in figures)
    ids = {one["id"] for tag in ("title", "desc") for one in page.all(tag) if "id" in one}
    assert {part for one in figures for part in (one["aria-labelledby"] or "").split()} == ids
    for words in re.findall(r"<desc id=[^>]*>(.*?)</desc>", source):
        assert len(words) > 20
    keys = [one for one in page.all("svg") if one.get("class") != "figure"]
    assert all(one["aria-hidden"] == "true" for one in keys)


def test_models_differ_in_more_than_colour(source: str) -> None:
    marks = {
        style: re.sub(r"[-\d. ]+", "", path)
        for style, path in re.findall(
            r'class="key s([0-5])".*?<path class="mark" d="([^"]+)"', source
        )
    }
    assert len(marks) == len(set(marks.values())) == 3
    dashes = re.findall(r"\.s[0-5] \.line \{ stroke-dasharray: ([^;]+); \}", CSS)
    assert len(dashes) == len(set(dashes)) == 6


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def text_colours() -> Iterator[tuple[str, str]]:
    for name in ("ink", "soft", "link"):
        yield re.search(rf"--{name}: (#\w{{6}})", CSS)[1], "#ffffff"  # type: ignore[index]
    for stamp in ("bad", "good"):
        found = re.search(rf"\.{stamp} \{{ color: (#\w{{6}}); background: (#\w{{6}});", CSS)
        yield found[1], found[2]  # type: ignore[index]


def test_text_and_marks_stand_out() -> None:
    assert all(contrast(text, ground) >= AA for text, ground in text_colours())
    marks = re.findall(r"\.s\d+ \{ color: (#\w{6}); \}", CSS)
    assert len(marks) == 14
    assert all(contrast(mark, "#ffffff") >= AA_GRAPHICS for mark in marks)


def test_what_is_folded_on_screen_is_open_on_paper() -> None:
    paper = CSS[CSS.index("@media print") :]
    assert "details::details-content { content-visibility: visible" in paper
    assert "nav, .skip { display: none; }" in paper
