"""The evaluation card as Markdown, for people."""

from collections.abc import Iterator, Sequence
from typing import Any

from synth.curate.card import cell
from train.evals.rates import Json

_NONE = "-"


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
