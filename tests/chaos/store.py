"""The store a run's files are in, seen past the faults before it and past the project's readers."""

import io
from collections import Counter

import pyarrow.parquet as pq

from tests.synth.s3_server import BUCKET, connect

RUN = "run"


class Store:
    """Looks at what is published of the run."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._rows: Counter[str] = Counter()

    def rows(self) -> int:
        """Return the rows of the leases that are published."""
        names = [key.split("/")[-1].removesuffix(".parquet") for key in self._keys("traces")]
        if not self._rows.keys() >= set(names):
            self._rows = self._planned()
        return sum(self._rows[name] for name in names)

    def _planned(self) -> Counter[str]:
        leases: Counter[str] = Counter()
        for key in self._keys("plan"):
            body = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            leases.update(pq.read_table(io.BytesIO(body), columns=["lease"])["lease"].to_pylist())
        return leases

    def _keys(self, folder: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=BUCKET, Prefix=f"{RUN}/{folder}/")
        return [entry["Key"] for page in found for entry in page.get("Contents", ())]
