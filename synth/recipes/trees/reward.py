"""What a tree search strives for, and what goes on writing a turn (STAIR, arXiv 2502.02384).

An answer is rated for safety S and helpfulness H, both in [-1, 1], and its reward is
`(k1 + k2) S + k1 S H` (reward of SI-MCTS): safety comes first, help counts for a safe answer, and
being helpful makes an unsafe one worse. Who rates is a plug-in, a function of the finished text:

* `paper`     the model itself rates both. Its wording is not public; ours asks for 1 to 5.
* `released`  the authors' code: a keyword decides on prompts labelled harmful, where help has no
  say; other answers count as safe, and the model rates their help.
* `module:function` of a user, of the same form.
"""

import pkgutil
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from synth.chat import Chat
from synth.errors import BadInput, Invalid
from synth.judges.base import delimit
from synth.prompts import load_text, render
from synth.recipes.surgery import OUTPUT_CLOSE, STEP_CLOSE, final_answer, is_terminal, without_marks
from synth.recipes.trees.search import NodeRating, RateTurn, Sample, Sampled
from synth.records import Message, Sampling, Seed

APOLOGY, APOLOGY_CHARS = "sorry", 350  # code
UNREADABLE_SCORE = 3  # code: what a rating counts as that can not be read; it is counted
RATING_TEMPERATURE, RATING_TOP_P = 0.6, 0.9  # code
RATING_TRIES = 3  # ours: of the `paper` reward, before an answer has no value
RATING_FORM = r"[^\n]{20,240}\nConclusion: [1-5]"  # ours: asked of chats that can be held to it

_CONCLUSION = re.compile(r"Conclusion:\s*\[?([1-5])\]?\.?", re.IGNORECASE)

STEP_STOPS = (STEP_CLOSE, OUTPUT_CLOSE)  # code: beside the end of the turn
ANSWER_STOPS = (OUTPUT_CLOSE,)  # code: beside the end of the turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A turn that a search has brought to its end.

    Attributes:
        seed: The prompt, with its label.
        text: The whole turn, marks and all.
        cut: Whether its tokens ran out before it ended.
    """

    seed: Seed
    text: str
    cut: bool

    @property
    def answer(self) -> str:
        """What the user would read; of a cut text, its last part as far as it went."""
        return final_answer(self.text)


class Ratings(NamedTuple):
    """Safety and helpfulness, each from -1 to 1, or None where a rating could not be read.

    `unparsed` counts the replies of the model that no rating could be read from.
    """

    safety: float | None
    helpfulness: float | None
    unparsed: int = 0


Rate = Callable[[Finished, Chat, Sampling], Awaitable[Ratings]]
"""Rates a finished turn; asks the chat, under the sampling, where it needs a model."""


def evaluation(ratings: Ratings, *, k1: float, k2: float, cut: bool) -> NodeRating:
    """Return what ratings are worth to the search.

    Raises:
        BadInput: One is not within [-1, 1]; only a user's own reward can give such.
    """
    safety, helpfulness, unparsed = ratings
    if safety is None or helpfulness is None:
        return NodeRating(None, cut, unparsed)
    for name, value in (("safety", safety), ("helpfulness", helpfulness)):
        if not -1 <= value <= 1:  # also catches what is no number
            rule = f"must rate {name} within -1 and 1"
            raise BadInput(file="config", field="options.stair.reward", value=value, rule=rule)
    return NodeRating((k1 + k2) * safety + k1 * safety * helpfulness, cut, unparsed)


async def paper(finished: Finished, chat: Chat, sampling: Sampling) -> Ratings:
    """Have the model rate safety and helpfulness; each rating is asked for a few times at most."""
    safety, failed = await _rating("stair_safety.md", finished, chat, sampling, RATING_TRIES)
    if safety is None:
        return Ratings(None, None, failed)
    found = await _rating("stair_helpfulness.md", finished, chat, sampling, RATING_TRIES)
    return Ratings(safety, found[0], failed + found[1])


async def released(finished: Finished, chat: Chat, sampling: Sampling) -> Ratings:
    """Rate as the released code does."""
    answer = finished.answer
    if finished.seed.label == "harmful":
        declines = APOLOGY in answer.lower() and len(answer) <= APOLOGY_CHARS
        return Ratings(1.0 if declines else -1.0, -1.0)
    reply = await chat(_question("stair_helpfulness.md", finished), sampling)
    score = _digits(reply.text)
    return Ratings(1.0, _spread(score or UNREADABLE_SCORE), int(score is None))


REWARDS: Mapping[str, Rate] = {"paper": paper, "released": released}  # ours: their names


def find_reward(name: str) -> Rate:
    """Return the reward called `name`, importing a user's own `module:function`.

    Raises:
        BadInput: There is none.
    """
    if name in REWARDS:
        return REWARDS[name]
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, ValueError, AttributeError) as error:
        raise _no_reward(name) from error
    if not callable(found):
        raise _no_reward(name)
    return found


def _no_reward(name: str) -> BadInput:
    rule = f"must be one of {', '.join(REWARDS)}, or a function, module:function"
    return BadInput(file="config", field="options.stair.reward", value=name, rule=rule)


async def _rating(
    prompt: str, finished: Finished, chat: Chat, sampling: Sampling, tries: int
) -> tuple[float | None, int]:
    """Return a rating and how many replies could not be read."""
    if "regex" in chat.can:
        sampling = replace(sampling, regex=RATING_FORM)
    for failed in range(tries):
        reply = await chat(_question(prompt, finished), sampling)
        if (score := read_score(reply.text)) is not None:
            return _spread(score), failed
    return None, tries


def read_score(reply: str) -> int | None:
    """Return the score on a reply's last line, which has to say that and nothing else."""
    lines = [line.strip() for line in without_marks(reply).splitlines() if line.strip()]
    found = _CONCLUSION.fullmatch(lines[-1]) if lines else None
    return int(found[1]) if found else None


def _digits(reply: str) -> int | None:
    """Return the digits after the last `conclusion`, run together: the released code's reading."""
    _, found, tail = reply.lower().rpartition("conclusion")
    digits = re.sub(r"[^0-9]", "", tail)
    return int(digits) if found and digits in {"1", "2", "3", "4", "5"} else None


def _question(prompt: str, finished: Finished) -> list[Message]:
    told = "\n\n".join(f"{m['role'].capitalize()}: {m['content']}" for m in finished.seed.messages)
    texts = delimit({"question": told, "answer": finished.answer})
    return [Message(role="user", content=render(load_text(prompt), **texts))]


def _spread(score: int) -> float:
    """Return a score from 1 to 5 as a rating from -1 to 1."""
    return (score - 3) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How the model writes.

    Attributes:
        temperature: Of steps and rollouts alike.
        top_p: Nucleus mass.
        top_k: Candidates kept.
        step_tokens: Most tokens of a step.
        rollout_tokens: Most tokens of a rollout.
    """

    temperature: float
    top_p: float
    top_k: int
    step_tokens: int
    rollout_tokens: int

    def sampling(self, max_tokens: int, stop: tuple[str, ...]) -> Sampling:
        """Return the sampling of a text that ends with one of `stop`, which it keeps."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_tokens=max_tokens,
            stop=stop,
            keep_stop=True,
        )


def writer(chat: Chat, messages: Sequence[Message], drawing: Drawing) -> Sample:
    """Return what goes on writing the assistant's turn after `messages`.

    Where the turn has grown so long that the model takes no more of it, nothing is written and
    it counts as cut. A conversation that is too long by itself is the row's fault.
    """
    step = drawing.sampling(drawing.step_tokens, STEP_STOPS)
    rollout = drawing.sampling(drawing.rollout_tokens, ANSWER_STOPS)

    async def write(turn: str, to_the_end: bool) -> Sampled:
        begun = [Message(role="assistant", content=turn)] if turn else []
        try:
            reply = await chat([*messages, *begun], rollout if to_the_end else step)
        except Invalid:
            if not turn:
                raise
            return Sampled("", "cut")
        text = reply.reasoning + reply.text  # a family's own marks of thought mean nothing here
        if reply.finish_reason == "length":
            return Sampled(text, "cut")
        if text.endswith(STEP_CLOSE) and not is_terminal(text):
            return Sampled(text, "step")
        return Sampled(text, "answer")

    return write


def rater(
    chat: Chat, seed: Seed, rate: Rate, sampling: Sampling, *, k1: float, k2: float
) -> RateTurn:
    """Return what rates a turn after `seed`; one too long to be asked about has no value."""

    async def score(text: str, cut: bool) -> NodeRating:
        finished = Finished(seed=seed, text=text, cut=cut)
        try:
            ratings = await rate(finished, chat, sampling)
        except Invalid:
            return NodeRating(None, cut)
        return evaluation(ratings, k1=k1, k2=k2, cut=cut)

    return score
