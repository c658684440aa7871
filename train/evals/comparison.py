"""Two models on the same prompts: paired differences, and how sure one can be of them."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, get_args

from synth.errors import BadInput
from train.evals import metrics, statistics
from train.evals.config import Comparison, EvaluateConfig, Metric
from train.evals.metrics import Property
from train.evals.records import Record
from train.evals.statistics import Resampling, Term
from train.evals.summary import DIGITS, as_json, group, headline, labelled
from train.evals.transforms import PLAIN

UNLIKE_TRUNCATION = 0.05  # beyond this difference of cut answers a comparison is marked

Json = dict[str, Any]
Records = Mapping[str, Sequence[Record]]


def primary_comparison(config: EvaluateConfig, models: Sequence[str]) -> Comparison | None:
    """Return the comparison fixed beforehand; None where only one model is evaluated.

    Raises:
        BadInput: It names a model, suite or attack that is not evaluated.
    """
    suites = ["seeds" if isinstance(suite, str) else suite.name for suite in config.suites]
    if config.primary is None:
        if len(models) < 2:
            return None
        return Comparison(
            metric="discrimination", model=models[-1], baseline=models[0], suite=suites[0]
        )
    wanted = config.primary
    for field, value, known in (
        ("model", wanted.model, models),
        ("baseline", wanted.baseline, models),
        ("attack", wanted.attack, (PLAIN, *config.attacks)),
        ("suite", wanted.suite, suites),
    ):
        if value not in known:
            rule = f"must be one of those evaluated: {', '.join(known)}"
            raise BadInput(file="config", field=f"evaluate.primary.{field}", value=value, rule=rule)
    return wanted


def compare(records: Records, config: EvaluateConfig) -> Json:
    """Return every pair of models on every group and headline metric.

    The primary comparison stands by itself; the p-values of all others are adjusted for
    their number (Holm).

    Args:
        records: Each model's, in the order base, then arms.
        config: Names the primary comparison and the resampling.
    """
    primary = primary_comparison(config, list(records))
    wanted = [
        Comparison(metric=metric, model=model, baseline=baseline, attack=attack, suite=suite)
        for baseline, model in combinations(records, 2)
        for suite, attack in group(next(iter(records.values())))
        for metric in get_args(Metric)
    ]
    rest = [_compare(records, one, config) for one in wanted if one != primary]
    tested = [one for one in rest if one["p"] is not None]
    adjusted = statistics.holm([one["p"] for one in tested])
    for one, p_holm in zip(tested, adjusted, strict=True):
        one["p_holm"] = round(p_holm, DIGITS)
    return {
        "primary": None if primary is None else _compare(records, primary, config),
        "others": rest,
    }


def _compare(records: Records, wanted: Comparison, config: EvaluateConfig) -> Json:
    resampling = Resampling(resamples=config.bootstrap_resamples, seed=config.seed)
    asked = [
        group(records[name]).get((wanted.suite, wanted.attack), [])
        for name in (wanted.model, wanted.baseline)
    ]
    cut = _cut_share(asked[0]) - _cut_share(asked[1])
    model, baseline = _answered_by_both(*asked)
    terms = headline(model, wanted.metric) + headline(baseline, wanted.metric, -1.0)
    found = statistics.estimate(terms, resampling)
    test, p = _test(model, baseline, wanted.metric, terms, config.samples, resampling)
    return wanted.model_dump() | {
        "difference": as_json(found),
        "prompts": sum(len(term.values) for term in terms) // 2,
        "test": test,
        "p": None if p is None else round(p, DIGITS),
        "detectable": _detectable(terms, resampling),
        "truncation_difference": round(cut, DIGITS),
        "truncation_unlike": abs(cut) > UNLIKE_TRUNCATION,
    }


def _answered_by_both(
    first: Sequence[Record], second: Sequence[Record]
) -> tuple[list[Record], list[Record]]:
    """Return the records of the prompts on which both models have a determined answer."""
    both = {r.origin for r in first if r.verdict != "undetermined"} & {
        r.origin for r in second if r.verdict != "undetermined"
    }
    return [r for r in first if r.origin in both], [r for r in second if r.origin in both]


def _test(
    model: list[Record],
    baseline: list[Record],
    metric: str,
    terms: Sequence[Term],
    samples: int,
    resampling: Resampling,
) -> tuple[str, float | None]:
    if not all(term.values for term in terms):
        return "none", None
    single: dict[str, tuple[str, Property]] = {
        "asr_rule": ("harmful", metrics.not_refused),
        "over_refusal": ("benign", metrics.refused_at_all),
    }
    if samples > 1 or metric not in single:
        return "sign-flip permutation", statistics.sign_flip_p(terms, resampling)
    label, shows = single[metric]
    first = {r.origin: shows(r) for r in labelled(model, label)}
    second = {r.origin: shows(r) for r in labelled(baseline, label)}
    changed = [first[origin] for origin in first if first[origin] != second[origin]]
    only_model = changed.count(True)
    p = statistics.mcnemar_p(only_model, len(changed) - only_model)
    return "mcnemar exact", p


def _detectable(terms: Sequence[Term], resampling: Resampling) -> float | None:
    if not all(term.values for term in terms):
        return None
    return round(statistics.detectable(terms, resampling), DIGITS)


def _cut_share(records: Sequence[Record]) -> float:
    return sum(record.truncated for record in records) / len(records) if records else 0.0
