"""Parts of the report: comparisons, usefulness, faithfulness, and where the numbers come from."""

from collections import Counter

from train.evals.evaluate import records_path
from train.evals.records import read_scored
from train.evals.utility import SUITE as UTILITY
from train.report.read import RunFiles
from train.report.tables import (
    NONE,
    Json,
    Table,
    TableCell,
    TableRow,
    detectable,
    equals,
    number,
    p_value,
    percent,
    points,
    score,
    style_of,
)

_METRICS = {
    "asr": "ASR",
    "asr_rule": "ASR (rule proxy)",
    "over_refusal": "over-refusal",
    "discrimination": "discrimination",
}

_ARMS = {
    "control": "made again, nothing changed",
    "deleted": "without the cited guideline",
    "swapped": "with another in its place",
}


def change_table(comparison: Json) -> Table:
    """Return the comparisons that were not fixed beforehand."""
    rows = []
    for one in comparison.get("others", []):
        cells = [
            TableCell(text=f"{one['suite']}, {one['attack']}"),
            TableCell(text=_METRICS[one["metric"]]),
            points(one["difference"]),
            TableCell(text=p_value(one.get("p_holm"))),
            number(one["prompts"]),
            TableCell(text=detectable(one)),
        ]
        header = f"{one['model']} vs {one['baseline']}"
        rows.append(TableRow(header=header, cells=cells))
    return Table(
        caption="Every other comparison, paired by prompt; p adjusted for their number (Holm).",
        columns=[
            "Models",
            "Prompts asked",
            "Metric",
            "Difference, points",
            "p (Holm)",
            "Prompts",
            "Detectable, points",
        ],
        rows=rows,
        texts=3,
    )


def methods_table(comparison: Json) -> Table:
    """Return the comparisons of methods, each with several students of its own."""
    rows = [
        TableRow(
            header=f"{one['model']} vs {one['baseline']}",
            cells=[
                TableCell(text=f"{one['suite']}, {one['attack']}"),
                TableCell(text=_METRICS[one["metric"]]),
                points(one["difference"]),
                number(one["seeds"]),
                TableCell(text="supported" if one["supported"] else "not supported"),
            ],
        )
        for one in comparison.get("methods", [])
    ]
    return Table(
        caption="Methods, each with students of several training seeds. A claim is supported "
        "where three seeds or more agree that there is a difference.",
        columns=["Methods", "Prompts asked", "Metric", "Difference, points", "Seeds", "Claim"],
        rows=rows,
        texts=3,
    )


def utility_table(files: RunFiles) -> Table:
    """Return each model's score by task, and how much of the base model's it kept."""
    scored = {m: r["utility"] for m, r in files.results.items() if r["utility"]}
    tasks = list(dict.fromkeys(task for one in scored.values() for task in one["tasks"]))
    kept = {(one["model"], one["baseline"]): one for one in files.comparison.get("utility", [])}
    first = next(iter(files.results), "")
    rows = []
    for model, found in scored.items():
        against = kept.get((model, first))
        cells = [
            percent(found["score"]),
            score(against["retention"]) if against else TableCell(text=NONE),
            points(against["difference"]) if against else TableCell(text=NONE),
            *(percent(found["tasks"].get(task)) for task in tasks),
            percent(found["refused"]),
            percent(found["degenerate"]),
            percent(found["truncated"]),
            number(found["mean_output_tokens"]),
        ]
        rows.append(TableRow(header=model, cells=cells, style=style_of(files, model)))
    return Table(
        caption=f"Utility on harmless tasks with known answers, reasoning stripped. Retention is "
        f"the score over that of {first}.",
        columns=[
            "Model",
            "Score",
            "Retention",
            "Difference, points",
            *tasks,
            "Refused",
            "Degenerate",
            "Truncated",
            "Mean tokens",
        ],
        rows=rows,
    )


def helpfulness_table(files: RunFiles) -> Table:
    """Return which model's answers to harmless prompts a judge prefers."""
    rows = [
        TableRow(
            header=f"{one['model']} vs {one['baseline']}",
            cells=[
                TableCell(text=str(one["judge"])),
                number(one["wins"]),
                number(one["ties"]),
                number(one["losses"]),
                number(one["undetermined"]),
                points(one["net"]),
                TableCell(text=equals(one["p"]).removeprefix("= ")),
            ],
        )
        for one in files.comparison.get("helpfulness", [])
    ]
    return Table(
        caption="Pairwise helpfulness on harmless prompts, both orders asked. Net: wins minus "
        "losses, in points of all prompts.",
        columns=["Models", "Judge", "Wins", "Ties", "Losses", "Undetermined", "Net", "p"],
        rows=rows,
        texts=2,
    )


def citations_table(files: RunFiles) -> Table:
    """Return what the traces of each recipe cite, and whether their answers follow from it."""
    rows = [
        TableRow(
            header=recipe,
            cells=[
                number(found["traces"]),
                percent(found["citations"]["cited"]),
                percent(found["citations"]["named"]),
                percent(found["citations"]["named_precision"]),
                number(found["citations"]["mean_cited"]),
                percent(found["consistency"]["reasoning"]),
                percent(found["consistency"]["decision"]),
            ],
        )
        for recipe, found in _recipes(files).items()
    ]
    return Table(
        caption="Citations in the training traces. A guideline is cited where it is named, or "
        "where one of its clauses is said again; one that is named and was not given is made up.",
        columns=[
            "Recipe",
            "Traces",
            "Cite a guideline",
            "Name a guideline",
            "Of those named, given",
            "Mean cited",
            "Answer does what reasoning concludes",
            "Answer does what is recorded",
        ],
        rows=rows,
    )


def counterfactual_table(files: RunFiles) -> Table:
    """Return what changes when the cited guideline is deleted or swapped, beside a control."""
    rows = []
    for recipe, of in _recipes(files).items():
        found = of["counterfactual"]
        if found is not None:
            group = f"{recipe}, {found['traces']} traces made again"
            rows += [
                TableRow(header=named, cells=_arm(found, arm), group=group)
                for arm, named in _ARMS.items()
            ]
    return Table(
        caption="What becomes of a trace when the guideline that it cites is gone. A decision that "
        "never changes did not rest on it; a citation that stays is made up. Only what exceeds "
        "the control is more than chance.",
        columns=[
            "Made again",
            "Decision changed",
            "Beyond control, points",
            "Still cites it",
            "Beyond control, points",
        ],
        rows=rows,
    )


def guidelines_table(files: RunFiles) -> Table:
    """Return how often each guideline is cited where it was given."""
    rows = [
        TableRow(header=guideline, cells=[percent(rate), number(rate["prompts"])], group=recipe)
        for recipe, found in _recipes(files).items()
        for guideline, rate in found["citations"]["guidelines"].items()
    ]
    return Table(
        caption="How often each guideline is cited by the traces that were given it.",
        columns=["Guideline", "Cited", "Prompts"],
        rows=rows,
    )


def _recipes(files: RunFiles) -> dict[str, Json]:
    return dict(files.faithfulness.get("recipes", {}))


def _arm(found: Json, arm: str) -> list[TableCell]:
    rates, beyond = found["arms"][arm], found["beyond_control"].get(arm)
    cells = []
    for what in ("changed", "still_cites"):
        cells += [percent(rates[what]), _beyond(beyond[what]) if beyond else TableCell(text=NONE)]
    return cells


def _beyond(found: Json) -> TableCell:
    cell = points(found)
    if found["p"] is None:
        return cell
    return TableCell(text=cell.text, interval=f"{cell.interval} p {equals(found['p'])}")


def models_table(files: RunFiles) -> Table:
    """Return the models, and what each was asked."""
    rows = []
    for model in files.results:
        records = read_scored(records_path(files.run, model))
        asked = {(UTILITY if r.suite == UTILITY else r.label, r.origin) for r in records}
        prompts = Counter(label for label, _ in asked)
        outcomes = Counter(record.outcome for record in records)
        cells = [
            TableCell(text=str(files.evals[model].get("model", NONE))),
            TableCell(
                text=", ".join(f"{count} {label}" for label, count in sorted(prompts.items()))
            ),
            number(files.results[model]["samples"]),
            TableCell(
                text=", ".join(f"{n:,} {outcome}" for outcome, n in sorted(outcomes.items()))
            ),
        ]
        rows.append(TableRow(header=model, cells=cells, style=style_of(files, model)))
    return Table(
        caption="The models, and what each was asked.",
        columns=["Model", "Identity", "Prompts, before attacks", "Answers a prompt", "Answers"],
        rows=rows,
        texts=3,
    )


def stages_table(files: RunFiles) -> Table:
    """Return how long every stage took."""
    seconds = {
        **{f"curate {policy}": m["seconds"] for policy, m in files.curated.items()},
        **{f"finetune {arm}": m["seconds"] for arm, m in files.models.items()},
        **{_evaluated(files, name): m["seconds"] for name, m in files.evals.items()},
        **files.stages,
    }
    rows = [TableRow(header=name, cells=[number(round(took, 1))]) for name, took in seconds.items()]
    return Table(caption="Time by stage.", columns=["Stage", "Seconds"], rows=rows)


def _evaluated(files: RunFiles, folder: str) -> str:
    return f"evaluate {folder}" if folder in files.results else folder


def training_table(files: RunFiles) -> Table:
    """Return what each model of each arm was trained on: rows, or pairs."""
    keys = ("rows", "heldout_rows", "left_out", "steps", "tokens")
    rows = [
        TableRow(
            header=name,
            cells=[
                TableCell(text=manifest.get("kind", "sft")),
                *(number(manifest.get(k)) for k in keys),
            ],
        )
        for name, manifest in files.models.items()
    ]
    columns = ["Model", "Kind", "Rows or pairs", "Held out", "Left out", "Steps", "Tokens"]
    return Table(caption="The students, one training seed each.", columns=columns, rows=rows)


def acceptance_table(policy: str, manifest: Json) -> Table:
    """Return how many traces became training data, an arm and label a row."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for part in manifest["acceptance"]:
        count = counts.setdefault((part["arm"], part["label"]), Counter())
        count.update(traces=part["traces"], accepted=part["accepted"])
    rows = [
        TableRow(
            header=f"{arm}, {label}",
            cells=[
                number(count["traces"]),
                number(count["accepted"]),
                TableCell(text=f"{100 * count['accepted'] / count['traces']:.1f} %"),
            ],
        )
        for (arm, label), count in sorted(counts.items())
    ]
    return Table(
        caption=f"Traces accepted under the policy {policy}.",
        columns=["Arm, label", "Traces", "Accepted", "Share"],
        rows=rows,
    )


def drops_table(policy: str, manifest: Json) -> Table:
    """Return how many traces each reason dropped, an arm a column."""
    drops = manifest["drops"]
    totals: Counter[str] = Counter()
    for by_reason in drops.values():
        totals.update(by_reason)
    rows = [
        TableRow(header=reason, cells=[number(found.get(reason, 0)) for found in drops.values()])
        for reason, _ in totals.most_common()
    ]
    return Table(
        caption=f"Traces dropped under the policy {policy}, by their first reason.",
        columns=["Reason", *drops],
        rows=rows,
    )
