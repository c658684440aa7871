"""What is said of all models together: the comparison, and the card of the evaluation."""

import json
from collections.abc import Mapping, Sequence

from synth import storage
from synth.batch import RunBatch
from synth.digest import digest
from synth.records import Seed
from synth.seeds.seeds import load_seeds, split_seeds
from synth.workspace.stage import Manifest, dump, manifest_digest, stage
from train.evals.attacks.rewriting import rewriter_id
from train.evals.card_card import card
from train.evals.comparison import compare, primary_comparison
from train.evals.evaluation import (
    CARD_FILE,
    CARD_PAGE,
    COMPARISON_FILE,
    RESULTS_FILE,
    Evaluation,
    model_folder,
)
from train.evals.helpfulness import helpfulness
from train.evals.intervals import Resampling
from train.evals.methods import compare_methods
from train.evals.overlaps import overlaps
from train.evals.page import card_markdown
from train.evals.panel import headline_judge
from train.evals.rates import Json
from train.evals.records import Record
from train.evals.suite import utility_comparison

Records = Mapping[str, Sequence[Record]]


def conclude(
    of: Evaluation, run_batch: RunBatch, records: Records, manifests: Mapping[str, Manifest]
) -> Manifest:
    """Compare the models and write the card, unless that is done already.

    Args:
        of: The evaluation.
        run_batch: Runs what a judge that compares is asked.
        records: By model, judged.
        manifests: Each model's.
    """
    section, names = of.section, list(records)
    resampling = Resampling(resamples=section.bootstrap_resamples, seed=section.seed)
    preferred = helpfulness(of.config.run, run_batch, of.panel, records, resampling)
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
        comparison: Json = compare(records, section, judge, arms) | {
            "utility": utility_comparison(records, resampling),
            "helpfulness": preferred,
            "methods": compare_methods(of.students, records, section, judge),
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
    return manifest_digest(model_folder(of.config.run, name))


def _card(
    of: Evaluation,
    names: Sequence[str],
    manifests: Mapping[str, Manifest],
    comparison: Json,
    train: Sequence[Seed],
) -> Json:
    config = of.config
    files = {name: storage.join(model_folder(config.run, name), RESULTS_FILE) for name in names}
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
