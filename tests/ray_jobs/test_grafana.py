"""The dashboard and its document are about exactly the metrics there are."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from synth.cluster.metrics import METRICS

DASHBOARD: dict[str, Any] = json.loads(
    files("ray_jobs").joinpath("cluster/grafana.json").read_text(encoding="utf-8")
)
DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
SUFFIXES = {"counter": "", "gauge": "", "histogram": "_bucket"}


def queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    asked = set(re.findall(r"ray_(\w+)", " ".join(queries())))
    assert asked == {name + SUFFIXES[metric.kind] for name, metric in METRICS.items()}


def test_the_dashboard_asks_for_tags_that_are_there() -> None:
    for query in queries():
        for name, selected in re.findall(r"ray_(\w+?)(?:_bucket)?\{(.*?)\}", query):
            tags = re.findall(r"(\w+)=~", selected)
            assert set(tags) <= set(METRICS[name].tags), query
        for grouped in re.findall(r"by \((.*?)\)", query):
            names = re.findall(r"ray_(\w+?)(?:_bucket)?\{", query)
            known = {"le", *(tag for name in names for tag in METRICS[name].tags)}
            assert set(grouped.split(", ")) <= known, query


def test_a_dashboard_can_be_imported() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] and panel["description"] for panel in panels)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(panels)))
    assert used == variables


def test_the_document_lists_the_same_metrics() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", DOCUMENT.read_text(), re.MULTILINE)
    told = {name: (kind, tuple(re.findall(r"`(\w+)`", tags))) for name, kind, tags in rows}
    assert told == {name: (metric.kind, metric.tags) for name, metric in METRICS.items()}
