"""A search's two doors to a model: what goes on writing a turn, and what rates a finished one."""

from collections.abc import Sequence
from dataclasses import dataclass

from synth.chat import Chat
from synth.errors import Invalid
from synth.recipes.steps import OUTPUT_CLOSE, STEP_CLOSE, is_terminal
from synth.recipes.trees.reward import Finished, Rate, evaluation
from synth.recipes.trees.search import Sample, Sampled, Score
from synth.recipes.trees.tree import Evaluation
from synth.records import Message, Sampling, Seed

STEP_STOPS = (STEP_CLOSE, OUTPUT_CLOSE)  # code: beside the end of the turn
ANSWER_STOPS = (OUTPUT_CLOSE,)  # code: beside the end of the turn


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


def rater(chat: Chat, seed: Seed, rate: Rate, sampling: Sampling, *, k1: float, k2: float) -> Score:
    """Return what rates a turn after `seed`; one too long to be asked about has no value."""

    async def score(text: str, cut: bool) -> Evaluation:
        finished = Finished(seed=seed, text=text, cut=cut)
        try:
            ratings = await rate(finished, chat, sampling)
        except Invalid:
            return Evaluation(None, cut)
        return evaluation(ratings, k1=k1, k2=k2, cut=cut)

    return score
