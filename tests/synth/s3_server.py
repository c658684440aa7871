"""An S3 server in a process of its own, spoken to over real HTTP: moto, on an empty bucket.

moto looks whether a key exists and then stores it, in two steps that nothing holds together.
In 100 rounds of 16 writers at once exactly one was told that it created the object, yet a rare
round of two winners would be the server's. So this one handles one request at a time.
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

BUCKET = "bucket"
# moto asks for some; they are no secret.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def s3_server() -> Iterator[str]:
    """Run a server for as long as the block; give its URL."""
    command = [sys.executable, "-m", "tests.synth.s3_server"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root
    ) as process:
        assert process.stdout is not None, "it was asked for"
        try:
            url = process.stdout.readline().strip()
            connect(url).create_bucket(Bucket=BUCKET)
            yield url
        finally:
            process.kill()


def connect(url: str) -> Any:
    """Return a plain client, past everything that is tested."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def download(url: str, prefix: str, folder: Path) -> None:
    """Copy all objects under `prefix` into `folder`."""
    client = connect(url)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for entry in page.get("Contents", ()):
            path = folder / entry["Key"].removeprefix(prefix).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(BUCKET, entry["Key"], str(path))


def one_at_a_time(app: Callable[[Any, Any], Iterable[bytes]]) -> Callable[[Any, Any], Any]:
    lock = threading.Lock()

    def serve(environ: Any, start_response: Any) -> list[bytes]:
        with lock:
            return list(app(environ, start_response))

    return serve


def main() -> None:
    app = one_at_a_time(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
