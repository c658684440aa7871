"""Where harmful, helpful and attacked prompts lie in a model, layer by layer.

After the representation analysis of the method paper (2502.04040, section 3): in-distribution
harmful and helpful prompts, and attacked ones looked at from there. What is fitted without the
attacks never sees them; what is fitted on some families is tried on another. Everything is
descriptive: where a prompt lies says nothing of why the model answers as it does.

Intervals are over resampled clusters, as everywhere in the evaluation. They say how much a number
would move with other prompts of the kind looked at; what was fitted (axis, probe) is taken as is.
A leaf: imports scikit-learn (see `fits`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from train.evals.representation.fits import (
    ClassAxis,
    cross_fitted_axis,
    held_out_scores,
    principal_plane,
)
from train.evals.representation.prompts import BENIGN, HARMFUL, ID, Floats, Ints, Mask, Prompts
from train.evals.stats import (
    LEVEL,
    NOTHING,
    Estimate,
    Resampling,
    Term,
    bootstrap,
    estimate,
    wilson,
)

_TAILS = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
_METHOD = "cluster bootstrap"
_NO_WIDTH = 1e-12

Json = dict[str, Any]

_DIGITS = 4
_TIE = 3  # digits of an AUC that count when layers are compared
# The matrices are small, and sums are then taken in one order on any machine.
_on_one_thread = threadpool_limits.wrap(limits=1)


def mean_estimate(values: Floats, clusters: Sequence[str], resampling: Resampling) -> Estimate:
    """Return the mean of real values; one cluster alone has no interval."""
    if not len(values):
        return NOTHING
    term = Term(values=list(zip(clusters, values.tolist(), strict=True)))
    if len(set(clusters)) < 2:
        return Estimate(value=term.mean, low=None, high=None, method="none")
    low, high = np.quantile(bootstrap([term], resampling), _TAILS)
    return Estimate(value=term.mean, low=float(low), high=float(high), method=_METHOD)


def balanced_accuracy(
    right: Mask, labels: Mask, clusters: Sequence[str], resampling: Resampling
) -> Estimate:
    """Return the mean of the two classes' shares of right answers."""
    terms = [
        Term(
            values=[
                (cluster, float(ok))
                for cluster, ok, label in zip(clusters, right, labels, strict=True)
                if label == wanted
            ],
            weight=0.5,
        )
        for wanted in (True, False)
    ]
    return estimate(terms, resampling)


def auc(scores: Floats, labels: Mask, folds: Ints) -> float | None:
    """Return how often a positive prompt scores above a negative one, ties counting half.

    Only prompts of one fold are compared: scores of two fits have no common scale.
    """
    above, pairs = _compared(scores, labels, folds)
    return float(above.sum() / pairs.sum()) if pairs.any() else None


def auc_estimate(
    scores: Floats, labels: Mask, folds: Ints, clusters: Sequence[str], resampling: Resampling
) -> Estimate:
    """Return the `auc` with its interval.

    Where no resample differs from another, as where all prompts are in order, the interval is
    Wilson's for as many prompts as the smaller class has: each can be in order or not.
    """
    value = auc(scores, labels, folds)
    if value is None:
        return NOTHING
    drawn = _weights(tuple(clusters), resampling)
    wins, pairs = (
        ((drawn @ kind) * drawn).sum(axis=1) for kind in _compared(scores, labels, folds)
    )
    found = wins[pairs > 0] / pairs[pairs > 0]
    if np.ptp(found) <= _NO_WIDTH:
        low, high = wilson(value, int(min(labels.sum(), (~labels).sum())))
        return Estimate(value=value, low=low, high=high, method="wilson")
    low, high = np.quantile(found, _TAILS)
    return Estimate(value=value, low=float(low), high=float(high), method=_METHOD)


def _compared(scores: Floats, labels: Mask, folds: Ints) -> tuple[Floats, Floats]:
    """Return which pairs of prompts are in order, and which are compared at all."""
    pairs = labels[:, None] & ~labels[None, :] & (folds[:, None] == folds[None, :])
    above = np.heaviside(scores[:, None] - scores[None, :], 0.5)
    return above * pairs, pairs.astype(np.float64)


@lru_cache(maxsize=8)  # the same for every layer and model
def _weights(clusters: tuple[str, ...], resampling: Resampling) -> Floats:
    """Return how often each resample drew each prompt's cluster: `[resamples, prompts]`."""
    _, place = np.unique(np.array(clusters), return_inverse=True)
    num_clusters = int(place.max()) + 1
    rng = np.random.default_rng(resampling.seed)
    equal = np.full(num_clusters, 1 / num_clusters)
    drawn = rng.multinomial(num_clusters, equal, size=resampling.resamples)
    return drawn[:, place].astype(np.float64)


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


def _position(axis: ClassAxis, prompts: Prompts, family: str) -> Json:
    """Return where a family's harmful and benign prompts lie on the axis."""
    found = {}
    for label, wanted in ((HARMFUL, prompts.harmful), (BENIGN, ~prompts.harmful)):
        chosen = prompts.of(family) & wanted
        clusters = prompts.clusters_of(chosen)
        estimate = mean_estimate(axis.positions[chosen], clusters, prompts.resampling)
        found[label] = _json(estimate)
    return found


def _gap(axis: ClassAxis, prompts: Prompts, family: str) -> float | None:
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
