"""What is fitted to hidden states, always on other prompts than it is looked at with.

A leaf: imports scikit-learn. Pure functions of arrays, of which only inner products matter: any
rotation of the states gives the same answers (see `states`).
"""

from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from train.evals.representation.prompts import Floats, Ints, Mask

_MAX_ITERATIONS = 2000


def held_out_scores(
    states: Floats, labels: Mask, train: Mask, test: Mask, folds: Ints
) -> Floats | None:
    """Return how much a linear probe takes each prompt of `test` for a positive one.

    For each fold, an L2-regularised logistic regression with balanced classes is fitted on the
    prompts of `train` outside the fold, centred, and scaled by one number to a mean variance of
    1 a dimension, the rotation-invariant form of standardising.

    Returns:
        Log-odds, nan outside `test`; None where some training part has one class only.
    """
    scores = np.full(len(states), np.nan)
    for fold in np.unique(folds[test]):
        fitted, looked_at = train & (folds != fold), test & (folds == fold)
        if len(np.unique(labels[fitted])) < 2:
            return None
        centre = states[fitted].mean(axis=0)
        scale = float(np.std(states[fitted] - centre)) or 1.0
        model = LogisticRegression(class_weight="balanced", max_iter=_MAX_ITERATIONS)
        model.fit((states[fitted] - centre) / scale, labels[fitted])
        scores[looked_at] = model.decision_function((states[looked_at] - centre) / scale)
    return scores


class ClassAxis(NamedTuple):
    """Every prompt's place on the axis between two classes.

    Attributes:
        places: Along the unit vector from the negative class's mean to the positive one's.
        negative: Mean place of the negative class.
        positive: Mean place of the positive class.
        spread: Standard deviation within the classes.
    """

    places: Floats
    negative: float
    positive: float
    spread: float

    @property
    def dprime(self) -> float:
        """How far the classes' means are apart, in standard deviations within a class."""
        return (self.positive - self.negative) / self.spread if self.spread else 0.0

    @property
    def positions(self) -> Floats:
        """The places, with the negative class's mean at 0 and the positive one's at 1."""
        return (self.places - self.negative) / (self.positive - self.negative)


def cross_fitted_axis(states: Floats, labels: Mask, own: Mask, folds: Ints) -> ClassAxis:
    """Place prompts on the difference of two classes' means.

    In more dimensions than prompts, the means of the very prompts that the axis was fitted on
    always lie apart. So there is an axis for each fold, fitted outside it: prompts of `own` are
    placed on their fold's, all others on the mean of them.

    Args:
        states: `[prompts, dimensions]`.
        labels: The positive class; looked at within `own` alone.
        own: The prompts that axes are fitted on.
        folds: Each prompt's.
    """
    centred = states - states[own].mean(axis=0)
    axes = np.array(
        [_axis(centred, labels, own & (folds != fold)) for fold in range(folds.max() + 1)]
    )
    places = np.where(own, (centred * axes[folds]).sum(axis=1), centred @ axes.mean(axis=0))
    positive, negative = places[own & labels], places[own & ~labels]
    return ClassAxis(
        places=places,
        negative=float(negative.mean()),
        positive=float(positive.mean()),
        spread=float(np.sqrt((positive.var() + negative.var()) / 2)),
    )


def _axis(states: Floats, labels: Mask, fitted: Mask) -> Floats:
    difference = states[fitted & labels].mean(axis=0) - states[fitted & ~labels].mean(axis=0)
    length = float(np.linalg.norm(difference))
    return difference / length if length else difference


class Plane(NamedTuple):
    """Two principal components: each prompt's coordinates, and each component's share."""

    points: Floats
    explained: tuple[float, float]


def principal_plane(states: Floats, own: Mask, labels: Mask) -> Plane:
    """Project all prompts on the first two principal components of those of `own`.

    Components have no sign: each points to where more of the positive class of `own` is.
    """
    found = PCA(n_components=2, svd_solver="full").fit(states[own])
    points = found.transform(states)
    lean = points[own & labels].mean(axis=0) - points[own & ~labels].mean(axis=0)
    first, second = (float(share) for share in found.explained_variance_ratio_)
    return Plane(points * np.where(lean < 0, -1.0, 1.0), (first, second))
