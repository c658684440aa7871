"""Engine pools: one Ray Serve application a model, opened for a stage and closed after it.

A leaf: importing this package imports Ray. Engines are imported inside the replicas only.
"""

from synth.pools.lifecycle import pools, remove_pools

__all__ = ["pools", "remove_pools"]
