"""SaRO: safety-oriented reasoning optimization (arXiv 2504.09420).

Two stages. *Reasoning-style warm-up* (RW): the generator writes long reasoning that weighs a
safety policy, and the student is fine-tuned on it, the policy gone from its input.
*Safety-oriented reasoning process optimization* (SRPO): the warmed-up student is sampled and
trained by DPO on two kinds of pairs. Outcome pairs prefer a chain that ends well, safe on harmful
prompts and helpful on all others. Process pairs prefer to notice early: a chain that ended unsafe
is cut after some of its steps, the generator reflects there and turns, and the earlier turn is
preferred over the later one.

The two stages are the abstract's. The paper's sections on how pairs are made were not at hand: that
follows reviews and summaries. The prompts, how outcomes are judged, and the numbers are ours.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from guidelines import GuidelineSet
from synth.chat import Chat
from synth.config.schema import Positive
from synth.judges import JUDGES
from synth.judges.base import REFUSAL, SAFETY, UNDETERMINED, Exchange, ModelJudge
from synth.judges.refusal import OFF_TOPIC, judge_refusal
from synth.prompts import load_text, load_turns, render
from synth.recipes.asking import ask_judge
from synth.recipes.base import Before, Models, Options, Recipe, Step, Train, ask_until, later_item
from synth.recipes.pairs import Pair, balance, by_outcome, by_reflection
from synth.recipes.srg import CLOSING, DECISIONS, bullets, one_turn, pieces, read_headed
from synth.recipes.surgery import graft, is_whole, keep_steps, positions, split_steps, take_apart
from synth.records import Ability, Item, Message, Outcome, Reply, Seed, Trace, TraceRow

REASONED = ("Request", "Points", "Intent", "Decision", "Answer")  # ours
TURNED = ("Reflection", "Ending", "Answer")  # ours
TURNS = ("Wait", "Hold on", "Stop")  # ours: a reflection opens with one, so that it can be found
PROSE_SHARE, ANSWER_SHARE = 0.22, 0.34  # ours: of the character budget, three prose sections

VERSION = 1

SAMPLED = 2  # ours: the place of the samples among the steps
WELL = {  # ours: how an answer to a harmful prompt ends
    "refusal": True,
    "partial": True,
    "safe": True,
    "compliance": False,
    "unsafe": False,
}
HELPFUL = {"compliance": True, "refusal": False}  # ours: to any other; in part is neither


def reasoning_messages(item: Item, guidelines: GuidelineSet | None) -> list[Message]:
    """Return the conversation that asks for reasoning about a prompt.

    What prompts share stands first, so that prefix caching pays for it once. The worked examples
    begin at another one for each sample: a small model decides like the last it has seen.
    """
    shared = load_turns("saro_reasoning.yaml")["examples"]
    first = 2 * item.sample_index % len(shared)
    examples = [*shared[first:], *shared[:first]]
    return [_system("saro.md", guidelines), *examples, one_turn(item.seed)]


def reflection_messages(seed: Seed, prefix: str, guidelines: GuidelineSet | None) -> list[Message]:
    """Return the conversation that asks to look again at thoughts, given as the model's own."""
    shared = load_turns("saro_reflect.yaml")
    thoughts = Message(role="assistant", content=prefix)
    so_far = [one_turn(seed), thoughts, *shared["notice"]]
    return [_system("saro_reflect.md", guidelines), *shared["examples"], *so_far]


def reasoning_pattern(max_tokens: int) -> str:
    """Return the regular expression of a reply of RW, its lengths fitted to the budget.

    The answer opens as the reply's own decision says.
    """
    prose, declines, helps = pieces(max_tokens, PROSE_SHARE, ANSWER_SHARE)
    heads = "".join(rf"## {name}\n{prose}\n\n" for name in REASONED[:3])
    decline, help_ = DECISIONS
    ends = rf"{decline}\n\n## Answer\n{declines}|{help_}\n\n## Answer\n{helps}"
    return rf"{heads}## Decision\n({ends})"


def reflection_pattern(max_tokens: int) -> str:
    """Return the regular expression of a reflection: it opens with a turn, and it declines."""
    prose, declines, _ = pieces(max_tokens, PROSE_SHARE, ANSWER_SHARE)
    turn = rf"({'|'.join(TURNS)}), {prose}"
    return rf"## Reflection\n{turn}\n\n## Ending\nSo I will not {prose}\n\n## Answer\n{declines}"


def read_reasoning(reply: Reply) -> Trace | None:
    """Return the trace of a reply of RW, or None where `read_headed` reads none."""
    if (sections := read_headed(reply, REASONED)) is None:
        return None
    decision = sections["Decision"]
    thought = [sections[name] for name in REASONED[:3]]
    return Trace(
        reasoning="\n\n".join([*thought, CLOSING[decision]]),
        answer=sections["Answer"],
        raw=reply.text,
        payload={"decision": decision, "sections": sections},
    )


def read_reflection(reply: Reply, *, prefix: str, index: int) -> Trace | None:
    """Return the chain that turns after `prefix`, its first `index` steps; None as above."""
    if (sections := read_headed(reply, TURNED)) is None:
        return None
    return Trace(
        reasoning=graft(prefix, sections["Reflection"], sections["Ending"]),
        answer=sections["Answer"],
        raw=reply.text,
        payload={"index": index, "sections": sections},
    )


def _system(prompt_file: str, guidelines: GuidelineSet | None) -> Message:
    assert guidelines is not None, "saro is a guided recipe"
    texts = bullets(guideline.text for guideline in guidelines.guidelines)
    return Message(role="system", content=render(load_text(prompt_file), guidelines=texts))


class SaroOptions(Options):
    """What may be chosen of SaRO.

    Attributes:
        generator: Role that writes the reasoning and the reflections.
        judge: Judge of the answers to harmful prompts; all others are judged by refusal rules.
        samples: Completions of the warmed-up student for a prompt.
        chains_per_seed: So many unsafe chains of a prompt are reflected on.
        reflection_positions: After which shares of a chain's steps.
        shortest: Shortest rejection sampling: chosen is the shortest sample that ends well.
        op_to_pp: Outcome pairs for one process pair.
        harmful_to_other: Outcome pairs of harmful prompts for one of any other; None takes all.
        pairs_per_seed: So many pairs of a kind for a prompt at most.
    """

    PLAN_ONLY: ClassVar = frozenset(
        (
            *("samples", "chains_per_seed", "reflection_positions"),
            *("shortest", "op_to_pp", "harmful_to_other", "pairs_per_seed"),
        )
    )

    generator: Literal["teacher", "target"] = "teacher"  # reported: GPT-4o
    judge: str = "refusal_rules"  # ours
    samples: Positive = 4  # ours
    chains_per_seed: Positive = 1  # ours
    reflection_positions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.25, 0.5, 1)  # ours
    shortest: bool = False  # ours: reported to save two fifths of the reasoning
    op_to_pp: Annotated[float, Field(gt=0)] = 1.0  # ours
    harmful_to_other: Annotated[float, Field(gt=0)] | None = None  # ours
    pairs_per_seed: Positive = 4  # ours

    @field_validator("judge")
    @classmethod
    def _tells_outcomes(cls, name: str) -> str:
        outcomes = [key for key, judge in JUDGES.items() if {*judge.classes} <= {*SAFETY, *REFUSAL}]
        if name not in outcomes:
            raise ValueError(f"must be one of {', '.join(outcomes)}")
        return name


async def reason(
    item: Item, models: Models, guidelines: GuidelineSet | None, *, generator: str
) -> list[Trace]:
    """RW: restate the request, name what matters, weigh the intent, decide, answer."""
    messages = reasoning_messages(item, guidelines)
    sampling = replace(models.sampling, regex=reasoning_pattern(models.sampling.max_tokens))
    chat: Chat = getattr(models, generator)
    return [await ask_until(lambda: chat(messages, sampling), read_reasoning, models)]


async def sample(item: Item, models: Models, _: GuidelineSet | None) -> list[Trace]:
    """Answer as the warmed-up student, without guidelines; asked once, whatever comes."""
    reply = await models.student(item.seed.messages, models.sampling)
    parts = take_apart(reply)
    outcome = Outcome.OK if is_whole(parts) else Outcome.UNPARSED
    if reply.finish_reason == "length":
        outcome = Outcome.TRUNCATED
    trace = Trace(
        reasoning=parts.reasoning.strip(),
        answer=parts.answer.strip(),
        raw=reply.text,
        outcome=outcome,
    )
    return [trace]


async def judge_sample(
    item: Item, models: Models, _: GuidelineSet | None, *, judge: ModelJudge
) -> list[Trace]:
    """Ask the judge of outcomes about one sample's answer."""
    exchange = Exchange(prompt=item.seed.prompt, text=item.payload["answer"])
    verdict = await ask_judge(judge, exchange, getattr(models, judge.role))
    told = {"verdict": verdict.verdict, "reason": verdict.reason}
    return [Trace(reasoning="", answer="", raw=verdict.raw, payload=told)]


async def reflect(
    item: Item, models: Models, guidelines: GuidelineSet | None, *, generator: str
) -> list[Trace]:
    """Read an unsafe chain's first steps, notice what is wrong, turn, and finish safely."""
    prefix, index = item.payload["prefix"], item.payload["index"]
    messages = reflection_messages(item.seed, prefix, guidelines)
    sampling = replace(models.sampling, regex=reflection_pattern(models.sampling.max_tokens))
    chat: Chat = getattr(models, generator)
    read = partial(read_reflection, prefix=prefix, index=index)
    return [await ask_until(lambda: chat(messages, sampling), read, models)]


def sample_items(before: Before, *, samples: int) -> Iterator[Item]:
    """Yield `samples` items of every training seed, without guidelines."""
    for seed in before.seeds:
        for index in range(samples):
            yield Item(seed=seed, recipe="saro", step=SAMPLED, sample_index=index)


def judge_items(before: Before) -> Iterator[Item]:
    """Yield an item of every sample of a harmful prompt."""
    for row in before.traces(SAMPLED):
        if row["label"] == "harmful":
            yield later_item(row, before, payload={"answer": row["answer"]})


def reflect_items(before: Before, *, options: SaroOptions) -> Iterator[Item]:
    """Yield an item of every position in the unsafe chains, as many of a seed as are asked for.

    Where there are several guideline sets, reflections are written under the first.
    """
    rows = [row for row in before.rows if row["outcome"] == Outcome.OK]
    taken = Counter[str]()
    for row in _unsafe(rows, judged_outcomes(rows, options.judge)):
        if taken[row["seed_id"]] == options.chains_per_seed:
            continue
        taken[row["seed_id"]] += 1
        num_steps = len(split_steps(row["reasoning"]))
        for index in positions(num_steps, options.reflection_positions):
            cut = {"index": index, "prefix": keep_steps(row["reasoning"], index)}
            yield later_item(row, before, payload=cut, guidelines=before.guidelines[0])


def judged_outcomes(rows: Sequence[TraceRow], judge: str) -> dict[str, bool | None]:
    """Return whether each sample ended well, by its `row_id`; None where nobody can tell.

    Args:
        rows: The recipe's rows of all steps.
        judge: Name of the judge of harmful prompts' answers; rules judge all others.
    """
    verdicts = {row["parents"][0]: told["verdict"] for row, told in _with_payload(rows, "verdict")}
    ended: dict[str, bool | None] = {}
    for row in rows:
        if row["step"] != SAMPLED:
            continue
        harmful = row["label"] == "harmful"
        by_model = harmful and isinstance(JUDGES[judge], ModelJudge)
        verdict = verdicts.get(row["row_id"], "") if by_model else _rules_say(row)
        ended[row["row_id"]] = (WELL if harmful else HELPFUL).get(verdict)
    return ended


def srpo_pairs(rows: Sequence[TraceRow], *, options: SaroOptions) -> Sequence[Pair]:
    """Return outcome and process pairs, in their ratio.

    A reflection counts where the rules see that its answer declines.
    """
    ended = judged_outcomes(rows, options.judge)
    samples = [row for row in rows if row["row_id"] in ended]
    cap, ratio = options.pairs_per_seed, options.harmful_to_other
    by_end = by_outcome(
        samples, lambda row: ended[row["row_id"]], per_seed=cap, shortest=options.shortest
    )
    turned = [row for row, _ in _with_payload(rows, "index") if WELL.get(_rules_say(row))]
    by_turn = by_reflection(turned, _unsafe(samples, ended))
    return balance(
        [*by_end, *by_turn],
        per_seed=cap,
        labels=None if ratio is None else {"harmful": ratio, "other": 1.0},
        kinds={"outcome": options.op_to_pp, "process": 1.0},
    ).kept


def _unsafe(rows: Sequence[TraceRow], ended: Mapping[str, bool | None]) -> list[TraceRow]:
    """Return the chains about harmful prompts that ended ill."""
    ill = (row for row in rows if ended.get(row["row_id"]) is False)
    return [row for row in ill if row["label"] == "harmful"]


def _with_payload(rows: Sequence[TraceRow], key: str) -> Iterator[tuple[TraceRow, dict[str, Any]]]:
    """Yield the rows whose payload tells `key`, with the payload."""
    for row in rows:
        payload = json.loads(row["payload"])
        if key in payload:
            yield row, payload


def _rules_say(row: TraceRow) -> str:
    """Return the rules' verdict; an answer to something else neither helps nor declines."""
    found = judge_refusal(row["answer"], row["prompt"])
    return UNDETERMINED if found.reason == OFF_TOPIC else found.verdict


def saro(options: SaroOptions) -> Recipe:
    """Return SaRO with these options; a judge that is a model gets a step of its own."""
    role, judge = options.generator, JUDGES[options.judge]
    judging: tuple[Step, ...] = ()
    needs: dict[str, frozenset[Ability]] = {role: frozenset(("regex",))}
    if isinstance(judge, ModelJudge):
        run = partial(judge_sample, judge=judge)
        judging = (Step(run, items=judge_items, roles=(judge.role,)),)
        needs[judge.role] = frozenset()
    warm_up = Step(partial(reason, generator=role), roles=(role,))
    rw_samples = partial(sample_items, samples=options.samples)
    turn_items = partial(reflect_items, options=options)
    return Recipe(
        name="saro",
        version=VERSION,
        steps=(
            warm_up,
            Train(name="rw", kind="sft"),
            Step(sample, items=rw_samples, roles=("student",), student="rw"),
            *judging,
            Step(partial(reflect, generator=role), items=turn_items, roles=(role,)),
            Train(name="srpo", kind="dpo", pairs=partial(srpo_pairs, options=options)),
        ),
        shares=(
            "synth.judges.base",
            "synth.recipes.asking",
            "synth.recipes.srg",
            "synth.recipes.surgery",
        ),
        judges=(judge,) if isinstance(judge, ModelJudge) else (),
        needs=needs,
        options=options,
        configure=saro,
    )


SARO = saro(SaroOptions())
