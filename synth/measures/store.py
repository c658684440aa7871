"""Where judgements live: `measures/<name>-<revision>/<lease>.parquet`, made where missing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from guidelines import GuidelineSet
from synth import storage
from synth.errors import BadInput
from synth.judges.refusal import VERSION as REFUSAL_VERSION
from synth.measures.base import JUDGEMENTS, Judgement, Measure
from synth.measures.leakage import leakage
from synth.measures.rules import consistency, length, refusal, repetition, sections
from synth.records import Outcome
from synth.workspace.damage import open_parquet
from synth.workspace.leases import read_lease
from synth.workspace.workspace import Workspace

MEASURES_FOLDER = "measures"
MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("sections", (1,), sections, ("reasoning", "answer", "payload")),
        Measure("consistency", (1, REFUSAL_VERSION), consistency, ("label", "answer", "payload")),
        Measure(
            "leakage",
            (1,),
            leakage,
            ("guideline_ids", "reasoning", "answer"),
            reads_guidelines=True,
        ),
        Measure("length", (1,), length, ("reasoning", "answer")),
        Measure("repetition", (1,), repetition, ("reasoning", "answer")),
        Measure("refusal", (1, REFUSAL_VERSION), refusal, ("answer",)),
    )
}

Map = Callable[[Callable[[str], None], Iterable[str]], Iterable[None]]


def measure_revisions(
    names: Iterable[str], guideline_sets: Sequence[GuidelineSet]
) -> dict[str, str]:
    """Return the current revision of each measure.

    Raises:
        BadInput: There is no measure of that name.
    """
    return {name: _find(name).revision(guideline_sets) for name in names}


def ensure_measures(
    workspace: Workspace,
    names: Sequence[str],
    guideline_sets: Sequence[GuidelineSet],
    map: Map = map,
) -> dict[str, str]:
    """Make every missing judgement of `names` and return the measures' revisions.

    Args:
        workspace: Has the traces.
        names: Keys of `MEASURES`.
        guideline_sets: What the traces were conditioned on.
        map: Runs one picklable task a lease; the built-in one, or one backed by a cluster.
    """
    wanted = measure_revisions(names, guideline_sets)
    leases = set(workspace.finished())
    owed = sorted(
        {
            lease
            for name, revision in wanted.items()
            for lease in leases - measured(workspace.path, name, revision)
        }
    )
    task = partial(
        measure_lease, workspace.path, names=tuple(names), guideline_sets=tuple(guideline_sets)
    )
    for _ in map(task, owed):
        pass
    return wanted


def measure_lease(
    folder: str,
    lease: str,
    names: Sequence[str],
    guideline_sets: Sequence[GuidelineSet],
) -> None:
    """Judge the `ok` traces of one lease by those of `names` that have not done so yet."""
    owed = [
        (name, revision)
        for name, revision in measure_revisions(names, guideline_sets).items()
        if not storage.exists(_path(folder, name, revision, lease))
    ]
    columns = {"row_id", "outcome"}.union(*(MEASURES[name].columns for name, _ in owed))
    traces = read_lease(folder, lease, sorted(columns)).filter(
        pc.field("outcome") == str(Outcome.OK)
    )
    for name, revision in owed:
        judgements = MEASURES[name].judge(traces, guideline_sets)
        publish_measure(folder, name, revision, lease, traces["row_id"].to_pylist(), judgements)


def publish_measure(
    folder: str,
    name: str,
    revision: str,
    lease: str,
    row_ids: Sequence[str],
    judgements: Sequence[Judgement],
) -> bool:
    """Publish one measure's judgements about one lease's traces."""
    rows = [
        {"row_id": row_id, **judgement._asdict()}
        for row_id, judgement in zip(row_ids, judgements, strict=True)
    ]
    table = pa.Table.from_pylist(rows, JUDGEMENTS)
    return storage.publish(_path(folder, name, revision, lease), to_parquet(table))


def read_measures(
    workspace: Workspace, name: str, revision: str, columns: Sequence[str] = JUDGEMENTS.names
) -> pa.Table:
    """Return the judgements of one measure about every finished lease that it has judged."""

    def read(lease: str) -> pa.Table:
        with open_parquet(_path(workspace.path, name, revision, lease)) as file:
            return file.read(list(columns))

    there = measured(workspace.path, name, revision)
    leases = [lease for lease in workspace.finished() if lease in there]
    tables = list(storage.in_parallel(workspace.path, read, leases))
    empty = JUDGEMENTS.empty_table().select(list(columns))
    return pa.concat_tables([empty, *tables])


def read_lease_measures(folder: str, wanted: Mapping[str, str], lease: str) -> dict[str, pa.Table]:
    """Return the judgements of several measures (name to revision) about one lease."""
    found = {}
    for name, revision in wanted.items():
        with open_parquet(_path(folder, name, revision, lease)) as file:
            found[name] = file.read()
    return found


def to_parquet(table: pa.Table) -> bytes:
    """Return `table` as parquet; equal tables give equal bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=64 * 1024)
    return sink.getvalue().to_pybytes()


def _find(name: str) -> Measure:
    if name not in MEASURES:
        rule = f"must be one of {', '.join(MEASURES)}"
        raise BadInput(file="config", field="measures", value=name, rule=rule)
    return MEASURES[name]


def measured(folder: str, name: str, revision: str) -> set[str]:
    """Return the leases that one measure has judged."""
    files = storage.list_files(storage.join(folder, MEASURES_FOLDER, f"{name}-{revision}"))
    return {file.removesuffix(".parquet") for file in files}


def _path(folder: str, name: str, revision: str, lease: str) -> str:
    return storage.join(folder, MEASURES_FOLDER, f"{name}-{revision}", f"{lease}.parquet")
