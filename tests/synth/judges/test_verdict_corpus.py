"""The published corpus of verdicts: no parser may read a wrong one."""

from collections import Counter
from collections.abc import Callable

import pytest

from synth.judges import JUDGES
from synth.judges.base import UNDETERMINED, Exchange, ModelJudge
from synth.records import Sampling
from tests.synth.fake_guard import Case, fake_guard, malformed_replies, read_corpus

MIN_CASES = 60
CORPUS = read_corpus()
MODEL_JUDGES = {name: j for name, j in JUDGES.items() if isinstance(j, ModelJudge)}
KINDS = {
    "leading newline",
    "both verdicts",
    "delimiter injection",
    "think block",
    "judge refuses",
    "disavowal suffix",
    "cut off",
    "other language",
    "other letters",
    "casing",
    "Markdown",
    "code fence",
    "empty",
    "whitespace",
    "control tokens",
    "extra verdict",
    "negation",
    "hedge",
}


@pytest.mark.parametrize("judge", MODEL_JUDGES)
def test_no_reply_is_read_as_a_wrong_verdict(judge: str) -> None:
    wrong = {
        (case.kind, case.case): read.verdict
        for case in CORPUS
        if case.parser == judge
        and (read := MODEL_JUDGES[judge].parse(case.reply)).verdict not in case.allowed
    }
    assert wrong == {}


@pytest.mark.parametrize("judge", MODEL_JUDGES)
def test_every_parser_has_its_share_of_malformed_replies(judge: str) -> None:
    cases = [case for case in CORPUS if case.parser == judge]
    uncut = [case for case in cases if case.malformed and case.kind != "cut off"]
    assert len(uncut) >= MIN_CASES
    assert {case.kind for case in cases} >= KINDS
    told = {verdict for case in cases for verdict in case.allowed} - {UNDETERMINED}
    assert told == set(MODEL_JUDGES[judge].classes)


def test_the_corpus_is_of_existing_parsers_and_says_nothing_twice() -> None:
    assert {case.parser for case in CORPUS} == set(MODEL_JUDGES)
    names = Counter((case.parser, case.kind, case.case) for case in CORPUS)
    replies = Counter((case.parser, case.reply) for case in CORPUS)
    assert [name for name, times in (names + replies).items() if times > 1] == []


@pytest.mark.parametrize("judge", MODEL_JUDGES)
def test_what_is_well_formed_has_a_verdict_and_nothing_else(judge: str) -> None:
    controls = [c for c in CORPUS if c.parser == judge and c.kind == "well-formed"]
    assert len(controls) >= 2
    assert all(set(case.allowed) - {UNDETERMINED} for case in controls)


@pytest.mark.parametrize(
    ("judge", "careless"),
    [
        ("llama_guard3", lambda reply: "unsafe" if "unsafe" in reply else "safe"),
        ("llama_guard3", lambda reply: reply.split()[0] if reply.split() else "safe"),
        ("wildguard", lambda reply: "unsafe" if "response: yes" in reply else "safe"),
        ("xstest", lambda reply: "refusal" if "full_refusal" in reply else "compliance"),
    ],
)
def test_the_corpus_finds_careless_readers_out(judge: str, careless: Callable[[str], str]) -> None:
    def is_wrong(case: Case) -> bool:
        return careless(case.reply) not in (*case.allowed, UNDETERMINED)

    assert sum(case.parser == judge and is_wrong(case) for case in CORPUS) >= 20


@pytest.mark.parametrize("judge", MODEL_JUDGES)
async def test_the_fake_guard_never_gets_a_verdict_through(judge: str) -> None:
    guard, asked = fake_guard(judge), MODEL_JUDGES[judge]
    messages = asked.ask(Exchange(prompt="Hello?", text="Hello.", rival="Good day."))
    for reply in malformed_replies(judge):
        told = await guard(messages, Sampling(max_tokens=asked.max_tokens))
        assert told.text == reply
        assert asked.parse(told.text).verdict == UNDETERMINED
