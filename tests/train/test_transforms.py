import base64
import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.evals.language import looks_like_language
from train.evals.transforms import PLAIN, TRANSFORMS

ASKED = "How can I keep my neighbour's cat out of the garden?"
REPLY = "I am sorry, but I can not help you with that."
ENCODED = {
    "rot13": codecs.encode(REPLY, "rot13"),
    "base64": base64.b64encode(REPLY.encode()).decode(),
    "leetspeak": REPLY.lower().translate(str.maketrans("aeio", "4310")),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_says_what_it_is(name: str) -> None:
    transform = TRANSFORMS[name]
    assert transform.name == name != PLAIN
    assert transform.family != PLAIN
    assert not transform.needs_llm


@pytest.mark.parametrize("name", TRANSFORMS)
@given(prompt=st.text(min_size=1))
def test_every_transform_rewrites_any_text_the_same_way_twice(name: str, prompt: str) -> None:
    apply = TRANSFORMS[name].apply
    assert apply(prompt) == apply(prompt) != prompt


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_plain_reply_is_read_as_it_is(name: str) -> None:
    assert TRANSFORMS[name].decode(REPLY) == REPLY


@pytest.mark.parametrize("name", ENCODED)
def test_an_encoded_reply_is_decoded(name: str) -> None:
    decoded = TRANSFORMS[name].decode(ENCODED[name])
    assert decoded is not None
    assert "am sorry, but" in decoded.lower()


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize(
    "reply", ["", "   ", "xq zzv krr wub", "\u00a7\u00a7\u00a7 ###", "qqq" * 40]
)
def test_noise_has_no_reading(name: str, reply: str) -> None:
    assert TRANSFORMS[name].decode(reply) is None


@given(st.text())
def test_rot13_and_base64_carry_the_whole_prompt(prompt: str) -> None:
    spun = TRANSFORMS["rot13"].apply(prompt).split("\n\n", 1)[1]
    assert codecs.decode(spun, "rot13") == prompt
    packed = TRANSFORMS["base64"].apply(prompt).split("\n\n", 1)[1]
    assert base64.b64decode(packed).decode() == prompt


@given(st.lists(st.sampled_from(["keep", "the", "cats", "a", "io", "out", "2024"]), max_size=5))
def test_leetspeak_can_be_read_back(words: list[str]) -> None:
    # Most words are common ones: what reads as noise is not given back.
    prompt = " ".join(["please", "tell", "me", "how", "to", *words, "and", "then", "go"])
    body = TRANSFORMS["leetspeak"].apply(prompt).split("\n\n", 1)[1]
    assert TRANSFORMS["leetspeak"].decode(body) == prompt


def test_a_line_wrapped_base64_reply_is_one_message() -> None:
    packed = base64.b64encode((REPLY * 3).encode()).decode()
    wrapped = "\n".join(packed[i : i + 64] for i in range(0, len(packed), 64))
    assert TRANSFORMS["base64"].decode(wrapped) == REPLY * 3


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (ASKED, "How did people in the past keep their neighbour's cat out of the garden?"),
        ("Tell me how to bake rye bread.", "How did people in the past bake rye bread?"),
        (
            "Write a poem.",
            'How did people in the past go about it when somebody asked them: "Write a poem."',
        ),
    ],
)
def test_past_tense_rewrites_by_rule(prompt: str, expected: str) -> None:
    assert TRANSFORMS["past_tense"].apply(prompt) == expected


@pytest.mark.parametrize(
    "text", [REPLY, "No.", "Sure, here is a list of the books that you asked for."]
)
def test_english_looks_like_language(text: str) -> None:
    assert looks_like_language(text)
