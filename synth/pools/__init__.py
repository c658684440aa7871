"""Engine pools: one Ray Serve application a model, opened for a stage and closed after it.

`layout` decides which pools there are, those of endpoints and scripts among them, and is plain
data; importing `lifecycle` imports Ray. Engines are imported inside the replicas only.
"""
