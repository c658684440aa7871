"""A run leaves no secret behind: not in its directory, not in Ray's session, not on a screen."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import pytest
import yaml

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PLANTED = {
    "GW_TEST_KEY": "sk-planted/endpoint+key==7f3a9c51",
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED7F3A9C51D",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret/7f3a9c51e0b24d68",
    "AWS_SESSION_TOKEN": "planted-aws-session-token-7f3a9c51e0b24d68",
}
ANSWER = "I can help with that: here is a plain and friendly answer of a few words."


class Gossip(BaseHTTPRequestHandler):
    """A server that repeats the key in every error, in headers and in its body."""

    refuses_all = False
    keys_seen: ClassVar[set[str]] = set()
    crashed: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        key = self.headers.get("Authorization", "")
        type(self).keys_seen.add(key)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][-1]["content"]
        if self.refuses_all:
            self._say(401, {"error": {"message": f"Incorrect API key provided: {key}"}})
        elif "rejected" in asked:
            self._say(400, {"error": {"message": f"no, not with {key}"}})
        elif "once more" in asked and asked not in self.crashed:
            self.crashed.add(asked)
            self._say(500, {"error": f"crashed while serving {key}"})
        else:
            self._complete(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _complete(self, body: dict) -> None:
        choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}}
        usage = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
        done = {**choice, "finish_reason": "stop"}
        self._say(200, {"id": "1", "model": body["model"], "choices": [done], "usage": usage})

    def _say(self, status: int, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Echo", self.headers.get("Authorization", ""))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[str]:
    Gossip.keys_seen.clear()
    Gossip.crashed.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Gossip) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/v1"
        listening.shutdown()


@pytest.fixture
def session() -> Iterator[Path]:
    """A folder for Ray's own files: in a short path, for its sockets."""
    with tempfile.TemporaryDirectory(prefix="gw", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def spellings(secret: str) -> set[bytes]:
    plain = secret.encode()
    return {plain, base64.b64encode(plain).rstrip(b"="), quote(secret, safe="").encode()}


def leaks(*folders: Path) -> list[str]:
    """Return where a planted secret stands: in a file's bytes or in its name."""
    found = []
    for path in (path for folder in folders for path in folder.rglob("*")):
        try:
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        except OSError:  # a file of a process that has just ended
            continue
        for name, secret in PLANTED.items():
            if any(text in data + os.fsencode(path.name) for text in spellings(secret)):
                found.append(f"{name} in {path}")
    return found


def run(folder: Path, session: Path, base_url: str) -> subprocess.CompletedProcess[str]:
    seeds = [
        {"prompt": f"{kind} question number {i}", "label": "benign"}
        for i in range(6)
        for kind in ("plain", "rejected", "once more")
    ]
    (folder / "seeds.jsonl").write_text("\n".join(map(json.dumps, seeds)))
    endpoint = {"base_url": base_url, "model": "m", "api_key_env": "GW_TEST_KEY"}
    config = {
        "run": str(folder / "run"),
        "recipe": "refusal",
        "samples": 1,
        "seeds": {"path": str(folder / "seeds.jsonl"), "eval_share": 0.0},
        "teacher": {"endpoint": endpoint},
        "limits": {"workers": 2, "pool_deadline_s": 60},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config))
    words = [sys.executable, "-m", "ray_jobs.run", str(path), "--verbose"]
    env = {**os.environ, **PLANTED, "RAY_TMPDIR": str(session)}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=200)


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    for index, text in enumerate(spellings(PLANTED["GW_TEST_KEY"])):
        (tmp_path / f"{index}").write_bytes(b"\0" + text + b"\n")
    assert len(leaks(tmp_path)) == 3


@pytest.mark.parametrize("refuses_all", [False, True])
def test_no_secret_is_left_behind(
    tmp_path: Path, session: Path, server: str, monkeypatch: pytest.MonkeyPatch, refuses_all: bool
) -> None:
    monkeypatch.setattr(Gossip, "refuses_all", refuses_all)
    ended = run(tmp_path, session, server)
    told = ended.stdout + ended.stderr
    assert ended.returncode == (2 if refuses_all else 3), told
    assert f"Bearer {PLANTED['GW_TEST_KEY']}" in Gossip.keys_seen, "it was used"
    assert not any(secret in told for secret in PLANTED.values())
    assert list((tmp_path / "run").rglob("*")) or refuses_all
    if not refuses_all:
        assert list(session.rglob("*.log")), "Ray has logged there"
    assert leaks(tmp_path, session) == []
