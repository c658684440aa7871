"""The published suites, as a table: how their files name what a seed needs.

Column names, labels and licences are those of the files their authors publish; nothing is
shipped. A row that a suite holds for another purpose is left out and counted by its reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from synth.records import digest
from synth.seeds.files import FileRow

Cells = Mapping[str, Any]
RowRule = Callable[[Cells], str | None]


def _none(cells: Cells) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteFormat:
    """How one suite's file is read.

    Attributes:
        columns: Our name of a column to the file's, for those taken as they are.
        also: Further columns that the rules look at.
        licence: What the authors publish it under, for the evaluation card.
        label: A row's label; None where the row does not say it.
        file_labels: What a part of the file's name says of the label of all its rows.
        prompt: A row's prompt, where it is not one column.
        id: A row's id, where its column differs between versions of the file.
        pair: What a harmful row and its benign twin share, where it is not one column.
        left_out: Why a row of a label is not used; None where it is.
    """

    columns: Mapping[str, str]
    also: tuple[str, ...] = ()
    licence: str
    label: RowRule = _none
    file_labels: Mapping[str, str] = field(default_factory=dict)
    prompt: RowRule | None = None
    id: RowRule = _none
    pair: RowRule = _none
    left_out: Callable[[Cells, str | None], str | None] = lambda cells, label: None

    @property
    def read_columns(self) -> tuple[str, ...]:
        """The file's columns that are looked at."""
        return (*self.columns.values(), *self.also)

    def label_of(self, path: str, cells: Cells) -> str | None:
        """Return what the row, or else the file's name, says of the label."""
        name = PurePath(path).name.lower()
        told = (label for part, label in self.file_labels.items() if part in name)
        return self.label(cells) or next(told, None)

    def adapted(self, row: FileRow, label: str | None) -> FileRow:
        """Return the row with what the rules say in our own columns beside the file's."""
        own: dict[str, Any] = {"label": label}
        if self.prompt is not None:
            own[self.columns["prompt"]] = self.prompt(row.cells)
        for name, rule in (("id", self.id), ("pair", self.pair)):
            if (value := rule(row.cells)) is not None:
                own[name] = value
        return FileRow(row.place, {**row.cells, **own})


def _harmful(cells: Cells) -> str:
    return "harmful"


def _with_context(cells: Cells) -> str | None:
    """Put a behaviour's context before it, as HarmBench's own baselines do."""
    context, behavior = cells.get("ContextString"), cells.get("Behavior")
    return f"{context}\n\n---\n\n{behavior}" if context and behavior else behavior


def _copyright(cells: Cells, label: str | None) -> str | None:
    kind = cells.get("FunctionalCategory")
    return "copyright: told by hashes, not by a judge" if kind == "copyright" else None


def _xstest_label(cells: Cells) -> str | None:
    """Read `label`, or, in the second version, the type's name."""
    kind = cells.get("type")
    told = {"safe": "benign", "unsafe": "harmful"}.get(cells.get("label") or "")
    if told is not None or not isinstance(kind, str):
        return told
    return "harmful" if kind.startswith("contrast_") else "benign"


def _xstest_pair(cells: Cells) -> str | None:
    """Pair by type and the word in focus: a contrast is written for a safe prompt's word."""
    kind, focus = cells.get("type"), cells.get("focus")
    if not (isinstance(kind, str) and isinstance(focus, str) and kind and focus):
        return None
    return f"{kind.removeprefix('contrast_')}: {focus}"


def _xstest_id(cells: Cells) -> str | None:
    """Read `id`, or, in the second version, `id_v2`."""
    return cells.get("id") or cells.get("id_v2")


_SAFETY = "Requests with safety concerns"


def _coconot_label(cells: Cells) -> str | None:
    return "benign" if cells.get("split_type") == "orr" else None


def _other_noncompliance(cells: Cells, label: str | None) -> str | None:
    """Leave out what should not be complied with for another reason than harm."""
    if label == "benign" or cells.get("category") == _SAFETY:
        return None
    return "declined for another reason than harm"


def _wild_prompt(cells: Cells) -> str | None:
    kind = cells.get("data_type")
    attacked = isinstance(kind, str) and kind.startswith("adversarial_")
    return cells.get("adversarial" if attacked else "vanilla")


def _wild_label(cells: Cells) -> str | None:
    _, _, label = str(cells.get("data_type")).partition("_")
    return label if label in ("harmful", "benign") else None


def _wild_pair(cells: Cells) -> str | None:
    """Hold together what was made from one plain request; it has no benign twin."""
    plain = cells.get("vanilla")
    return digest(plain) if plain else None


FORMATS: dict[str, SuiteFormat] = {
    "advbench": SuiteFormat(columns={"prompt": "goal"}, licence="MIT", label=_harmful),
    "harmbench": SuiteFormat(
        columns={"prompt": "Behavior", "id": "BehaviorID", "category": "SemanticCategory"},
        also=("FunctionalCategory", "ContextString"),
        licence="MIT (Center for AI Safety)",
        label=_harmful,
        prompt=_with_context,
        left_out=_copyright,
    ),
    "jailbreakbench": SuiteFormat(
        columns={"prompt": "Goal", "id": "Index", "category": "Category", "pair": "Index"},
        licence="MIT",
        file_labels={"benign": "benign", "harmful": "harmful"},
    ),
    "coconot": SuiteFormat(
        columns={"prompt": "prompt", "id": "id", "category": "category"},
        also=("split_type",),
        licence="ODC-BY",
        label=_coconot_label,
        file_labels={"contrast": "benign", "original": "harmful"},
        left_out=_other_noncompliance,
    ),
    "xstest": SuiteFormat(
        columns={"prompt": "prompt", "category": "type"},
        also=("id", "id_v2", "label", "focus"),
        licence="CC-BY-4.0",
        label=_xstest_label,
        id=_xstest_id,
        pair=_xstest_pair,
    ),
    "strongreject": SuiteFormat(
        columns={"prompt": "forbidden_prompt", "category": "category"},
        licence="MIT",
        label=_harmful,
    ),
    "or_bench": SuiteFormat(
        columns={"prompt": "prompt", "category": "category"},
        licence="CC-BY-4.0",
        file_labels={"toxic": "harmful", "hard": "benign", "80k": "benign"},
    ),
    "do_not_answer": SuiteFormat(
        columns={"prompt": "question", "id": "id", "category": "risk_area"},
        licence="CC-BY-NC-SA-4.0 (data)",
        label=_harmful,
    ),
    "wildjailbreak": SuiteFormat(
        columns={"prompt": "prompt", "category": "data_type"},
        also=("vanilla", "adversarial"),
        licence="ODC-BY",
        label=_wild_label,
        prompt=_wild_prompt,
        pair=_wild_pair,
    ),
}
