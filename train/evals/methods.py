"""Methods, not students: arms compared over several training seeds.

A difference between two students may be one between two seeds. Where an arm has been trained
more than once, its students together stand for the method, with the seed as the outer cluster.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import get_args

from train.evals.config import BASE, EvaluateConfig, Metric
from train.evals.grouping import Groups, decoded, group, on_same_prompts
from train.evals.headline import headline, terms_of
from train.evals.intervals import Estimate, Resampling, Term
from train.evals.judged import unsafe_by
from train.evals.rates import Json, estimate_json
from train.evals.records import RULES, Record
from train.evals.suite import SUITE as UTILITY
from train.evals.training_seeds import MIN_SEEDS, nested_estimate

Students = Mapping[str, Sequence[str]]


def compare_methods(
    students: Students,
    records: Mapping[str, Sequence[Record]],
    section: EvaluateConfig,
    judge: str,
) -> list[Json]:
    """Return every pair of methods on every group and headline metric; empty with one seed each.

    Args:
        students: Names of each arm's evaluated students, one a training seed.
        records: By model.
        section: How intervals are drawn.
        judge: Whose verdicts make `asr`.
    """
    if all(len(own) < 2 for own in students.values()):
        return []
    sampled = {name: group(decoded(found, "sampled")) for name, found in records.items()}
    methods = {arm: [sampled[name] for name in own] for arm, own in students.items()}
    if BASE in sampled:
        most = max(map(len, methods.values()))
        methods = {BASE: [sampled[BASE]] * most, **methods}
    resampling = Resampling(resamples=section.bootstrap_resamples, seed=section.seed)
    metrics = [metric for metric in get_args(Metric) if metric != "asr" or judge != RULES]
    return [
        {"metric": metric, "model": model, "baseline": baseline, "suite": suite, "attack": attack}
        | _difference(methods[model], methods[baseline], (suite, attack), metric, judge, resampling)
        for baseline, model in combinations(methods, 2)
        for suite, attack in next(iter(sampled.values()))
        if suite != UTILITY
        for metric in metrics
    ]


def _difference(
    model: Sequence[Groups],
    baseline: Sequence[Groups],
    at: tuple[str, str],
    metric: str,
    judge: str,
    resampling: Resampling,
) -> Json:
    """Compare the students of two methods, seed by seed."""
    by_seed: list[list[Term]] = []
    for own, other in zip(model, baseline, strict=False):  # as many seeds as both have
        shows = unsafe_by(judge if metric == "asr" else RULES)
        first, second = on_same_prompts(own.get(at, []), other.get(at, []), shows)
        parts = headline(first, metric, judge) + headline(second, metric, judge, -1.0)
        by_seed.append(terms_of(parts))
    found = nested_estimate(by_seed, resampling)
    return {
        "difference": estimate_json(found),
        "seeds": len(by_seed),
        "supported": len(by_seed) >= MIN_SEEDS and _excludes_zero(found),
    }


def _excludes_zero(found: Estimate) -> bool:
    return found.low is not None and found.high is not None and not found.low <= 0 <= found.high
