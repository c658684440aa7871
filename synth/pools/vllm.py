"""vLLM engines in this process: one that writes, behind its chat template, and one that scores.

The second's model ends in a number: `LlamaForSequenceClassification` and its like.
A leaf: imports vLLM and transformers, which takes ten seconds.
"""

import contextlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

import psutil

from synth import storage
from synth.config.schema import ModelConfig
from synth.errors import Invalid, PoolFault, RowFault
from synth.models.embedded import embedded_model_folder
from synth.models.families import family_of, split_reasoning, thought_is_open
from synth.models.identity import EMBEDDED
from synth.models.rendering import encode_chat, generation_prompt
from synth.pools.engine import EngineLost
from synth.records import Head, Message, Reply, Sampling

# vLLM reads these when it is imported. Quiet, no reports to its makers, and on CPU a cache
# that leaves memory for a trainer beside it (GiB).
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")

from transformers import AutoTokenizer
from vllm import PoolingParams, SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMClientError
from vllm.inputs.engine import TokensInput, tokens_input
from vllm.outputs import PoolingRequestOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError
from vllm.v1.metrics.loggers import StatLoggerBase
from vllm.v1.metrics.stats import SchedulerStats

# Eager: a run of a few minutes never earns back the minute of compiling.
_CPU_ARGS = {"enforce_eager": True, "dtype": "bfloat16"}
_FEW_CORES = 4
_HEADS: Mapping[Head, Mapping[str, Any]] = {
    # Compiles a grammar of bounded repeats in milliseconds, where the default takes seconds.
    # Free white space in JSON is where a small model loses itself until its tokens run out.
    "text": {"structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True}},
    "score": {"runner": "pooling"},
}
# The logit itself: a reward has no range, and a sigmoid would press great ones together.
_RAW = PoolingParams(task="classify", use_activation=False)

Output = TypeVar("Output", RequestOutput, PoolingRequestOutput)


class VllmEngine:
    """An `AsyncLLM` with the model's chat template in front of it."""

    def __init__(self, model: ModelConfig, max_num_seqs: int, seed: int) -> None:
        # Made here, not where the run was planned: this may be another machine.
        path = str(embedded_model_folder() if model.model == EMBEDDED else model.model)
        path = storage.local_copy(path)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(path, revision=model.revision)
        self._family = family_of(path, model.family)
        self._generation_prompt = generation_prompt(self._tokenizer)
        self._clock = _Clock()
        args = _engine_args(model, path, max_num_seqs, seed)
        os.environ.update(_environment(args, model.head))
        self._engine = AsyncLLM.from_engine_args(
            AsyncEngineArgs(**args), stat_loggers=[self._clock.logger]
        )
        self._max_tokens = self._engine.model_config.max_model_len
        self._ids = itertools.count()

    def progress(self) -> float:
        """Return when the engine last finished a step (`time.monotonic`)."""
        return self._clock.last

    def prefix_cache(self) -> tuple[int, int]:
        """Return the prompt tokens looked up in the prefix cache, and those found."""
        return self._clock.prefix_queries, self._clock.prefix_hits

    def dead(self) -> bool:
        """Say whether the engine's core process is gone."""
        return self._engine.errored

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Complete `messages`.

        Raises:
            Invalid: The prompt leaves no room for a token, or its turns are refused.
            RowFault: vLLM rejects the request, or fails on it alone.
            EngineLost: The core is gone.
        """
        ids = self._encode(messages, room=1)
        params = _params(sampling)
        output = await self._ended(self._engine.generate(ids, params, self._request_id()))
        prefix = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        return self._reply(output, sampling, prefix)

    def close(self) -> None:
        """End the core process in good order."""
        self._engine.shutdown()

    def kill(self) -> None:
        """End every process the engine has started, however stuck it is."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end by itself meanwhile
                process.kill()

    def _encode(self, messages: Sequence[Message], room: int) -> TokensInput:
        """Return the prompt's tokens, which leave room for so many more."""
        ids = encode_chat(self._tokenizer, messages, messages[-1]["role"] == "assistant")
        if len(ids) + room > self._max_tokens:
            raise Invalid(f"a prompt of {len(ids)} tokens; the model takes {self._max_tokens}")
        return tokens_input(ids)

    def _request_id(self) -> str:
        return f"{os.getpid()}-{next(self._ids)}"

    async def _ended(self, outputs: AsyncIterator[Output]) -> Output:
        """Return the last of a request's outputs."""
        try:
            async for output in outputs:
                if output.finished:
                    return output
        except EngineDeadError as error:
            raise EngineLost("the engine died") from error
        except VLLMClientError as error:
            raise RowFault(f"rejected: {error}") from error
        except EngineGenerateError as error:
            if self.dead():
                raise EngineLost("the engine died") from error
            raise RowFault(f"the engine failed on it: {error.__cause__!r}") from error
        raise PoolFault("the engine ended a request without an output")

    def _reply(self, output: RequestOutput, sampling: Sampling, prefix: str) -> Reply:
        done = output.outputs[0]
        if done.finish_reason not in ("stop", "length"):
            raise PoolFault(f"the engine ended a request: {done.finish_reason}")
        text, reasoning = done.text, ""
        if not _constrained(sampling):
            opened = thought_is_open(self._generation_prompt + prefix, self._family)
            reasoning, text, _ = split_reasoning(text, self._family, opened=opened)
        return Reply(
            text=text,
            reasoning=reasoning,
            finish_reason=done.finish_reason,
            prompt_tokens=len(output.prompt_token_ids or ()),
            output_tokens=len(done.token_ids),
            logprobs=_logprobs(done.logprobs),
        )


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


class _Clock:
    """When the engine last made progress, and what its cache found, by vLLM's own reports."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.prefix_queries = self.prefix_hits = 0

    def logger(self, vllm_config: Any, engine_index: int = 0) -> StatLoggerBase:
        """Make the reporter that vLLM calls at the end of each step."""
        return _StepLogger(self)


class _StepLogger(StatLoggerBase):
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def record(self, scheduler_stats: SchedulerStats | None, *args: Any, **kwargs: Any) -> None:
        self._clock.last = time.monotonic()
        if scheduler_stats is not None:
            found = scheduler_stats.prefix_cache_stats
            self._clock.prefix_queries += found.queries
            self._clock.prefix_hits += found.hits

    def log_engine_initialized(self) -> None:
        pass


def _engine_args(model: ModelConfig, path: str, max_num_seqs: int, seed: int) -> dict[str, Any]:
    on_cpu = model.resources.num_gpus == 0
    several = {"distributed_executor_backend": "mp"} if model.resources.num_gpus > 1 else {}
    return {
        "model": path,
        "revision": model.revision,
        "seed": seed,  # of the engine: on CPU a request's own seed kills it
        "max_num_seqs": max_num_seqs,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        **_HEADS[model.head],
        **(_CPU_ARGS if on_cpu else several),
        **model.engine_args,
    }


def _environment(args: Mapping[str, Any], head: Head) -> dict[str, str]:
    """Return the variables under which vLLM should start an engine of `args`."""
    environment: dict[str, str] = {}
    if args.get("enforce_eager"):
        # Or the first request for log-probabilities compiles for half a minute.
        environment["TORCH_COMPILE_DISABLE"] = "1"
    cores = sorted(os.sched_getaffinity(0))
    if args.get("tensor_parallel_size", 1) == 1 and len(cores) <= _FEW_CORES:
        # By itself vLLM keeps a core for its scheduler: half of what a small machine has. An
        # engine that scores beside another takes one core: threads of two engines on the same
        # cores wait for each other at every layer, and both take twice as long.
        own = cores[-1:] if head == "score" else cores
        environment["VLLM_CPU_OMP_THREADS_BIND"] = os.environ.get(
            "VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, own))
        )
    return environment


def _params(sampling: Sampling) -> SamplingParams:
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.max_tokens,
        stop=list(sampling.stop),
        include_stop_str_in_output=sampling.keep_stop,
        logprobs=sampling.logprobs,
        structured_outputs=_structure(sampling),
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _constrained(sampling: Sampling) -> bool:
    """Say whether the whole text follows a grammar, which then also rules what looks like tags."""
    return any(c is not None for c in (sampling.regex, sampling.choice, sampling.json_schema))


def _structure(sampling: Sampling) -> StructuredOutputsParams | None:
    if not _constrained(sampling):
        return None
    try:
        return StructuredOutputsParams(
            regex=sampling.regex,
            choice=None if sampling.choice is None else list(sampling.choice),
            json=sampling.json_schema,
        )
    except VLLMClientError as error:
        raise RowFault(f"rejected: {error}") from error


def _logprobs(steps: Any) -> tuple[dict[str, float], ...] | None:
    if steps is None:
        return None
    return tuple({entry.decoded_token: entry.logprob for entry in s.values()} for s in steps)
