"""Data and a model made up for the tests of training."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synth.curate import PREFERENCE, SFT
from synth.models.embedded import embedded_model_folder


def sft_row(seed: str, arm: str, prompt: str, completion: str, sample: int = 0) -> dict[str, Any]:
    return {
        "row_id": f"{seed}-{sample}-{arm}",
        "seed_id": seed,
        "prompt": [{"role": "user", "content": prompt}],
        "completion": [{"role": "assistant", "content": completion}],
        "category": "kitchen",
        "label": "benign",
        "arm": arm,
    }


def pair_row(
    seed: str, arm: str, chosen: str, rejected: str, *, begun: str = "", **fields: Any
) -> dict[str, Any]:
    """Make up a pair; `begun` is the part of the answer that both sides share."""
    shared = [{"role": "assistant", "content": begun}] if begun else []
    return {
        "row_id": f"{seed}-{arm}",
        "seed_id": seed,
        "prompt": [{"role": "user", "content": f"Question {seed}?"}, *shared],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        "kind": "outcome",
        "arm": arm,
        "training": "dpo",
        "label": "benign",
        "category": "kitchen",
        "chosen_ends": True,
        "rejected_ends": True,
        **fields,
    }


def write_curated(
    run: Path,
    train: Sequence[dict[str, Any]],
    heldout: Sequence[dict[str, Any]] = (),
    pairs: Sequence[dict[str, Any]] = (),
    heldout_pairs: Sequence[dict[str, Any]] = (),
    shard_rows: int = 1000,
) -> Path:
    """Write rows, and pairs of one arm and training, as curation does."""
    folder = run / "curated" / "default"
    shards = []
    for split, rows in (("train", train), ("heldout", heldout)):
        starts = range(0, max(1, len(rows)), shard_rows)
        for index, start in enumerate(starts):
            name, part = f"{index:05d}-of-{len(starts):05d}", rows[start : start + shard_rows]
            shard = _write(folder, f"sft/{split}-{name}.parquet", part, SFT)
            shards.append(shard | {"arms": Counter(row["arm"] for row in part)})
    for split, rows in (("train", pairs), ("heldout", heldout_pairs)):
        if rows:
            arm, training = rows[0]["arm"], rows[0]["training"]
            name = f"preference/{split}-{arm}-{training}-00000-of-00001.parquet"
            of = {"arm": arm, "training": training, "split": split}
            shards.append(_write(folder, name, rows, PREFERENCE) | of)
    manifest = json.dumps({"inputs": {}, "shards": shards})
    (folder / "manifest.json").write_text(manifest, encoding="utf-8")
    return folder


def _write(
    folder: Path, name: str, rows: Sequence[dict[str, Any]], schema: pa.Schema
) -> dict[str, Any]:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema), folder / name)
    data = (folder / name).read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return {"path": name, "rows": len(rows), "bytes": len(data), "sha256": sha256}


def random_model(folder: Path) -> str:
    """Write a random model of two layers with the embedded model's tokenizer."""
    import torch  # noqa: PLC0415 (heavy, as the next)
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    tokenizer: Any = AutoTokenizer.from_pretrained(embedded_model_folder())
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=1,  # of 32: narrower heads are refused by vLLM on CPU
        num_key_value_heads=1,
        eos_token_id=tokenizer.eos_token_id,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    model: Any = LlamaForCausalLM(shape)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
