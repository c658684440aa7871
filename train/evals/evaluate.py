"""The evaluation stage: items to every model, judges on every answer, results, comparison.

Generating, judging and counting are apart. Answers and verdicts are batches beside the run,
made where missing; results are a pure function of them, so another judge never generates
again, and counting again gives the same bytes. Each model's results are a stage of their own,
`<run>/evals/<model>/`; the comparison of all is a last one, `<run>/evals/`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from synth import storage
from synth.batch import Batch, RunBatch
from synth.config.schema import SynthConfig
from synth.digest import digest
from synth.errors import BadInput
from synth.judges.refusal import VERSION as RULES_VERSION
from synth.recipes import find_recipe
from synth.records import Item
from synth.workspace.stage import Manifest, dump, stage
from train.evals.answers import answers_batch
from train.evals.attacks.rewriting import back_translations
from train.evals.comparison import primary_comparison
from train.evals.conclusion import conclude
from train.evals.config import BASE, EvaluateConfig
from train.evals.evaluation import (
    RECORDS_FILE,
    RESULTS_FILE,
    Evaluation,
    model_config,
    model_folder,
)
from train.evals.faithfulness.stage import faithfulness
from train.evals.lm_harness import benchmark, check_installed
from train.evals.methods import Students
from train.evals.panel import Seat, revisions, seat_panel
from train.evals.questions import plan_questions
from train.evals.records import Record, write_records
from train.evals.representation.stage import check_models, represent
from train.evals.score import score
from train.evals.subject import Subject, make_subjects, searched_names
from train.evals.summary import results
from train.evals.verdicts import judge_records, publish_measures

OWN_FOLDERS = ("representation", "faithfulness")  # in `evals/`, beside those of the models
SCORING_VERSION = 2  # raised by hand when a record or a result would change
# What says how models are compared or looked into, not what each of them answers.
_NOT_A_MODELS_OWN = {"models", "search", "primary", "representation", "faithfulness", "lm_eval"}


def evaluate(
    config: SynthConfig,
    section: EvaluateConfig,
    *,
    run_batch: RunBatch,
    students: Students | None = None,
) -> dict[str, Manifest]:
    """Ask every model, have the panel judge, count, and compare; what is done stays done.

    Args:
        config: The run.
        section: The section of the evaluation.
        run_batch: Runs items through the scheduler.
        students: The trained students of each arm; one of each recipe of the run where None.

    Returns:
        Each model's manifest.

    Raises:
        BadInput: An arm is not trained, a judge has no model, or something evaluated was
            trained on.
    """
    storage.use(config.storage)
    if students is None:
        students = {name: (name,) for name in (find_recipe(path).name for path in config.recipe)}
    alone = list(section.models) or [BASE, *(name for own in students.values() for name in own)]
    names = [*alone, *searched_names(section.search, alone)]
    _check_names(names)
    arms = [own[0] for own in students.values() if own[0] in names]
    primary_comparison(section, names, arms)  # what can not be compared is said before generating
    models = {name: model_config(config, name) for name in alone}
    subjects = make_subjects(config, section.search, models)
    if section.representation is not None:
        check_models(models)
    if section.lm_eval:
        check_installed(section.lm_eval)
    panel = seat_panel(config, section)
    of = Evaluation(
        config=config,
        section=section,
        questions=plan_questions(config, section, run_batch),
        panel=panel,
        students={
            arm: evaluated
            for arm, own in students.items()
            if (evaluated := [name for name in own if name in models])
        },
    )
    records = judge_records(config.run, run_batch, of.panel, _answers(of, run_batch, subjects))
    manifests = {name: _count(of, subjects[name], records[name]) for name in names}
    for name, subject in subjects.items():
        publish_measures(_batch(of, subject).workspace, of.panel, records[name])
    conclude(of, run_batch, records, manifests)
    if section.representation is not None:
        represent(config, section, section.representation, of.questions.prompts, models)
    if section.faithfulness is not None:
        faithfulness(config, section.faithfulness, run_batch)
    if section.lm_eval:
        benchmark(config.run, models, section.lm_eval, seed=section.seed)
    return manifests


def _check_names(names: Sequence[str]) -> None:
    """Refuse a model that is called like a folder of ours beside the models' own."""
    for name in names:
        if name in OWN_FOLDERS:
            rule = f"can not be called {' or '.join(OWN_FOLDERS)}: rename its recipe"
            raise BadInput(file="config", field="evaluate.models", value=name, rule=rule)


def _batch(of: Evaluation, subject: Subject) -> Batch:
    return answers_batch(of.config.run, of.section, subject, of.questions.items)


def _answers(
    of: Evaluation, run_batch: RunBatch, subjects: Mapping[str, Subject]
) -> dict[str, list[Record]]:
    """Return every subject's answers as records, those to translated prompts in English."""
    items = of.questions.items
    tables = {name: run_batch(_batch(of, subject)) for name, subject in subjects.items()}
    attacks = {item.item_id: item.payload["transform"] for item in items}
    foreign: dict[str, dict[str, str]] = {}
    for name, table in tables.items():
        for row in table.select(["item_id", "answer"]).to_pylist():
            key, attack = f"{name}/{row['item_id']}", attacks[row["item_id"]]
            foreign.setdefault(attack, {})[key] = row["answer"] or ""
    english = back_translations(of.config, of.section, foreign, run_batch)
    return {
        name: score(
            items,
            table,
            {
                item.item_id: english[key]
                for item in items
                if (key := f"{name}/{item.item_id}") in english
            },
        )
        for name, table in tables.items()
    }


def _count(of: Evaluation, subject: Subject, records: Sequence[Record]) -> Manifest:
    """Write one subject's records and results."""
    folder = model_folder(of.config.run, subject.name)
    inputs = {
        "evaluate": digest(of.section.model_dump(mode="json", exclude=_NOT_A_MODELS_OWN)),
        "prompts": digest([_about(item) for item in of.questions.items]),
        "model": subject.digest,
        "rules": digest(SCORING_VERSION, RULES_VERSION),
        "judges": digest(revisions(of.panel)),
        "certificates": digest([_certified(seat) for seat in of.panel]),
        "answers": _records_digest(records),
    }

    def make() -> Manifest:
        write_records(storage.join(folder, RECORDS_FILE), records)
        found = results(subject.name, records, of.section, of.panel, of.questions.inexpressible)
        storage.publish(storage.join(folder, RESULTS_FILE), dump(found))
        outcomes = dict(sorted(Counter(record.outcome for record in records).items()))
        return {**subject.description, "items": len(records), "outcomes": outcomes}

    def clean() -> None:
        for file in (RECORDS_FILE, RESULTS_FILE):
            storage.remove(storage.join(folder, file))

    return stage(f"evaluate {subject.name}", folder, inputs, make, clean)


def _about(item: Item) -> tuple[str, ...]:
    """Return what results say of an item beyond its text."""
    seed = item.seed
    return (item.item_id, seed.label, seed.category, seed.pair or "")


def _certified(seat: Seat) -> object:
    return None if seat.certificate is None else seat.certificate.model_dump(mode="json")


def _records_digest(records: Sequence[Record]) -> str:
    """Return the digest of what was answered and judged; a retry makes it another."""
    return digest([_told(record) for record in records])


def _told(record: Record) -> tuple[object, ...]:
    judged = [asdict(one) for one in record.judged]
    text = digest(record.readable)
    return (record.row_id, record.outcome, record.verdict, record.reason, text, judged)
