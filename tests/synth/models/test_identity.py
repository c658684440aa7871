import json
import struct
import sys
from pathlib import Path

import pytest

from guidelines import BadInput
from synth.config.schema import EndpointConfig, ModelConfig
from synth.models.identity import folder_digest, identify

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_weights(path: Path, dtype: str = "BF16", values: bytes = b"\0\0") -> None:
    header = json.dumps({"w": {"dtype": dtype, "shape": [1], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    write_weights(folder / "model.safetensors")
    return folder


def test_a_folder_is_identified_by_its_content_not_its_place(folder: Path) -> None:
    before = identify(ModelConfig(model=str(folder)))
    moved = folder.rename(folder.with_name("moved"))
    after = identify(ModelConfig(model=str(moved)))
    assert after.digest == before.digest
    assert (before.name, after.name) == ("student", "moved")
    assert after.verifiable
    assert after.path == str(moved)
    assert before.model_id == f"student@{before.digest[:12]}"


def test_a_changed_file_or_weight_header_changes_the_digest(folder: Path) -> None:
    digests = {folder_digest(folder)}
    (folder / "config.json").write_text('{"a": 1}')
    digests.add(folder_digest(folder))
    write_weights(folder / "model.safetensors", dtype="F16")
    digests.add(folder_digest(folder))
    assert len(digests) == 3


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no config\.json"):
        identify(ModelConfig(model=str(tmp_path)))


@pytest.mark.parametrize("model", ["/no/such/folder", "./models/none", "runs/demo/models/srg"])
def test_a_path_to_nothing_is_refused(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="is not a folder"):
        identify(ModelConfig(model=model))


def test_a_hub_name_is_verifiable_only_by_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    floating = identify(ModelConfig(model="org/some-model", revision="main"))
    pinned = identify(ModelConfig(model="org/some-model", revision=COMMIT))
    assert not floating.verifiable
    assert pinned.verifiable
    assert (pinned.path, pinned.revision) == ("org/some-model", COMMIT)
    assert floating.digest != pinned.digest


def test_a_cached_hub_model_is_resolved_to_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--org--some-model"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    (model / "snapshots" / COMMIT).mkdir(parents=True)
    (model / "snapshots" / COMMIT / "config.json").write_text("{}")
    resolved = identify(ModelConfig(model="org/some-model"))
    assert resolved == identify(ModelConfig(model="org/some-model", revision=COMMIT))
    assert resolved.verifiable


def test_an_endpoint_is_its_host_and_served_name_and_never_verifiable() -> None:
    url = "https://user:secret@llm.example:8443/v1"
    identity = identify(ModelConfig(endpoint=EndpointConfig(base_url=url, model="big")))
    assert identity.name == "llm.example:8443/big"
    assert not identity.verifiable
    assert "secret" not in str(identity)


def test_an_endpoint_without_a_host_is_refused() -> None:
    with pytest.raises(BadInput, match="must be a URL"):
        identify(ModelConfig(endpoint=EndpointConfig(base_url="llm.example/v1", model="big")))


def test_scripts_differ_by_their_name() -> None:
    plain = identify(ModelConfig(model="scripted"))
    other = identify(ModelConfig(model="scripted", engine_args={"script": "tests.x:y"}))
    assert plain.digest != other.digest
    assert plain.path == ""


def test_identifying_needs_no_torch(folder: Path) -> None:
    before = "torch" in sys.modules
    identify(ModelConfig(model=str(folder)))
    assert ("torch" in sys.modules) == before
