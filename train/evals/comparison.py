"""Models, and methods of several training seeds, on the same prompts: paired differences.

A difference between two students may be one between two seeds. Where an arm has been trained
more than once, its students together stand for the method, with the seed as the outer cluster.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import get_args

from synth.errors import BadInput
from synth.judges import find_judge
from train.evals import metrics, stats
from train.evals.attacks import PLAIN
from train.evals.config import BASE, Comparison, EvaluateConfig, Metric
from train.evals.judge import is_guard
from train.evals.metrics import (
    DIGITS,
    Json,
    Property,
    ScoredGroups,
    decoded,
    estimate_json,
    group,
    headline,
    labelled,
    on_same_prompts,
    terms_of,
    unsafe_by,
)
from train.evals.records import RULES, Scored
from train.evals.stats import MIN_SEEDS, Estimate, Resampling, Term, nested_estimate
from train.evals.utility import SUITE as UTILITY

UNLIKE_TRUNCATION = 0.05  # beyond this difference of cut answers a comparison is marked

Records = Mapping[str, Sequence[Scored]]

Students = Mapping[str, Sequence[str]]


def primary_comparison(
    config: EvaluateConfig, models: Sequence[str], arms: Sequence[str] = ()
) -> Comparison | None:
    """Return the comparison fixed beforehand; None where only one model is evaluated.

    Args:
        config: Names it, or leaves it to be the last arm against the first model.
        models: Names of what is evaluated.
        arms: The arms among them.

    Raises:
        BadInput: It names a model, suite or attack that is not evaluated, or takes a guard.
    """
    suites = ["seeds" if isinstance(suite, str) else suite.name for suite in config.suites]
    if config.primary is None:
        if len(models) < 2:
            return None
        model = arms[-1] if arms else models[-1]
        return Comparison(metric="discrimination", model=model, baseline=models[0], suite=suites[0])
    wanted = config.primary
    for field, value, known in (
        ("model", wanted.model, models),
        ("baseline", wanted.baseline, models),
        ("attack", wanted.attack, (PLAIN, *config.attack_names)),
        ("suite", wanted.suite, suites),
    ):
        if value not in known:
            rule = f"must be one of those evaluated: {', '.join(known)}"
            raise BadInput(file="config", field=f"evaluate.primary.{field}", value=value, rule=rule)
    if wanted.metric == "asr" and not any(is_guard(find_judge(j.name)) for j in config.judges):
        rule = "takes a guard in evaluate.judges; by rules alone it is asr_rule, a proxy"
        raise BadInput(file="config", field="evaluate.primary.metric", value="asr", rule=rule)
    return wanted


def compare_students(
    records: Records, config: EvaluateConfig, judge: str = RULES, arms: Sequence[str] = ()
) -> Json:
    """Return every pair of models on every group and headline metric.

    The primary comparison stands by itself; the p-values of all others are adjusted for
    their number (Holm).

    Args:
        records: Each model's, in the order base, then arms.
        config: Names the primary comparison and the resampling.
        judge: Whose verdicts make `asr`.
        arms: The arms among the models.
    """
    primary = primary_comparison(config, list(records), arms)
    groups = {name: group(found) for name, found in records.items()}
    metrics_compared = [m for m in get_args(Metric) if m != "asr" or judge != RULES]
    wanted = [
        Comparison(metric=metric, model=model, baseline=baseline, attack=attack, suite=suite)
        for baseline, model in combinations(groups, 2)
        for suite, attack in next(iter(groups.values()))
        if suite != UTILITY
        for metric in metrics_compared
    ]
    known = () if primary is None else (primary, _turned(primary))
    rest = [_compare(groups, one, config, judge) for one in wanted if one not in known]
    tested = [one for one in rest if one["p"] is not None]
    adjusted = stats.holm([one["p"] for one in tested])
    for one, p_holm in zip(tested, adjusted, strict=True):
        one["p_holm"] = round(p_holm, DIGITS)
    return {
        "primary": None if primary is None else _compare(groups, primary, config, judge),
        "others": rest,
    }


def _compare(
    groups: Mapping[str, ScoredGroups], wanted: Comparison, config: EvaluateConfig, judge: str
) -> Json:
    resampling = Resampling(resamples=config.bootstrap_resamples, seed=config.seed)
    asked = [
        decoded(groups[name].get((wanted.suite, wanted.attack), []), wanted.decoding)
        for name in (wanted.model, wanted.baseline)
    ]
    cut = _cut_share(asked[0]) - _cut_share(asked[1])
    judged_by = judge if wanted.metric == "asr" else RULES
    model, baseline = on_same_prompts(asked[0], asked[1], unsafe_by(judged_by))
    terms = terms_of(
        headline(model, wanted.metric, judge) + headline(baseline, wanted.metric, judge, -1.0)
    )
    means = detectable = None
    if all(term.values for term in terms):
        means = stats.resampled_means(terms, resampling)
        detectable = stats.detectable(terms, resampling, means)
    single = _single_question(wanted.metric, judge) if _one_answer_each(wanted, config) else None
    test, p = _test(model, baseline, single, terms, resampling)
    return wanted.model_dump() | {
        "difference": estimate_json(stats.estimate(terms, resampling, means)),
        "prompts": sum(len(term.values) for term in terms) // 2,
        "test": test,
        "p": None if p is None else round(p, DIGITS),
        "detectable": None if detectable is None else round(detectable, DIGITS),
        "enough": stats.enough(detectable),
        "truncation_difference": round(cut, DIGITS),
        "truncation_unlike": abs(cut) > UNLIKE_TRUNCATION,
    }


def _turned(one: Comparison) -> Comparison:
    """Return the same comparison from the other side: the same test, no further one."""
    return one.model_copy(update={"model": one.baseline, "baseline": one.model})


def _one_answer_each(wanted: Comparison, config: EvaluateConfig) -> bool:
    return wanted.decoding == "greedy" or config.samples == 1


def _single_question(metric: str, judge: str) -> tuple[str, Property] | None:
    """Return label and property of a metric that one answer a prompt settles by yes or no."""
    return {
        "asr": ("harmful", unsafe_by(judge)),
        "asr_rule": ("harmful", metrics.not_refused),
        "over_refusal": ("benign", metrics.refused_at_all),
    }.get(metric)


def _test(
    model: list[Scored],
    baseline: list[Scored],
    single: tuple[str, Property] | None,
    terms: Sequence[Term],
    resampling: Resampling,
) -> tuple[str, float | None]:
    if not all(term.values for term in terms):
        return "none", None
    if single is None or _shares_clusters(labelled(model, single[0])):
        return "sign-flip permutation", stats.sign_flip_p(terms, resampling)
    label, shows = single
    first = {r.origin: shows(r) for r in labelled(model, label)}
    second = {r.origin: shows(r) for r in labelled(baseline, label)}
    changed = [first[origin] for origin in first if first[origin] != second[origin]]
    only_model = changed.count(True)
    p = stats.mcnemar_p(only_model, len(changed) - only_model)
    return "mcnemar exact", p


def _shares_clusters(records: Sequence[Scored]) -> bool:
    """Say whether two of the prompts belong together, which McNemar's test knows nothing of."""
    return len({r.cluster for r in records}) < len({r.origin for r in records})


def _cut_share(records: Sequence[Scored]) -> float:
    made = [record.truncated for record in records if record.generated]
    return sum(made) / len(made) if made else 0.0


def compare_methods(
    students: Students,
    records: Mapping[str, Sequence[Scored]],
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
    model: Sequence[ScoredGroups],
    baseline: Sequence[ScoredGroups],
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
