"""Credentials in the environment are checked as the configuration is, and never shown."""

import traceback
from pathlib import Path

import pytest

from synth.chat.connect import ChatSpec, connect
from synth.config.schema import EndpointConfig
from synth.errors import BadInput
from tests.commands import Cli, Ended

S3_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
CONFIG = """
run: run
recipe: refusal
teacher: {endpoint: {base_url: 'http://127.0.0.1:9/v1', model: m, api_key_env: GW_TEST_KEY}}
"""
ON_S3 = "run: s3://bucket/run\nrecipe: refusal\nteacher: {model: scripted}\n"
BROKEN = {
    "a line feed": "planted\nsecret",
    "a line feed at the end": "planted-secret\n",
    "a carriage return": "planted\rsecret",
    "a tab": "planted\tsecret",
    "a space before": " planted-secret",
    "a space after": "planted-secret ",
    "a space within": "planted secret",
    "a control character": "planted\x01secret",
    "a deletion": "planted\x7fsecret",
    "a letter beyond ASCII": "plantedésecret",
    "a quote of a word processor": "“planted-secret”",
    "bytes that are no text": "planted\udcffsecret",
}


def told_as(ended: Ended, name: str) -> None:
    """Check for exit 2, and one line with the variable and the rule, without the value."""
    assert ended.code == 2, ended.err
    assert f" {name}: " in f" {ended.line}"
    assert "visible ASCII characters" in ended.line
    assert "planted" not in ended.err
    assert "secret" not in ended.err


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("verb", ["check", "synthesize"])
def test_a_key_that_no_header_carries(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, value: str
) -> None:
    monkeypatch.setenv("GW_TEST_KEY", value)
    (tmp_path / "run.yaml").write_text(CONFIG)
    told_as(cli(verb, "run.yaml"), "GW_TEST_KEY")


def test_a_worker_tells_such_a_key_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is another than the driver's, which has looked at its own."""
    monkeypatch.setenv("GW_TEST_KEY", "planted\nsecret")
    endpoint = EndpointConfig(base_url="http://h/v1", model="m", api_key_env="GW_TEST_KEY")
    with pytest.raises(BadInput, match=r"GW_TEST_KEY: .* visible ASCII") as caught:
        connect(ChatSpec(kind="endpoint", model_id="m", endpoint=endpoint))
    assert "planted" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", S3_VARIABLES)
@pytest.mark.parametrize("command", [("check", "run.yaml"), ("status", "s3://bucket/run")])
def test_credentials_of_a_store_that_no_request_carries(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, command: tuple[str, str]
) -> None:
    for each in S3_VARIABLES:
        monkeypatch.setenv(each, "planted-secret")
    monkeypatch.setenv(name, "planted\nsecret")
    (tmp_path / "run.yaml").write_text(ON_S3)
    told_as(cli(*command), name)


def test_a_clusters_token_that_no_header_carries(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "planted\nsecret")
    (tmp_path / "run.yaml").write_text(ON_S3)
    told_as(cli("submit", "run.yaml", "--address", "http://127.0.0.1:9"), "RAY_AUTH_TOKEN")
