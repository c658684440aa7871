"""Where harmful, helpful and attacked prompts lie in base, RT and SRG models, layer by layer.

`prompts` chooses the prompts; `reader` and `hidden` read the models' hidden states on a Ray actor
and `states` keeps them; `fits` and `analysis` are pure; `stage` is the stage around them, and says
what its result looks like. Descriptive: no causal claim is made or tested.
"""
