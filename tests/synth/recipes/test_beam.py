"""A beam of steps, on a scripted tree: the student is a tree of texts, the reward a table."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.models.families import OUTPUT_OPEN, STEP_OPEN
from synth.recipes.bestof import BeamOptions, SearchResult, step_beam
from synth.recipes.surgery import OUTPUT_CLOSE, STEP_CLOSE, parse_steps
from synth.records import Message, Reply, Sampling, digest

ASKED = [Message(role="user", content="How do I sharpen a kitchen knife?")]
BRIEF = Sampling(max_tokens=100)


def step(name: str) -> str:
    return f"{STEP_OPEN}{name}{STEP_CLOSE}"


def output(name: str) -> str:
    return f"{OUTPUT_OPEN}{name}{OUTPUT_CLOSE}"


class Tree:
    """A student that goes on from a text with that text's continuations, in turn."""

    can = frozenset()

    def __init__(self, continuations: dict[str, list[str]], tokens: int = 5) -> None:
        self.continuations, self.tokens = continuations, tokens
        self.asked: Counter[str] = Counter()
        self.samplings: dict[str, Sampling] = {}

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        before = _text(messages)
        written = self.continuations[before]
        text = written[self.asked[before] % len(written)]
        self.asked[before] += 1
        self.samplings[before] = sampling
        stops = [text.find(stop) + len(stop) for stop in sampling.stop if stop in text]
        return Reply(text=text[: min(stops)] if stops else text, output_tokens=self.tokens)


class Reward:
    def __init__(self, scores: dict[str, float]) -> None:
        self.scores = scores

    async def score(self, messages: Sequence[Message]) -> float:
        return self.scores[_text(messages)]


def _text(messages: Sequence[Message]) -> str:
    assert messages[:1] == ASKED
    assert [message["role"] for message in messages[1:]] in ([], ["assistant"])
    return messages[1]["content"] if len(messages) > 1 else ""


def two_levels() -> tuple[Tree, Reward]:
    """A tree whose best answer is below the second best first step."""
    a, b, c = step("a"), step("b"), step("c")
    tree = Tree(
        {
            "": [a, b, c],
            a: [output("a1"), output("a2")],
            b: [output("b1"), output("b2")],
            c: [output("c1")],
        }
    )
    scores = {a: 3.0, b: 2.0, c: 1.0}
    scores |= {a + output("a1"): 0.0, a + output("a2"): 1.0}
    scores |= {b + output("b1"): 5.0, b + output("b2"): 4.0, c + output("c1"): 9.0}
    return tree, Reward(scores)


async def search(
    tree: Tree, reward: Reward, sampling: Sampling = BRIEF, **options: int
) -> SearchResult:
    return await step_beam(ASKED, tree, reward, sampling, BeamOptions.model_validate(options))


async def test_a_beam_keeps_the_best_beginnings_and_no_others() -> None:
    tree, reward = two_levels()
    found = await search(tree, reward, width=2, expand=2)
    assert found.reply.text == step("b") + output("b1")
    assert found.facts == {
        "search": "step_beam",
        "candidates": 8,
        "scores": [5.0, 4.0],
        "score": 5.0,
        "output_tokens": 40,
    }
    assert found.reply.output_tokens == 10
    assert tree.asked == {"": 4, step("a"): 2, step("b"): 2}  # `c`, the third, is not gone into


async def test_a_beam_of_one_is_greedy() -> None:
    tree, reward = two_levels()
    found = await search(tree, reward, width=1, expand=3)
    assert found.reply.text == step("a") + output("a2")
    assert found.facts["candidates"] == 6


async def test_an_ended_answer_stays_and_is_not_gone_on_from() -> None:
    a = step("a")
    tree = Tree({"": [output("now"), a], a: [output("later")]})
    reward = Reward({output("now"): 2.0, a: 1.0, a + output("later"): 1.5})
    found = await search(tree, reward, width=2, expand=1)
    assert found.reply.text == output("now")
    assert tree.asked == {"": 2, a: 1}


async def test_the_last_step_runs_to_the_end_of_the_answer() -> None:
    a = step("a")
    tree = Tree({"": [a], a: [step("b") + output("end")]})
    reward = Reward({a: 1.0, a + step("b") + output("end"): 1.0})
    found = await search(tree, reward, width=1, expand=1, depth=2)
    assert found.reply.text == a + step("b") + output("end")
    assert tree.samplings[""].stop == (STEP_CLOSE, OUTPUT_CLOSE)
    assert tree.samplings[""].keep_stop
    assert tree.samplings[a].stop == ()


async def test_the_last_step_ends_the_answer_even_where_it_says_none() -> None:
    tree = Tree({"": [step("a")]})
    found = await search(tree, Reward({step("a"): 1.0}), width=1, expand=1, depth=1)
    assert (found.reply.finish_reason, found.reply.text) == ("stop", step("a"))


async def test_equal_steps_are_one() -> None:
    a, b = step("a"), step("b")
    tree = Tree({"": [a, a, b], a: [output("x")], b: [output("y")]})
    reward = Reward({a: 2.0, b: 1.0, a + output("x"): 0.0, b + output("y"): 3.0})
    found = await search(tree, reward, width=2, expand=2)
    assert found.reply.text == b + output("y")


async def test_steps_share_the_tokens_of_one_answer() -> None:
    a, ab = step("a"), step("a") + step("b")
    tree = Tree({"": [a], a: [step("b")], ab: [output("c")]}, tokens=40)
    reward = Reward({a: 0.0, ab: 0.0, ab + output("c"): 0.0})
    await search(tree, reward, width=1, expand=1)
    assert [tree.samplings[text].max_tokens for text in ("", a, ab)] == [100, 60, 20]


async def test_an_answer_without_tokens_left_is_cut() -> None:
    a = step("a")
    tree = Tree({"": [a], a: [step("b")]}, tokens=50)
    reward = Reward({a: 0.0, a + step("b"): 0.0})
    found = await search(tree, reward, width=1, expand=1)
    assert (found.reply.finish_reason, found.reply.text) == ("length", a + step("b"))


async def test_a_turn_that_ends_after_a_step_has_ended() -> None:
    a = step("a")
    tree = Tree({"": [a], a: [""]})
    found = await search(tree, Reward({a: 0.0}), width=1, expand=1)
    assert (found.reply.finish_reason, found.reply.text) == ("stop", a)


async def test_a_beginning_is_valued_by_all_its_steps_where_asked() -> None:
    a, b = step("a"), step("b")
    tree = Tree({"": [a, b], a: [output("x")], b: [output("y")]})
    reward = Reward({a: 0.0, b: 3.0, a + output("x"): 2.5, b + output("y"): 2.0})
    for how, best in (("last", "x"), ("min", "y"), ("mean", "y")):
        options = BeamOptions(width=2, expand=1, aggregate=how)  # pyrefly: ignore
        found = await step_beam(ASKED, tree, reward, BRIEF, options)
        assert found.reply.text.endswith(output(best))


@given(
    seed=st.integers(),
    width=st.integers(1, 3),
    expand=st.integers(1, 3),
    depth=st.integers(1, 4),
)
def test_a_beam_ends_and_finds_the_best_of_its_last_row(
    seed: int, width: int, expand: int, depth: int
) -> None:
    drawn = count()

    class Random(Tree):
        async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
            name = digest(seed, next(drawn))[:2]
            ended = not sampling.stop or name[0] in "01234"
            return Reply(text=output(name) if ended else step(name), output_tokens=1)

    class Table(Reward):
        async def score(self, messages: Sequence[Message]) -> float:
            return int(digest(seed, _text(messages))[:4], 16) / 2**16

    options = BeamOptions(width=width, expand=expand, depth=depth)
    found = asyncio.run(step_beam(ASKED, Random({}), Table({}), BRIEF, options))
    parsed = parse_steps(found.reply.text)
    assert parsed is not None
    assert parsed.complete
    assert len(parsed.steps) < depth
    assert found.facts["score"] == max(found.facts["scores"])
    assert found.facts["candidates"] == found.facts["output_tokens"] <= width * expand * depth
    assert len(found.facts["scores"]) <= width


def test_a_beam_needs_room() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        BeamOptions(width=0)
