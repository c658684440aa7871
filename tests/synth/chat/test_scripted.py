import asyncio
import json
import re
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidelines import BadInput
from synth.chat import ChatSpec
from synth.chat.connect import connect
from synth.chat.matching import matching_text
from synth.chat.scripted import PLAUSIBLE, ScriptedChat, plausible
from synth.errors import PoolFault
from synth.records import ABILITIES, Message, Reply, Sampling

ASK = [Message(role="user", content="How do I boil an egg?")]

SECTIONS = (
    r"Intent: [A-Z][^\n<>]{20,300}\n"
    r"Decision: (?:refuse|help)\n"
    r"(?:- [\w ,']{5,40}\.\n){1,3}"
    r"Answer: [^#]{10,}"
)


async def test_replies_come_in_turn_and_then_run_out() -> None:
    chat = ScriptedChat(["one", Reply(text="two", reasoning="why")])
    assert (await chat(ASK, Sampling())).text == "one"
    assert (await chat(ASK, Sampling())).reasoning == "why"
    with pytest.raises(IndexError, match="after its 2"):
        await chat(ASK, Sampling())


async def test_a_function_may_be_async_and_sees_the_call() -> None:
    async def echo(messages: Sequence[Message], sampling: Sampling) -> str:
        await asyncio.sleep(0)
        return f"{messages[-1]['content']} {sampling.temperature}"

    reply = await ScriptedChat(echo)(ASK, Sampling(temperature=0.5))
    assert reply.text == "How do I boil an egg? 0.5"
    assert (reply.prompt_tokens, reply.output_tokens) == (6, 7)


async def test_what_the_script_raises_is_raised() -> None:
    def broken(messages: Sequence[Message], sampling: Sampling) -> str:
        raise PoolFault("gone")

    with pytest.raises(PoolFault, match="gone"):
        await ScriptedChat(broken)(ASK, Sampling())


async def test_the_token_limit_and_stop_strings_cut_as_an_engine_would() -> None:
    def text(messages: Sequence[Message], sampling: Sampling) -> str:
        return "one two\nthree END four"

    chat = ScriptedChat(text)
    cut = await chat(ASK, Sampling(max_tokens=3))
    assert (cut.text, cut.finish_reason) == ("one two\nthree", "length")
    assert (await chat(ASK, Sampling(stop=("END", "four")))).text == "one two\nthree "
    assert (await chat(ASK, Sampling(stop=("END",), keep_stop=True))).text == "one two\nthree END"


async def test_logprobs_are_reported_one_a_word_and_only_when_asked_for() -> None:
    chat = ScriptedChat(plausible)
    assert (await chat(ASK, Sampling())).logprobs is None
    reply = await chat(ASK, Sampling(logprobs=2))
    assert reply.logprobs is not None
    assert len(reply.logprobs) == reply.output_tokens


def test_plausible_depends_on_the_call_alone() -> None:
    other = [Message(role="user", content="How do I fry an egg?")]
    assert plausible(ASK, Sampling()) == plausible(ASK, Sampling())
    assert plausible(ASK, Sampling()) != plausible(other, Sampling())


def test_plausible_obeys_choice_and_regex() -> None:
    choice = ("refuse", "help")
    assert plausible(ASK, Sampling(choice=choice)) in choice
    assert re.fullmatch(SECTIONS, plausible(ASK, Sampling(regex=SECTIONS)))


def test_plausible_obeys_a_json_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "verdict": {"$ref": "#/$defs/Verdict"},
            "scores": {"type": "array", "items": {"type": "integer", "maximum": 5}, "minItems": 2},
            "reason": {"anyOf": [{"type": "string", "maxLength": 20}, {"type": "null"}]},
        },
        "$defs": {"Verdict": {"enum": ["safe", "unsafe"]}},
    }
    made = json.loads(plausible(ASK, Sampling(json_schema=json.dumps(schema))))
    assert made["verdict"] in ("safe", "unsafe")
    assert len(made["scores"]) == 2
    assert all(0 <= score <= 5 for score in made["scores"])
    assert made["reason"] is None or len(made["reason"]) <= 20


@given(seed=st.integers(), words=st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1))
def test_a_matching_text_matches(seed: int, words: list[str]) -> None:
    pattern = rf"(?:{'|'.join(words)}): [^<\n]{{3,50}}(?:\n\d+\.\s\S{{2,9}}){{0,4}}[.!?]?"
    assert re.fullmatch(pattern, matching_text(pattern, Random(seed)))


@pytest.mark.parametrize(
    "pattern",
    ["[\u4e00-\u9fff]{2,9}", "[\U0001f600-\U0001f64f]x", r"[^\x00-\u9fff]", r"[^\W\x00-\u9fff]"],
)
def test_any_script_can_be_written(pattern: str) -> None:
    assert re.fullmatch(pattern, matching_text(pattern, Random(0)))


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "a(?=b)b", "[^\x00-\U0010ffff]"])
def test_a_pattern_that_can_not_be_written_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="regex"):
        matching_text(pattern, Random(0))


async def test_connect_opens_a_script_by_its_name() -> None:
    chat = connect(ChatSpec(kind="scripted", model_id="scripted", script=PLAUSIBLE, can=ABILITIES))
    assert (await chat(ASK, Sampling(choice=("yes",)))).text == "yes"


@pytest.mark.parametrize(
    "script", ["nothing", "no_such:function", "synth.chat.scripted:nope", ":x"]
)
def test_an_unknown_script_is_bad_input(script: str) -> None:
    with pytest.raises(BadInput, match="script"):
        connect(ChatSpec(kind="scripted", model_id="scripted", script=script))
