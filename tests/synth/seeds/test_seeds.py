"""Seeds: their identity, their halves, and the choice among them."""

import json
import logging
import random
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.config.schema import Limit, SeedsConfig
from synth.errors import BadInput
from synth.records import LABELS, Seed
from synth.seeds.seeds import check_seeds, decontaminate, load_seeds, split_seeds, take

SHARED = Path(__file__).parents[4] / "shared" / "data"
needs_benchmarks = pytest.mark.skipif(not SHARED.is_dir(), reason="benchmark files are absent")


def load(folder: Path, *rows: dict[str, Any], **config: Any) -> list[Seed]:
    path = folder / "seeds.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return load_seeds(SeedsConfig.model_validate({"path": str(path), **config}))


def refused(folder: Path, *rows: dict[str, Any], **config: Any) -> str:
    with pytest.raises(BadInput) as caught:
        load(folder, *rows, **config)
    return str(caught.value).removeprefix(f"{folder / 'seeds.jsonl'}: ")


def benign(prompt: str, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "label": "benign", **more}


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def seed(seed_id: str, label: str, category: str, pair: str | None = None) -> Seed:
    return Seed(
        seed_id=seed_id,
        prompt=f"prompt {seed_id}",
        label=label,
        category=category,
        source="made",
        pair=pair,
    )


@st.composite
def seed_sets(draw: st.DrawFn) -> list[Seed]:
    """Draw seeds in categories: harmful ones with twins, and some of any label that stand alone."""
    seeds = []
    for category in draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True)):
        for i in range(draw(st.integers(0, 6))):
            pair = f"{category}-{i}"
            seeds += [seed(f"{pair}-{label}", label, category, pair) for label in LABELS[:2]]
        for i, label in enumerate(draw(st.lists(st.sampled_from(LABELS), max_size=4))):
            seeds.append(seed(f"{category}-alone-{i}", label, category))
    return draw(st.permutations(seeds))


def test_a_row_becomes_a_seed(tmp_path: Path) -> None:
    row = benign("Hello?", category="greeting", pair=3, system="Be brief.", id="x1")
    [only] = load(tmp_path, row)
    assert only.messages == [turn("system", "Be brief."), turn("user", "Hello?")]
    assert (only.label, only.category, only.pair) == ("benign", "greeting", "3")
    assert only.source == "seeds.jsonl"


def test_a_conversation_ends_with_the_prompt(tmp_path: Path) -> None:
    turns = [turn("user", "Hi."), turn("assistant", "Hello!"), turn("user", "Which bread?")]
    [from_turns] = load(tmp_path, {"messages": turns, "label": "benign"})
    assert from_turns.prompt == "Which bread?"
    assert from_turns.messages == turns
    [alone] = load(tmp_path, benign("Which bread?"))
    assert alone.seed_id != from_turns.seed_id


def test_identity_is_the_conversation_and_nothing_else(tmp_path: Path) -> None:
    [plain] = load(tmp_path, benign("Which bread?"))
    [other] = load(
        tmp_path,
        {"q": "Which bread?", "label": "borderline", "category": "food", "pair": "p", "id": 7},
        columns={"prompt": "q"},
    )
    [as_turns] = load(tmp_path, {"messages": [turn("user", "Which bread?")], "label": "benign"})
    assert plain.seed_id == other.seed_id == as_turns.seed_id
    [with_system] = load(tmp_path, benign("Which bread?", system="Be brief."))
    assert with_system.seed_id != plain.seed_id


def test_identity_stays_what_it_was_in_earlier_runs(tmp_path: Path) -> None:
    [only] = load(tmp_path, benign("Which bread?"))
    assert only.seed_id == "d9bf160ffa7faead05c9dd61"


@given(texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=9, unique=True))
def test_ids_do_not_depend_on_the_order_of_rows(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("order")
    texts = [text for text in texts if text.isprintable()] or ["a"]
    forward = load(folder, *map(benign, texts))
    backward = load(folder, *map(benign, reversed(texts)))
    assert forward == backward[::-1]
    assert len({seed.seed_id for seed in forward}) == len(texts)


def test_a_repeated_prompt_is_kept_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [benign("Which bread?"), benign("Which oven?"), benign("Which bread?")]
    with caplog.at_level(logging.WARNING):
        assert [s.prompt for s in load(tmp_path, *rows)] == ["Which bread?", "Which oven?"]
    assert "1 rows repeat" in caplog.text
    assert "bread" not in caplog.text


@pytest.mark.parametrize(
    ("rows", "config", "parts"),
    [
        ([benign("a"), {"label": "benign"}], {}, ["line 2: prompt", "no such column"]),
        ([benign("a"), benign(" \n")], {}, ["line 2: prompt", "blank"]),
        ([benign("a"), benign("")], {}, ["line 2: prompt", "must hold a prompt"]),
        ([{"prompt": 7, "label": "benign"}], {}, ["line 1: prompt", "7", "text"]),
        ([{"prompt": "a"}], {}, ["line 1: label", "seeds.label"]),
        ([{"prompt": "a", "label": "evil"}], {}, ["line 1: label", "'evil'", "borderline"]),
        ([{"prompt": "a", "label": ["x"]}], {}, ["line 1: label", "borderline"]),
        ([benign("a")], {"label": "harmful"}, ["line 1: label", "must be harmful"]),
        ([benign("a", id=1), benign("b", id="1")], {}, ["line 2: id", "is the id of line 1"]),
        ([benign("a", id=1.5)], {}, ["line 1: id", "1.5", "text"]),
        ([benign("a"), {"prompt": "a", "label": "harmful"}], {}, ["line 2: label", "on line 1"]),
        ([benign("a", category=3)], {}, ["line 1: category", "text"]),
        ([benign("a")], {"columns": {"goal": "x"}}, ["seeds.columns", "'goal'"]),
        ([benign("a")], {"columns": {"prompt": "goal"}}, ["line 1: goal", "beside prompt, label"]),
        ([benign("a")], {"columns": {"category": "kind"}}, ["seeds.columns", "'kind'"]),
        ([benign("a", messages=[turn("user", "b")])], {}, ["line 1: prompt", "messages"]),
        ([benign("a", system=["b"])], {}, ["line 1: system", "text"]),
    ],
)
def test_a_bad_row_is_refused_by_line_and_column(
    tmp_path: Path, rows: list[dict[str, Any]], config: dict[str, Any], parts: list[str]
) -> None:
    message = refused(tmp_path, *rows, **config)
    assert message.startswith(parts[0])
    assert all(part in message for part in parts)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "text",
        [turn("assistant", "a")],
        [turn("user", "a"), turn("assistant", "b")],
        [turn("user", "a"), turn("system", "b"), turn("user", "c")],
        [{"role": "user"}],
        [{"role": "tool", "content": "a"}, turn("user", "b")],
        [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        ["a"],
    ],
)
def test_bad_messages_are_refused(tmp_path: Path, messages: object) -> None:
    row = {"messages": messages, "label": "benign"}
    assert refused(tmp_path, row).startswith("line 1: messages")


def test_one_of_prompt_and_messages_can_be_chosen(tmp_path: Path) -> None:
    row = benign("a", messages=[turn("user", "b")])
    assert [s.prompt for s in load(tmp_path, row, columns={"prompt": "prompt"})] == ["a"]
    assert [s.prompt for s in load(tmp_path, row, columns={"messages": "messages"})] == ["b"]


@given(seeds=seed_sets(), more=seed_sets(), share=st.floats(0, 0.99))
def test_adding_seeds_moves_no_seed_to_the_other_half(
    seeds: list[Seed], more: list[Seed], share: float
) -> None:
    before, after = split_seeds(seeds, share), split_seeds(more + seeds, share)
    assert set(before.train) <= set(after.train)
    assert set(before.evaluation) <= set(after.evaluation)


@given(seeds=seed_sets(), share=st.floats(0, 0.99))
def test_the_halves_part_the_seeds_and_split_no_pair(seeds: list[Seed], share: float) -> None:
    train, evaluation = split_seeds(seeds, share)
    assert sorted(s.seed_id for s in train + evaluation) == sorted(s.seed_id for s in seeds)
    pairs = ({s.pair for s in half if s.pair} for half in (train, evaluation))
    assert set.isdisjoint(*pairs)


def test_a_larger_share_holds_out_more_and_nothing_less() -> None:
    seeds = [seed(str(i), "benign", "a") for i in range(500)]
    held_out = [split_seeds(seeds, share).evaluation for share in (0, 0.2, 0.4, 0.8)]
    assert held_out[0] == []
    for fewer, more in pairwise(held_out):
        assert set(fewer) < set(more)
    assert len(held_out[2]) == pytest.approx(200, abs=40)


@given(seeds=seed_sets(), most=st.integers(0, 12))
def test_twins_are_taken_together(seeds: list[Seed], most: int) -> None:
    seeds = [s for s in seeds if s.pair or s.label == "borderline"]
    taken = take(seeds, Limit(harmful=most, benign=most))
    by_label = {label: {s.pair for s in taken if s.label == label} for label in LABELS[:2]}
    assert by_label["harmful"] == by_label["benign"]


def test_pairs_are_taken_before_seeds_that_stand_alone() -> None:
    alone = [seed(f"alone-{i}", "harmful", "a") for i in range(20)]
    pairs = [seed(f"{i}-{label}", label, "a", f"{i}") for i in range(3) for label in LABELS[:2]]
    assert take(alone + pairs, Limit(harmful=3, benign=3)) == pairs


@given(seeds=seed_sets(), limits=st.tuples(*[st.integers(0, 12)] * 3))
def test_categories_are_taken_evenly(seeds: list[Seed], limits: tuple[int, int, int]) -> None:
    taken = take(seeds, Limit(**dict(zip(LABELS, limits, strict=True))))
    for label, most in zip(LABELS, limits, strict=True):
        offered = Counter(s.category for s in seeds if s.label == label)
        counts = Counter(s.category for s in taken if s.label == label)
        assert counts.total() == min(most, offered.total())
        fullest = max(counts.values(), default=0)
        assert all(counts[c] in (offered[c], fullest, fullest - 1) for c in offered)
        assert all(counts[c] >= min(offered[c], fullest - 1) for c in offered)


@given(seeds=seed_sets(), most=st.integers(0, 12), order=st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order(
    seeds: list[Seed], most: int, order: random.Random
) -> None:
    shuffled = list(seeds)
    order.shuffle(shuffled)
    limit = Limit(harmful=most, benign=most, borderline=most)
    assert set(take(seeds, limit)) == set(take(shuffled, limit))


def test_no_limit_takes_all_in_their_order() -> None:
    seeds = [seed(str(i), LABELS[i % 3], "a") for i in range(9)]
    assert take(seeds, Limit()) == seeds


def test_decontamination_drops_what_an_evaluation_prompt_gives_away(tmp_path: Path) -> None:
    asked = "How long should a sourdough loaf rest before it is cut into slices?"
    train = load(tmp_path, *map(benign, [asked.upper(), "Which flour is best for rye bread?"]))
    [held_out] = load(tmp_path, {"prompt": asked, "label": "borderline"})
    kept, dropped = decontaminate(train, [held_out])
    assert kept == train[1:]
    assert dropped == {train[0].seed_id: held_out.seed_id}


def test_the_embedded_seeds_have_enough_to_evaluate_and_lose_little() -> None:
    seeds = load_seeds(SeedsConfig())
    check_seeds(SeedsConfig())
    train, evaluation = split_seeds(seeds, SeedsConfig().eval_share)
    held_out = Counter(s.label for s in evaluation)
    assert held_out["harmful"] == held_out["benign"] >= 60
    assert held_out["borderline"] >= 30
    kept, _ = decontaminate(train, evaluation)
    assert len(train) - len(kept) <= 0.02 * len(train)
    categories = defaultdict(set)
    for kept_seed in kept:
        categories[kept_seed.label].add(kept_seed.category)
    assert all(categories[label] == {s.category for s in seeds} for label in LABELS)


@needs_benchmarks
@pytest.mark.parametrize(
    ("name", "config", "count"),
    [
        ("advbench/harmful_behaviors.csv", {"columns": {"prompt": "goal"}}, 520),
        (
            "jailbreakbench/harmful-behaviors.csv",
            {"columns": {"prompt": "Goal", "category": "Category", "pair": "Index"}},
            100,
        ),
        ("harmbench/harmbench_behaviors_text_all.csv", {"columns": {"prompt": "Behavior"}}, 393),
        ("coconot/coconot_contrast.jsonl", {"label": "borderline"}, 379),
    ],
)
def test_benchmark_files_are_read(name: str, config: dict[str, Any], count: int) -> None:
    given_config = {"path": str(SHARED / name), "label": "harmful", **config}
    seeds = load_seeds(SeedsConfig.model_validate(given_config))
    assert len(seeds) == count


@needs_benchmarks
def test_the_comment_above_a_table_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    path = SHARED / "pyrit_refusal" / "refusal.csv"
    config = SeedsConfig(path=str(path), columns={"prompt": "objective"}, label="borderline")
    with caplog.at_level(logging.WARNING):
        seeds = load_seeds(config)
    assert 0 < len(seeds) <= 105
    assert ("rows repeat" in caplog.text) == (len(seeds) < 105)
