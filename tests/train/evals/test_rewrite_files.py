from collections.abc import Sequence
from pathlib import Path

import pytest

from guidelines import BadInput
from tests.train.taxonomies import TAXONOMY, taxonomy_file
from train.evals.attacks.config import AttackConfig
from train.evals.rewrites import load_rewrites, load_techniques

DATA = Path(__file__).parents[4] / "shared" / "data"


def persuasion(path: str, *techniques: str) -> AttackConfig:
    return AttackConfig(attack="persuasion", taxonomy=path, techniques=techniques)


def test_techniques_are_those_named_or_the_first_five(tmp_path: Path) -> None:
    path = taxonomy_file(tmp_path)
    assert [found.technique for found in load_techniques(persuasion(path))] == [
        row["ss_technique"] for row in TAXONOMY[:5]
    ]
    [named] = load_techniques(persuasion(path, "Threat"))
    assert named.definition == "What Threat is."


@pytest.mark.parametrize(
    ("rows", "techniques", "field", "rule"),
    [
        (TAXONOMY, ("Flattery",), "evaluate.attacks.techniques", "must be one of Logic, Praise"),
        ([*TAXONOMY, TAXONOMY[0]], (), "line 7: ss_technique", "must be unique"),
        ([{"ss_technique": "Logic"}], (), "line 1: ss_definition", "must hold text"),
        ([], (), "evaluate.attacks", "at least one technique"),
    ],
)
def test_an_unusable_taxonomy_is_refused(
    tmp_path: Path,
    rows: Sequence[dict[str, str]],
    techniques: tuple[str, ...],
    field: str,
    rule: str,
) -> None:
    path = taxonomy_file(tmp_path, rows)
    with pytest.raises(BadInput, match=rule) as refused:
        load_techniques(persuasion(path, *techniques))
    assert (refused.value.file, refused.value.field) == (path, field)


def test_a_file_of_rewrites_without_the_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "past.csv"
    path.write_text("prompt,past\nHow?,Once\n")
    attack = AttackConfig(attack="mine", family="tense", rewrites=str(path))
    with pytest.raises(BadInput, match="must hold text") as refused:
        load_rewrites(attack)
    assert (refused.value.field, refused.value.value) == (
        "line 2: rewrite",
        "no such column beside prompt, past",
    )


@pytest.mark.skipif(not DATA.is_dir(), reason="the public files are not here")
def test_the_public_taxonomy_can_be_read() -> None:
    path = DATA / "persuasion_taxonomy" / "persuasion_taxonomy.jsonl"
    found = load_techniques(persuasion(str(path)))
    assert [technique.technique for technique in found][:2] == [
        "Evidence-based Persuasion",
        "Logical Appeal",
    ]
