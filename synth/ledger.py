"""The state of a workspace, read from its files alone.

A lease is done if and only if its file exists; the state of an item is its highest try.
Every reader of traces goes through `read_traces`, which applies the latter.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth import storage
from synth.plan import Lease, num_rounds, planned_items, planned_tries, read_leases
from synth.records import TRACES, Item, Outcome

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
        seconds: From its first row's start to its publication.
    """

    rows: int = 0
    by: dict[str, int] = field(default_factory=dict)
    retried: int = 0
    output_tokens: int = 0
    calls: int = 0
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
        metadata = pq.read_schema(source).metadata
    return LeaseCounts(**json.loads(metadata[FOOTER]))


def tally(workspace: str, names: Iterable[str]) -> Counter[str]:
    """Return rows by outcome over the footers of `names` (every try counted)."""
    outcomes: Counter[str] = Counter()
    for name in names:
        for key, rows in read_counts(workspace, name).by.items():
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
    tables = []
    for name in finished(workspace):
        with storage.open_input(lease_path(workspace, name)) as source:
            tables.append(pq.read_table(source, columns=needed).replace_schema_metadata(None))
    schema = pa.schema([TRACES.field(name) for name in needed])
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    if recipes is not None:
        table = table.filter(pc.field("recipe").isin(list(recipes)))
    return _highest_try(table).select(wanted)


def _highest_try(table: pa.Table) -> pa.Table:
    if not any(table["try"].to_numpy()):
        return table
    best = table.group_by("item_id").aggregate([("try", "max")])
    highest = dict(zip(*best.select(["item_id", "try_max"]).to_pydict().values(), strict=True))
    items, attempts = table["item_id"].to_pylist(), table["try"].to_pylist()
    keep = [highest[item] == attempt for item, attempt in zip(items, attempts, strict=True)]
    return table.filter(pa.array(keep, pa.bool_()))


def again(workspace: str, outcomes: Iterable[Outcome]) -> list[Item]:
    """Return a further try of every item whose state is one of `outcomes`.

    An item whose next try is planned already is left out.
    """
    table = read_traces(workspace, columns=["item_id", "try", "outcome"])
    table = table.filter(pc.field("outcome").isin([str(outcome) for outcome in outcomes]))
    if len(table) == 0:
        return []
    highest = planned_tries(workspace)
    tries = dict(zip(table["item_id"].to_pylist(), table["try"].to_pylist(), strict=True))
    due = {item_id for item_id, attempt in tries.items() if highest[item_id] == attempt}
    rounds = num_rounds(workspace)
    return [
        replace(item, attempt=tries[item.item_id] + 1, round=rounds)
        for item in planned_items(workspace, due)
    ]
