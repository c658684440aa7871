"""Killing a training in its midst."""

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path

import psutil


class Killer(threading.Thread):
    """Kills a training's workers once, after its next checkpoint; notes the steps saved.

    Args:
        run: Folder of the Ray Train run; its last part may be a pattern.
        num_steps: Steps that the training takes: what its last checkpoint stands for.
    """

    def __init__(self, run: Path, num_steps: int) -> None:
        super().__init__(daemon=True)
        self.training, self.pattern = run.parent, f"{run.name}/checkpoint_manager_snapshot.json"
        self.num_steps, self.over = num_steps, False
        self.steps = [0]
        self.steps = [self._saved_step()]
        self.killed_at = 0

    def run(self) -> None:
        while not self.over:
            if (step := self._saved_step()) != self.steps[-1]:
                self.steps.append(step)
                self.killed_at = self.killed_at or self._kill() * step
            time.sleep(0.02)

    def _kill(self) -> bool:
        processes = psutil.Process().children(recursive=True)
        workers = [p for p in processes if "RayTrainWorker" in "".join(p.cmdline())]
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
        return bool(workers)

    def _saved_step(self) -> int:
        for file in self.training.glob(self.pattern):
            with contextlib.suppress(ValueError, FileNotFoundError):  # it is being replaced
                latest = json.loads(file.read_text())["latest_checkpoint_result"]
                return latest["metrics"].get("step", self.num_steps)
        return self.steps[-1]

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        self.join()
