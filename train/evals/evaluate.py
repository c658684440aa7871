"""The evaluation stage: items to every model, judges on every answer, results, comparison, card.

Generating, judging and counting are apart. Answers and verdicts are batches beside the run,
made where missing; results are a pure function of them, so another judge never generates
again, and counting again gives the same bytes. Each model's results are a stage of their own,
`<run>/evals/<model>/`; the comparison of all is a last one, `<run>/evals/`.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import pyarrow as pa

from synth import storage
from synth.batch import Batch, RunBatch
from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.judges.refusal import VERSION as RULES_VERSION
from synth.recipes import find_recipe
from synth.records import Item, Seed, digest
from synth.seeds.seeds import load_seeds, split_seeds
from synth.workspace.stage import MANIFEST, Manifest, dump, manifest_digest, stage
from synth.workspace.workspace import Workspace
from train.evals.ask import (
    Questions,
    Subject,
    answers_batch,
    make_subjects,
    plan_questions,
    searched_names,
)
from train.evals.card import card, card_markdown
from train.evals.comparison import Students, compare_methods, compare_students, primary_comparison
from train.evals.config import BASE, EvaluateConfig
from train.evals.faithfulness.stage import faithfulness
from train.evals.helpfulness import helpfulness
from train.evals.judge import (
    Read,
    Seat,
    headline_judge,
    judge_records,
    panel_revisions,
    publish_measures,
    score,
    seat_panel,
)
from train.evals.lm_harness import benchmark, check_installed
from train.evals.metrics import Json
from train.evals.records import Record, read_records, read_scored, write_records
from train.evals.representation.stage import check_models, represent
from train.evals.results import results
from train.evals.rewrites import back_translations, rewriter_id
from train.evals.stats import Resampling
from train.evals.suites import overlaps
from train.evals.utility import IS_UTILITY, utility_comparison

RECORDS_FILE, RESULTS_FILE = "records.parquet", "results.json"
COMPARISON_FILE, CARD_FILE, CARD_PAGE = "comparison.json", "card.json", "card.md"

OWN_FOLDERS = ("representation", "faithfulness")  # in `evals/`, beside those of the models
SCORING_VERSION = 2  # raised by hand when a record or a result would change
# What says how models are compared or looked into, not what each of them answers.
_NOT_A_MODELS_OWN = {"models", "search", "primary", "representation", "faithfulness", "lm_eval"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """An evaluation, ready to be run.

    Attributes:
        config: The run.
        section: Its section of the evaluation.
        questions: What every model is asked.
        panel: Who judges.
        students: Names of each arm's evaluated students, one a training seed.
    """

    config: SynthConfig
    section: EvaluateConfig
    questions: Questions
    panel: Sequence[Seat]
    students: Students

    @property
    def folder(self) -> str:
        """Folder of everything that is about all models."""
        return storage.join(self.config.run, "evals")


def model_config(config: SynthConfig, name: str) -> ModelConfig:
    """Return where the model called `name` is: the target itself, or a student's folder.

    Raises:
        BadInput: The student is not trained.
    """
    base = config.target or config.teacher
    if name == BASE:
        return base
    folder = storage.join(config.run, "models", name)
    if not storage.exists(storage.join(folder, MANIFEST)):
        rule = f"must be {BASE}, or a student that finetune has finished"
        raise BadInput(file=folder, field="evaluate.models", value=name, rule=rule)
    return base.model_copy(update={"model": folder, "revision": None, "endpoint": None})


def results_folder(run: str, name: str) -> str:
    """Return the folder of one model's results."""
    return storage.join(run, "evals", name)


def records_path(run: str, name: str) -> str:
    """Return the file of one model's records."""
    return storage.join(results_folder(run, name), RECORDS_FILE)


def conclude(of: Evaluation, run_batch: RunBatch, manifests: Mapping[str, Manifest]) -> Manifest:
    """Compare the models and write the card, unless that is done already.

    Args:
        of: The evaluation; every model's records are written.
        run_batch: Runs what a judge that compares is asked.
        manifests: Each model's.
    """
    section, names = of.section, list(manifests)
    paths = {name: records_path(of.config.run, name) for name in names}
    resampling = Resampling(resamples=section.bootstrap_resamples, seed=section.seed)
    preferred = helpfulness(of.config.run, run_batch, of.panel, paths, resampling)
    arms = [own[0] for own in of.students.values()]
    primary = primary_comparison(section, names, arms)
    train = split_seeds(load_seeds(of.config.seeds), of.config.seeds.eval_share).train
    inputs = {
        **{f"evaluate {name}": _manifest_digest(of, name) for name in names},
        "primary": digest(None if primary is None else primary.model_dump()),
        "helpfulness": digest(preferred),
        "students": digest({arm: list(own) for arm, own in of.students.items()}),
        "rewrites": digest(of.questions.rewrite_failures),
        "training": digest([seed.seed_id for seed in train]),
        "suites": digest([[s.name, s.licence, dict(s.sha256)] for s in of.questions.suites]),
    }

    def make() -> Manifest:
        judge = headline_judge(of.panel)
        scored = {name: read_scored(path) for name, path in paths.items()}
        questions = {name: read_records(path, IS_UTILITY) for name, path in paths.items()}
        comparison: Json = compare_students(scored, section, judge, arms) | {
            "utility": utility_comparison(questions, resampling),
            "helpfulness": preferred,
            "methods": compare_methods(of.students, scored, section, judge),
        }
        written = _card(of, names, manifests, comparison, train)
        for file, data in (
            (COMPARISON_FILE, dump(comparison)),
            (CARD_FILE, dump(written)),
            (CARD_PAGE, card_markdown(written).encode()),
        ):
            storage.publish(storage.join(of.folder, file), data)
        return {"models": names}

    def clean() -> None:
        for file in (COMPARISON_FILE, CARD_FILE, CARD_PAGE):
            storage.remove(storage.join(of.folder, file))

    return stage("compare", of.folder, inputs, make, clean)


def _manifest_digest(of: Evaluation, name: str) -> str:
    return manifest_digest(results_folder(of.config.run, name))


def _card(
    of: Evaluation,
    names: Sequence[str],
    manifests: Mapping[str, Manifest],
    comparison: Json,
    train: Sequence[Seed],
) -> Json:
    config = of.config
    files = {name: storage.join(results_folder(config.run, name), RESULTS_FILE) for name in names}
    return card(
        suites=of.questions.suites,
        items=of.questions.prompts,
        attacks=of.section.attacks,
        rewrite_failures=of.questions.rewrite_failures,
        rewriter=rewriter_id(config, of.section),
        overlaps=overlaps(of.questions.suites, train),
        results={name: json.loads(storage.read(file)) for name, file in files.items()},
        manifests=manifests,
        comparison=comparison,
        engine_seed=config.seed,
    )


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
    with _scored(of, run_batch, subjects) as read:
        judged = judge_records(config.run, run_batch, of.panel, names, read)
        manifests = {name: _finish(of, subjects[name], next(judged)) for name in names}
    conclude(of, run_batch, manifests)
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


@contextmanager
def _scored(of: Evaluation, run_batch: RunBatch, subjects: Mapping[str, Subject]) -> Iterator[Read]:
    """Give what reads every subject's answers as records, those to translations in English."""
    answered = {name: run_batch(_batch(of, subject)) for name, subject in subjects.items()}

    def answers(name: str, attack: str) -> dict[str, str]:
        return _answers(of, run_batch(_batch(of, subjects[name])), attack)

    english = back_translations(of.config, of.section, list(subjects), answers, run_batch)
    with tempfile.TemporaryDirectory(prefix="guideweave-") as folder:
        paths = {name: storage.join(folder, f"{name}.parquet") for name in subjects}
        for name, tables in answered.items():
            write_records(paths[name], _score(of, tables, next(english)))
        yield lambda name: read_records(paths[name])


def _answers(of: Evaluation, tables: Iterator[pa.Table], attack: str) -> dict[str, str]:
    """Return a subject's answers to an attack, by `item_id`."""
    [table] = tables
    items = of.questions.items
    ids = {item.item_id for item in items if item.payload["transform"] == attack}
    told = zip(table["item_id"].to_pylist(), table["answer"].to_pylist(), strict=True)
    return {item_id: answer or "" for item_id, answer in told if item_id in ids}


def _score(of: Evaluation, tables: Iterator[pa.Table], english: Mapping[str, str]) -> list[Record]:
    [table] = tables
    return score(of.questions.items, table, english)


def _finish(of: Evaluation, subject: Subject, records: Sequence[Record]) -> Manifest:
    """Write a subject's records, its results, and its answers' verdicts beside them."""
    manifest = _count(of, subject, records)
    publish_measures(Workspace(_batch(of, subject).workspace), of.panel, records)
    return manifest


def _count(of: Evaluation, subject: Subject, records: Sequence[Record]) -> Manifest:
    """Write one subject's records and results."""
    folder = results_folder(of.config.run, subject.name)
    inputs = {
        "evaluate": digest(of.section.model_dump(mode="json", exclude=_NOT_A_MODELS_OWN)),
        "prompts": digest([_about(item) for item in of.questions.items]),
        "model": subject.digest,
        "rules": digest(SCORING_VERSION, RULES_VERSION),
        "judges": digest(panel_revisions(of.panel)),
        "certificates": digest([_certified(seat) for seat in of.panel]),
        "answers": _records_digest(records),
    }

    def make() -> Manifest:
        write_records(records_path(of.config.run, subject.name), records)
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
    return digest([_judged_facts(record) for record in records])


def _judged_facts(record: Record) -> tuple[object, ...]:
    judged = [asdict(one) for one in record.judged]
    text = digest(record.readable)
    return (record.row_id, record.outcome, record.verdict, record.reason, text, judged)
