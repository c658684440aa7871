"""The configuration of fine-tuning: on rows (SFT), on pairs (DPO), and of reward models.

The papers give no hyper-parameters for a model of the embedded one's size. The defaults of SFT
are ours, chosen by measurement on that model: 56 rows of 220 tokens teach it to think, close
its thought, answer and stop within 28 steps. Larger models want a lower learning rate.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from synth.config.schema import (
    Name,
    Positive,
    Resources,
    Share,
    Strict,
)
from synth.records import digest

TrainKind = Literal["sft", "dpo", "reward"]
Match = Literal["seeds", "rows"] | None

# Says which models are trained, or where and how safely, not what comes out of a training.
NOT_IDENTITY = frozenset(
    {"arms", "resources", "save_steps", "max_failures", "gradient_checkpointing", "more_seeds"}
)
# What only the other kinds of training read.
_OF_SFT = frozenset({"epochs", "learning_rate", "packing"})
_OF_OTHERS: dict[TrainKind, frozenset[str]] = {
    "sft": frozenset({"dpo", "reward", "without_data"}),
    "dpo": _OF_SFT | {"reward"},
    "reward": _OF_SFT | {"dpo", "without_data"},
}


class LoraConfig(Strict):
    """Low-rank adapters, merged into the model when training ends.

    Attributes:
        r: Rank.
        alpha: Scale; the adapter's output is multiplied by `alpha / r`.
        dropout: On the adapter's input, in SFT; training on pairs switches dropout off.
        target_modules: Names of the linear layers that get one, or `all-linear`.
    """

    r: Positive = 16
    alpha: Positive = 32
    dropout: Share = 0.0
    target_modules: tuple[str, ...] | Literal["all-linear"] = "all-linear"


class DpoConfig(Strict):
    """Direct preference optimization (arXiv 2305.18290) on pairs.

    The loss is the published one, -log sigmoid of `beta` times the difference of the summed
    log-ratios. With it alone, and with no average over a side's length, a shared prefix moved
    into the prompt leaves the loss as it is, which makes it the step-level loss, too.

    Attributes:
        beta: How strongly the student is held to the reference.
        learning_rate: At its peak. A model of the embedded one's size and few pairs want ten
            times as much: 24 pairs leave it where it was at 5e-6, and at 5e-5 put its margin
            on 8 others 0.4 ahead.
        epochs: Passes over the pairs.
        reference: Folder or hub name of the model that the student is held to, one of the same
            vocabulary; the model that the training starts from where not given.
    """

    beta: Annotated[float, Field(gt=0)] = 0.1  # reported: STAIR's re-implementation
    learning_rate: Annotated[float, Field(gt=0)] = 5e-6  # reported: the same; with LoRA there
    epochs: Positive = 1  # reported: the same
    reference: str | None = None


class RewardConfig(Strict):
    """A model that scores, by the pairwise logistic loss: the preferred side scores higher.

    Attributes:
        learning_rate: At its peak.
        epochs: Passes over the pairs.
        centre_coefficient: Weight of the squared sum of a pair's two scores, which keeps scores
            around zero (arXiv 2312.09244); None leaves their level free.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 1e-5  # ours
    epochs: Positive = 1  # ours
    centre_coefficient: Annotated[float, Field(gt=0)] | None = None  # ours


class FinetuneConfig(Strict):
    """How students are fine-tuned, one an arm.

    What stands here holds for every kind of training, but `epochs`, `learning_rate` and
    `packing`, which are those of SFT.

    Attributes:
        arms: Recipes whose data is trained on; the run's where not given.
        match: `seeds` trains every arm on the seeds that all arms accepted, one row a seed
            and arm; `rows` trains every arm on as many rows as the arm with the fewest has, and
            on no more pairs than that; None takes all rows of an arm.
        method: `full` trains all weights, `lora` adapters.
        lora: The adapters, for `lora`.
        epochs: Passes over the rows.
        learning_rate: At its peak.
        warmup_ratio: Share of the steps over which the rate rises.
        schedule: How it falls afterwards.
        batch_size: Rows a worker takes at once.
        gradient_accumulation: Such batches a step of the optimizer.
        max_length: Tokens of a row, or of a pair's longer side with its prompt; what is longer
            is left out and counted, never cut: a completion without its end teaches a model
            not to end.
        packing: Several rows in one sequence, where attention keeps them apart.
        gradient_checkpointing: Trade time for memory; for models that do not fit else.
        workers: Processes that train together, each on rows of its own.
        resources: What one worker takes from the cluster.
        save_steps: Steps between two checkpoints that a killed training goes on from.
        max_failures: Restarts of a worker group that has lost a worker.
        seed: Of the order of the rows and of everything drawn in training.
        more_seeds: Each arm is trained once more with each of them. Three seeds an arm are the
            least that a claim about a method, and not about one student, takes.
        dtype: `bfloat16` computes in it and keeps float32 weights (a frozen base under LoRA
            is kept in bfloat16 too); `float32` uses nothing else.
        without_data: What becomes of trainings for which curation left nothing: `refuse` ends
            the command. `go_on` leaves an arm without a row out, so that it has no student; without
            pairs it keeps the student as it was before, under the new name and with that in its
            manifest, and leaves a reward model out.
        dpo: Training on pairs.
        reward: Training of models that score.
    """

    arms: tuple[Name, ...] | None = None
    match: Match = "seeds"
    method: Literal["full", "lora"] = "full"
    lora: LoraConfig = LoraConfig()
    epochs: Positive = 3
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    batch_size: Positive = 4
    gradient_accumulation: Positive = 1
    max_length: Positive = 1024
    packing: bool = False
    gradient_checkpointing: bool = False
    workers: Positive = 1
    resources: Resources = Resources()
    save_steps: Positive = 50
    max_failures: Annotated[int, Field(ge=0)] = 2
    seed: int = 0
    more_seeds: tuple[int, ...] = ()
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    without_data: Literal["refuse", "go_on"] = "refuse"
    dpo: DpoConfig = DpoConfig()
    reward: RewardConfig = RewardConfig()

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("arms"), str):
            return {**data, "arms": [data["arms"]]}
        return data

    @model_validator(mode="after")
    def _arms_differ(self) -> "FinetuneConfig":
        if self.arms is not None and (not self.arms or len(set(self.arms)) < len(self.arms)):
            raise ValueError("arms must name at least one recipe, each once")
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> "FinetuneConfig":
        if len({self.seed, *self.more_seeds}) <= len(self.more_seeds):
            raise ValueError("seed and more_seeds must all differ")
        return self

    def students(self, arm: str) -> dict[str, int]:
        """Return the students of an arm, in folders of these names, and their seeds."""
        further = {f"{arm}-seed{seed}": seed for seed in self.more_seeds}
        return {arm: self.seed, **further}

    @property
    def on_gpu(self) -> bool:
        """Whether workers train on GPUs."""
        return self.resources.num_gpus > 0

    def identity_of(self, kind: TrainKind) -> str:
        """Return the digest of all that changes what a training of this kind comes to."""
        return digest(self.model_dump(mode="json", exclude={*NOT_IDENTITY, *_OF_OTHERS[kind]}))
