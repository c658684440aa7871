"""The embedded seeds: balanced, paired, free of near-duplicates and of benchmark prompts."""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SEEDS = ROOT / "synth" / "data" / "seeds.jsonl"
BENCHMARKS = ROOT.parent / "shared" / "data"
BENCHMARK_COLUMNS = {
    "advbench/harmful_behaviors.csv": "goal",
    "harmbench/harmbench_behaviors_text_all.csv": "Behavior",
    "jailbreakbench/harmful-behaviors.csv": "Goal",
    "jailbreakbench/benign-behaviors.csv": "Goal",
}
NEAR_DUPLICATE = 0.7
Seed = dict[str, str | None]


def read_seeds() -> list[Seed]:
    return [json.loads(line) for line in SEEDS.read_text(encoding="utf-8").splitlines()]


def prompts_of(label: str) -> list[str]:
    return [str(seed["prompt"]) for seed in read_seeds() if seed["label"] == label]


def normalized(text: str) -> str:
    """Lowercase words and digits, one space between them."""
    kept = "".join(c if c.isalnum() else " " for c in text.lower().replace("'", ""))
    return " ".join(kept.split())


def shingles(text: str) -> frozenset[str]:
    """Character 5-grams of the normalized text."""
    clean = normalized(text)
    return frozenset(clean[i : i + 5] for i in range(max(1, len(clean) - 4)))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b)


def near(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs whose 5-gram Jaccard similarity is at least `NEAR_DUPLICATE`."""
    cache: dict[str, frozenset[str]] = {}

    def grams(text: str) -> frozenset[str]:
        if text not in cache:
            cache[text] = shingles(text)
        return cache[text]

    return [(a, b) for a, b in pairs if jaccard(grams(a), grams(b)) >= NEAR_DUPLICATE]


def benchmark_prompts() -> Iterator[str]:
    for name, column in BENCHMARK_COLUMNS.items():
        with (BENCHMARKS / name).open(encoding="utf-8", newline="") as file:
            yield from (row[column] for row in csv.DictReader(file))


def test_near_finds_a_reworded_prompt_and_spares_a_different_one() -> None:
    prompt = "Explain how tides follow the moon."
    assert near([(prompt, "Explain how the tides follow the moon!")])
    assert not near([(prompt, "Explain how bees find a meadow.")])


def test_labels_have_their_counts() -> None:
    counts = Counter(seed["label"] for seed in read_seeds())
    assert counts == {"harmful": 152, "benign": 152, "borderline": 104}


def test_every_seed_has_the_same_keys_and_a_clean_prompt() -> None:
    for seed in read_seeds():
        assert list(seed) == ["prompt", "label", "category", "pair"]
        prompt = str(seed["prompt"])
        assert prompt == " ".join(prompt.split())
        assert prompt[-1] in ".?"


def test_prompts_are_one_short_sentence() -> None:
    lengths = [len(str(seed["prompt"]).split()) for seed in read_seeds()]
    assert min(lengths) >= 6
    assert max(lengths) <= 25


@pytest.mark.parametrize("label", ["harmful", "benign", "borderline"])
def test_a_label_spreads_evenly_over_the_categories(label: str) -> None:
    counts = Counter(seed["category"] for seed in read_seeds() if seed["label"] == label)
    assert len(counts) >= 10
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_pair_is_one_harmful_and_one_benign_prompt_of_its_category() -> None:
    pairs: defaultdict[str, list[Seed]] = defaultdict(list)
    for seed in read_seeds():
        if seed["pair"] is not None:
            pairs[seed["pair"]].append(seed)
    for name, twins in pairs.items():
        assert sorted(str(twin["label"]) for twin in twins) == ["benign", "harmful"]
        assert {twin["category"] for twin in twins} == {name.rpartition("-")[0]}


def test_only_borderline_prompts_stand_alone() -> None:
    for seed in read_seeds():
        assert (seed["pair"] is None) == (seed["label"] == "borderline")


def test_the_opening_word_does_not_tell_the_twins_apart() -> None:
    harmful, benign = (
        Counter(prompt.split()[0] for prompt in prompts_of(label))
        for label in ("harmful", "benign")
    )
    assert (harmful - benign).total() <= 0.1 * harmful.total()


def test_no_prompt_occurs_twice() -> None:
    counts = Counter(normalized(str(seed["prompt"])) for seed in read_seeds())
    assert [prompt for prompt, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("label", ["harmful", "benign", "borderline"])
def test_no_near_duplicates_within_a_label(label: str) -> None:
    assert near(combinations(prompts_of(label), 2)) == []


@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="benchmark files are absent")
def test_no_prompt_comes_from_a_benchmark() -> None:
    seeds = [str(seed["prompt"]) for seed in read_seeds()]
    benchmark = list(benchmark_prompts())
    assert {normalized(p) for p in seeds}.isdisjoint(normalized(p) for p in benchmark)
    assert near((ours, theirs) for ours in seeds for theirs in benchmark) == []
