"""One side of the saturation bench: token ids straight to vLLM, its queue always full.

The engine has no template, no Serve and no worker around it. It is built by the arguments of
`synth.pools.vllm`, so that nothing but the machinery tells the two sides apart.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

from synth.models.embedded import embedded_model_folder
from synth.models.rendering import encode_chat
from synth.pools.layout import CALLS_PER_SLOT
from synth.pools.vllm import (
    AsyncEngineArgs,
    AsyncLLM,
    AutoTokenizer,
    _engine_args,
    _environment,
    _params,
    tokens_input,
)
from synth.records import Sampling
from tests.bench.load import Load, Served, make_config, make_items, parse_load, tell


async def measure(load: Load) -> Served:
    """Load an engine, then time the whole load on it."""
    config = make_config(load, run="unused")
    folder = str(embedded_model_folder())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = [encode_chat(tokenizer, item.seed.messages, False) for item in make_items(load)]
    args = _engine_args(config.teacher, folder, load.max_num_seqs, config.seed)
    os.environ.update(_environment(args, config.teacher.head))
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**args))
    try:
        return await _time(engine, prompts, Sampling(**config.sampling.model_dump()), load)
    finally:
        engine.shutdown()


async def _time(
    engine: Any, prompts: Sequence[list[int]], sampling: Sampling, load: Load
) -> Served:
    in_flight = asyncio.Semaphore(int(load.max_num_seqs * CALLS_PER_SLOT))

    async def complete(number: int, ids: list[int]) -> int:
        async with in_flight:
            async for output in engine.generate(tokens_input(ids), _params(sampling), str(number)):
                if output.finished:
                    return len(output.outputs[0].token_ids)
        raise RuntimeError(f"prompt {number} ended without an output")

    started = time.perf_counter()
    counts = await asyncio.gather(*(complete(n, ids) for n, ids in enumerate(prompts)))
    seconds = time.perf_counter() - started
    return Served(replies=len(counts), output_tokens=sum(counts), seconds=seconds)


if __name__ == "__main__":
    tell(asyncio.run(measure(parse_load())))
