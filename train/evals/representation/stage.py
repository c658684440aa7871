"""The stage: the evaluation's prompts through every model, `<run>/evals/representation.json`.

Hidden states are read once and kept, `<run>/evals/<model>/hidden-<digest>.parquet`; the result
is a pure function of them and is the same bytes when made again. It holds no prompt's text:

    {"schema_version": 1,
     "layers": [1, 2, ...],          # layer k: after block k; the last: after the final norm
     "chosen_layer": 17,             # best separated in distribution on `chosen_on`, held out;
     "chosen_on": "base",            # attacks have no part in the choice
     "level": 0.95,                  # of all intervals
     "settings": {"folds", "shuffles", "resamples", "seed", "dtype", "max_length"},
     "left_out": {reason: n},        # chosen prompts that a model could not be given
     "groups": [{"family": "id"|"plain"|attack family, "label": "harmful"|"benign",
                 "prompts": n, "clusters": n, "attacks": [name, ...]}],
     "models": {name: {
       "model": model id,
       "layers": [{                  # one a layer, in the order of `layers`
         "layer": k,
         "separation": {"auc": Estimate, "dprime": x},
         "control": {"auc": Spread, "dprime": Spread},
         "families": {family: {      # all but "id"
           "position": null | {"harmful": Estimate, "benign": Estimate},
           "gap": x | null,
           "gap_control": Spread,
           "distance": Estimate,
           "left_out": {"auc": Estimate, "balanced_accuracy": Estimate}}}}],
       "plane": {"explained": [share, share],
                 "points": [{"family", "label", "x": [...], "y": [...]}]}}}}

    Estimate = {"value": x|null, "low": x|null, "high": x|null, "method": text}
    Spread = {"mean": x|null, "low": x|null, "high": x|null}   # over the shuffles, middle 95 %

`separation` is of held-out prompts in distribution (`id`), harmful from benign: AUC of a
logistic regression, and d', how far the class means are apart along the difference of the class
means, in standard deviations within a class. `control` is the same with shuffled labels.
`position` is on that difference: 0 is the mean of held-out benign prompts in distribution, 1
that of harmful ones; null where d' is not above its control, for then there is no scale. `gap`
is harmful less benign of a family, in the unit of d', and `gap_control` the same on the axes of
shuffled labels. `distance` is the proxy A-distance, from 0 to 2, between a family's harmful
prompts and those in distribution. `left_out` is a probe fitted on all but the family. `plane`
is drawn at `chosen_layer`: principal components of `id`, all others projected.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from synth import storage
from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.models.identity import ModelIdentity, identify
from synth.records import Item, digest
from synth.seeds.seeds import load_seeds, split_seeds
from synth.workspace.stage import Manifest, dump, stage
from train.evals.config import BASE, EvaluateConfig, RepresentationConfig
from train.evals.representation.prompts import BENIGN, HARMFUL, ID, Probe, Prompts, choose_probes
from train.evals.representation.states import States, read_states, write_states
from train.evals.stats import Resampling

RESULT_FILE = "representation.json"
FOLDER = "representation"
SCHEMA_VERSION = 1
READING_VERSION = 1  # raised by hand when other states would be read
ANALYSIS_VERSION = 1  # raised by hand when a result would change
_SECTION = "evaluate.representation"

log = logging.getLogger(__name__)


def represent(
    config: SynthConfig,
    evaluate: EvaluateConfig,
    section: RepresentationConfig,
    items: Sequence[Item],
    models: Mapping[str, ModelConfig],
) -> Manifest:
    """Look into every model, unless that is done already.

    Args:
        config: The run.
        evaluate: The evaluation: its resampling is used here too.
        section: Its section of this analysis.
        items: What the evaluation asks.
        models: The models, by the names they are evaluated under; no pool of theirs is open.

    Returns:
        The stage's manifest.

    Raises:
        BadInput: A model's weights are out of reach or can not be loaded, or there are too few
            prompts.
        RunFault: A model could not be read in its time.
    """
    storage.use(config.storage)
    check_models(models)
    training = split_seeds(load_seeds(config.seeds), config.seeds.eval_share).train
    probes = choose_probes(training, items, section.prompts)
    _check_enough(probes, section.folds)
    folder = storage.join(config.run, "evals")
    path = storage.join(folder, RESULT_FILE)

    def make() -> Manifest:
        states = {
            name: _states_of(config, section, name, model, probes) for name, model in models.items()
        }
        storage.publish(path, dump(_result(evaluate, section, models, probes, states)))
        return {"models": list(models), "prompts": len(probes)}

    return stage(
        "representation",
        storage.join(folder, FOLDER),
        _inputs(evaluate, section, models, probes),
        make,
        lambda: storage.remove(path),
    )


def check_models(models: Mapping[str, ModelConfig]) -> None:
    """Check that every model can be looked into.

    Raises:
        BadInput: One is an endpoint, or a script.
    """
    for name, model in models.items():
        if not identify(model).path:
            rule = "needs models whose weights can be loaded; leave the section out"
            raise BadInput(file="config", field=_SECTION, value=name, rule=rule)


def _inputs(
    evaluate: EvaluateConfig,
    section: RepresentationConfig,
    models: Mapping[str, ModelConfig],
    probes: Sequence[Probe],
) -> dict[str, str]:
    own = section.model_dump(mode="json", exclude={"batch_size"})
    prompts = [[p.probe_id, p.family, p.attack, p.label, p.cluster] for p in probes]
    return {
        "representation": digest(own, evaluate.bootstrap_resamples, evaluate.seed),
        "prompts": digest(prompts),
        "rules": digest(READING_VERSION, ANALYSIS_VERSION),
        **{f"model {name}": identify(model).digest for name, model in models.items()},
    }


def _states_of(
    config: SynthConfig,
    section: RepresentationConfig,
    name: str,
    model: ModelConfig,
    probes: Sequence[Probe],
) -> States:
    """Return a model's states, read now or before."""
    identity = identify(model)
    prompts = [probe.probe_id for probe in probes]
    how = [section.layers, section.max_length, section.dtype, READING_VERSION]
    folder = storage.join(config.run, "evals", name)
    file = f"hidden-{digest(identity.digest, prompts, how)}.parquet"
    path = storage.join(folder, file)
    for other in storage.list_files(folder):
        if other.startswith("hidden-") and other != file:
            storage.remove(storage.join(folder, other))
    if not storage.exists(path):
        write_states(path, _read(config, section, identity, model, probes))
    return read_states(path)


def _read(
    config: SynthConfig,
    section: RepresentationConfig,
    identity: ModelIdentity,
    model: ModelConfig,
    probes: Sequence[Probe],
) -> States:
    # Ray is started only where something is to be read.
    from synth.cluster.joining import join_ray  # noqa: PLC0415
    from train.evals.representation.reader import Source, read_model  # noqa: PLC0415

    join_ray()
    log.info("reading the hidden states of %s", identity.model_id)
    source = Source(
        path=identity.path,
        revision=identity.revision,
        dtype=section.dtype,
        resources=model.resources,
        role="teacher" if config.target is None else "target",
        storage=storage.settings(),
    )
    return read_model(source, probes, section, config.limits)


def _result(
    evaluate: EvaluateConfig,
    section: RepresentationConfig,
    models: Mapping[str, ModelConfig],
    probes: Sequence[Probe],
    states: Mapping[str, States],
) -> dict[str, Any]:
    # scikit-learn is slow to import, and a finished stage does without it.
    from train.evals.representation.analysis import analyse  # noqa: PLC0415

    left_out = {k: v for one in states.values() for k, v in one.left_out.items()}
    used = [probe for probe in probes if probe.probe_id not in left_out]
    _check_enough(used, section.folds)
    first, *others = states.values()
    if any(list(one.layers) != list(first.layers) for one in others):
        rule = "must have equally many layers, to be looked at side by side"
        raise BadInput(file="config", field="evaluate.models", value=list(states), rule=rule)
    resampling = Resampling(resamples=evaluate.bootstrap_resamples, seed=evaluate.seed)
    prompts = Prompts(
        probes=used,
        num_folds=section.folds,
        num_shuffles=section.shuffles,
        resampling=resampling,
    )
    ids = [probe.probe_id for probe in used]
    chosen_on = BASE if BASE in states else next(iter(states))
    values = {name: one.of(ids) for name, one in states.items()}
    found = analyse(values, first.layers, prompts, chosen_on)
    for name, model in models.items():
        found["models"][name]["model"] = identify(model).model_id
    settings = {
        "folds": section.folds,
        "shuffles": section.shuffles,
        "resamples": evaluate.bootstrap_resamples,
        "seed": evaluate.seed,
        "dtype": section.dtype,
        "max_length": section.max_length,
    }
    counted = dict(sorted(Counter(left_out.values()).items()))
    return {"schema_version": SCHEMA_VERSION, "settings": settings, "left_out": counted, **found}


def _check_enough(probes: Sequence[Probe], folds: int) -> None:
    """Check that every fold leaves prompts of both classes in distribution."""
    for label in (HARMFUL, BENIGN):
        clusters = {p.cluster for p in probes if p.family == ID and p.label == label}
        if len(clusters) < 2 * folds:
            rule = f"needs at least {2 * folds} {label} prompts among the training seeds"
            raise BadInput(file="config", field=_SECTION, value=len(clusters), rule=rule)
