"""How full does `synthesize` keep an engine? `python -m tests.bench.saturation`

Output tokens a second of `synthesize` over those of the same engine fed with token ids, on the
same prompts and sampling: the median of alternating pairs. Neither side is warmed up beyond what
vLLM does while it loads.

The engine computes on all cores but one, as vLLM has it by itself and as an engine on a GPU
leaves the cores to the machinery. `--every-core` measures what a run does by default on a small
machine, where the engine has every core and all that the machinery computes is taken from it.
"""

import asyncio
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice

from synth.config.schema import Limits, ModelConfig, SamplingConfig, SeedsConfig, SynthConfig
from synth.dataset import make_traces
from synth.models.embedded import embedded_model_folder
from synth.models.rendering import encode_chat
from synth.pools.layout import CALLS_PER_SLOT
from synth.records import Item, Outcome, Sampling
from synth.seeds.seeds import load_seeds
from synth.synthesize import RunOptions
from synth.workspace.leases import lease_path
from synth.workspace.workspace import Workspace
from tests.bench import harness
from tests.bench.harness import Json
from tests.bench.recipes import ONE_CALL, ONE_CALL_PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of an engine.

    Attributes:
        prompts: Number of prompts: the embedded seeds in turn, again as further samples.
        max_tokens: Bound on new tokens; a reply that ends by itself ends earlier.
        max_num_seqs: Sequences the engine runs at once.
        workers: Recipe workers of `synthesize`.
    """

    prompts: int = 512
    max_tokens: int = 128
    max_num_seqs: int = 64
    workers: int = 1


def bench() -> Json:
    """Measure pairs of the two sides."""
    parser = harness.make_parser(__doc__, Load())
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--every-core", action="store_true")
    known = parser.parse_args()
    if not known.every_core:
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "auto"
    load = harness.read_load(known, Load)
    sides = ("bare", "synthesize")
    pairs = harness.measure_pairs(sides, partial(tokens_per_s, load), known.pairs)
    return summarize(load, pairs) | {"every_core": known.every_core}


def tokens_per_s(load: Load, side: str) -> float:
    """Return a side's output tokens a second, loading excluded and the tail included."""
    served = harness.run_side("saturation", side, load)
    if served["replies"] != load.prompts:
        raise RuntimeError(f"{side} answered {served['replies']} of {load.prompts} prompts")
    speed = served["output_tokens"] / served["seconds"]
    harness.say(f"{side}: {speed:.0f} tok/s")
    return speed


def summarize(load: Load, pairs: list[tuple[float, float]]) -> Json:
    """Return what others read: `ratio` is the share of the bare engine's speed."""
    bare, ours = zip(*pairs, strict=True)
    return {
        **harness.median_ratio([b / a for a, b in pairs], 4),
        "bare_tok_s": [round(speed, 1) for speed in bare],
        "synthesize_tok_s": [round(speed, 1) for speed in ours],
        **asdict(load),
    }


def make_config(load: Load, run: str) -> SynthConfig:
    """Return the configuration of `synthesize`, from which the bare engine takes its part."""
    return SynthConfig(
        run=run,
        recipe=(ONE_CALL_PATH,),
        teacher=ModelConfig(
            model="embedded",
            engine_args={"max_model_len": 1024, "max_num_seqs": load.max_num_seqs},
        ),
        sampling=SamplingConfig(temperature=0.7, max_tokens=load.max_tokens),
        limits=Limits(workers=load.workers),
    )


def make_items(load: Load) -> list[Item]:
    """Return the prompts, in the order in which both sides send them."""
    seeds = load_seeds(SeedsConfig())
    turns = islice(cycle(seeds), load.prompts)
    return [
        Item(seed=seed, recipe=ONE_CALL.name, sample_index=index // len(seeds))
        for index, seed in enumerate(turns)
    ]


def bare(load: Load) -> Json:
    """Give token ids straight to vLLM, its queue always full.

    The engine has no template, no Serve and no worker around it. It is built by the arguments of
    `synth.pools.vllm`, so that nothing but the machinery tells the two sides apart.
    """
    return asyncio.run(_serve_bare(load))


async def _serve_bare(load: Load) -> Json:
    from synth.pools import vllm  # noqa: PLC0415 - only this side loads an engine in its process

    config = make_config(load, run="unused")
    folder = str(embedded_model_folder())
    tokenizer = vllm.AutoTokenizer.from_pretrained(folder)
    prompts = [encode_chat(tokenizer, item.seed.messages, False) for item in make_items(load)]
    args = vllm._engine_args(config.teacher, folder, load.max_num_seqs, config.seed)
    os.environ.update(vllm._environment(args, config.teacher.head))
    sampling = Sampling(**config.sampling.model_dump())
    in_flight = asyncio.Semaphore(int(load.max_num_seqs * CALLS_PER_SLOT))
    engine = vllm.AsyncLLM.from_engine_args(vllm.AsyncEngineArgs(**args))

    async def complete(number: int, ids: list[int]) -> int:
        async with in_flight:
            asked = vllm.tokens_input(ids), vllm._params(sampling), str(number)
            async for output in engine.generate(*asked):
                if output.finished:
                    return len(output.outputs[0].token_ids)
        raise RuntimeError(f"prompt {number} ended without an output")

    try:
        started = time.perf_counter()
        counts = await asyncio.gather(*(complete(n, ids) for n, ids in enumerate(prompts)))
        seconds = time.perf_counter() - started
    finally:
        engine.shutdown()
    return {"replies": len(counts), "output_tokens": sum(counts), "seconds": seconds}


def synthesize(load: Load) -> Json:
    """Do the same with `synthesize`: a Serve replica, workers and published lease files."""
    with tempfile.TemporaryDirectory(prefix="guideweave-bench-") as folder:
        items = make_items(load)
        run = harness.make_run(make_config(load, folder), ONE_CALL, items)
        run.workspace.publish(items)
        outcomes = make_traces(run, RunOptions())
        if outcomes != {Outcome.OK: load.prompts}:
            raise RuntimeError(f"not every row was answered: {dict(outcomes)}")
        return _read(run.workspace)


def _read(workspace: Workspace) -> Json:
    """Return what was made from the first lease's start to the last one's publication.

    So opening the pool and starting workers, which the bare engine has not, stay out of it.
    """
    counts = dict(zip(workspace.finished(), workspace.counts(), strict=True))
    published = {name: os.stat(lease_path(workspace.path, name)).st_mtime for name in counts}
    started = min(published[name] - count.seconds for name, count in counts.items())
    return {
        "replies": sum(count.rows for count in counts.values()),
        "output_tokens": sum(count.output_tokens for count in counts.values()),
        "seconds": max(published.values()) - started,
    }


if __name__ == "__main__":
    harness.main(bench, {"bare": bare, "synthesize": synthesize}, Load)
