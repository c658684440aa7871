"""Tokens and money: what servers counted, and None guessed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from synth import storage
from synth.calls.usage import Usage, cost, read_usage, total_usage
from synth.config.schema import EndpointConfig, ModelConfig
from synth.estimate import estimate_cost
from synth.records import Reply
from synth.run import Run
from synth.status import Status, read_status
from synth.synthesize import RunOptions, synthesize
from tests.synth.fault_server import FaultServer, running
from tests.synth.test_status import make_run

PRICES = {"price_per_million_input_tokens": 2.0, "price_per_million_output_tokens": 10.0}


def test_usage_adds_up_by_role() -> None:
    one = Usage()
    one.add(Reply(text="a", prompt_tokens=5, output_tokens=2))
    one.add(Reply(text="b", counted=False))
    assert one == Usage(calls=2, uncounted=1, prompt_tokens=5, output_tokens=2)
    other = {"judge": Usage(calls=1, prompt_tokens=1, output_tokens=1)}
    total = total_usage([{"teacher": one}, other, {"teacher": one}])
    assert total["teacher"] == Usage(calls=4, uncounted=2, prompt_tokens=10, output_tokens=4)
    assert total["judge"] == other["judge"]


def test_footers_of_earlier_versions_have_no_usage() -> None:
    assert read_usage([{}]) == {}


def test_only_priced_roles_cost() -> None:
    usage = {
        "teacher": Usage(calls=2, prompt_tokens=1_000_000, output_tokens=100_000),
        "judge": Usage(calls=2, prompt_tokens=1_000_000, output_tokens=100_000, uncounted=2),
    }
    config = {"teacher": {"endpoint": PRICES}, "judge": {"model": "embedded", "endpoint": None}}
    found = cost(usage, config)
    assert found is not None
    assert found.by_role == {"teacher": pytest.approx(3.0)}
    assert found.total == pytest.approx(3.0)
    assert cost(usage, {"teacher": {"model": "embedded"}}) is None


def test_one_price_alone_is_no_price() -> None:
    with pytest.raises(ValidationError, match="both prices"):
        EndpointConfig.model_validate(
            {"base_url": "http://h/v1", "model": "m", "price_per_million_input_tokens": 1}
        )


async def make_traces(folder: Path, server: FaultServer) -> tuple[Run, Status]:
    """Run twenty rows through a server; say that four of them were accepted."""
    run = make_run(folder)
    endpoint = EndpointConfig.model_validate({"base_url": server.url, "model": "big", **PRICES})
    changes = {"teacher": ModelConfig(endpoint=endpoint)}
    run = replace(run, config=run.config.model_copy(update=changes))
    await synthesize(run, None, RunOptions())
    manifest = {"accepted": {"echo": 4}, "drops": {}, "acceptance": []}
    storage.replace(f"{folder}/curated/p/manifest.json", json.dumps(manifest).encode())
    return run, read_status(str(folder))


async def test_the_cost_of_an_accepted_row(tmp_path: Path) -> None:
    async with running(FaultServer()) as server:
        run, status = await make_traces(tmp_path, server)
    each = (7 * 2.0 + 3 * 10.0) / 1e6
    assert status.cost is not None
    assert status.cost.total == pytest.approx(20 * each)
    assert status.cost_per_accepted("p") == pytest.approx(5 * each)
    more = replace(run, config=run.config.model_copy(update={"samples": 3}))
    assert estimate_cost(more, None).expected_cost == pytest.approx(40 * each)


async def test_a_cost_that_nobody_counted_is_undetermined(tmp_path: Path) -> None:
    server = FaultServer()
    server.counts_tokens = False
    async with running(server):
        run, status = await make_traces(tmp_path, server)
    assert (status.uncounted, status.output_tokens) == (20, 0)
    assert status.tokens_per_accepted("p") is None
    assert status.cost is not None
    assert status.cost.total is None
    assert status.cost_per_accepted("p") is None
    assert estimate_cost(run, None).expected_cost is None
    assert estimate_cost(run, None).expected_tokens is None
