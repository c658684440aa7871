"""How SGASA asks a model, and reads what it says.

A target that marks its reasoning by itself gets one plain turn a question. Any other is shown
worked turns first, and its reply is constrained: a small model keeps to no form otherwise.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import Field

from synth.chat import Chat
from synth.config.schema import Positive, Strict
from synth.errors import Unparsed
from synth.judges.base import delimit
from synth.prompts import load_text, load_turns, render
from synth.recipes.base import Models, Options, ask_until
from synth.recipes.srg import CHARS_PER_TOKEN, MIN_CHARS, read_sections, section_pattern, times
from synth.recipes.surgery import is_whole, take_apart
from synth.records import Message, Outcome, Reply, Sampling, Seed, Trace

PARTS = ("Telling them apart", "Declining", "Helping")  # ours: of a guideline
PART_SHARE = 0.3  # ours: of the character budget, for each of the three parts
MIN_PROMPT_CHARS = 20  # ours
LONGER = 2  # ours: a prompt has at most so many times the characters of the longest one shown
PROMPT_SHARE = 0.9  # ours: and at most so much of the character budget


class PerLabel(Strict):
    """A number for each label: equal ones are a ratio of 1 to 1.

    Attributes:
        harmful: Of harmful prompts.
        benign: Of benign ones.
    """

    harmful: Positive
    benign: Positive


class SgasaOptions(Options):
    """The options of SGASA. Every quota stands beside what it may cost at most.

    Attributes:
        examples: Seeds of each label that the method starts from: the first of the run's training
            seeds in the order of their ids, of one turn each. Further seeds are not used.
        guidelines: Verified guidelines wanted.
        guideline_tries: Guidelines written at most.
        verify_share: Least share of the examples that must be answered as their label asks for a
            guideline to count as verified.
        shown: Examples shown at most when a prompt is asked for.
        prompts: Kept prompts wanted.
        prompt_tries: Prompts of each label that are asked for at most.
        responses: Answers sampled of one prompt.
        answer_tries: How often a prompt is answered at most, by each of the two samplings, while
            it has given nothing and the quota is not met.
        sft: Prompts wanted that give a row of SFT. The last round of tries may bring a few more:
            rows beyond both numbers together are left out, mostly of the label that has more.
        dpo: Prompts wanted that give a pair.
        temperature: Of every call.
        max_tokens: Of every call; `sampling.max_tokens` of the run where that is less.
        native_thought: The target marks its reasoning by itself. Then it is asked plainly, as in
            the paper; any other target is shown how to answer, and constrained.
        refusal_words: An answer with any of these declines, as in the paper; where empty, the
            rule refusal judge says whether it does.
        forbid_naming: Keep no trace that speaks of guidelines, which its student never sees.
    """

    PLAN_ONLY: ClassVar[frozenset[str]] = frozenset(
        ("guidelines", "guideline_tries", "prompts", "prompt_tries", "answer_tries", "sft", "dpo")
    )

    examples: Positive = 5  # paper: five harmful and five benign
    guidelines: Positive = 10  # paper: verified
    guideline_tries: Positive = 100  # ours
    verify_share: Annotated[float, Field(gt=0, le=1)] = 1.0  # ours: it says that they are verified
    shown: Positive = 3  # ours
    prompts: PerLabel = PerLabel(harmful=2500, benign=2500)  # ours: all that are kept
    prompt_tries: Positive = 2500  # paper: about 5,000 of both labels
    responses: Positive = 4  # ours: it says several
    answer_tries: Positive = 1  # ours
    sft: PerLabel = PerLabel(harmful=250, benign=250)  # paper: taken
    dpo: PerLabel = PerLabel(harmful=100, benign=100)  # paper: 3 to 5 and 5 to 3 are its ablations
    temperature: Annotated[float, Field(ge=0)] = 0.6  # paper: all sampling
    max_tokens: Positive = 2048  # paper: greatest length
    native_thought: bool = False  # ours: the paper's models have it
    refusal_words: tuple[str, ...] = ()  # ours: the paper gives only some of its words
    forbid_naming: bool = False  # paper: no such filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, and the form of the reply.

    Attributes:
        name: Of its prompt, `sgasa_<name>.md`, and its worked turns in `sgasa.yaml`.
        tag: Stands around the reply.
        pattern: What stands in the tag.
        is_text: Whether that is running text, of which `pattern` is only the bounds: a target
            that thinks by itself may then write any.
    """

    name: str
    tag: str
    pattern: str
    is_text: bool = False

    def read(self, text: str, bounded: bool) -> str | None:
        """Return what stands in the tag, where there is one tag in `text` and it is as asked."""
        opening, closing = f"<{self.tag}>", f"</{self.tag}>"
        if text.count(opening) != 1 or text.count(closing) != 1:
            return None
        found = text.partition(opening)[2].partition(closing)[0].strip()
        as_asked = re.fullmatch(self.pattern, found) or (self.is_text and not bounded)
        return found if found and as_asked else None


CLASSIFY = Question(name="classify", tag="Answer", pattern="(harmful|benign)")  # paper: the tag
SCORE = Question(name="score", tag="score", pattern="(10|[1-9])")  # ours


@dataclass(frozen=True, slots=True)
class Asker:
    """One model of a step, asked as the options say.

    Attributes:
        chat: The model.
        models: The step's models, for the run's own sampling.
        options: Of the recipe.
    """

    chat: Chat
    models: Models
    options: SgasaOptions

    @property
    def sampling(self) -> Sampling:
        """The paper's sampling, within the run's own bound of tokens."""
        most = min(self.options.max_tokens, self.models.sampling.max_tokens)
        return Sampling(temperature=self.options.temperature, max_tokens=most)

    async def guideline(self, examples: Sequence[Mapping[str, str]]) -> Trace:
        """Ask how to tell the examples' labels apart; the answer is the guideline.

        Raises:
            BadInput: There is too little room for it.
            Unparsed: No reply had the asked form, as for all questions in a tag.
        """
        length = times(self.sampling.max_tokens, PART_SHARE, MIN_CHARS)
        parts = (rf"{part}: [^<>\n]{length}[.!?]" for part in PARTS)
        question = Question(name="write", tag="guidelines", pattern="\n".join(parts), is_text=True)
        return await self._ask(question, _numbered((e["label"], e["prompt"]) for e in examples))

    async def prompt(self, label: str, shown: Sequence[str]) -> Trace:
        """Ask for another prompt like those shown; the answer is the prompt."""
        room = int(self.sampling.max_tokens * CHARS_PER_TOKEN * PROMPT_SHARE)
        most = min(room, LONGER * max(MIN_PROMPT_CHARS, *map(len, shown)))
        question = Question(
            name=f"augment_{label}",
            tag="text",
            pattern=rf"[^<>\n]{{{MIN_PROMPT_CHARS},{most}}}",
            is_text=True,
        )
        return await self._ask(question, _numbered(("example", text) for text in shown))

    async def label(self, prompt: str) -> str:
        """Ask for the label of a prompt."""
        return (await self._ask(CLASSIFY, {"request": prompt})).answer

    async def score(self, prompt: str, answer: str) -> int | None:
        """Ask how good an answer is, from 1 to 10; None where the model does not say."""
        try:
            return int((await self._ask(SCORE, {"request": prompt, "answer": answer})).answer)
        except Unparsed:
            return None

    async def sample_guided(self, guideline: str, prompt: str) -> Trace:
        """Sample an answer to a request under a guideline; see `sample`.

        The paper's one turn holds the guideline in its tags, the request, and to consult it. A
        target that is shown worked turns has the guideline before these, and the request last.
        """
        if self.options.native_thought:
            fields = {"guideline": guideline, **delimit({"request": prompt})}
            turn = _user(render(load_text("sgasa_consult.md"), **fields))
            return await self._sample([turn], self.sampling, _read_thought)
        bounded = replace(self.sampling, regex=section_pattern(self.sampling.max_tokens))
        messages = [*_shown("answer", guideline=guideline), _user(prompt)]
        return await self._sample(messages, bounded, read_sections)

    async def sample(self, seed: Seed) -> Trace:
        """Sample an answer to the request alone, of a model that marks its reasoning.

        Returns:
            The sample, or a trace that is `unparsed` or `truncated`.
        """
        return await self._sample(seed.messages, self.sampling, _read_thought)

    async def _ask(self, question: Question, texts: Mapping[str, str]) -> Trace:
        """Ask about texts; the answer is what stands in the reply's tag."""
        bounded = not self.options.native_thought
        sampling, material = self.sampling, "\n\n".join(delimit(texts).values())
        if bounded:
            messages = [*_shown(question.name), _user(material)]
            whole = f"<{question.tag}>{question.pattern}</{question.tag}>"
            sampling = replace(sampling, regex=whole)
        else:
            asked = load_text(f"sgasa_{question.name}.md")
            messages = [_user(f"{asked}\n\n{material}")]

        def read(reply: Reply) -> Trace | None:
            if (found := question.read(reply.text, bounded)) is None:
                return None
            return Trace(reasoning=reply.reasoning, answer=found, raw=reply.text)

        return await ask_until(lambda: self.chat(messages, sampling), read, self.models)

    async def _sample(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        read: Callable[[Reply], Trace | None],
    ) -> Trace:
        try:
            return await ask_until(lambda: self.chat(messages, sampling), read, self.models)
        except Unparsed as fault:
            outcome = Outcome.TRUNCATED if fault.truncated else Outcome.UNPARSED
            return Trace(reasoning="", answer="", raw=fault.raw, outcome=outcome)


def _read_thought(reply: Reply) -> Trace | None:
    """Return the marked reasoning and the answer, if both are there and whole."""
    parts = take_apart(reply)
    if not is_whole(parts) or reply.finish_reason == "length":
        return None
    return Trace(reasoning=parts.reasoning.strip(), answer=parts.answer.strip(), raw=reply.text)


def _shown(name: str, **fields: str) -> list[Message]:
    """Return a question's own text as the system's, and the worked turns that follow it."""
    system = render(load_text(f"sgasa_{name}.md"), **fields)
    return [Message(role="system", content=system), *load_turns("sgasa.yaml")[name]]


def _numbered(texts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return texts by their name and place: `harmful 1`, `benign 2`, ..."""
    return {f"{name} {place}": text for place, (name, text) in enumerate(texts, start=1)}


def _user(text: str) -> Message:
    return Message(role="user", content=text)
