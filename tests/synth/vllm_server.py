"""A `vllm serve` of the embedded model, in a process of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from synth.models.embedded import embedded_model_folder

START_S = 240
SERVED = "embedded"

_ARGS = (
    f"--served-model-name={SERVED}",
    "--host=127.0.0.1",
    "--dtype=bfloat16",
    "--enforce-eager",
    "--max-model-len=1024",
    "--max-num-seqs=8",
    "--generation-config=vllm",
)
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "TORCH_COMPILE_DISABLE": "1",
}


@contextlib.contextmanager
def serving(log: Path, key: str) -> Iterator[str]:
    """Start a server that asks for `key`, and yield its address once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", f"--port={port}"]
    command += [f"--model={embedded_model_folder()}", *_ARGS]
    environment = {**os.environ, **_ENVIRONMENT, "VLLM_API_KEY": key}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):  # its engine's core, if that stayed behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.5)
    raise RuntimeError(f"no server within {START_S} s: {log.read_text()[-2000:]}")
