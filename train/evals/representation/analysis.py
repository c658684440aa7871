"""Where harmful, helpful and attacked prompts lie in a model, layer by layer.

After the representation analysis of the method paper (2502.04040, section 3): in-distribution
harmful and helpful prompts, and attacked ones looked at from there. What is fitted without the
attacks never sees them; what is fitted on some families is tried on another. Everything is
descriptive: where a prompt lies says nothing of why the model answers as it does.
A leaf: imports scikit-learn (see `fits`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from train.evals.intervals import LEVEL, NOTHING, Estimate
from train.evals.representation.fits import (
    Axis,
    cross_fitted_axis,
    held_out_scores,
    principal_plane,
)
from train.evals.representation.intervals import auc, auc_estimate, balanced_accuracy, mean_estimate
from train.evals.representation.probes import BENIGN, HARMFUL, ID
from train.evals.representation.prompts import Floats, Mask, Prompts

Json = dict[str, Any]

_DIGITS = 4
_TIE = 3  # digits of an AUC that count when layers are compared
# The matrices are small, and sums are then taken in one order on any machine.
_on_one_thread = threadpool_limits.wrap(limits=1)


def analyse(
    models: Mapping[str, Floats], layers: Sequence[int], prompts: Prompts, chosen_on: str
) -> Json:
    """Return the analysis of all models as JSON data; `stage` documents its form.

    Args:
        models: Each one's states, `[prompts, layers, dimensions]`.
        layers: Their numbers.
        prompts: The prompts.
        chosen_on: The model whose separation chooses the layer that is drawn.
    """
    found = {
        name: [
            {"layer": layer} | analyse_layer(states[:, place], prompts)
            for place, layer in enumerate(layers)
        ]
        for name, states in models.items()
    }
    chosen = choose_layer(found[chosen_on])
    place = list(layers).index(chosen)
    return {
        "layers": list(layers),
        "chosen_layer": chosen,
        "chosen_on": chosen_on,
        "level": LEVEL,
        "groups": _groups(prompts),
        "models": {
            name: {"layers": found[name], "plane": _plane(states[:, place], prompts)}
            for name, states in models.items()
        },
    }


def choose_layer(layers: Sequence[Json]) -> int:
    """Return the layer whose held-out classes in distribution are best separated.

    The highest AUC, of those equal to three digits the largest d', of those the first layer.
    Attacks have no part in it.
    """

    def rank(layer: Json) -> tuple[float, float, int]:
        separation = layer["separation"]
        return round(separation["auc"]["value"], _TIE), separation["dprime"], -layer["layer"]

    return max(layers, key=rank)["layer"]


@_on_one_thread
def analyse_layer(states: Floats, prompts: Prompts) -> Json:
    """Return what is found in one layer's states, `[prompts, dimensions]`."""
    own = prompts.own
    scores = held_out_scores(states, prompts.harmful, own, own, prompts.folds)
    if scores is None:
        raise ValueError("a fold leaves a class in distribution without a prompt")
    axis = cross_fitted_axis(states, prompts.harmful, own, prompts.folds)
    controls = [
        cross_fitted_axis(states, labels, own, prompts.folds) for labels in prompts.shuffles
    ]
    control = {
        "auc": _spread([_shuffled_auc(states, labels, prompts) for labels in prompts.shuffles]),
        "dprime": _spread([one.dprime for one in controls]),
    }
    has_scale = axis.dprime > control["dprime"]["high"]
    return {
        "separation": {
            "auc": _json(_auc(scores, prompts.harmful, own, prompts)),
            "dprime": _round(axis.dprime),
        },
        "control": control,
        "families": {
            family: {
                "position": _position(axis, prompts, family) if has_scale else None,
                "gap": _gap(axis, prompts, family),
                "gap_control": _spread([_gap(one, prompts, family) for one in controls]),
                "distance": _json(_distance(states, prompts, family)),
                "left_out": _left_out(states, prompts, family),
            }
            for family in prompts.families
        },
    }


def _auc(scores: Floats, labels: Mask, chosen: Mask, prompts: Prompts) -> Estimate:
    folds, clusters = prompts.folds[chosen], prompts.clusters_of(chosen)
    return auc_estimate(scores[chosen], labels[chosen], folds, clusters, prompts.resampling)


def _shuffled_auc(states: Floats, labels: Mask, prompts: Prompts) -> float | None:
    own = prompts.own
    scores = held_out_scores(states, labels, own, own, prompts.folds)
    return None if scores is None else auc(scores[own], labels[own], prompts.folds[own])


def _position(axis: Axis, prompts: Prompts, family: str) -> Json:
    """Return where a family's harmful and benign prompts lie on the axis."""
    found = {}
    for label, wanted in ((HARMFUL, prompts.harmful), (BENIGN, ~prompts.harmful)):
        chosen = prompts.of(family) & wanted
        clusters = prompts.clusters_of(chosen)
        estimate = mean_estimate(axis.positions[chosen], clusters, prompts.resampling)
        found[label] = _json(estimate)
    return found


def _gap(axis: Axis, prompts: Prompts, family: str) -> float | None:
    """Return how far along the axis a family's harmful prompts lie from its benign ones.

    In standard deviations within a class in distribution, as d', so that axes can be compared.
    """
    chosen = prompts.of(family)
    harmful, benign = (axis.places[chosen & w] for w in (prompts.harmful, ~prompts.harmful))
    if not harmful.size or not benign.size or not axis.spread:
        return None
    return _round(float(harmful.mean() - benign.mean()) / axis.spread)


def _distance(states: Floats, prompts: Prompts, family: str) -> Estimate:
    """Return the proxy A-distance of a family's harmful prompts from those in distribution.

    2(1 - 2 err) of a classifier that tells the two apart (Ben-David et al. 2007), with the
    cross-validated balanced error: 0 where it can not (a little less by chance), 2 where it
    never fails.
    """
    other = prompts.of(family)
    chosen = (prompts.own | other) & prompts.harmful
    scores = held_out_scores(states, other, chosen, chosen, prompts.folds)
    if scores is None:
        return NOTHING
    right = (scores[chosen] > 0) == other[chosen]
    clusters = prompts.clusters_of(chosen)
    found = balanced_accuracy(right, other[chosen], clusters, prompts.resampling)
    ends = [
        None if x is None else min(2.0, 4 * x - 2) for x in (found.value, found.low, found.high)
    ]
    return Estimate(value=ends[0], low=ends[1], high=ends[2], method=found.method)


def _left_out(states: Floats, prompts: Prompts, family: str) -> Json:
    """Return how a probe does on a family that it was not fitted on.

    It is fitted on the prompts in distribution and on all other families, but for those made of
    the seeds it is tried on.
    """
    other = prompts.of(family)
    scores = held_out_scores(states, prompts.harmful, ~other, other, prompts.folds)
    if scores is None:
        return {"auc": _json(NOTHING), "balanced_accuracy": _json(NOTHING)}
    labels, clusters = prompts.harmful[other], prompts.clusters_of(other)
    right = (scores[other] > 0) == labels
    accuracy = balanced_accuracy(right, labels, clusters, prompts.resampling)
    return {
        "auc": _json(_auc(scores, prompts.harmful, other, prompts)),
        "balanced_accuracy": _json(accuracy),
    }


@_on_one_thread
def _plane(states: Floats, prompts: Prompts) -> Json:
    found = principal_plane(states, prompts.own, prompts.harmful)
    return {
        "explained": [_round(share) for share in found.explained],
        "points": [
            {
                "family": family,
                "label": label,
                "x": [_round(x) for x in found.points[chosen, 0].tolist()],
                "y": [_round(y) for y in found.points[chosen, 1].tolist()],
            }
            for family, label, chosen in _classes(prompts)
        ],
    }


def _groups(prompts: Prompts) -> list[Json]:
    return [
        {
            "family": family,
            "label": label,
            "prompts": int(chosen.sum()),
            "clusters": len(set(prompts.clusters_of(chosen))),
            "attacks": sorted(
                {p.attack for p, one in zip(prompts.probes, chosen, strict=True) if one}
            ),
        }
        for family, label, chosen in _classes(prompts)
    ]


def _classes(prompts: Prompts) -> list[tuple[str, str, Mask]]:
    return [
        (family, label, prompts.of(family) & wanted)
        for family in (ID, *prompts.families)
        for label, wanted in ((HARMFUL, prompts.harmful), (BENIGN, ~prompts.harmful))
    ]


def _spread(values: Sequence[float | None]) -> Json:
    """Return the mean of a control's values, and the range of the middle 95 % of them."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "low": None, "high": None}
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"mean": _round(np.mean(known)), "low": _round(low), "high": _round(high)}


def _json(estimate: Estimate) -> Json:
    return {k: _round(v) if isinstance(v, float) else v for k, v in asdict(estimate).items()}


def _round(value: Any) -> float:
    return round(float(value), _DIGITS)
