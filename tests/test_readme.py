"""What the documents say is so: their snippets run, their commands and files exist."""

import re
from pathlib import Path

import pytest

from ray_jobs.cli import VERBS
from synth import build_dataset, load_config

# Importing Ray Serve warns of Ray's own use of pydantic.
pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\..*")

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED_FILE = re.compile(r"`((?:guidelines|synth|train|ray_jobs|tests|docs)/[\w/.-]+)`")
LINK = re.compile(r"\]\(([^)#:]+)\)")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the recipe and the configuration of the README."""
    recipe, _ = blocks("python")
    config, larger = blocks("yaml")
    (tmp_path / "concise.py").write_text(recipe)
    (tmp_path / "run.yaml").write_text(config)
    (tmp_path / "larger.yaml").write_text(f"recipe: refusal\n{larger}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_recipe_takes_fifteen_lines() -> None:
    recipe, _ = blocks("python")
    assert len(recipe.splitlines()) <= 15


def test_the_larger_configuration_is_one(project: Path) -> None:
    assert load_config("larger.yaml").run.startswith("s3://")


def test_the_python_example_makes_a_dataset_with_the_recipe(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, use = blocks("python")
    exec(compile(use, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("40 traces, of which accepted: {'concise': ")
    config = load_config("run.yaml", ["teacher.model=scripted", "limits.workers=0"])
    rows = build_dataset(config).traces().to_pylist()
    made = [row for row in rows if row["recipe"] == "concise"]
    assert len(made) == 20
    assert {(row["outcome"], row["calls"]) for row in made} == {("ok", 2)}
    assert all(row["reasoning"] and row["answer"] and row["guideline_ids"] for row in made)


def test_the_commands_are_those_there_are() -> None:
    rows = re.findall(r"^\| `guideweave (\w+) ?\w*` \|", README, re.MULTILINE)
    assert sorted(rows) == sorted(VERBS)
    assert set(re.findall(r"guideweave (\w+) \S", README)) <= {*VERBS}


def test_the_exit_codes_are_those_there_are() -> None:
    from_table = re.findall(r"^\| (\d+) \|", README, re.MULTILINE)
    assert from_table == ["0", "1", "2", "3", "130"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_named_file_and_link_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = [ROOT / name for name in NAMED_FILE.findall(text)]
    linked = [document.parent / link for link in LINK.findall(text)]
    assert [str(path) for path in [*named, *linked] if not path.exists()] == []
