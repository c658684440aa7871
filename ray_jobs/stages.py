"""What the commands share beyond the packages' own functions: the glue between stages."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, partial

import pyarrow as pa
import yaml

from ray_jobs.config import RunConfig
from synth import storage
from synth.batch import Batch, RunBatch, run_batch
from synth.checks.deep import check_deep
from synth.curate import curated_folder
from synth.dataset import counting_of, make_traces
from synth.errors import BadInput
from synth.records import Seed
from synth.rounds import check_reachable, due_steps
from synth.run import CONFIG_FILE, Run, load_run, read_config
from synth.seeds.seeds import decontaminate, load_seeds, split_seeds
from synth.status import shortfalls, too_many_failed
from synth.synthesize import RunOptions
from synth.workspace.stage import read_manifest
from synth.workspace.workspace import Workspace
from train.config import FinetuneConfig
from train.evals import evaluate
from train.evals.config import EvaluateConfig
from train.evals.rewrites import check_attacks
from train.evals.suites import Suite, check_lineage, eval_items, load_suites
from train.students import Finetuned, arms_to_train, finetune, named_arms

log = logging.getLogger(__name__)


def prepare(config: RunConfig) -> Run:
    """Load what the configuration names, its training seeds far from everything evaluated.

    Prompts of evaluation suites that come from files count as evaluated, too.

    Raises:
        BadInput: Something it names is unusable, no training seed is left, a quota can never be
            met, or there is nothing that could be evaluated.
    """
    run = load_run(config)
    if config.evaluate is not None:
        suites = load_suites(config, config.evaluate)
        _check_evaluation(config, config.evaluate, suites)
        files = [suite for suite in suites if suite.name != "seeds"]
        run = _apart(run, [seed for suite in files for seed in suite.seeds])
    if not run.train:
        rule = "leaves no training seed: raise seeds.limit, or lower seeds.eval_share"
        raise BadInput(file="config", field="seeds", value=config.seeds.path, rule=rule)
    check_reachable(run)
    return run


def first_checks(config: RunConfig) -> None:
    """Run the deep checks, once in the life of a run directory: before its first row."""
    if not read_config(config.run):
        for found in check_deep(config):
            log.info("checked: %s", found)


def synthesize(run: Run, options: RunOptions) -> tuple[Counter[str], tuple[str, ...]]:
    """Generate what the run owes; return rows by outcome, and what is unmet."""
    counting = counting_of(run)
    outcomes = make_traces(run, options, counting)
    return outcomes, tuple(shortfalls(run, counting))


def students_of(config: RunConfig) -> dict[str, tuple[str, ...]]:
    """Return the students of each arm, by name; a run without fine-tuning has none."""
    if config.finetune is None:
        return {}
    arms = named_arms(config, config.finetune)
    return {arm: tuple(config.finetune.students(arm)) for arm in arms}


def train_students(run: Run, section: FinetuneConfig) -> Finetuned:
    """Train every model that is owed and whose data are there."""
    return finetune(run.config, section, due=due_steps(run))


def check_curated(run: Run) -> None:
    """Check that the curated data are of the traces there are, where nobody curates them now.

    Raises:
        BadInput: They are of fewer, or not there.
    """
    folder = curated_folder(run.config)
    manifest = read_manifest(folder) or {"inputs": {}}
    if manifest["inputs"].get("traces") != run.workspace.traces_digest(run.workspace.finished()):
        rule = "must be of the traces there are: run curate first"
        raise BadInput(file=folder, field="inputs", value="traces", rule=rule)


def section_of(config: RunConfig) -> FinetuneConfig:
    """Return how to train.

    Raises:
        BadInput: The run does not say.
    """
    if config.finetune is None:
        raise _no_section("finetune")
    return config.finetune


def evaluate_students(config: RunConfig, options: RunOptions) -> tuple[str, ...]:
    """Ask the base model and the students, and compare them; return what is unmet."""
    if config.evaluate is None:
        raise _no_section("evaluate")
    verdicts: dict[str, dict[str, str]] = {}
    run = _noting(partial(run_batch, config, options, opened=cache(Workspace)), verdicts)
    students = students_of(config)
    if config.finetune is not None:
        students = {arm: students[arm] for arm in arms_to_train(config, config.finetune)}
    manifests = evaluate(config, config.evaluate, run_batch=run, students=students)
    _note_section(config.run, config.evaluate)
    answers = {f"answers of {name}": one["outcomes"] for name, one in manifests.items()}
    judged = {what: Counter(outcomes.values()) for what, outcomes in verdicts.items()}
    allowed = config.limits.allow_failed
    return tuple(
        line
        for what, outcomes in {**answers, **judged}.items()
        for line in too_many_failed(what, outcomes, allowed)
    )


def _noting(run: RunBatch, verdicts: dict[str, dict[str, str]]) -> RunBatch:
    """Return `run`, noting in `verdicts` what becomes of each item that a judge is asked."""

    def noted(batch: Batch) -> Iterator[pa.Table]:
        what, _, name = batch.stage.partition(" ")
        found = verdicts.setdefault(f"verdicts of {name}", {}) if what == "judge" else {}
        return map(partial(_note, found), run(batch))

    return noted


def _note(outcomes: dict[str, str], table: pa.Table) -> pa.Table:
    """Return `table`, whose items may have been in another one, too."""
    ended = zip(table["item_id"].to_pylist(), table["outcome"].to_pylist(), strict=True)
    outcomes.update(ended)
    return table


def _note_section(run: str, evaluate: EvaluateConfig) -> None:
    """Keep in `config.yaml` what is evaluated now: the report shows no analysis but those."""
    noted = read_config(run)
    section = evaluate.model_dump(mode="json")
    if noted and noted.get("evaluate") != section:
        changed = yaml.safe_dump({**noted, "evaluate": section}, sort_keys=False)
        storage.replace(storage.join(run, CONFIG_FILE), changed.encode())


def _check_evaluation(config: RunConfig, evaluate: EvaluateConfig, suites: Sequence[Suite]) -> None:
    """Say what can not be evaluated now, and not after hours of generating and training.

    What an earlier curation trained on is not looked at: it may have to run again.
    """
    check_attacks(evaluate, suites)
    items = eval_items(suites, evaluate)
    if not items and not any(attack.is_rewritten for attack in evaluate.attacks):
        rule = "leaves no prompt: raise evaluate.limit, or seeds.eval_share"
        raise BadInput(file="config", field="evaluate", value=0, rule=rule)
    train = split_seeds(load_seeds(config.seeds), config.seeds.eval_share).train
    check_lineage(suites, items, [seed.seed_id for seed in train])


def _apart(run: Run, tested: list[Seed]) -> Run:
    """Return the run with `tested` among what is evaluated, and kept out of training."""
    clean, near = decontaminate(run.train, tested)
    return replace(
        run,
        train=clean,
        evaluation=[*run.evaluation, *tested],
        contaminated={**run.contaminated, **near},
    )


def _no_section(name: str) -> BadInput:
    rule = "this command needs the section; an empty one ({}) takes every default"
    return BadInput(file="config", field=name, value=None, rule=rule)
