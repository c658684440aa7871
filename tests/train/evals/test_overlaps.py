from pathlib import Path

import pytest

from synth.config.schema import Limit
from synth.records import Seed, digest
from synth.seeds import near_duplicates
from synth.seeds.near_duplicates import normalize
from tests.train.evaluations import make_configs
from train.evals.suites import Suite, load_suites, overlaps

DATA = Path(__file__).parents[4] / "shared" / "data"


def seed(prompt: str) -> Seed:
    return Seed(
        seed_id=digest(prompt), prompt=prompt, label="benign", category="any", source="test"
    )


def suite(name: str, *prompts: str) -> Suite:
    return Suite(name=name, path="", seeds=[seed(prompt) for prompt in prompts], limit=Limit())


LONG = "Explain to a beginner how one keeps a sourdough starter alive through a long winter"


def test_exact_and_near_overlaps_are_told_apart() -> None:
    first = suite("first", "How do I bake bread?", LONG, "Where is the moon?")
    second = suite("second", "how do I bake bread", f"{LONG} abroad", "What is a lake?")
    [found] = overlaps([first, second], [])
    assert (found["first"], found["second"]) == ("first", "second")
    assert (found["exact"], found["near"]) == (1, 1)
    assert found["ids"] == [digest("How do I bake bread?"), digest(LONG)]


def test_overlaps_with_training_are_found_in_every_suite() -> None:
    suites = [suite("one", "How do I sew?"), suite("two", "How do I knit?"), suite("three", "Why?")]
    found = overlaps(suites, [seed("How do I sew?"), seed("How do I knit?")])
    assert [(entry["first"], entry["second"]) for entry in found] == [
        ("one", "training"),
        ("two", "training"),
    ]


def test_suites_apart_have_no_overlap() -> None:
    assert overlaps([suite("one", "How?"), suite("two", "Why?")], [seed("Where?")]) == []


def test_each_prompt_is_made_ready_once_however_many_suites_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []

    def noted(text: str) -> str:
        read.append(text)
        return normalize(text)

    monkeypatch.setattr(near_duplicates, "normalize", noted)
    prompts = [f"What is {name}?" for name in ("bread", "a lake", "the moon", "a kettle")]
    overlaps([suite(prompt, prompt) for prompt in prompts], [seed("Where?")])
    assert sorted(read) == sorted([*prompts, "Where?"])


@pytest.mark.skipif(not DATA.is_dir(), reason="the public files are not here")
def test_the_overlaps_that_are_known_are_found(tmp_path: Path) -> None:
    paths = {
        "advbench": "advbench/harmful_behaviors.csv",
        "harmbench": "harmbench/harmbench_behaviors_text_all.csv",
        "jailbreakbench": "jailbreakbench/harmful-behaviors.csv",
    }
    entries = [
        {"name": name, "path": str(DATA / path), "format": name} for name, path in paths.items()
    ]
    found = overlaps(load_suites(*make_configs(tmp_path, suites=entries)), [])
    exact = {(entry["first"], entry["second"]): entry["exact"] for entry in found}
    assert exact[("advbench", "jailbreakbench")] == 11
    assert exact[("harmbench", "jailbreakbench")] == 9
