"""The shape of a recipe: steps that make traces, and trainings between them."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Literal, Protocol, Self

from guidelines import GuidelineSet
from synth.chat import Chat
from synth.config.schema import Strict
from synth.errors import BadInput, Unparsed
from synth.judges.base import Judge
from synth.recipes.pairs import Pair
from synth.records import Ability, Item, Outcome, Reply, Sampling, Seed, Trace, TraceRow, seed_of

Format = Literal["think", "answer", "steps"]


class Models(Protocol):
    """What a step may call: one chat a role, by attribute, and the run's own sampling."""

    sampling: Sampling
    format_retries: int

    def __getattr__(self, role: str) -> Chat:
        """Return the chat of `role` (`teacher`, `target`, `judge`, `guard`, `student`)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What is there when a step's items are made; iterating gives the traces before it.

    Attributes:
        step: Index of the step whose items are asked for.
        rows: The recipe's finished rows of this step and all before it, whatever their outcome,
            in the order of `row_id`. Rows that a model made which has since been trained anew,
            and what was made from them, are not among them. Their `item_id`s are those of the
            items that the step yielded.
        seeds: The training seeds.
        samples: Asked for a seed.
        guidelines: Names of the guideline sets; one empty name where the recipe has none.
    """

    step: int
    rows: Sequence[TraceRow]
    seeds: Sequence[Seed] = ()
    samples: int = 1
    guidelines: Sequence[str] = ("",)

    def __iter__(self) -> Iterator[TraceRow]:
        """Yield the `ok` traces of the nearest step before that has any rows."""
        earlier = [row["step"] for row in self.rows if row["step"] < self.step]
        return iter(self.traces(max(earlier)) if earlier else [])

    def traces(self, step: int) -> list[TraceRow]:
        """Return the `ok` traces of one step."""
        return [r for r in self.rows if r["step"] == step and r["outcome"] == Outcome.OK]


StepFunction = Callable[[Item, Models, GuidelineSet | None], Awaitable[list[Trace]]]
ItemsFunction = Callable[[Before], Iterable[Item]]
PairsFunction = Callable[[Sequence[TraceRow]], Sequence[Pair]]


@dataclass(frozen=True, slots=True)
class Step:
    """A step that makes traces.

    Attributes:
        run: The async function over one item.
        items: Makes this step's items; None for a first step, whose items are the seeds under
            every guideline set, `samples` each. It is asked again whenever its items have
            ended: further ones (a quota that is not met) run too, and only when there are none
            does the next step begin.
        roles: The roles that `run` calls; the first one is recorded as the generating model.
        student: Name of the `Train` whose model plays the role `student` here.
        lease_rows: Items of one lease; None fits it to the size of the plan.
    """

    run: StepFunction
    items: ItemsFunction | None = None
    roles: tuple[str, ...] = ("teacher",)
    student: str = ""
    lease_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """A training between steps.

    Attributes:
        name: Of the training, unique in its recipe; `<arm>-<name>` is the model's folder, unless
            it is the arm's last model, which is called like the arm.
        kind: `sft` trains on the curated traces of the nearest step before; `dpo` and `reward`
            on `pairs`. A reward model is never the arm's own.
        pairs: Makes pairs of the recipe's current `ok` rows; a pure function.
        start: Name of the training whose model it goes on from; empty: the nearest one before
            that is no reward model, and for the first the target itself.
    """

    name: str
    kind: Literal["sft", "dpo", "reward"]
    pairs: PairsFunction | None = None
    start: str = ""


class Options(Strict):
    """Base of what a recipe lets a configuration choose; itself the options of one without any.

    Attributes:
        PLAN_ONLY: Names of those that plan more rows and change the text of none: quotas, budgets.
    """

    PLAN_ONLY: ClassVar[frozenset[str]] = frozenset()


SFT = Train(name="sft", kind="sft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A method of making data and students.

    Attributes:
        name: Its key in the table, and the arm's name.
        version: Raised by hand when a change would alter the text of a row.
        steps: What happens, in order. Where no training is among them, one SFT follows.
        shares: Modules, by their full names, that the steps make rows with and other recipes use as
            well, directly or through each other. Each has a `VERSION`, raised as a recipe's is.
        judges: Judges whose verdicts the steps write into rows.
        needs: Abilities each role's chat must have.
        format: `think`: reasoning in think tags, then the answer; `answer`: the answer alone;
            `steps`: marked steps, then a marked answer (`synth/recipes/surgery.py`).
        guided: Whether items are conditioned on a guideline set.
        options: What a configuration may choose, `options.<recipe>` there.
        configure: Returns the recipe for other options; None where it has none.
        keep: The recipe's own rule of acceptance: why a trace of its SFT step is not kept, or
            None where it is. A pure function of the trace's row.
        special_tokens: Added to the student's vocabulary before its first training.
        max_rows: So many SFT rows at most, chosen for diversity; None keeps all.
    """

    name: str
    version: int
    steps: tuple[Step | Train, ...]
    shares: tuple[str, ...] = ()
    judges: tuple[Judge, ...] = ()
    needs: Mapping[str, frozenset[Ability]] = field(default_factory=dict)
    format: Format = "think"
    guided: bool = True
    options: Options = field(default_factory=Options)
    configure: Callable[[Any], Self] | None = None
    keep: Callable[[TraceRow], str | None] | None = None
    special_tokens: tuple[str, ...] = ()
    max_rows: int | None = None


def version_of(module: str) -> int:
    """Return the version of code that recipes share.

    Raises:
        BadInput: There is no such module, or it does not say its version.
    """
    try:
        return import_module(module).VERSION
    except (ModuleNotFoundError, AttributeError) as error:
        rule = "must be a module with a VERSION"
        raise BadInput(file="recipe", field="shares", value=module, rule=rule) from error


def later_item(
    row: TraceRow, before: Before, payload: Mapping[str, Any], guidelines: str = ""
) -> Item:
    """Return the item of a later step that looks at one trace, for the same seed and sample.

    Args:
        row: The trace.
        before: What is there when the step's items are made.
        payload: What the item carries.
        guidelines: Name of the guideline set that the item is under.
    """
    return Item(
        seed=seed_of(row),
        recipe=row["recipe"],
        step=before.step,
        guidelines=guidelines,
        sample_index=row["sample_index"],
        parents=(row["row_id"],),
        payload=payload,
    )


async def ask_until(
    ask: Callable[[], Awaitable[Reply]], parse: Callable[[Reply], Trace | None], models: Models
) -> Trace:
    """Call `ask` until `parse` can read the reply: once, and `models.format_retries` times more.

    Raises:
        Unparsed: No reply had the asked form; the last one is kept, with whether it was cut.
    """
    for retries_left in range(models.format_retries, -1, -1):
        reply = await ask()
        if (trace := parse(reply)) is not None:
            return trace
        if not retries_left:
            cut = reply.finish_reason == "length"
            raise Unparsed("no reply had the asked form", raw=reply.text, truncated=cut)
    raise AssertionError("the loop returns or raises")
