"""Asking a student through the one scheduler: an evaluation prompt x sample is an item."""

from synth.batch import Batch
from synth.digest import digest
from synth.recipes import find_recipe
from synth.records import Item, Sampling
from synth.workspace.workspaces import batch_workspace
from train.evals.config import EvaluateConfig
from train.evals.subject import Subject

_ONCE = "train.evals.recipe.EVALUATE"
_SEARCHES = {
    "best_of_n": "train.evals.search_recipe.BEST_OF_N",
    "beam": "train.evals.search_recipe.BEAM",
}


def answers_batch(run: str, section: EvaluateConfig, subject: Subject, items: list[Item]) -> Batch:
    """Return what `subject` is asked.

    The answers are kept under a digest of model, search and sampling: what is interrupted
    resumes, and a student trained anew is asked anew.
    """
    searched = subject.searched
    recipe = _ONCE if searched is None else _SEARCHES[searched.search.kind]
    sampling = section.sampling.model_dump(mode="json")
    fingerprint = digest(subject.digest, sampling, find_recipe(recipe).version)
    return Batch(
        stage=f"evaluate {subject.name}",
        workspace=batch_workspace(run, f"answers-{subject.name}", fingerprint),
        items=items,
        recipe=recipe,
        options={} if searched is None else searched.search.options,
        models=subject.roles,
        sampling=Sampling(**section.sampling.model_dump()),
        fingerprint=fingerprint,
    )
