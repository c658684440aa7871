"""Data and a model made up for the tests of training."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synth.curate import SFT
from synth.embedded import embedded_model_folder


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


def write_curated(
    run: Path, train: Sequence[dict[str, Any]], heldout: Sequence[dict[str, Any]] = ()
) -> Path:
    folder = run / "curated" / "default"
    (folder / "sft").mkdir(parents=True, exist_ok=True)
    shards = []
    for split, rows in (("train", train), ("heldout", heldout)):
        name = f"sft/{split}-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(list(rows), SFT), folder / name)
        data = (folder / name).read_bytes()
        shards.append(
            {
                "path": name,
                "rows": len(rows),
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    manifest = json.dumps({"inputs": {}, "shards": shards})
    (folder / "manifest.json").write_text(manifest, encoding="utf-8")
    return folder


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
        num_attention_heads=2,
        num_key_value_heads=1,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    model: Any = LlamaForCausalLM(shape)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
