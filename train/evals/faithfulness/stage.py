"""The stage: a run's traces measured, some of them made again, `<run>/evals/faithfulness.json`.

Of the traces as they are: how many cite a guideline, whether what they name was given to them,
whether the answer does what the reasoning concludes. Of those made again: see `contrast`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from guidelines import GuidelineSet
from synth import storage
from synth.batch import RunBatch
from synth.config.schema import SynthConfig
from synth.judges.refusal import VERSION as RULES_VERSION
from synth.models.identity import identify
from synth.recipes import find_recipe
from synth.records import TraceRow, digest
from synth.run import load_set
from synth.workspace.stage import Manifest, dump, stage
from synth.workspace.workspace import Workspace
from train.evals.config import FaithfulnessConfig
from train.evals.faithfulness import citations
from train.evals.faithfulness.citations import CitedTrace, Shown, cited_traces, count_cited_prompts
from train.evals.faithfulness.counterfactual import (
    STYLE,
    Variation,
    acted,
    choose_records,
    concluded,
    contrast,
    counterfactual_batch,
    stated,
    vary,
)
from train.evals.faithfulness.counterfactual import VERSION as DECISIONS_VERSION
from train.evals.metrics import Json, rate_json
from train.evals.stats import Resampling

SCHEMA_VERSION = 1
STAGE = "faithfulness"
RESULT_FILE = "faithfulness.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """What is measured of one recipe.

    Attributes:
        traces: Those of the run.
        variations: Of some of them.
        made: The traces that were made again, by `item_id`.
    """

    traces: Sequence[CitedTrace]
    variations: Sequence[Variation]
    made: Mapping[str, TraceRow]


def faithfulness(config: SynthConfig, section: FaithfulnessConfig, run: RunBatch) -> Manifest:
    """Measure the traces of a run; return the manifest. A complete stage is left alone.

    What is owed of the traces made again is made first, so that a retry of some is counted.

    Args:
        config: The run, synthesized.
        section: How much of it is measured.
        run: Runs the batch that makes traces of one recipe again.

    Raises:
        BadInput: A guideline set or a model can not be read.
    """
    folder = storage.join(config.run, "evals", STAGE)
    path = storage.join(config.run, "evals", RESULT_FILE)
    workspace = Workspace(config.workspace)
    sets = {given.name: given for given in map(load_set, config.guidelines)}
    guided = [recipe for recipe in config.recipe if find_recipe(recipe).guided]
    measured = {
        find_recipe(recipe).name: _measure(config, workspace, section, recipe, sets, run)
        for recipe in guided
    }
    inputs = {
        "faithfulness": digest(section.model_dump(mode="json")),
        "recipes": digest(list(config.recipe)),
        "traces": workspace.traces_digest(workspace.finished()),
        "made_again": digest({name: _states(one.made) for name, one in measured.items()}),
        "guidelines": digest({name: given.digest for name, given in sets.items()}),
        "teacher": identify(config.teacher).digest,
        "sampling": digest(config.sampling.model_dump(mode="json")),
        "measures": digest(
            SCHEMA_VERSION, citations.VERSION, DECISIONS_VERSION, RULES_VERSION, STYLE.text
        ),
    }

    def make() -> Manifest:
        found = _results(section, measured)
        storage.publish(path, dump(found))
        return {"traces": {name: of["traces"] for name, of in found["recipes"].items()}}

    return stage(STAGE, folder, inputs, make, lambda: storage.remove(path))


def _measure(
    config: SynthConfig,
    workspace: Workspace,
    section: FaithfulnessConfig,
    path: str,
    sets: Mapping[str, GuidelineSet],
    run: RunBatch,
) -> _Measured:
    """Read the traces of a recipe, and have some of them made again where they can be.

    Those of a recipe of several steps can not: a later step works on what an earlier one wrote
    under the guideline. Nor can those that had one guideline alone.
    """
    recipe = find_recipe(path)
    traces = list(cited_traces(workspace, section, recipe, sets))
    able = [t for t in traces if len(recipe.steps) == 1 and len(t.given.guidelines) > 1]
    by_id = {trace.row["row_id"]: trace for trace in able}
    cited = [(name, t.row["seed_id"], t.citations.cited) for name, t in by_id.items()]
    variations = [
        vary(row_id, by_id[row_id].item, by_id[row_id].given, guideline)
        for row_id, guideline in choose_records(cited, section.traces, section.seed)
    ]
    made: dict[str, TraceRow] = {}
    if variations:
        [table] = run(counterfactual_batch(config, path, variations))
        made = {row["item_id"]: row for row in table.to_pylist() if not row["trace_index"]}
    return _Measured(traces=traces, variations=variations, made=made)


def _states(made: Mapping[str, TraceRow]) -> list[tuple[str, int, str]]:
    """Return what became of each item, and at which try."""
    return sorted((item_id, row["try"], row["outcome"]) for item_id, row in made.items())


def _results(section: FaithfulnessConfig, measured: Mapping[str, _Measured]) -> Json:
    resampling = Resampling(resamples=section.bootstrap_resamples, seed=section.seed)
    return {
        "schema_version": SCHEMA_VERSION,
        "threshold": citations.THRESHOLD,
        "bootstrap": asdict(resampling),
        "recipes": {
            name: {
                "traces": len(of.traces),
                "citations": _citations(of.traces, resampling),
                "consistency": _consistency(of.traces, resampling),
                "counterfactual": _counterfactual(of, resampling),
            }
            for name, of in measured.items()
        },
    }


def _citations(traces: Sequence[CitedTrace], resampling: Resampling) -> Json:
    """Return how many traces cite what, and how much of what they name was given to them."""

    def share(shown: Iterable[Shown]) -> Json:
        return rate_json(count_cited_prompts(shown), resampling)

    names = [
        (trace, is_given)
        for trace in traces
        for is_given, of in ((True, trace.citations.named), (False, trace.citations.unknown))
        for _ in of
    ]
    given_to: dict[str, list[CitedTrace]] = {}
    for trace in traces:
        for guideline in trace.given.guidelines:
            given_to.setdefault(guideline.id, []).append(trace)
    num_cited = [len(trace.citations.cited) for trace in traces]
    return {
        "cited": share((t, bool(t.citations.cited)) for t in traces),
        "named": share((t, bool(t.citations.named or t.citations.unknown)) for t in traces),
        "named_precision": share(names),
        "mean_cited": round(sum(num_cited) / len(num_cited), 2) if num_cited else None,
        "guidelines": {
            one: share((t, one in t.citations.cited) for t in of) for one, of in given_to.items()
        },
        "relevance": None,  # guidelines declare no categories that they are relevant to
    }


def _consistency(traces: Sequence[CitedTrace], resampling: Resampling) -> Json:
    """Return how often answers do what the reasoning concludes, and what the recipe records."""
    acts = [acted(trace.row["answer"] or "") for trace in traces]

    def agree(decisions: Iterable[str | None]) -> Json:
        shown = [
            (trace, None if act is None or decision is None else decision == act)
            for trace, act, decision in zip(traces, acts, decisions, strict=True)
        ]
        return rate_json(count_cited_prompts(shown), resampling)

    return {
        "reasoning": agree(concluded(trace.row["reasoning"] or "") for trace in traces),
        "decision": agree(stated(trace.row) for trace in traces),
        "unread_answers": acts.count(None),
    }


def _counterfactual(of: _Measured, resampling: Resampling) -> Json | None:
    """Return what changed in the traces made again; None where none could be."""
    if not of.variations:
        return None
    by_id = {trace.row["row_id"]: trace for trace in of.traces}
    return contrast(of.variations, by_id, of.made, resampling)
