"""Hidden states at the last prompt token, through transformers.

That token is where the model's answer starts: the last one of the generation prompt. Layer k is
the residual stream after block k, the last layer after the final normalisation; the embeddings
are left out, because there the last token is the same for every prompt.
This leaf imports torch and transformers; it is loaded where the model is, and nowhere else.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from synth.errors import BadInput, Invalid
from synth.models.rendering import encode_chat
from synth.records import Message

TOO_LONG, INVALID = "too_long", "invalid"


class HiddenStates:
    """A model that is read, not asked.

    Args:
        path: Folder or hub name; weights are safetensors.
        revision: Commit of a hub model.
        dtype: `float32` or `bfloat16`.
        num_gpus: How many it is spread over; 0 for none.

    Raises:
        BadInput: It can not be loaded.
    """

    def __init__(self, path: str, revision: str | None, dtype: str, num_gpus: float) -> None:
        if not num_gpus:
            # Ray limits a worker's threads to its logical CPUs, which say nothing of its cores.
            torch.set_num_threads(len(os.sched_getaffinity(0)))
        source: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
        placed = {"device_map": "auto" if num_gpus > 1 else "cuda"} if num_gpus else {}
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(path, **source)
            self._model: Any = AutoModel.from_pretrained(
                path, dtype=getattr(torch, dtype), use_safetensors=True, **placed, **source
            ).eval()
        except (OSError, ValueError) as error:
            raise BadInput(
                file="config",
                field="model",
                value=path,
                rule=f"must be one that transformers loads: {error}".splitlines()[0],
            ) from error

    def encode(self, messages: Sequence[Message], max_length: int) -> list[int] | str:
        """Return a conversation's tokens up to where the answer starts, or why there are none."""
        try:
            ids = encode_chat(self.tokenizer, messages, continue_final=False)
        except Invalid:
            return INVALID
        return ids if len(ids) <= max_length else TOO_LONG

    def read(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the states of a batch at each prompt's last token: `[prompts, layers, width]`.

        Rows are filled up on the right. Attention is causal, so that no token sees what comes
        after it, and positions stay those of the prompt alone.
        """
        longest = max(map(len, prompts))
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
            mask[row, : len(prompt)] = 1
        device = self._model.device
        with torch.inference_mode():
            found = self._model(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                output_hidden_states=True,
                use_cache=False,
            )
        last = mask.sum(dim=1) - 1
        rows = torch.arange(len(prompts))
        states = [
            layer[rows.to(layer.device), last.to(layer.device)].float().cpu()
            for layer in found.hidden_states[1:]
        ]
        return torch.stack(states, dim=1).numpy()
