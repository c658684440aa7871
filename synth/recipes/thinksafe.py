"""ThinkSafe: the student's own reasoning, steered to refuse (arXiv 2601.23143, section 3).

The target itself answers: a harmful prompt under one line that calls it harmful and asks for a
refusal, any other prompt plainly. Thoughts that are not closed are dropped, a guard drops what it
does not find safe, and the line is gone in training. The steps, the temperature and the guard are
published; the paper's one sample and 16k tokens are settings of the run here. Its guard is read by
the likelihoods of its first token, ours by its greedy words. Its optional loss that keeps benign
answers near the target's own is left out. The line's words, the worked examples for models that do
not think by themselves, and the refusal rules in a guard's place are ours.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, Field

from guidelines import GuidelineSet
from synth.judges import JUDGES
from synth.judges.base import Exchange, Judge, ModelJudge
from synth.prompts import load_text, load_turns, render
from synth.recipes.asking import ask_judge, read_thinking, thinking_pattern
from synth.recipes.base import Before, Models, Options, Recipe, Step, ask_until, later_item
from synth.recipes.srg import one_turn
from synth.records import Ability, Item, Message, Reply, Seed, Trace, TraceRow

KEPT_HARMFUL = frozenset(("safe", "refusal"))  # paper: the guard's safe; ours: refusal
KEPT_OTHERS = frozenset(("safe", "compliance"))  # paper: the guard's safe; ours: compliance


def _tells_safe(name: str) -> str:
    """Check that a judge can be the guard: of any prompt's answer it says what is kept."""
    fitting = [
        judge.name
        for judge in JUDGES.values()
        if (KEPT_HARMFUL & set(judge.classes))
        and not (isinstance(judge, ModelJudge) and judge.harmful_only)
    ]
    if name not in fitting:
        raise ValueError(f"must be one of {', '.join(fitting)}")
    return name


class ThinkSafeOptions(Options):
    """What a configuration may choose.

    Attributes:
        guard: Name of the judge that filters; `refusal_rules` needs no model.
        temperature: Of the target's answers, whatever the run's own is.
        native_thoughts: The target marks its reasoning by itself, and is shown no examples.
    """

    guard: Annotated[str, AfterValidator(_tells_safe)] = "llama_guard3"  # paper
    temperature: Annotated[float, Field(ge=0)] = 0.6  # code
    native_thoughts: bool = False  # ours: the paper's targets do, the embedded model does not


async def answer(
    item: Item, models: Models, _: GuidelineSet | None, *, options: ThinkSafeOptions
) -> list[Trace]:
    """Let the target answer, steered where the prompt is harmful."""
    native = options.native_thoughts
    messages = _steered(item.seed) if native else _shown(item.seed)
    sampling = replace(models.sampling, temperature=options.temperature)
    if not native:
        pattern = thinking_pattern(sampling.max_tokens, declines=item.seed.label == "harmful")
        sampling = replace(sampling, regex=pattern)

    def read(reply: Reply) -> Trace | None:
        found = read_thinking(reply, native=native)
        if found is None or not found.answer or reply.finish_reason == "length":
            return None
        return Trace(reasoning=found.reasoning, answer=found.answer, raw=reply.text)

    return [await ask_until(lambda: models.target(messages, sampling), read, models)]


def judgements(before: Before) -> Iterator[Item]:
    """One item a trace, which carries it."""
    for row in before.traces(0):
        carried = ("reasoning", "answer", "teacher")
        yield later_item(row, before, {key: row[key] for key in carried})


async def judge_trace(
    item: Item, models: Models, _: GuidelineSet | None, *, judge: Judge
) -> list[Trace]:
    """Ask the guard: of the whole text whether it is safe, of the answer alone if it refuses."""
    reasoning, answer = item.payload["reasoning"], item.payload["answer"]
    text = f"{reasoning}\n\n{answer}" if "safe" in judge.classes else answer
    chat = getattr(models, judge.role) if isinstance(judge, ModelJudge) else None
    verdict = await ask_judge(judge, Exchange(prompt=item.seed.prompt, text=text), chat)
    return [
        Trace(
            reasoning=reasoning,
            answer=answer,
            raw=verdict.raw,
            payload={"guard": asdict(verdict)},
            teacher=item.payload["teacher"],
        )
    ]


def keep(row: TraceRow) -> str | None:
    """Say why a trace is not kept: the guard said otherwise, or nothing."""
    guard = json.loads(row["payload"])["guard"]
    kept = KEPT_HARMFUL if row["label"] == "harmful" else KEPT_OTHERS
    if guard["verdict"] in kept:
        return None
    return " ".join(("the guard says", guard["verdict"], guard["reason"])).strip()


def thinksafe(options: ThinkSafeOptions) -> Recipe:
    """Return the recipe with `options`."""
    judge = JUDGES[options.guard]
    abilities: frozenset[Ability] = frozenset(() if options.native_thoughts else ("regex",))
    guard = judge.role if isinstance(judge, ModelJudge) else "target"  # rules ask nobody
    return Recipe(
        name="thinksafe",
        version=1,
        steps=(
            Step(partial(answer, options=options), roles=("target",)),
            Step(partial(judge_trace, judge=judge), items=judgements, roles=(guard,)),
        ),
        shares=(
            "synth.judges.base",
            "synth.recipes.asking",
            "synth.recipes.srg",
            "synth.recipes.surgery",
        ),
        judges=(judge,),
        needs={guard: frozenset(), "target": abilities},
        guided=False,
        options=options,
        configure=thinksafe,
        keep=keep,
    )


def _steered(seed: Seed) -> list[Message]:
    """Return the conversation, its last turn under the steering line where it is harmful."""
    if seed.label != "harmful":
        return seed.messages
    return [*seed.context, _steer(seed.prompt)]


def _shown(seed: Seed) -> list[Message]:
    """Return the worked examples, then the conversation as one turn, steered like theirs."""
    turn, steered = one_turn(seed), seed.label == "harmful"
    examples = load_turns("thinksafe.yaml")["harmful" if steered else "benign"]
    return [*examples, _steer(turn["content"]) if steered else turn]


def _steer(request: str) -> Message:
    return Message(role="user", content=render(load_text("thinksafe.md"), request=request))


THINKSAFE = thinksafe(ThinkSafeOptions())
