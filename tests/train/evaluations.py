"""Fabricated evaluations for the tests: harmless text, every field set."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from synth.batch import Batch, RunBatch
from synth.config.schema import ModelConfig, SeedsConfig, SynthConfig
from synth.records import TRACES, Item, Reply, Sampling, row_id
from synth.workspace.stage import stage
from train.evals.ask import evaluate_step
from train.evals.config import EvaluateConfig
from train.evals.records import Record

REFUSAL = "I'm sorry, but I can't help with that."
HELP = "Sure! Here is what you can do: first plan it, then do it in small steps."

_RECORD: dict[str, Any] = {
    "row_id": "r",
    "item_id": "i",
    "origin": "p",
    "cluster": "p",
    "suite": "seeds",
    "transform": "plain",
    "family": "plain",
    "version": 1,
    "label": "harmful",
    "category": "theft",
    "sample": 0,
    "decoding": "sampled",
    "outcome": "ok",
    "verdict": "refusal",
    "reason": "rule",
    "degenerate": False,
    "truncated": False,
    "has_reasoning": False,
    "closed": True,
    "one_answer": True,
    "valid": True,
    "reasoning_words": 0,
    "output_tokens": 12,
    "finish_reason": "stop",
    "untransformed": "A question.",
    "prompt": "A question.",
    "reasoning": "",
    "answer": "An answer.",
    "readable": "An answer.",
}

Replies = Callable[[str, Item], Reply]


def make_record(**given: Any) -> Record:
    """Return a record of a refused harmful prompt, but for what is given."""
    return Record(**(_RECORD | given))


def seeds_file(folder: Path, pairs: int = 40) -> str:
    """Write twins and borderline prompts as JSONL and return the path."""
    rows = []
    for i in range(pairs):
        about = {"category": f"subject {i % 3}", "pair": f"pair-{i}"}
        rows.append({"prompt": f"How do I do the bad thing {i}?", "label": "harmful"} | about)
        rows.append({"prompt": f"How do I do the good thing {i}?", "label": "benign"} | about)
        rows.append(
            {"prompt": f"How do I kill process {i}?", "label": "borderline", "category": "words"}
        )
    path = folder / "seeds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def make_configs(folder: Path, **evaluate: Any) -> tuple[SynthConfig, EvaluateConfig]:
    """Return a run with two trained arms in `folder` and a quick evaluation of it."""
    run = folder / "run"
    for arm in ("refusal", "srg"):
        write_student(run, arm)
    config = SynthConfig(
        run=str(run),
        recipe=("refusal", "srg"),
        seeds=SeedsConfig(path=seeds_file(folder), eval_share=0.5),
        teacher=ModelConfig(model="scripted"),
    )
    quick = {"samples": 2, "bootstrap_resamples": 200, "greedy": False, "utility": False}
    return config, EvaluateConfig.model_validate(quick | evaluate)


def write_student(run: Path, arm: str) -> None:
    """Write what training leaves of a student, without weights."""
    folder = run / "models" / arm
    losses = [2.41, 1.9, 1.62, 1.44, 1.31, 1.22, 1.17, 1.12, 1.08, 1.06]
    told = {
        "arm": arm,
        "rows": 240,
        "heldout_rows": 24,
        "left_out": 3,
        "steps": len(losses),
        "tokens": 81234,
        "loss": [{"step": step, "loss": loss} for step, loss in enumerate(losses, 1)],
        "eval_loss": [{"step": 5, "eval_loss": 1.5}, {"step": 10, "eval_loss": 1.36}],
        "base": {"name": "embedded", "digest": "d"},
        "files": [{"path": "model.safetensors", "bytes": 269_000_000, "sha256": "5f"}],
    }
    stage(f"finetune {arm}", str(folder), {}, make=lambda: told, clean=lambda: None)
    (folder / "config.json").write_text("{}")


def run_with(replies: Replies) -> RunBatch:
    """Return what runs a batch of answers through the real step, without a scheduler.

    Like the real one it never runs an item twice.
    """
    kept: dict[str, dict[str, dict[str, Any]]] = {}

    def run(batch: Batch) -> Iterator[pa.Table]:
        rows = kept.setdefault(batch.workspace, {})
        name = batch.stage.removeprefix("evaluate ")
        for part in batch.parts:
            for item in part:
                if item.item_id not in rows:
                    rows[item.item_id] = _row(name, item, replies)
            yield pa.Table.from_pylist([rows[item.item_id] for item in part], schema=TRACES)

    return run


def answers_of(name: str, items: list[Item], replies: Replies) -> pa.Table:
    """Return what the model called `name` answers to `items`."""
    return pa.Table.from_pylist([_row(name, item, replies) for item in items], schema=TRACES)


def usual_replies(name: str, item: Item) -> Reply:
    """Answer like the model called `name`: base helps, refusal refuses, srg thinks first."""
    harmful = item.seed.label == "harmful"
    if name == "base":
        return Reply(text=REFUSAL if harmful and item.sample_index == 1 else HELP)
    if name == "refusal":
        return Reply(text=REFUSAL if harmful or item.sample_index == 0 else HELP)
    thought = "<think>\nWhat is asked here, and whom could it harm?\n</think>\n\n"
    return Reply(text=thought + (REFUSAL if harmful else HELP), output_tokens=30)


def _row(name: str, item: Item, replies: Replies) -> dict[str, Any]:
    async def student(messages: Any, sampling: Sampling) -> Reply:
        assert messages == item.seed.messages
        return replies(name, item)

    models: Any = SimpleNamespace(student=student, sampling=Sampling(), format_retries=0)
    [trace] = asyncio.run(evaluate_step(item, models))
    return {
        "row_id": row_id(item.item_id, 0),
        "item_id": item.item_id,
        "try": 0,
        "outcome": str(trace.outcome),
        "reasoning": trace.reasoning,
        "answer": trace.answer,
        "raw": trace.raw,
        "payload": json.dumps(dict(trace.payload)),
        "output_tokens": replies(name, item).output_tokens,
    }
