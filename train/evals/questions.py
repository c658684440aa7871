"""What every model is asked: suites, plain and attacked, and the questions of utility."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from synth.batch import RunBatch
from synth.config.schema import SynthConfig
from synth.errors import BadInput
from synth.records import Item
from train.evals.attacks.rewriting import make_rewrites
from train.evals.config import EvaluateConfig
from train.evals.suite import SUITE as UTILITY
from train.evals.suite import utility_items
from train.evals.suites_suites import (
    Suite,
    ask_prompts,
    check_lineage,
    load_suites,
    training_seed_ids,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """The items of an evaluation.

    Attributes:
        suites: Where their prompts came from.
        items: One a suite, attack, prompt and answer.
        inexpressible: Prompts that an attack could not express, by suite and attack.
        rewrite_failures: Attacks that are rewritten, to why a prompt has no rewrite, and how often.
    """

    suites: Sequence[Suite]
    items: list[Item]
    inexpressible: Mapping[str, int]
    rewrite_failures: Mapping[str, Mapping[str, int]]

    @property
    def prompts(self) -> list[Item]:
        """The items of the suites alone, one a prompt as it is sent."""
        return [
            item
            for item in self.items
            if item.payload["suite"] != UTILITY
            and item.sample_index == 0
            and "decoding" not in item.payload
        ]


def plan_questions(config: SynthConfig, section: EvaluateConfig, run_batch: RunBatch) -> Questions:
    """Return what every model is asked, checked against the training prompts.

    Raises:
        BadInput: Something evaluated was trained on, or there is nothing to ask.
    """
    suites = load_suites(config, section)
    rewrites = make_rewrites(config, section, suites, run_batch)
    asked = ask_prompts(suites, section, rewrites.texts)
    items = asked.items
    check_lineage(suites, items, training_seed_ids(config))
    if not items:
        rule = "leaves no prompt: raise evaluate.limit, or seeds.eval_share"
        raise BadInput(file="config", field="evaluate", value=len(items), rule=rule)
    return Questions(
        suites=suites,
        items=_completed(section, items),
        inexpressible=asked.inexpressible,
        rewrite_failures=rewrites.failures,
    )


def expected_items(config: SynthConfig, section: EvaluateConfig) -> list[Item]:
    """Return what an evaluation will ask of each model, before any prompt is rewritten.

    Prompts that a model is to rewrite stand as they are, as if each of them could be.
    """
    suites = load_suites(config, section)
    rewrites = {
        attack.called: {seed.seed_id: seed.prompt for suite in suites for seed in suite.seeds}
        for attack in section.attacks
        if attack.is_rewritten
    }
    return _completed(section, ask_prompts(suites, section, rewrites).items)


def _completed(section: EvaluateConfig, items: list[Item]) -> list[Item]:
    """Return the items with the answers without chance and the questions of utility."""
    greedy = [_greedy(item) for item in items if item.sample_index == 0] if section.greedy else []
    utility = map(_greedy, utility_items()) if section.utility else []
    return [*items, *greedy, *utility]


def _greedy(item: Item) -> Item:
    return replace(item, payload={**item.payload, "decoding": "greedy"})
