"""STAIR: safety alignment with introspective reasoning (arXiv 2502.02384, ICML 2025).

The three stages are the paper's sections on format alignment, on self-improvement with
safety-informed MCTS (Algorithm 1), and on test-time scaling:

1. The teacher writes answers in marked steps, of which the first looks for risks, and the
   student learns this form.
2. K times: the student searches a tree of steps for every prompt, under a reward that puts
   safety first; siblings that differ in value become pairs after the text they share, and DPO
   trains the student on these.
3. A process reward model learns from the trees which step is better. It chooses among answers,
   or among steps, when the student is used.

Search, reward, thresholds and K are published, in the paper or its released code; how they work is
in `synth/trees` and `synth/recipes/trees/pairs.py`. Ours are the words of all prompts, what holds a
small teacher to its steps, and the process reward model's pairs, for its loss and data are not
released. The paper searches for other prompts than it warms up on; here both are the seeds.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from guidelines import GuidelineSet
from synth.errors import Unparsed
from synth.models.families import OUTPUT_OPEN, STEP_OPEN, STEP_TOKENS
from synth.prompts import load_text, load_turns
from synth.recipes.base import SFT, Before, Models, Options, Recipe, Step, Train, ask_until
from synth.recipes.pairs import Pair
from synth.recipes.srg import CLOSING, DECLINING, one_turn, times
from synth.recipes.surgery import (
    OUTPUT_CLOSE,
    STEP_CLOSE,
    final_answer,
    parse_steps,
    reasoning_text,
)
from synth.recipes.trees.pairs import Thresholds, by_prefix_value, by_step_value, by_trajectory
from synth.recipes.trees.reward import (
    RATING_TEMPERATURE,
    RATING_TOP_P,
    Drawing,
    Rate,
    find_reward,
    rater,
    writer,
)
from synth.recipes.trees.search import ROOT, Rules, Tree, best_end, grow, pack_tree, path_text
from synth.records import Item, Message, Reply, Sampling, Trace, TraceRow

NAME = "stair"  # ours
VERSION = 1  # ours

STEPS_SHARE, ANSWER_SHARE = 0.48, 0.36  # ours: of a reply's characters
MIN_CHARS = 40  # ours: shorter texts said nothing
FIRST_TITLE = "Problem Analysis"  # code
TITLE = "[A-Z][A-Za-z ]{3,30}"  # ours


class StairOptions(Options):
    """What a configuration may choose.

    Attributes:
        max_steps: Of a teacher's answer; the first and the last are always there.
        rounds: K, the rounds of search and DPO.
        budget: Iterations of a tree.
        width: Steps sampled in an expansion.
        depth: Nodes as deep as this are not expanded.
        c: Weight of what was seldom visited.
        temperature: Of steps and rollouts.
        top_p: Of steps and rollouts.
        top_k: Of steps and rollouts.
        step_tokens: Most tokens of a step.
        rollout_tokens: Most tokens of a rollout.
        rating_tokens: Most tokens of a rating.
        reward: `paper`, `released`, or a function of yours, `module:function`
            (`synth/recipes/trees/reward.py`).
        k1: Weight of helpfulness, and part of safety's.
        k2: The rest of safety's weight.
        pairs: Of single steps, or of whole trajectories.
        min_gap: A chosen step's value exceeds the rejected one's by more than this.
        min_value: A chosen step's value is not below this.
        min_visits: Of steps in pairs that do not end the turn.
        max_pair_chars: Of a pair's conversation with either side.
        prm: Train a process reward model on the trees of all rounds.
    """

    PLAN_ONLY: ClassVar[frozenset[str]] = frozenset(  # ours: a row's text is its own tree's
        ("rounds", "pairs", "min_gap", "min_value", "min_visits", "max_pair_chars", "prm")
    )

    max_steps: Annotated[int, Field(ge=2)] = 3  # ours
    rounds: Annotated[int, Field(ge=1)] = 3  # paper: K
    budget: Annotated[int, Field(ge=1)] = 200  # paper
    width: Annotated[int, Field(ge=2)] = 4  # paper
    depth: Annotated[int, Field(ge=1)] = 7  # code
    c: Annotated[float, Field(ge=0)] = 1.5  # paper
    temperature: Annotated[float, Field(gt=0)] = 1.2  # paper
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9  # paper
    top_k: Annotated[int, Field(ge=0)] = 50  # paper
    step_tokens: Annotated[int, Field(ge=1)] = 2048  # code
    rollout_tokens: Annotated[int, Field(ge=1)] = 2048  # code
    rating_tokens: Annotated[int, Field(ge=1)] = 2048  # code
    reward: str = "paper"  # paper
    k1: Annotated[float, Field(ge=0)] = 1.0  # code
    k2: Annotated[float, Field(gt=0)] = 1.0  # code
    pairs: Literal["step", "trajectory"] = "step"  # paper
    min_gap: Annotated[float, Field(ge=0)] = 0.5  # code
    min_value: float = 0.8  # code
    min_visits: Annotated[int, Field(ge=1)] = 4  # code: of its script
    max_pair_chars: Annotated[int, Field(ge=1)] = 8192  # ours: the code's 2048 tokens, at 4 each
    prm: bool = True  # paper

    @property
    def rules(self) -> Rules:
        """How a tree grows."""
        return Rules(budget=self.budget, width=self.width, depth=self.depth, exploration=self.c)

    @property
    def drawing(self) -> Drawing:
        """How the student writes steps and rollouts."""
        return Drawing(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            step_tokens=self.step_tokens,
            rollout_tokens=self.rollout_tokens,
        )

    @property
    def rating(self) -> Sampling:
        """How the student rates."""
        return Sampling(
            temperature=RATING_TEMPERATURE, top_p=RATING_TOP_P, max_tokens=self.rating_tokens
        )

    @property
    def thresholds(self) -> Thresholds:
        """What makes two nodes a pair."""
        return Thresholds(
            min_gap=self.min_gap,
            min_value=self.min_value,
            min_visits=self.min_visits,
            max_chars=self.max_pair_chars,
        )


async def write_in_steps(
    item: Item, models: Models, guidelines: GuidelineSet | None, *, options: StairOptions
) -> list[Trace]:
    """Answer in marked steps, as the exemplars do: one trace for the warm-up."""
    system = Message(role="system", content=load_text("stair.md"))
    messages = [system, *load_turns("stair.yaml")["examples"], one_turn(item.seed)]
    pattern = steps_pattern(models.sampling.max_tokens, options.max_steps)
    sampling = replace(models.sampling, regex=pattern)
    return [await ask_until(lambda: models.teacher(messages, sampling), _read, models)]


def steps_pattern(max_tokens: int, max_steps: int) -> str:
    """Return the regular expression of a reply in steps, its lengths fitted to the budget.

    The answer opens as the last step has decided, which a small teacher tends to forget; one
    that helps does not open with the I of a refusal.

    Raises:
        BadInput: The budget is too small for it.
    """
    prose = rf"[^<>|\n]{times(max_tokens, STEPS_SHARE / max_steps, MIN_CHARS)}[.!?]"
    declining = times(max_tokens, ANSWER_SHARE / 2, MIN_CHARS // 2)
    helping = times(max_tokens, ANSWER_SHARE, MIN_CHARS)
    opening, closing = re.escape(f"{STEP_OPEN}\nTitle: "), re.escape(f"\n{STEP_CLOSE}\n\n")
    more = rf"({opening}{TITLE}\n{prose}{closing}){{0,{max_steps - 2}}}"
    answers = {
        "decline": rf"({'|'.join(DECLINING)}) [^<>|\n]{declining}[.!?]",
        "help": rf"[A-HJ-Z][^<>|]{helping}[.!?]",
    }
    ends = "|".join(
        rf"{re.escape(CLOSING[decision])}{closing}{re.escape(OUTPUT_OPEN)}\n{answer}"
        for decision, answer in answers.items()
    )
    first = rf"{opening}{FIRST_TITLE}\n{prose}{closing}"
    return rf"{first}{more}{opening}{TITLE}\n{prose} ({ends})\n{re.escape(OUTPUT_CLOSE)}"


def _read(reply: Reply) -> Trace | None:
    stepped = parse_steps(reply.text)
    if stepped is None or not stepped.complete or not stepped.steps:
        return None
    decided = [name for name, words in CLOSING.items() if stepped.steps[-1].endswith(words)]
    if not decided:
        return None
    return Trace(
        reasoning=reasoning_text(stepped.steps),
        answer=stepped.answer,
        raw=reply.text,
        payload={"decision": decided[0], "steps": list(stepped.steps)},
    )


def trees_of_round(before: Before, number: int) -> Iterator[Item]:
    """Yield one item a seed: its tree of round `number`."""
    for seed in before.seeds:
        yield Item(seed=seed, recipe=NAME, step=before.step, payload={"round": number})


async def search(
    item: Item,
    models: Models,
    guidelines: GuidelineSet | None,
    *,
    options: StairOptions,
    rate: Rate,
) -> list[Trace]:
    """Grow the tree of a seed: one trace, of the best turn that came to its end."""
    sample = writer(models.student, item.seed.messages, options.drawing)
    score = rater(models.student, item.seed, rate, options.rating, k1=options.k1, k2=options.k2)
    return [_trace(await grow(sample, score, options.rules, Random(item.item_id)), item)]


def _trace(tree: Tree, item: Item) -> Trace:
    """Return the tree as a trace; where no turn came to its end, its texts are empty.

    Raises:
        Unparsed: No rollout of the prompt could be rated.
    """
    if not tree.nodes[ROOT].visits:
        raise Unparsed("no answer to this prompt could be rated")
    best = best_end(tree)
    text = "" if best is None else path_text(tree, best)
    stepped = parse_steps(text)
    counts = dict(sorted(tree.counts.items()))
    return Trace(
        reasoning="" if stepped is None else reasoning_text(stepped.steps),
        answer=final_answer(text),
        raw=text,
        payload={"round": item.payload["round"], "tree": pack_tree(tree), "counts": counts},
    )


def preferences(rows: Sequence[TraceRow], *, options: StairOptions, step: int) -> list[Pair]:
    """Return the pairs of one round: of the trees that its search, the step `step`, has grown."""
    pair = by_step_value if options.pairs == "step" else by_trajectory
    return pair([row for row in rows if row["step"] == step], options.thresholds)


def better_steps(rows: Sequence[TraceRow], *, options: StairOptions) -> list[Pair]:
    """Return what the process reward model learns from: all trees of all rounds."""
    return by_prefix_value(rows, options.thresholds)


def stair(options: StairOptions) -> Recipe:
    """Return the recipe under `options`.

    Raises:
        BadInput: There is no such reward.
    """
    grown = partial(search, options=options, rate=find_reward(options.reward))
    steps: list[Step | Train] = [Step(partial(write_in_steps, options=options)), SFT]
    latest = SFT.name
    for number in range(1, options.rounds + 1):
        items = partial(trees_of_round, number=number)
        pairs = partial(preferences, options=options, step=len(steps))
        steps.append(Step(grown, items, roles=("student",), student=latest, lease_rows=1))
        latest = f"dpo{number}"
        steps.append(Train(name=latest, kind="dpo", pairs=pairs))
    if options.prm:
        pairs = partial(better_steps, options=options)
        steps.append(Train(name="prm", kind="reward", pairs=pairs, start=latest))
    return Recipe(
        name=NAME,
        version=VERSION,
        steps=tuple(steps),
        shares=("synth.judges.base", "synth.recipes.srg", "synth.recipes.surgery"),
        needs={"teacher": frozenset({"regex"}), "student": frozenset({"prefix", "keep_stop"})},
        format="steps",
        guided=False,
        options=options,
        configure=stair,
        special_tokens=STEP_TOKENS,
    )


STAIR = stair(StairOptions())
