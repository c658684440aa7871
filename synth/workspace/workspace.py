"""The state of a workspace, read from its files alone.

A lease is done if and only if its file exists; the state of an item is its highest try.
Every reader of traces goes through `read_traces`, or `stream_traces` where they are many; both
apply the latter.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth import storage
from synth.records import TRACES, Item, Outcome
from synth.workspace.plan import Lease, num_rounds, planned_items, planned_tries, read_leases

BATCHES = "batches"


def batch_workspace(run: str, name: str, fingerprint: str) -> str:
    """Return the folder of a batch beside a run, `<run>/batches/<name>-<fingerprint>`."""
    return storage.join(run, BATCHES, f"{name}-{fingerprint[:12]}")


def batches(run: str) -> dict[str, str]:
    """Return the workspaces of all batches beside `run`, by their names."""
    folder = storage.join(run, BATCHES)
    return {name: storage.join(folder, name) for name in storage.list_folders(folder)}


FOOTER = b"guideweave"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseCounts:
    """What a lease file's footer says of its rows.

    Attributes:
        rows: Rows in the file.
        by: Rows by `recipe/label/category/outcome`.
        retried: Rows that are a second or later try.
        output_tokens: Tokens its calls made.
        calls: Calls made.
        usage: The same tokens by role, as `synth.calls.usage.Usage` has them.
        seconds: From its first row's start to its publication.
    """

    rows: int = 0
    by: dict[str, int] = field(default_factory=dict)
    retried: int = 0
    output_tokens: int = 0
    calls: int = 0
    usage: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: float = 0.0


def traces_folder(workspace: str) -> str:
    """Return the folder of the lease files."""
    return storage.join(workspace, "traces")


def lease_path(workspace: str, name: str) -> str:
    """Return the path of a lease's file."""
    return storage.join(traces_folder(workspace), f"{name}.parquet")


def planned(workspace: str) -> list[Lease]:
    """Return every lease of every published round."""
    return [
        lease for index in range(num_rounds(workspace)) for lease in read_leases(workspace, index)
    ]


def finished(workspace: str) -> list[str]:
    """Return the names of the leases that are done."""
    return [name.removesuffix(".parquet") for name in storage.list_files(traces_folder(workspace))]


def owed(workspace: str) -> list[Lease]:
    """Return the planned leases that are not done."""
    done = set(finished(workspace))
    return [lease for lease in planned(workspace) if lease.name not in done]


def publish_lease(workspace: str, name: str, table: pa.Table, counts: LeaseCounts) -> bool:
    """Publish a finished lease, its counts in the footer."""
    footer = json.dumps(asdict(counts))
    sink = pa.BufferOutputStream()
    schema = TRACES.with_metadata({FOOTER: footer.encode()})
    pq.write_table(table.cast(TRACES).cast(schema), sink, compression="zstd")
    return storage.publish(lease_path(workspace, name), sink.getvalue().to_pybytes())


def read_counts(workspace: str, name: str) -> LeaseCounts:
    """Return the counts in a lease file's footer."""
    with storage.open_input(lease_path(workspace, name)) as source:
        metadata = pq.ParquetFile(source).metadata.metadata
    return LeaseCounts(**json.loads(metadata[FOOTER]))


def tally(workspace: str, names: Iterable[str]) -> Counter[str]:
    """Return rows by outcome over the footers of `names` (every try counted)."""
    outcomes: Counter[str] = Counter()
    for counts in storage.in_parallel(workspace, partial(read_counts, workspace), names):
        for key, rows in counts.by.items():
            outcomes[key.rsplit("/", 1)[1]] += rows
    return outcomes


def read_traces(
    workspace: str,
    recipes: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return the traces of the highest finished try of every item.

    Args:
        workspace: Folder that holds `traces/`.
        recipes: Only these recipes' rows; all where None.
        columns: Only these columns; all of `TRACES` where None.
    """
    wanted = list(columns) if columns is not None else TRACES.names
    needed = list(dict.fromkeys([*wanted, "item_id", "try", "recipe"]))
    read = partial(_read_lease, workspace, columns=needed)
    tables = list(storage.in_parallel(workspace, read, finished(workspace)))
    schema = pa.schema([TRACES.field(name) for name in needed])
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    if recipes is not None:
        table = table.filter(pc.field("recipe").isin(list(recipes)))
    return _of_highest_try(table, _highest([table])).select(wanted)


def stream_traces(
    workspace: str, leases: Sequence[str], columns: Sequence[str]
) -> Iterator[tuple[str, pa.Table]]:
    """Yield each of `leases` with those of its traces that are their item's highest try.

    A lease at a time is in memory, and the identifiers of items that were tried again.

    Args:
        workspace: Folder that holds `traces/`.
        leases: Finished ones: tries are compared among them.
        columns: Of `TRACES`.
    """
    counts = storage.in_parallel(workspace, partial(read_counts, workspace), leases)
    retried = [name for name, one in zip(leases, counts, strict=True) if one.retried]
    again = partial(_read_lease, workspace, columns=["item_id", "try"])
    highest = _highest(storage.in_parallel(workspace, again, retried))
    needed = list(dict.fromkeys([*columns, "item_id", "try"]))
    read = partial(_read_lease, workspace, columns=needed)
    tables = storage.in_parallel(workspace, read, leases)
    for name, table in zip(leases, tables, strict=True):
        yield name, _of_highest_try(table, highest).select(list(columns))


def _read_lease(workspace: str, name: str, columns: Sequence[str]) -> pa.Table:
    with storage.open_input(lease_path(workspace, name)) as source:
        return pq.ParquetFile(source).read(list(columns)).replace_schema_metadata(None)


def _highest(tables: Iterable[pa.Table]) -> Mapping[str, int]:
    """Return the highest try of each item that has more than its first one."""
    highest: dict[str, int] = {}
    for table in tables:
        later = table.filter(pc.field("try") > 0)
        tries = zip(later["item_id"].to_pylist(), later["try"].to_pylist(), strict=True)
        for item_id, attempt in tries:
            highest[item_id] = max(attempt, highest.get(item_id, 0))
    return highest


def _of_highest_try(table: pa.Table, highest: Mapping[str, int]) -> pa.Table:
    if not highest:
        return table
    tries = zip(table["item_id"].to_pylist(), table["try"].to_pylist(), strict=True)
    keep = [highest.get(item_id, attempt) == attempt for item_id, attempt in tries]
    return table.filter(pa.array(keep, pa.bool_()))


def again(workspace: str, outcomes: Iterable[Outcome]) -> list[Item]:
    """Return a further try of every item whose state is one of `outcomes`.

    An item whose next try is planned already is left out.
    """
    wanted = {str(outcome) for outcome in outcomes}
    tries: dict[str, int] = {}
    names = finished(workspace)
    counts = storage.in_parallel(workspace, partial(read_counts, workspace), names)
    for name, one in zip(names, counts, strict=True):
        if wanted.intersection(key.rsplit("/", 1)[1] for key in one.by):
            table = _read_lease(workspace, name, ["item_id", "try", "outcome"])
            table = table.filter(pc.field("outcome").isin(sorted(wanted)))
            for row in table.to_pylist():
                tries[row["item_id"]] = max(row["try"], tries.get(row["item_id"], 0))
    if not tries:
        return []
    highest = planned_tries(workspace, set(tries))
    due = {item_id for item_id, attempt in tries.items() if highest[item_id] == attempt}
    rounds = num_rounds(workspace)
    return [
        replace(item, attempt=tries[item.item_id] + 1, round=rounds)
        for item in planned_items(workspace, due)
    ]
