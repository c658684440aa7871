"""That benches run, and what they make of their measurements; how fast anything is they say."""

import asyncio
import json
import os
import statistics
import sys
from pathlib import Path

import pytest

from synth.config.schema import Limits, ModelConfig, SynthConfig
from synth.dataset import make_traces
from synth.records import Item, Outcome
from synth.synthesize import RunOptions
from tests.bench import endpoint, harness, quota, saturation, scale, scheduler, trees
from tests.bench.harness import TreeCpu, TreeMemory, latency_s, measure_pairs, median_ratio
from tests.bench.recipes import ONE_CALL, ONE_CALL_PATH
from tests.bench.scheduler import Flight, in_flight, occupancy, read_flights

SMALL = {
    "endpoint": "--rows 40 --calls 8 --mean-s 0.01",
    "quota": "--categories 2 --quota 20 --interrupts 1",
    "scale": "--rows 200 --workers 0",
}
BURN = """
import subprocess, sys, time
if len(sys.argv) == 1:
    subprocess.run([sys.executable, __file__, "child"], check=True)
while time.process_time() < 1: pass
print("first"); print("last")
"""


@pytest.mark.parametrize("name", SMALL)
def test_a_bench_ends_with_what_it_found(name: str) -> None:
    command = [sys.executable, "-m", f"tests.bench.{name}", *SMALL[name].split()]
    found = json.loads(harness.run_command(command))
    asked = ("rows", "calls", "mean_s", "categories", "quota", "interrupts", "workers")
    assert found.keys() & asked


def test_a_run_of_planned_items_makes_them_and_no_more(tmp_path: Path) -> None:
    config = SynthConfig(
        run=str(tmp_path),
        recipe=(ONE_CALL_PATH,),
        teacher=ModelConfig(model="scripted"),
        limits=Limits(workers=0),
    )
    first = harness.make_items(["One thing?", "Another?"], ONE_CALL)
    items = [*first, Item(seed=first[0].seed, recipe=ONE_CALL.name, sample_index=1)]
    run = harness.make_run(config, ONE_CALL, items)
    run.workspace.publish(items)
    assert make_traces(run, RunOptions()) == {Outcome.OK: 3}


def test_a_command_counts_with_what_it_started(tmp_path: Path) -> None:
    script = tmp_path / "burn.py"
    script.write_text(BURN)
    cpu, memory = TreeCpu(), TreeMemory()

    def look(pid: int) -> None:
        cpu.look(pid)
        memory.look(pid)

    assert harness.run_command([sys.executable, str(script)], look) == "last"
    assert sum(cpu.by_name().values()) > 1.0  # its own second, and some of its child's
    assert memory.most_bytes > 1_000_000
    with pytest.raises(RuntimeError, match="exit 3"):
        harness.run_command([sys.executable, "-c", "raise SystemExit(3)"])


def test_sides_take_turns_in_being_first() -> None:
    order: list[str] = []

    def measure(side: str) -> int:
        order.append(side)
        return len(order)

    assert measure_pairs(("a", "b"), measure, 3) == [(1, 2), (4, 3), (5, 6)]
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    assert median_ratio([0.9, 0.95, 0.99], 4) == {"ratio": 0.95, "ratios": [0.9, 0.95, 0.99]}
    found = saturation.summarize(saturation.Load(), [(100, 90), (200, 190), (100, 99)])
    assert found["ratio"] == pytest.approx(0.95)
    grown = dict.fromkeys(("prefix_hit_rate", "nodes", "calls", "output_tokens"), 0)
    pairs = [({**grown, "trees_per_min": 32}, {**grown, "trees_per_min": n}) for n in (8, 4, 16)]
    found = trees.summarize(trees.Load(), pairs)
    assert (found["ratio"], found["ratios"]) == (4, [4, 8, 2])
    assert found["trees_per_min"] == {"together": [32, 32, 32], "sequence": [8, 4, 16]}


def test_latencies_are_the_texts_own_and_a_second_in_the_mean() -> None:
    texts = endpoint.prompts(20_000)
    found = [latency_s(text, 1.0) for text in texts]
    assert statistics.fmean(found) == pytest.approx(1.0, rel=0.05)
    assert statistics.median(found) == pytest.approx(0.607, rel=0.05)
    assert found[:9] == [latency_s(text, 1.0) for text in texts[:9]]


def test_prompts_that_come_again_are_further_items() -> None:
    items = saturation.make_items(saturation.Load())
    assert len({item.item_id for item in items}) == 512
    assert {item.sample_index for item in items} == {0, 1}


def test_the_server_counts_what_comes() -> None:
    with endpoint.mock_server(endpoint.Load(mean_s=0.01)) as url:
        asyncio.run(endpoint._ask_all(endpoint.Load(url=url, rows=40, calls=8)))
        asyncio.run(endpoint._ask_all(endpoint.Load(url=url, rows=10, calls=4)))
        stats = endpoint.ask(url, "stats")
        assert (stats["asked"], stats["answered"], stats["repeated"]) == (50, 50, 10)
        assert (stats["inside"], stats["most_inside"]) == (0, 8)
        endpoint.ask(url, "reset")
        assert endpoint.ask(url, "stats")["asked"] == 0


def test_a_pool_that_is_always_full_is_full() -> None:
    calls = [Flight(start, start + 1.0) for start in range(10) for _ in range(4)]
    assert occupancy(calls, allowed=4, last_row_at=9.0) == pytest.approx(1.0)


def test_gaps_between_calls_count() -> None:
    calls = [Flight(start, start + 0.5) for start in range(10) for _ in range(4)]
    assert occupancy(calls, allowed=4, last_row_at=9.0) == pytest.approx(0.5)


def test_neither_the_start_nor_the_tail_counts() -> None:
    ramp = [Flight(0.0, 100.0), Flight(5.0, 20.0)]  # full from 5 s on
    assert occupancy([*ramp, Flight(20.0, 30.0)], 2, last_row_at=20.0) == pytest.approx(1.0)


def test_what_replicas_note_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, scheduler.FLIGHTS_ENV, str(tmp_path))
    with in_flight("teacher"), in_flight("teacher"):
        pass
    found = read_flights(tmp_path, "teacher")
    assert len(found) == 2
    assert all(flight.began_at <= flight.ended_at for flight in found)
    assert read_flights(tmp_path, "judge") == []


def test_bytes_a_row_are_of_the_rows_beyond_the_smallest_run() -> None:
    least = {"rows": 10_000, "rows_per_s": 700.0, "pss_bytes": 300_000_000, "resume_s": 1.0}
    most = {"rows": 110_000, "rows_per_s": 500.0, "pss_bytes": 310_000_000, "resume_s": 2.0}
    found = scale.summarize([least, most])
    assert found["bytes_per_row"] == pytest.approx(100)
    assert (found["rows_per_s"], found["resume_s"]) == (500.0, 2.0)
    assert scale.summarize([least])["bytes_per_row"] is None


def test_what_a_quota_costs_is_of_the_categories_that_can_be_met() -> None:
    load = quota.Load(categories=2, quota=20, barren=2, acceptance=0.4)
    made = {"met 0": 55, "met 1": 50, "barren 0": 96, "barren 1": 90}
    found = quota.summarize(load, quota.Counter(made))
    assert (found["candidates_over_ideal"], found["barren_candidates"]) == (1.05, 96)
