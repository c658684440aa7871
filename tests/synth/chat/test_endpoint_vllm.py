"""The endpoint chat against a real `vllm serve` of the embedded model."""

import json
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from synth.chat import ChatSpec
from synth.chat.endpoint import EndpointChat
from synth.checks.endpoints import check_endpoints
from synth.config.schema import EndpointConfig, Limits, ModelConfig, SeedsConfig, SynthConfig
from synth.dataset import make_traces
from synth.errors import BadInput, Invalid, Refused, RowFault
from synth.pools.layout import PoolPlan
from synth.records import ABILITIES, Message, Sampling
from synth.run import load_run
from synth.status import read_status
from synth.synthesize import RunOptions
from synth.workspace.workspace import Workspace
from tests.synth.vllm_server import SERVED, serving

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(600)]

KEY = "a-key-that-is-never-written"
VARIABLE = "GUIDEWEAVE_TEST_KEY"
ASK = [Message(role="user", content="Name three colours.")]
GREEDY = Sampling(temperature=0, max_tokens=24)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("vllm") / "server.log", KEY) as found:
        yield found


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)


def spec(url: str, model: str = SERVED) -> ChatSpec:
    endpoint = EndpointConfig(base_url=url, model=model, api_key_env=VARIABLE, can=ABILITIES)
    return ChatSpec(
        kind="endpoint", model_id=model, endpoint=endpoint, can=ABILITIES, call_timeout_s=120
    )


def pool(url: str) -> list[PoolPlan]:
    return [PoolPlan(chats={"teacher": spec(url)})]


@pytest.fixture
async def chat(url: str) -> AsyncIterator[EndpointChat]:
    found = EndpointChat(spec(url))
    yield found
    await found.aclose()


async def test_tokens_are_the_servers_own_count(chat: EndpointChat) -> None:
    reply = await chat(ASK, GREEDY)
    assert reply.counted
    assert 0 < reply.output_tokens <= 24
    longer = await chat([*ASK, Message(role="assistant", content="Red"), *ASK], GREEDY)
    assert longer.prompt_tokens > reply.prompt_tokens > 5
    assert (await chat(ASK, Sampling(max_tokens=2))).finish_reason == "length"


async def test_every_ability_is_proved(url: str) -> None:
    await check_endpoints(pool(url), 120)


async def test_a_turn_is_continued(chat: EndpointChat) -> None:
    begun = [*ASK, Message(role="assistant", content="Red, green and")]
    assert (await chat(begun, GREEDY)).text.startswith(" blue")


async def test_constraints_bind(chat: EndpointChat) -> None:
    assert (await chat(ASK, Sampling(regex=r"[a-f]{6}-[0-9]{3}", max_tokens=40))).text
    assert (await chat(ASK, Sampling(choice=("ochre", "teal")))).text in ("ochre", "teal")
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 3}},
        "required": ["n"],
        "additionalProperties": False,
    }
    reply = await chat(ASK, Sampling(temperature=0, json_schema=json.dumps(schema)))
    assert reply.finish_reason == "stop"
    assert json.loads(reply.text)["n"] in (1, 2, 3)


async def test_log_probabilities_come_with_alternatives(chat: EndpointChat) -> None:
    reply = await chat(ASK, Sampling(temperature=0, max_tokens=3, logprobs=5))
    assert reply.logprobs is not None
    assert len(reply.logprobs) == 3
    for token in reply.logprobs:
        assert 5 <= len(token) <= 6
        assert sum(map(math.exp, token.values())) <= 1 + 1e-3


async def test_the_stop_string_stays_where_it_is_asked_for(chat: EndpointChat) -> None:
    with_stop = Sampling(temperature=0, max_tokens=40, stop=("e",))
    assert not (await chat(ASK, with_stop)).text.endswith("e")
    kept = Sampling(temperature=0, max_tokens=40, stop=("e",), keep_stop=True)
    assert (await chat(ASK, kept)).text.endswith("e")


async def test_a_prompt_that_is_too_long_is_invalid(chat: EndpointChat) -> None:
    with pytest.raises(Invalid, match="maximum context length"):
        await chat([Message(role="user", content="word " * 3_000)], GREEDY)
    with pytest.raises(RowFault, match="max_model_len"):
        await chat(ASK, Sampling(max_tokens=2_000))


async def test_what_the_server_refuses(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = EndpointChat(spec(url, model="another"))
    with pytest.raises(Refused, match="404"):
        await other(ASK, GREEDY)
    await other.aclose()
    monkeypatch.setenv(VARIABLE, "wrong")
    with pytest.raises(BadInput) as caught:
        await check_endpoints(pool(url), 20)
    assert caught.value.field == "teacher.endpoint.api_key_env"


def test_a_run_without_ray(url: str, tmp_path: Path) -> None:
    """Through the whole of `synthesize`; the key is nowhere."""
    endpoint = EndpointConfig(
        base_url=url,
        model=SERVED,
        api_key_env=VARIABLE,
        can=frozenset({"regex"}),
        max_concurrency=8,
        price_per_million_input_tokens=1,
        price_per_million_output_tokens=2,
    )
    config = SynthConfig(
        run=str(tmp_path / "run"),
        recipe=("refusal",),
        seeds=SeedsConfig.model_validate({"limit": {"harmful": 2, "benign": 2, "borderline": 0}}),
        samples=2,
        teacher=ModelConfig(endpoint=endpoint),
        limits=Limits(workers=0, call_timeout_s=120),
    )
    make_traces(load_run(config), RunOptions())
    table = Workspace(config.run).traces()
    assert len(table) == 8
    assert set(table["outcome"].to_pylist()) <= {"ok", "unparsed", "truncated"}
    assert all(count > 0 for count in table["output_tokens"].to_pylist())
    status = read_status(config.run)
    assert status.cost is not None
    assert (status.cost.total or 0) > 0
    written = [path.read_bytes() for path in Path(config.run).rglob("*") if path.is_file()]
    assert not any(KEY.encode() in content for content in written)
