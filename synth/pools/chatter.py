"""Where an engine's own log lines go: to one file of the run, and never to the terminal."""

import json
from pathlib import Path


def keep_chatter(folder: Path) -> dict[str, str]:
    """Return the environment under which engines append their log to `folder`/engine.log.

    vLLM takes a configuration of Python's logging from a file; its own processes inherit the
    environment, so that the engine's core writes there as well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "engine-logging.json"
    config.write_text(json.dumps(_logging_config(folder.absolute() / "engine.log"), indent=1))
    return {"VLLM_LOGGING_CONFIG_PATH": str(config.absolute()), "VLLM_LOGGING_LEVEL": "INFO"}


def _logging_config(log: Path) -> dict[str, object]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(process)d %(message)s"}},
        "handlers": {
            "file": {"class": "logging.FileHandler", "filename": str(log), "formatter": "line"}
        },
        "loggers": {"vllm": {"handlers": ["file"], "level": "INFO", "propagate": False}},
    }
