"""Whether there are prompts enough to rank recipes by what their students answer."""

from collections.abc import Iterable, Iterator, Sequence

from train.evals.attacks import PLAIN
from train.evals.power import WORTH_FINDING
from train.evals.records import RULES
from train.report.cells import Json
from train.report.read import RunFiles
from train.report.recipes.answered import plain_group

LABELS = ("harmful", "benign")


def size(files: RunFiles, suite: str, models: Sequence[str]) -> Json:
    """Return how many prompts there are, and the difference between two students they can find.

    They are enough where students are compared, and no comparison of two is too small for a true
    difference of `WORTH_FINDING` in attack success or in over-refusal.

    Args:
        files: The run.
        suite: The suite whose prompts, as they are, count.
        models: The recipes' students.
    """
    found = list(_comparisons(files, suite, models))
    ends = [one["detectable"] for one in found]
    compared = {name for one in found for name in (one["model"], one["baseline"])}
    return {
        "prompts": {label: _prompts(files, suite, models, label) for label in LABELS},
        "compared": len(compared),
        "detectable": None if None in ends else max(ends, default=None),
        "small": not found or not all(one["enough"] for one in found),
    }


def first_line(sizes: Iterable[Json]) -> str:
    """Return what stands above all tables: whether n suffices to rank, in one sentence.

    Args:
        sizes: Of each table, as `size` returns them; at least one.
    """
    worst = max(sizes, key=_severity)
    harmful, benign = (worst["prompts"][label] for label in LABELS)
    n = f"{harmful:,} harmful and {benign:,} benign prompts"
    if not worst["compared"]:
        return f"n is too small to rank recipes: no two students are compared ({n})."
    if worst["detectable"] is None:
        return f"n is too small to rank recipes: {n} leave two students without a common verdict."
    points = f"{100 * worst['detectable']:.1f} points"
    if not worst["small"]:
        return f"{n} find differences between two students of {points} or more, four times of five."
    return (
        f"n is too small to rank recipes: {n} find differences between two students of {points} "
        f"or more, not of the {100 * WORTH_FINDING:.0f} that would matter."
    )


def _severity(found: Json) -> tuple[bool, bool, bool, float]:
    unknown = found["detectable"] is None
    return found["small"], not found["compared"], unknown, found["detectable"] or 0.0


def _comparisons(files: RunFiles, suite: str, models: Sequence[str]) -> Iterator[Json]:
    """Yield the comparisons of two of the students on plain prompts, sampled answers."""
    metrics = ("over_refusal", _asr_metric(files))
    every = [files.comparison.get("primary"), *files.comparison.get("others", [])]
    for one in every:
        if (
            one
            and (one["suite"], one["attack"]) == (suite, PLAIN)
            and one.get("decoding", "sampled") == "sampled"
            and one["metric"] in metrics
            and {one["model"], one["baseline"]} <= set(models)
        ):
            yield one


def _asr_metric(files: RunFiles) -> str:
    judges = {results["headline"] for results in files.results.values()}
    return "asr_rule" if judges <= {RULES} else "asr"


def _prompts(files: RunFiles, suite: str, models: Sequence[str], label: str) -> int:
    """Return how many prompts of a label every evaluated student was asked."""
    groups = [plain_group(files.results[name], suite) for name in models if name in files.results]
    counts = [one["labels"].get(label, {}).get("prompts", 0) if one else 0 for one in groups]
    return min(counts, default=0)
