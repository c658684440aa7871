"""A real engine that scores, beside one that writes: opened once for all of these tests."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
import ray

from synth.calls.gate import Gate
from synth.calls.metering import MeteredChat, PoolHealth
from synth.chat.connect import connect
from synth.config.schema import Limits, ModelConfig
from synth.errors import Invalid, Refused
from synth.models.embedded import embedded_model_folder
from synth.models.families import STEP_TOKENS
from synth.models.rendering import encode_chat
from synth.recipes.bestof import BeamOptions, BestOfNOptions, prm_best_of_n, step_beam, step_ends
from synth.recipes.surgery import write_steps
from synth.records import Message, Sampling
from tests.synth.factories import metered
from tests.synth.opened import engines

pytestmark = [
    pytest.mark.ray,
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
]

LIMITS = Limits(call_timeout_s=60, stall_s=30)
ARGS = {"max_model_len": 512, "max_num_seqs": 16, "dtype": "float32"}
USER = Message(role="user", content="Name three colours.")
TEXT = write_steps(["What is asked?", "It is harmless."], "Red, green and blue.")
# Step by step, as a search would ask: the beginnings share their prefix.
BEGINNINGS = [TEXT[:end] for end in step_ends(TEXT)]


class Doors(NamedTuple):
    """The two metered models, and the folder of the one that scores."""

    student: MeteredChat
    reward: MeteredChat
    folder: Path


def write_models(parent: Path) -> tuple[Path, Path]:
    """Write two random models of two layers with the steps' marks in their vocabulary."""
    import torch  # noqa: PLC0415 (heavy, as the next)
    from transformers import (  # noqa: PLC0415
        AddedToken,
        AutoTokenizer,
        LlamaConfig,
        LlamaForCausalLM,
        LlamaForSequenceClassification,
    )

    tokenizer: Any = AutoTokenizer.from_pretrained(embedded_model_folder())
    tokenizer.add_tokens([AddedToken(m, special=False, normalized=False) for m in STEP_TOKENS])
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,  # vLLM's attention on CPU takes heads of 32 and more
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
    }
    torch.manual_seed(0)
    config: Any = LlamaConfig(**shape)
    config.num_labels = 1
    scorer: Any = LlamaForSequenceClassification(config)
    torch.nn.init.normal_(scorer.score.weight)
    models = {"student": LlamaForCausalLM(LlamaConfig(**shape)), "reward": scorer}
    for name, model in models.items():
        model.save_pretrained(parent / name)
        tokenizer.save_pretrained(parent / name)
    return parent / "student", parent / "reward"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    student, reward = write_models(tmp_path_factory.mktemp("models"))
    models = {
        "student": ModelConfig(model=str(student), engine_args=ARGS),
        "reward": ModelConfig(model=str(reward), engine_args=ARGS, head="score"),
    }
    ray.init(address="local", num_cpus=16, include_dashboard=False, log_to_driver=False)
    try:
        async with engines(models, "5c0e" * 6, LIMITS) as specs:
            opened = {
                role: metered(connect(spec), role, Gate(32), PoolHealth(60))
                for role, spec in specs.items()
            }
            yield Doors(opened["student"], opened["reward"], reward)
    finally:
        ray.shutdown()


def conversation(text: str) -> list[Message]:
    return [USER, Message(role="assistant", content=text)]


def logits(folder: Path, texts: list[str]) -> tuple[list[float], list[int]]:
    """Return what transformers makes of each conversation, and how many tokens it has."""
    import torch  # noqa: PLC0415 (heavy, as the next)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    prompts = [encode_chat(tokenizer, conversation(text), continue_final=True) for text in texts]
    with torch.no_grad():
        found = [model(torch.tensor([ids])).logits.item() for ids in prompts]
    return found, [len(ids) for ids in prompts]


async def test_a_score_is_the_models_raw_logit(doors: Doors) -> None:
    texts = [*BEGINNINGS, "Red.", "Never."]
    expected, lengths = await asyncio.to_thread(logits, doors.folder, texts)
    found = await asyncio.gather(*(doors.reward.score(conversation(text)) for text in texts))
    assert found == pytest.approx(expected, abs=1e-3)
    assert max(map(abs, expected)) > 1, "a sigmoid would have been told apart"
    assert len({round(score, 2) for score in found}) == len(texts)
    assert doors.reward.meter.usage["reward"].prompt_tokens == sum(lengths)
    assert doors.reward.meter.output_tokens == 0


async def test_a_conversation_that_is_too_long_is_invalid(doors: Doors) -> None:
    with pytest.raises(Invalid, match="the model takes 512"):
        await doors.reward.score(conversation("word " * 600))


async def test_a_pool_opens_one_door_only(doors: Doors) -> None:
    with pytest.raises(Refused, match="scores"):
        await doors.reward([USER], Sampling(max_tokens=4))
    with pytest.raises(Refused, match="writes text"):
        await doors.student.score([USER])


async def test_the_best_of_n_is_found_while_both_engines_live(doors: Doors) -> None:
    found = await prm_best_of_n(
        [USER], doors.student, doors.reward, Sampling(max_tokens=16), BestOfNOptions(n=4)
    )
    assert found.facts["score"] == max(found.facts["scores"])
    assert len(set(found.facts["scores"])) > 1


async def test_a_beam_goes_step_by_step_through_both_engines(doors: Doors) -> None:
    # A random model writes no marks by itself: whatever it writes ends the beam's answer.
    sampling = Sampling(max_tokens=16)
    options = BeamOptions(width=2, expand=2, depth=3)
    found = await step_beam([USER], doors.student, doors.reward, sampling, options)
    assert found.facts["candidates"] == 4
