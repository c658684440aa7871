"""An evaluation holds the texts of one model at a time, however many it compares."""

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from synth.batch import Batch
from synth.records import TRACES, Item, row_id
from tests.train.evaluations import make_configs
from train.evals.evaluate import evaluate

ANSWER = "Sure: " + "1234567890" * 6000  # one word: rules read it at once
SCRIPTED = {"model": "scripted"}


def raw_of(stage: str, name: str) -> str:
    verdict = json.dumps({"better": "tie"}) if name == "helpfulness" else "safe"
    return verdict if stage == "judge" else ""


class Running:
    """Makes up what models answer and judges say, and keeps none of it.

    Attributes:
        num_texts: Bytes of the texts of one model's answers.
        held: Bytes that Arrow held each time that a table of answers was asked for.
    """

    def __init__(self) -> None:
        self.num_texts = 0
        self.held: list[int] = []

    def __call__(self, batch: Batch) -> Iterator[pa.Table]:
        stage, _, name = batch.stage.partition(" ")
        return map(partial(self._answer, stage, name), batch.parts)  # keeps no part, either

    def _answer(self, stage: str, name: str, items: Sequence[Item]) -> pa.Table:
        answers = [""] * len(items)
        if stage == "evaluate":
            answers = [f"{name}, {place}: {ANSWER}" for place in range(len(items))]
            self.held.append(pa.total_allocated_bytes())
            self.num_texts = sum(map(len, answers))
        rows = [
            {
                "row_id": row_id(item.item_id, 0),
                "item_id": item.item_id,
                "outcome": "ok",
                "answer": answer,
                "raw": raw_of(stage, name),
                "payload": "{}",
            }
            for item, answer in zip(items, answers, strict=True)
        ]
        return pa.Table.from_pylist(rows, schema=TRACES)


def peak(folder: Path, num_students: int) -> tuple[int, Running]:
    """Return the most that was held while so many students were evaluated, in bytes."""
    names = [f"student{number}" for number in range(num_students)]
    judges = [{"name": name, "model": SCRIPTED} for name in ("llama_guard3", "helpfulness")]
    folder.mkdir()
    few = {"harmful": 10, "benign": 10, "borderline": 0}
    config, section = make_configs(folder, attacks=[], samples=1, limit=few, judges=judges)
    for name in names:
        student = Path(config.run, "models", name)
        student.mkdir()
        (student / "manifest.json").write_text(json.dumps({"arm": name}))
        (student / "config.json").write_text("{}")
    running = Running()
    tracemalloc.start()
    evaluate(config, section, run_batch=running, students={name: (name,) for name in names})
    _, found = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return found, running


def test_more_models_take_no_more_texts_into_memory(tmp_path: Path) -> None:
    peak(tmp_path / "warm", 1)  # what is imported and cached on the way
    few, _ = peak(tmp_path / "few", 1)
    many, running = peak(tmp_path / "many", 5)
    assert many - few < running.num_texts  # four models more
    assert max(running.held) - min(running.held) < running.num_texts
