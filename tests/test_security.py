"""Prompts, guidelines, model output and file names are hostile: see `docs/security.md`.

Each is refused with exit 2 and one line, or comes out harmless wherever people look at it.
"""

import ast
import io
import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt
from rich.console import Console

from ray_jobs.console import live_progress
from ray_jobs.exits import exit_code
from ray_jobs.logs import logging_to
from synth.drive.drive import Progress
from synth.errors import RunFault
from tests.commands import Cli
from tests.hostile import FORGED, HOSTILE, TERMINAL, is_plain

EVIL_RUN = "r\x1b[31m\u202e<script>un"


@pytest.fixture
def hostile_run(cli: Cli, tmp_path: Path) -> Path:
    """A finished run, every text of which is hostile; its configuration's path is, too."""
    seeds = [
        {"prompt": f"{HOSTILE} {i} {'bread ' * i}", "label": "benign", "category": HOSTILE}
        for i in range(1, 6)
    ]
    (tmp_path / "seeds.jsonl").write_text("\n".join(map(json.dumps, seeds)))
    config = {
        "run": EVIL_RUN,
        "recipe": "refusal",
        "samples": 1,
        "seeds": {"path": "seeds.jsonl", "eval_share": 0.0},
        "teacher": {"model": "scripted", "engine_args": {"script": "tests.hostile:answer"}},
        "curate": {"policy": "default"},
        "limits": {"workers": 0},
    }
    path = tmp_path / "a\x1b[31mb.yaml"
    path.write_text(yaml.safe_dump(config))
    assert cli("run", path).code == 0
    return path


def test_no_command_prints_what_a_terminal_acts_on(cli: Cli, hostile_run: Path) -> None:
    for words in (
        ("run", hostile_run),
        ("status", EVIL_RUN),
        ("preview", hostile_run, "--rows", "2"),
        ("plan", hostile_run),
        ("check", hostile_run, "--deep"),
        ("report", hostile_run, "--unredacted"),
    ):
        ended = cli(*words)
        assert ended.code == 0, ended.err
        assert ended.out
        assert is_plain(ended.out + ended.err), words[0]
    assert "\\x1b[2J" in cli("preview", hostile_run).out, "shown, as escapes"
    assert "# Forged" not in {line.strip() for line in cli("status", EVIL_RUN).out.splitlines()}


@pytest.mark.parametrize("error", [RunFault(HOSTILE), ValueError(HOSTILE), OSError(28, HOSTILE)])
def test_an_error_line_is_plain(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise error

    assert exit_code(fail) == 1
    assert is_plain(capsys.readouterr().err)


def test_a_usage_error_is_plain(cli: Cli) -> None:
    ended = cli(TERMINAL)
    assert ended.code == 2
    assert is_plain(ended.line)


@pytest.mark.parametrize("terminal", [False, True])
def test_log_lines_are_plain_and_can_not_be_forged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, color_system=None, width=200)
    with logging_to(console, run=tmp_path):
        logging.getLogger("synth.anything").warning("the server says: %s", HOSTILE)
    shown = screen.getvalue() if terminal else capsys.readouterr().err
    kept = (tmp_path / "logs" / "driver.log").read_text()
    for text in (shown, kept):
        assert is_plain(text)
        assert "\\x1b[2J" in text
        assert not any(line.startswith("12:00:00 all rows") for line in text.splitlines())


def test_a_progress_bar_is_plain() -> None:
    screen = io.StringIO()
    with live_progress(Console(file=screen, force_terminal=True, width=400)) as tell:
        tell(f"evaluate {HOSTILE}", Progress(rows_planned=1))
    assert TERMINAL not in screen.getvalue()
    assert FORGED not in screen.getvalue()
    assert "\\x1b[2J" in screen.getvalue()


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links.update(value or "" for name, value in attrs if name in ("href", "src"))


def test_the_report_holds_no_markup_of_others(cli: Cli, hostile_run: Path) -> None:
    assert cli("report", hostile_run, "--unredacted").code == 0
    page = (Path(EVIL_RUN) / "report.html").read_text()
    found = Tags(page)
    assert {"script", "img", "b"}.isdisjoint(found.tags)
    assert all(link.startswith("#") for link in found.links), "nothing leads out of the page"
    assert "onerror" not in found.attributes
    assert is_plain(page), "no controls, and nothing that turns what is read"


def test_the_dataset_card_holds_no_markup_of_others(hostile_run: Path) -> None:
    card = (Path(EVIL_RUN) / "curated" / "default" / "README.md").read_text()
    assert "owned" in card, "the category is shown"
    assert is_plain(card)
    body = card.split("---\n", 2)[2]
    kinds = {
        inner.type
        for token in MarkdownIt("commonmark").enable("table").parse(body)
        for inner in (token, *(token.children or ()))
    }
    assert {"html_inline", "html_block", "image", "link_open"}.isdisjoint(kinds)
    assert "# Forged" not in {line.strip() for line in body.splitlines()}
    assert "https://evil" not in body
    assert "www.evil" not in body


DOCUMENT = Path(__file__).parents[1] / "docs" / "security.md"


def test_every_proof_that_the_document_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", DOCUMENT.read_text(encoding="utf-8"))
    assert len(named) > 20
    for file, test in named:
        tree = ast.parse((DOCUMENT.parents[1] / file).read_text(encoding="utf-8"))
        assert test in {node.name for node in ast.walk(tree) if hasattr(node, "name")}, test
