"""What is done to a run from outside: failed items planned again, left-over pools removed."""

import asyncio

from synth.records import Outcome
from synth.run import run_digest, workspace_of
from synth.status import check_is_run
from synth.workspace.ledger import again
from synth.workspace.plan import num_rounds, publish_round
from synth.workspace.workspaces import batches


def retry_failed(run: str) -> int:
    """Plan every item that failed again, and return how many; the run's command makes them.

    Those of its batches, such as an evaluation's answers and verdicts, are planned as well.

    Raises:
        BadInput: `run` is no run directory.
    """
    check_is_run(run)
    planned = 0
    for workspace in (workspace_of(run), *batches(run).values()):
        if items := again(workspace, [Outcome.FAILED]):
            publish_round(workspace, num_rounds(workspace), items)
            planned += len(items)
    return planned


def stop_run(run: str) -> list[str]:
    """Remove the pools of `run` from the cluster that can be reached; return their names.

    Raises:
        ConnectionError: There is no cluster: pools of a local run end with their driver.
    """
    # Ray only where a cluster is asked for something.
    import ray  # noqa: PLC0415

    from synth.pools.lifecycle import remove_pools  # noqa: PLC0415

    check_is_run(run)
    ray.init(address="auto", log_to_driver=False)
    try:
        return asyncio.run(remove_pools(run_digest(run)))
    finally:
        ray.shutdown()
