"""Who judged, how well, and what guards say of answers, reasoning and both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from train.evals.records import RULES
from train.report.read import RunFiles
from train.report.tables import (
    NONE,
    Json,
    Table,
    TableCell,
    TableRow,
    bounds,
    corrected,
    groups_of,
    headline_judge,
    number,
    percent,
    score,
    style_of,
)

CERTIFIED, UNCERTIFIED = "certified", "uncertified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """Who speaks for a number of the verdict, and the stamps that go with it."""

    number: str
    judge: str
    stamps: Sequence[str]


def spoken_by(files: RunFiles) -> list[Spoken]:
    """Return whose words the headline numbers are."""
    first = next(iter(files.results.values()), None)
    if first is None:
        return []
    known = {one["judge"]: one["certificate"] for one in first["judges"]}
    numbers = {"attack success": headline_judge(files), "refusals": RULES}
    return [
        Spoken(
            number=number,
            judge=judge,
            stamps=[
                *(["proxy"] if number == "attack success" and judge == RULES else []),
                UNCERTIFIED if known[judge] is None else CERTIFIED,
            ],
        )
        for number, judge in numbers.items()
    ]


def judges_table(files: RunFiles) -> Table:
    """Return every judge with its certificate, or the stamp that it has none."""
    judges: dict[tuple[str, str], Json] = {}
    scopes: dict[tuple[str, str], dict[str, None]] = {}
    for results in files.results.values():
        for one in results["judges"]:
            key = (one["judge"], one["revision"])
            judges.setdefault(key, one)
            scopes.setdefault(key, {})[one["scope"]] = None
    return Table(
        caption="The judges. A certificate says how often a judge agreed with people on labelled "
        "answers; without one its errors are unknown.",
        columns=[
            "Judge",
            "May say",
            "Model, revision",
            "Certificate",
            "Accuracy",
            "Kappa",
            "Sensitivity",
            "Specificity",
            "Labelled answers",
        ],
        rows=[
            TableRow(header=str(one["judge"]), cells=_judge(one, ", ".join(scopes[key])))
            for key, one in judges.items()
        ],
        texts=4,
    )


def _judge(judge: Json, scopes: str) -> list[TableCell]:
    about = [
        TableCell(text=", ".join(judge["classes"]), interval=f"of the {scopes}"),
        TableCell(text=str(judge["model"] or "rules"), interval=str(judge["revision"])[:12]),
    ]
    found = judge["certificate"]
    if found is None:
        return [*about, TableCell(text="", stamp=UNCERTIFIED), *[TableCell(text=NONE)] * 5]
    return [
        *about,
        TableCell(text="", stamp=CERTIFIED, interval=f"labels {str(found['data_sha256'])[:12]}"),
        TableCell(text=_fraction(found["accuracy"])),
        TableCell(text=_fraction(found["kappa"])),
        TableCell(text=_fraction(found["sensitivity"])),
        TableCell(text=_fraction(found["specificity"])),
        TableCell(text=number(found["n"]).text, interval=f"{found['undetermined']} undetermined"),
    ]


def corrected_table(files: RunFiles, attacked: bool) -> Table:
    """Return the raw ASR by every judge, and beside it the one corrected for its errors."""
    rows = [
        TableRow(
            header=model,
            group=name,
            style=style_of(files, model),
            cells=[
                TableCell(text=judge, interval="proxy" if found["proxy"] else ""),
                percent(found["sampled"]),
                corrected(found),
                number(found["sampled"]["undetermined"]),
                TableCell(text=bounds(found["sampled"])),
            ],
        )
        for name, models in groups_of(files, attacked)
        for model, group in models.items()
        for judge, found in group["labels"].get("harmful", {}).get("asr", {}).items()
    ]
    return Table(
        caption="ASR by every judge, raw and corrected for the errors its certificate reports. "
        "Bounds: with all undetermined answers counted safe, and unsafe.",
        columns=["Model", "Judge", "ASR, raw", "ASR, corrected", "Undetermined", "Bounds"],
        rows=rows,
        texts=2,
    )


def disagreement_table(files: RunFiles) -> Table:
    """Return how two judges agree on the same answers, a model and pair a row."""
    rows = [
        TableRow(
            header=model,
            style=style_of(files, model),
            cells=[
                TableCell(text=f"{one['first']} and {one['second']}"),
                number(one["n"]),
                TableCell(text=_fraction(one["agreement"])),
                TableCell(text=_fraction(one["kappa"])),
                number(len(one["rows"])),
            ],
        )
        for model, results in files.results.items()
        for one in results["disagreement"]
    ]
    return Table(
        caption="Two judges on the same answers. The rows they disagree on are listed by id in "
        "results.json, fifty at most.",
        columns=["Model", "Judges", "Answers", "Agreement", "Kappa", "Rows listed"],
        rows=rows,
        texts=2,
    )


def guards_table(files: RunFiles, attacked: bool) -> Table:
    """Return the guards' unsafe rates on answer, reasoning and both, and what leaks."""
    rows = [
        TableRow(
            header=model,
            group=f"{name}, {label}",
            style=style_of(files, model),
            cells=[
                TableCell(text=guard, interval=_most(said["categories"])),
                *(percent(said.get(part)) for part in ("answer", "reasoning", "both", "leak")),
            ],
        )
        for name, models in groups_of(files, attacked)
        for label in ("harmful", "benign", "borderline")
        for model, group in models.items()
        for guard, said in group["labels"].get(label, {}).get("guards", {}).items()
    ]
    return Table(
        caption="What guards call unsafe. Leak: the reasoning is unsafe although the answer is "
        "safe.",
        columns=["Model", "Guard, most frequent categories", "Answer", "Reasoning", "Both", "Leak"],
        rows=rows,
        texts=2,
    )


def refusals_table(files: RunFiles, attacked: bool) -> Table:
    """Return how far answers refuse, by every model that judges that."""
    rows = [
        TableRow(
            header=model,
            group=f"{name}, {label}",
            style=style_of(files, model),
            cells=[
                TableCell(text=judge),
                *(percent(said.get(kind)) for kind in ("refusal", "partial", "compliance")),
            ],
        )
        for name, models in groups_of(files, attacked)
        for label in ("harmful", "benign", "borderline")
        for model, group in models.items()
        for judge, said in group["labels"].get(label, {}).get("refusals", {}).items()
    ]
    return Table(
        caption="How far answers refuse, as models judge it.",
        columns=["Model", "Judge", "Refusal", "Partial", "Compliance"],
        rows=rows,
        texts=2,
    )


def strongreject_table(files: RunFiles, attacked: bool) -> Table:
    """Return StrongREJECT's mean scores and what is neither unsafe nor refused."""
    rows = [
        TableRow(
            header=model,
            group=name,
            style=style_of(files, model),
            cells=[
                score(harmful["strongreject"]),
                number(harmful["strongreject"]["prompts"]),
                number(harmful["strongreject"]["undetermined"]),
            ],
        )
        for name, models in groups_of(files, attacked)
        for model, group in models.items()
        if (harmful := group["labels"].get("harmful", {})).get("strongreject")
    ]
    return Table(
        caption="StrongREJECT: 0 is refused or useless, 1 is harmful, convincing and specific. "
        "Harmful prompts only.",
        columns=["Model", "Mean score", "Prompts", "Undetermined answers"],
        rows=rows,
    )


def _fraction(found: object) -> str:
    """Return a number of a certificate, which may come with its interval."""
    if isinstance(found, Mapping):
        return score(found).text
    return f"{found:.2f}" if isinstance(found, int | float) else NONE


def _most(categories: Mapping[str, int]) -> str:
    order = sorted(categories, key=lambda name: (-categories[name], name))
    return ", ".join(f"{name} ({categories[name]})" for name in order[:3])
