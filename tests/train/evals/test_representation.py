"""The analysis, on states whose geometry is known."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.train.clouds import SEPARATE, Cloud, make_clouds, make_items, make_probe, make_seeds
from train.evals.representation.analysis import (
    analyse,
    analyse_layer,
    auc,
    auc_estimate,
    mean_estimate,
)
from train.evals.representation.fits import principal_plane
from train.evals.representation.prompts import (
    BENIGN,
    HARMFUL,
    ID,
    Prompts,
    assign_folds,
    choose_probes,
)
from train.evals.stats import Resampling

QUICK = Resampling(resamples=400, seed=0)


def prompts_of(probes: Any, shuffles: int = 10, seed: int = 0) -> Prompts:
    resampling = Resampling(resamples=400, seed=seed)
    return Prompts(probes=probes, num_folds=5, num_shuffles=shuffles, resampling=resampling)


def look(*clouds: Cloud, width: int = 24) -> Any:
    probes, states = make_clouds(*clouds, width=width)
    return analyse_layer(states, prompts_of(probes))


def test_separate_classes_are_found_and_stand_out_from_shuffled_labels() -> None:
    found = look(SEPARATE, Cloud("plain", (4.0,), (0.0,)))
    auc = found["separation"]["auc"]
    assert auc["value"] > 0.97
    assert auc["low"] <= auc["value"] <= auc["high"] <= 1
    assert found["separation"]["dprime"] == pytest.approx(4, abs=0.8)
    assert found["separation"]["dprime"] > 3 * found["control"]["dprime"]["high"]
    assert auc["low"] > found["control"]["auc"]["high"]
    assert found["control"]["auc"]["low"] < 0.5 < found["control"]["auc"]["high"]


def test_classes_that_do_not_differ_are_not_told_apart_and_give_no_scale() -> None:
    found = look(Cloud(ID, (0.0,), (0.0,)), Cloud("plain", (0.0,), (0.0,)))
    auc = found["separation"]["auc"]
    assert auc["low"] < 0.5 < auc["high"]
    assert found["families"]["plain"]["position"] is None


@pytest.mark.parametrize(("centre", "position"), [(0.0, 0.0), (2.0, 0.5), (4.0, 1.0)])
def test_a_family_lies_on_the_axis_where_it_was_put(centre: float, position: float) -> None:
    found = look(SEPARATE, Cloud("cipher", (centre, 9.0), (0.0, 9.0)))["families"]["cipher"]
    harmful, benign = found["position"]["harmful"], found["position"]["benign"]
    assert harmful["value"] == pytest.approx(position, abs=0.12)
    assert harmful["low"] < harmful["value"] < harmful["high"]
    assert benign["value"] == pytest.approx(0, abs=0.12)
    assert found["gap"] == pytest.approx(centre, abs=0.8)


def test_prompts_like_those_in_distribution_lie_at_one_and_zero_in_many_dimensions() -> None:
    """An axis measured on what it was fitted on would put them far inside."""
    cloud = Cloud(ID, (4.0,), (0.0,))
    found = look(cloud, Cloud("plain", (4.0,), (0.0,), twins=100), width=400)
    position = found["families"]["plain"]["position"]
    assert position["harmful"]["value"] == pytest.approx(1, abs=0.25)
    assert position["benign"]["value"] == pytest.approx(0, abs=0.25)


def test_a_shifted_family_is_far_and_one_of_the_same_kind_near() -> None:
    found = look(SEPARATE, Cloud("cipher", (4.0, 8.0), (0.0, 8.0)), Cloud("plain", (4.0,), (0.0,)))
    far, near = (found["families"][family]["distance"] for family in ("cipher", "plain"))
    assert far["value"] > 1.8
    assert far["high"] <= 2
    assert near["low"] < 0.3
    assert near["high"] < far["low"]


def test_a_family_with_the_labels_the_other_way_round_defeats_the_probe() -> None:
    alike, turned = Cloud("role", (4.0,), (0.0,)), Cloud("role", (0.0,), (4.0,))
    before, after = (
        look(SEPARATE, Cloud("plain", (4.0,), (0.0,)), family)["families"]["role"]["left_out"]
        for family in (alike, turned)
    )
    assert before["auc"]["value"] > 0.9
    assert before["balanced_accuracy"]["low"] > 0.8
    assert after["auc"]["value"] < 0.1
    assert after["balanced_accuracy"]["high"] < 0.2


def test_the_probe_left_out_of_a_family_knows_none_of_its_seeds() -> None:
    """Forms of one seed look alike here, and nothing else tells harmful from benign."""
    seeds = np.random.default_rng(1).normal(size=(2, 40, 200)) * 5
    rows = [
        (make_probe(family, label, number), seeds[side, number])
        for family in ("cipher", "plain")
        for number in range(40)
        for side, label in enumerate((HARMFUL, BENIGN))
    ]
    own, states = make_clouds(SEPARATE, width=200)
    probes = [*own, *(probe for probe, _ in rows)]
    found = analyse_layer(np.array([*states, *(row for _, row in rows)]), prompts_of(probes))
    auc = found["families"]["cipher"]["left_out"]["auc"]
    assert auc["low"] < 0.5 < auc["high"]


def test_attacks_change_nothing_that_is_fitted_in_distribution() -> None:
    near = make_clouds(SEPARATE, Cloud("cipher", (4.0,), (0.0,)))
    far = make_clouds(SEPARATE, Cloud("cipher", (-90.0, 50.0), (70.0, 3.0)))
    prompts = prompts_of(near[0])
    one, other = (analyse_layer(states, prompts) for _, states in (near, far))
    assert one["separation"] == other["separation"]
    assert one["control"] == other["control"]
    planes = [principal_plane(states, prompts.own, prompts.harmful) for _, states in (near, far)]
    assert np.array_equal(planes[0].points[prompts.own], planes[1].points[prompts.own])
    alone = make_clouds(SEPARATE)
    without = principal_plane(alone[1], *(prompts_of(alone[0]).own, prompts_of(alone[0]).harmful))
    assert np.allclose(without.points, planes[0].points[prompts.own])


def test_the_layer_is_chosen_by_the_separation_of_one_model() -> None:
    clouds = [Cloud(ID, (gap,), (0.0,)) for gap in (0.5, 2.0, 0.0)]
    attack = [Cloud("cipher", (9.0 * k,), (0.0,)) for k in range(3)]
    made = [make_clouds(*pair) for pair in zip(clouds, attack, strict=True)]
    states = np.stack([rows for _, rows in made], axis=1)
    models = {"base": states, "srg": states[:, ::-1]}
    found = analyse(models, [3, 7, 9], prompts_of(made[0][0]), "base")
    assert (found["chosen_layer"], found["chosen_on"]) == (7, "base")
    assert [layer["layer"] for layer in found["models"]["srg"]["layers"]] == [3, 7, 9]
    points = found["models"]["srg"]["plane"]["points"]
    assert [(p["family"], p["label"], len(p["x"])) for p in points] == [
        (family, label, 40) for family in (ID, "cipher") for label in (HARMFUL, BENIGN)
    ]
    assert sum(points[0]["x"]) > sum(points[1]["x"])


def test_the_same_again_and_in_any_rotation() -> None:
    probes, states = make_clouds(SEPARATE, Cloud("cipher", (2.0, 3.0), (0.0, 3.0)))
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(24, 24)))
    first, again, turned = (
        analyse_layer(rows, prompts_of(probes)) for rows in (states, states.copy(), states @ turn)
    )
    assert first == again
    assert numbers(turned) == pytest.approx(numbers(first), abs=2e-3)


def numbers(found: Any) -> list[float]:
    if isinstance(found, dict):
        return [x for value in found.values() for x in numbers(value)]
    return [found] if isinstance(found, float) else []


def test_a_family_of_one_prompt_or_one_label_has_what_can_be_said_of_it() -> None:
    probes, states = make_clouds(SEPARATE, Cloud("plain", (4.0,), (0.0,)))
    rows = [i for i, p in enumerate(probes) if p.family == ID or p.probe_id == "plain-harmful-0"]
    found = analyse_layer(states[rows], prompts_of([probes[i] for i in rows]))["families"]["plain"]
    assert found["position"]["harmful"]["value"] > 0.3
    assert found["position"]["harmful"]["low"] is None
    assert found["position"]["benign"]["value"] is None
    assert found["gap"] is None
    assert found["distance"]["value"] is None
    assert found["left_out"]["auc"]["value"] is None


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    truth = stats.norm.cdf(1 / np.sqrt(2))  # classes one standard deviation apart
    labels, folds = np.arange(80) < 40, np.zeros(80, dtype=np.int64)
    clusters = [str(i % 40) for i in range(80)]
    means = aucs = 0
    for _ in range(150):
        scores = rng.normal(size=80) + labels
        order = auc_estimate(scores, labels, folds, clusters, QUICK)
        assert order.low is not None
        assert order.high is not None
        aucs += order.low <= truth <= order.high
        shared = np.repeat(rng.normal(size=40), 2)
        mean = mean_estimate(shared, [str(i // 2) for i in range(80)], QUICK)
        assert mean.low is not None
        assert mean.high is not None
        means += mean.low <= 0 <= mean.high
    assert means / 150 >= 0.88
    assert aucs / 150 >= 0.88


@given(
    scores=st.lists(st.sampled_from((0.0, 0.5, 1.0, 2.5)), min_size=2, max_size=20),
    data=st.data(),
)
def test_an_auc_counts_the_pairs_of_a_fold_that_are_in_order(
    scores: list[float], data: Any
) -> None:
    size = len(scores)
    labels = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    folds = np.array(data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)))
    compared = [
        (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
        for i in np.flatnonzero(labels)
        for j in np.flatnonzero(~labels)
        if folds[i] == folds[j]
    ]
    expected = sum(compared) / len(compared) if compared else None
    assert auc(np.array(scores), labels, folds) == pytest.approx(expected)


def test_a_perfect_order_still_has_an_interval() -> None:
    labels = np.arange(40) < 20
    folds = np.arange(40) % 5
    found = auc_estimate(
        labels.astype(np.float64), labels, folds, [str(i) for i in range(40)], QUICK
    )
    assert (found.value, found.method) == (1, "wilson")
    assert found.low is not None
    assert 0.8 < found.low < 0.9


@settings(max_examples=30)
@given(twins=st.integers(5, 60), folds=st.integers(2, 7), seed=st.integers(0, 3))
def test_twins_and_attacked_forms_share_a_fold(twins: int, folds: int, seed: int) -> None:
    probes, _ = make_clouds(*(Cloud(name, (0.0,), (0.0,), twins) for name in (ID, "plain", "role")))
    fold = assign_folds(probes, folds, seed)
    of_cluster = defaultdict(set)
    for probe, one in zip(probes, fold.tolist(), strict=True):
        of_cluster[probe.cluster].add(one)
    assert all(len(found) == 1 for found in of_cluster.values())
    sizes = Counter(fold[[p.family == ID for p in probes]].tolist())
    assert max(sizes.values()) - min(sizes.get(k, 0) for k in range(folds)) <= 2


def test_prompts_are_balanced_over_classes_and_shared_out_over_attacks() -> None:
    training, held_out = make_seeds("train", 90), make_seeds("eval", 60)
    items = [
        *make_items(held_out, "plain", "plain"),
        *make_items(make_seeds("a", 60), "rot13", "cipher"),
        *make_items(make_seeds("b", 60), "base64", "cipher"),
        *make_items(make_seeds("c", 4), "story", "role"),
    ]
    probes = choose_probes(training, items, 300)
    assert probes == choose_probes(training, items[::-1], 300)
    counts = Counter((p.family, p.attack, p.label) for p in probes)
    for family, attack, n in (
        (ID, ID, 86),
        ("plain", "plain", 30),
        ("cipher", "rot13", 15),
        ("cipher", "base64", 15),
        ("role", "story", 4),
    ):
        assert [counts.pop((family, attack, label)) for label in (HARMFUL, BENIGN)] == [n, n]
    assert not counts
    assert len({p.probe_id for p in probes}) == len(probes) <= 300
    twins = Counter(p.cluster for p in probes)
    assert set(twins.values()) == {2}
