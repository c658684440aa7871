"""What tests that train share."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.train.curated import random_model
from train.evals import stats as intervals


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of two layers, to start from."""
    return random_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def ray_train() -> Iterator[None]:
    """Ray on this machine, for trainings."""
    import ray  # noqa: PLC0415 (heavy, as all imports in functions)

    from synth.cluster.joining import join_ray  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        # How often Ray Train looks at its workers: a report waits for the next look.
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
        join_ray()
        yield
        ray.shutdown()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many clusters were resampled each time that resamples were drawn."""
    draw, found = intervals.resampled_sums, list[int]()

    def noting(clusters: Any, resamples: int, seed: int) -> Any:
        found.append(len(clusters))
        return draw(clusters, resamples, seed)

    monkeypatch.setattr(intervals, "resampled_sums", noting)
    return found
