"""What a student answers, out of its evaluation: nothing is counted again that results have."""

from collections.abc import Callable, Sequence
from typing import Any

from synth import storage
from train.evals.attacks import PLAIN
from train.evals.grouping import decoded, group
from train.evals.headline import headline
from train.evals.intervals import NOTHING, Resampling
from train.evals.rates import Rates, estimate_json
from train.evals.records import RULES, Record
from train.report.cells import Json
from train.report.groups import asr_of, macro_asr, over_refusal_of
from train.report.recipes.amounts import ratio_of_sums

TOKENIZER_FILE = "tokenizer.json"

CountTokens = Callable[[Sequence[str]], list[int]]


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
