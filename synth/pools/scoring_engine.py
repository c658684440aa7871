"""A vLLM engine whose model ends in a number: `LlamaForSequenceClassification` and its like.

A leaf: imports vLLM and transformers, which takes ten seconds.
"""

from collections.abc import Sequence

from synth.pools.vllm_engine import VllmEngine
from synth.records import Message, Reply, Sampling

from vllm import PoolingParams  # isort: skip

# The logit itself: a reward has no range, and a sigmoid would press great ones together.
_RAW = PoolingParams(task="classify", use_activation=False)


class ScoringEngine(VllmEngine):
    """An `AsyncLLM` that pools: it reads a conversation and writes nothing."""

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Score `messages`; there is nothing to sample.

        Raises:
            Invalid: The conversation is too long, or its turns are refused.
            RowFault: vLLM rejects the request, or fails on it alone.
            EngineLost: The core is gone.
        """
        ids = self._encode(messages, room=0)
        output = await self._ended(self._engine.encode(ids, _RAW.clone(), self._request_id()))
        return Reply(
            text="",
            prompt_tokens=len(output.prompt_token_ids),
            score=output.outputs.data.item(),
        )
