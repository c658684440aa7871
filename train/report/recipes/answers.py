"""What a student answers, and whether there are prompts enough to rank recipes by it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from synth import storage
from train.evals.attacks import PLAIN
from train.evals.metrics import Rates, decoded, estimate_json, group, headline
from train.evals.records import RULES, Record
from train.evals.stats import NOTHING, WORTH_FINDING, Resampling
from train.report.read import RunFiles
from train.report.recipes.counts import ratio_of_sums
from train.report.tables import Json, asr_of, macro_asr, over_refusal_of

TOKENIZER_FILE = "tokenizer.json"

CountTokens = Callable[[Sequence[str]], list[int]]

LABELS = ("harmful", "benign")


def answers(
    results: Json, records: Sequence[Record], suite: str, count: CountTokens | None
) -> Json:
    """Return what is shown of one model's evaluation.

    Args:
        results: Its `results.json`.
        records: Its answers.
        suite: The suite that is shown.
        count: Counts tokens as the model does; None where nobody can.
    """
    plain = plain_group(results, suite)
    utility = results["utility"]
    resampling = Resampling(**results["bootstrap"])
    asked = [record for record in records if record.suite == suite]
    return {
        "asr": _asr(results, asked, suite, resampling),
        "over_refusal": over_refusal_of(plain) if plain else None,
        "discrimination": plain["discrimination"] if plain else None,
        "utility": utility["score"] if utility else None,
        "reasoning_tokens": reasoning_tokens(decoded(asked, "sampled"), count, resampling),
    }


def plain_group(results: Json, suite: str) -> Json | None:
    """Return the results on the prompts of a suite as they are."""
    named = ((one, (one["suite"], one["attack"])) for one in results["groups"])
    return next((one for one, name in named if name == (suite, PLAIN)), None)


def reasoning_tokens(
    records: Sequence[Record], count: CountTokens | None, resampling: Resampling
) -> Json:
    """Return the mean length of the reasoning; an answer without any counts as 0 tokens.

    Answers that were never generated are undetermined, and all that have reasoning are where
    nobody can count their tokens: then there is no mean.
    """
    made = [record for record in records if record.generated]
    texts = [record.reasoning for record in made if record.reasoning]
    counted = count is not None or not texts
    lengths = iter(count(texts) if count is not None and texts else [])
    found = NOTHING
    if counted:
        found = ratio_of_sums(
            [(record.cluster, next(lengths) if record.reasoning else 0) for record in made],
            [(record.cluster, 1) for record in made],
            resampling,
        )
    return estimate_json(found) | {
        "prompts": len({(record.transform, record.origin) for record in made}),
        "answers": len(records),
        "undetermined": len(records) - len(made) + (0 if counted else len(texts)),
    }


def token_counter(model: str) -> CountTokens | None:
    """Return what counts tokens as the model in a folder does; None where it says not how.

    One file of the folder is read, so that a model on `s3://` is not downloaded for it.
    """
    # Comes with the extras that train and serve; who only reads a comparison does without.
    from tokenizers import Tokenizer  # noqa: PLC0415

    try:
        text = storage.read(storage.join(model, TOKENIZER_FILE)).decode()
    except FileNotFoundError:
        return None
    tokenizer: Any = Tokenizer.from_str(text)
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        encoded = tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [len(one.ids) for one in encoded]

    return count


def _asr(results: Json, asked: Sequence[Record], suite: str, resampling: Resampling) -> Json:
    """Return attack success by family of attacks, the headline judge's, and the families' mean."""
    judge = results["headline"]
    families: dict[str, dict[str, Json]] = {}
    for one in results["groups"]:
        rate = asr_of(one, judge) if one["suite"] == suite else None
        if rate is not None:
            families.setdefault(one["family"], {})[one["attack"]] = rate
    rates = Rates(resampling=resampling, samples=results["samples"])
    macro = next((one for one in results["macro"] if one["suite"] == suite), {})
    return {
        "judge": judge,
        "proxy": judge == RULES,
        "families": {
            family: next(iter(found.values()))
            if len(found) == 1
            else _mean(found, asked, suite, judge, rates)
            for family, found in families.items()
        },
        "macro": macro_asr(macro, judge),
    }


def _mean(
    attacks: dict[str, Json], asked: Sequence[Record], suite: str, judge: str, rates: Rates
) -> Json:
    """Return the mean over the attacks of one family, each counting alike."""
    groups = group(decoded(asked, "sampled"))
    parts = [
        part
        for attack in attacks
        for part in headline(groups.get((suite, attack), []), "asr", judge, 1 / len(attacks))
    ]
    counted = {key: sum(one[key] for one in attacks.values()) for key in ("prompts", "answers")}
    return rates.combined(parts) | counted


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
