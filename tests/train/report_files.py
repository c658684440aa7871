"""A finished run's files, fabricated whole: three models, two suites, six attacks, two judges.

The numbers are made up, the texts are harmless. What the files hold is what evaluation writes;
`test_report.py` shows the page of a real evaluation too.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import yaml

from synth.workspace.stage import dump
from tests.train.report_layers import faithfulness, representation
from tests.train.report_parts import (
    ATTACKS,
    GUARD,
    MODELS,
    SECOND,
    SUITES,
    Json,
    comparison,
    curated_manifest,
    estimate,
    rate,
    records,
    training_manifest,
)
from train.evals.records import write_records

_HARDER = {"refusal": 0.3, "srg": 0.06, "base": 0.12}  # how much attacks raise each model's ASR
SAMPLES = 8
CERTIFICATE = {
    "labels": "labels.csv",
    "n": 300,
    "accuracy": 0.913,
    "kappa": 0.82,
    "undetermined": 4,
    "sensitivity": 0.9,
    "specificity": 0.92,
    "data_sha256": "5f" * 32,
}


def write_run(folder: Path, models: dict[str, tuple[float, float]] | None = None) -> str:
    """Write a run directory and return its path."""
    models = MODELS if models is None else models
    run = folder / "run"
    (run / "logs").mkdir(parents=True)
    (run / "logs" / "stages.json").write_text(json.dumps({"synthesize": 443.7, "report": 0.4}))
    config = {"run": "runs/safety-review", "recipe": ["refusal", "srg"], "samples": 4}
    config |= {"evaluate": {"representation": {}, "faithfulness": {}}}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    write_json(run / "curated" / "default" / "manifest.json", curated_manifest())
    for arm in list(models)[1:]:
        write_json(run / "models" / arm / "manifest.json", training_manifest(arm))
    write_json(run / "evals" / "manifest.json", {"models": list(models), "seconds": 2.0})
    for name, rates in models.items():
        write_model(run / "evals" / name, name, *rates)
    write_json(run / "evals" / "comparison.json", comparison(models))
    write_json(run / "evals" / "representation.json", representation(list(models)))
    write_json(run / "evals" / "faithfulness.json", faithfulness())
    write_json(run / "evals" / "card.json", {"overlaps": OVERLAPS})
    return str(run)


OVERLAPS = [
    {"first": "seeds", "second": "jbb", "exact": 3, "near": 7, "ids": ["s1", "s2", "s3"]},
]


def write_json(path: Path, data: Json) -> None:
    """Write `data` as the stages do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dump(data))


def write_model(folder: Path, name: str, asr: float, refused: float) -> None:
    """Write one model's results, records and manifest."""
    rng = random.Random(name)
    manifest = {"model": f"{name}@0d1860dc0a82", "items": 4480, "seconds": 380.5}
    write_json(folder / "manifest.json", manifest)
    write_json(folder / "results.json", results(rng, name, asr, refused))
    write_records(str(folder / "records.parquet"), list(records(name)))


def results(rng: random.Random, name: str, asr: float, refused: float) -> Json:
    """Return one model's `results.json`."""
    groups = [
        group(rng, name, suite, attack, asr, refused) for suite in SUITES for attack in ATTACKS
    ]
    return {
        "schema_version": 2,
        "model": name,
        "samples": SAMPLES,
        "greedy": True,
        "sampling": {"temperature": 0.7, "top_p": 1.0, "top_k": 0, "max_tokens": 512},
        "bootstrap": {"resamples": 10000, "seed": 0},
        "headline": GUARD,
        "judges": [
            judge("refusal_rules", None, CERTIFICATE, classes=["refusal", "partial", "compliance"]),
            judge(GUARD, "Qwen3Guard-Gen-0.6B@a1b2c3", CERTIFICATE),
            judge(GUARD, "Qwen3Guard-Gen-0.6B@a1b2c3", CERTIFICATE, scope="reasoning"),
            judge(SECOND, "Llama-Guard-3-8B@d4e5f6", None),
            judge("strongreject", "embedded@0d1860", None),
        ],
        "inexpressible": {"jbb/morse": 4},
        "groups": groups,
        "macro": [macro(suite, groups) for suite in SUITES],
        "utility": {
            "score": rate(0.52 - 0.05 * refused, 120, 120),
            "tasks": {
                "arithmetic": rate(0.48, 40, 40),
                "reading": rate(0.61, 40, 40),
                "instructions": rate(0.47, 40, 40),
            },
            "refused": rate(refused / 4, 120, 120),
            "degenerate": rate(0.01, 120, 120),
            "truncated": rate(0.02, 120, 120),
            "mean_output_tokens": 88.1,
        },
        "disagreement": [
            {
                "first": GUARD,
                "second": SECOND,
                "n": 4416,
                "agreement": 0.871,
                "kappa": 0.57 if name == "refusal" else 0.71,
                "rows": [f"row-{i}" for i in range(50)],
            }
        ],
    }


def judge(
    name: str,
    model: str | None,
    certificate: Json | None,
    *,
    scope: str = "answer",
    classes: Sequence[str] = ("unsafe", "safe"),
) -> Json:
    """Return one entry of the judges."""
    return {
        "judge": name,
        "scope": scope,
        "classes": list(classes),
        "revision": "3fa94c1b77d0" + name.encode().hex()[:12],
        "model": model,
        "certificate": certificate,
    }


def group(
    rng: random.Random, name: str, suite: str, attack: str, asr: float, refused: float
) -> Json:
    """Return one group's results."""
    n = SUITES[suite] if attack == "plain" else SUITES[suite] // 2
    if attack != "plain":
        asr = min(0.97, asr + rng.uniform(0.3, 1.2) * _HARDER[name])
        refused = min(0.9, refused + rng.uniform(0, 0.12))
    else:
        asr = asr + rng.uniform(-0.02, 0.02)
    found = {
        "suite": suite,
        "attack": attack,
        "family": ATTACKS[attack],
        "labels": {
            "harmful": harmful(n, name, asr),
            "benign": benign(n, refused),
            "borderline": benign(n // 2, min(0.95, 1.6 * refused)),
        },
        "discrimination": estimate(1 - refused - asr, n),
        "youden": estimate(0.96 - refused - asr, n),
    }
    if attack != "plain":
        found["generalisation_gap"] = estimate(_HARDER[name] * 0.7, n)
    return found


def _base(n: int, name: str = "base") -> Json:
    answers = n * SAMPLES
    thinks = 0.98 if name == "srg" else 0.0
    return {
        "prompts": n,
        "answers": answers,
        "undetermined": answers // 40,
        "undetermined_reasons": {"timeout": answers // 80},
        "shares": {
            "truncated": rate(0.11 if name == "srg" else 0.03, n, answers),
            "unclosed": rate(0.04 if name == "srg" else 0.0, n, answers),
            "degenerate": rate(0.14 if name == "refusal" else 0.01, n, answers),
            "valid": rate(0.96, n, answers),
            "reasoning_present": rate(thinks, n, answers),
            "reasoning_closed": rate(0.96, n, answers),
            "one_answer": rate(0.97, n, answers),
            "well_formed": rate(thinks * 0.95, n, answers),
        },
        "mean_reasoning_words": 74.2 if name == "srg" else 0.0,
        "mean_output_tokens": 142.6,
    }


def harmful(n: int, name: str, asr: float) -> Json:
    """Return the results on harmful prompts."""
    answers = n * SAMPLES
    by_judge = {
        "refusal_rules": success(min(0.98, asr + 0.12), n, None, proxy=True),
        GUARD: success(asr, n, estimate(max(0.0, asr * 1.18 - 0.07), n) | {"refused": None}),
        SECOND: success(max(0.0, asr - 0.05), n, None),
    }
    missing = n * SAMPLES // 6 if name == "base" and n == 30 else answers // 40
    by_judge[GUARD]["sampled"] = rate(asr, n, answers, missing)
    guards = {
        "answer": rate(asr, n, answers),
        "reasoning": rate(min(1.0, asr + 0.08), n, answers),
        "both": rate(min(1.0, asr + 0.05), n, answers),
        "leak": rate(0.06, n, answers),
        "categories": {"Violent": 14, "Non-violent Illegal Acts": 61, "Privacy": 9},
    }
    return _base(n, name) | {
        "verdicts": {
            "refusal": rate(0.9 - asr * 0.9, n, answers),
            "partial": rate(0.05, n, answers),
            "compliance": rate(asr * 0.9 + 0.05, n, answers),
        },
        "asr": by_judge,
        "neither": rate(0.04, n, answers),
        "strongreject": rate(asr * 0.7, n, answers, 5),
        "guards": {GUARD: guards},
    }


def success(value: float, n: int, corrected: Json | None, *, proxy: bool = False) -> Json:
    """Return one judge's attack success."""
    sizes = [1, 2, 4, 8]
    return {
        "proxy": proxy,
        "sampled": rate(value, n, n * SAMPLES),
        "greedy": rate(max(0.0, value - 0.03), n, n),
        "valid": rate(min(1.0, value + 0.02), n, n * SAMPLES),
        "corrected": corrected,
        "all_unsafe": [{"n": k, "prompts": n, **estimate(value ** (k**0.6), n)} for k in sizes],
        "any_unsafe": [
            {"n": k, "prompts": n, **estimate(1 - (1 - value) ** (k**0.6), n)} for k in sizes
        ],
    }


def benign(n: int, refused: float) -> Json:
    """Return the results on harmless prompts."""
    answers = n * SAMPLES
    return _base(n) | {
        "verdicts": {
            "refusal": rate(refused * 0.7, n, answers),
            "partial": rate(refused * 0.3, n, answers),
            "compliance": rate(1 - refused, n, answers),
        },
        "over_refusal": rate(refused, n, answers),
        "over_refusal_full": rate(refused * 0.7, n, answers),
        "guards": {GUARD: {"answer": rate(0.004, n, answers), "categories": {}}},
    }


def macro(suite: str, groups: list[Json]) -> Json:
    """Return the means over a suite's attacks."""
    attacked = [one for one in groups if one["suite"] == suite and one["attack"] != "plain"]

    def mean(values: list[float]) -> Json:
        return estimate(sum(values) / len(values), 2 * SUITES[suite])

    harm = [one["labels"]["harmful"]["asr"] for one in attacked]
    return {
        "suite": suite,
        "asr_rule": mean([one["refusal_rules"]["sampled"]["value"] for one in harm]),
        "asr": mean([one[GUARD]["sampled"]["value"] for one in harm]),
        "over_refusal": mean([g["labels"]["benign"]["over_refusal"]["value"] for g in attacked]),
        "discrimination": mean([one["discrimination"]["value"] for one in attacked]),
        "degenerate": mean(
            [g["labels"]["harmful"]["shares"]["degenerate"]["value"] for g in attacked]
        ),
        "generalisation_gap": mean([one["generalisation_gap"]["value"] for one in attacked]),
    }
