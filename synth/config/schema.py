"""The configuration of the teacher's side: frozen, strict, and free of secrets.

Unknown keys are refused. A key to an endpoint is named (`api_key_env`), never held.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from synth.records import Ability, Head

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
# What a folder of a run may be named after: it can not lead out of the run.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]
Labels = dict[str, str]


class Strict(BaseModel):
    """Base of every section: frozen, unknown keys forbidden."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )


class Limit(Strict):
    """How many seeds of each label are used; None takes all."""

    harmful: Annotated[int, Field(ge=0)] | None = None
    benign: Annotated[int, Field(ge=0)] | None = None
    borderline: Annotated[int, Field(ge=0)] | None = None


class SeedsConfig(Strict):
    """Where the prompts come from.

    Attributes:
        path: `embedded`, or a JSONL, CSV or parquet file.
        columns: Our name of a column to the file's: `{prompt: goal}`.
        label: Label of every row, for files without such a column.
        eval_share: Part of the seeds kept out of training, whole pairs, chosen by content.
        limit: How many training seeds of each label to use.
    """

    path: str = "embedded"
    columns: dict[str, str] = {}
    label: Literal["harmful", "benign", "borderline"] | None = None
    eval_share: Annotated[float, Field(ge=0, lt=1)] = 0.4
    limit: Limit = Limit()


class Replicas(Strict):
    """How many engines a pool may have; roles that share one have as many as any of them asks for.

    Attributes:
        min: As many are always there.
        max: As many are there while enough calls run or wait.
        upscale_delay_s: Calls must ask for another engine for so long before it is started.
        downscale_delay_s: An engine must be spare for so long before it is ended.
    """

    min: Annotated[int, Field(ge=0)] = 1
    max: Positive = 1
    upscale_delay_s: Seconds = 10
    downscale_delay_s: Seconds = 120

    @model_validator(mode="after")
    def _ordered(self) -> "Replicas":
        if self.min > self.max:
            raise ValueError("min must not exceed max")
        return self


class Resources(Strict):
    """What one replica takes from the cluster; a share of a GPU may be a fraction.

    Attributes:
        labels: Of the nodes it may run on, as Ray selects them: `{group: engines}`, or
            `{group: "!stable"}` for all but one.
    """

    num_gpus: Annotated[float, Field(ge=0)] = 0
    num_cpus: Annotated[float, Field(ge=0)] = 1
    labels: Labels = {}


class EndpointConfig(Strict):
    """An OpenAI-compatible server.

    Attributes:
        base_url: Up to and including `/v1`.
        model: The served name.
        api_key_env: Name of the environment variable that holds the key.
        served_as: What the server calls the model in its answers, where that is another name.
        can: Abilities the server has beyond plain chat; each is tried before the first row.
        max_concurrency: Calls in flight at most, over all workers and all roles that call it: of
            several, the smallest; 64 where none says it. The server's own room is found.
        price_per_million_input_tokens: For `status` and `plan`, in any currency.
        price_per_million_output_tokens: In the same.
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    served_as: str | None = None
    can: frozenset[Ability] = frozenset()
    max_concurrency: Positive | None = None
    price_per_million_input_tokens: Annotated[float, Field(ge=0)] | None = None
    price_per_million_output_tokens: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _both_prices(self) -> "EndpointConfig":
        prices = (self.price_per_million_input_tokens, self.price_per_million_output_tokens)
        if prices.count(None) == 1:
            raise ValueError("give both prices, of input and of output tokens, or none")
        return self


class FamilyConfig(Strict):
    """How a model marks its reasoning, where no family that we know does it so.

    Attributes:
        think_open: Opens the reasoning.
        think_close: Closes it.
        prompt_opens_think: The chat template's generation prompt ends with `think_open`.
        end_of_turn: Ends the model's turn; the tokenizer's own end where None.
    """

    think_open: Annotated[str, Field(min_length=1)]
    think_close: Annotated[str, Field(min_length=1)]
    prompt_opens_think: bool = False
    end_of_turn: str | None = None


class ModelConfig(Strict):
    """One role's model: an engine pool of ours, or an endpoint.

    What an endpoint's server decides (engine arguments, resources, replicas) is refused beside it.

    Attributes:
        model: `embedded`, `scripted`, a local folder, or a hub name.
        revision: Commit of a hub model.
        backend: What a replica runs: vLLM, or the scripted engine (tests of the machinery).
        family: Key of the model-family table, where it can not be told from the model, or how a
            model of none of these families marks its reasoning.
        head: `text` for a model that writes, `score` for one whose head gives a number, such as a
            reward model: a sequence classifier of one label.
        engine_args: Handed to vLLM as they are.
    """

    model: str | None = None
    revision: str | None = None
    backend: Literal["vllm", "scripted"] = "vllm"
    family: str | FamilyConfig | None = None
    head: Head = "text"
    endpoint: EndpointConfig | None = None
    replicas: Replicas = Replicas()
    resources: Resources = Resources()
    engine_args: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_source(self) -> "ModelConfig":
        if (self.model is None) == (self.endpoint is None):
            raise ValueError("give either model or endpoint")
        if self.endpoint is not None and self.head != "text":
            raise ValueError("an endpoint writes text: only a model of ours may score")
        if self.endpoint is not None and (given := self._engines_own()):
            raise ValueError(f"leave out {', '.join(given)}: an endpoint's server decides that")
        return self

    def _engines_own(self) -> list[str]:
        """Return the fields that say something of an engine of ours."""
        fields = type(self).model_fields
        own = ("revision", "backend", "replicas", "resources", "engine_args")
        return [name for name in own if getattr(self, name) != fields[name].default]


class SamplingConfig(Strict):
    """How completions are drawn."""

    temperature: Annotated[float, Field(ge=0)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    max_tokens: Positive = 384


class Accepted(Strict):
    """A quota: generate until so many a category are accepted, within a budget of items."""

    per_category: Positive
    budget: Positive


class CurateConfig(Strict):
    """Which rules decide: `default`, or a YAML file of the policy's fields."""

    policy: str = "default"


class Limits(Strict):
    """Deadlines and tolerances.

    Attributes:
        call_timeout_s: One model call.
        stall_s: An engine with calls in flight and no token for so long is killed.
        pool_deadline_s: A pool that has answered nothing for so long ends the run.
        start_timeout_s: A pool must have its first replica within this.
        drain_s: What closing the open leases may take when the run is told to stop.
        format_retries: Further calls an item may spend on a format failure.
        allow_failed: Share of failed rows above which a finished run exits 3.
        workers: Recipe worker processes; None takes one for every 256 calls that the pools may
            have open; 0 runs the recipes in the driver's own process,
            without Ray, which endpoints and scripted chats allow.
        worker_labels: Of the nodes that workers may run on, see `Resources`: nodes that stay.
    """

    call_timeout_s: Seconds = 600
    stall_s: Seconds = 60
    pool_deadline_s: Seconds = 600
    start_timeout_s: Seconds = 900
    drain_s: Seconds = 30
    format_retries: Annotated[int, Field(ge=0)] = 1
    allow_failed: Share = 0.01
    workers: Annotated[int, Field(ge=0)] | None = None
    worker_labels: Labels = {}


class StorageConfig(Strict):
    """How `s3://` is reached, where the environment of AWS's own tools does not say it.

    Credentials never stand here: they come from the environment, a profile or the machine's role.

    Attributes:
        endpoint_url: Of a store other than AWS's, such as MinIO, Ceph or R2; where None, what
            `AWS_ENDPOINT_URL_S3` says.
        region: Where None, what `AWS_DEFAULT_REGION` or the profile says.
        addressing_style: Whether the bucket stands in a URL's path or in its host name.
        timeout_s: A request that hears nothing for so long is given up, and sent again.
        deadline_s: An operation that has not succeeded for so long ends the run.
    """

    endpoint_url: str | None = None
    region: str | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    timeout_s: Seconds = 30
    deadline_s: Seconds = 300


class SynthConfig(Strict):
    """Everything synthesis and curation read.

    Attributes:
        traces: Folder of another run whose plan, traces and measures this one shares and adds to;
            the run's own folder where None.
        tokens: Each recipe samples on, beyond `samples`, until it has generated so many tokens;
            what came after is not trained on. For comparing recipes at an equal cost.
        options: What a recipe of the run lets one choose, by its name: `{stair: {budget: 24}}`.
    """

    run: str
    traces: str | None = None
    seed: int = 0
    recipe: tuple[str, ...] = ("srg",)
    options: dict[str, dict[str, Any]] = {}
    guidelines: tuple[str, ...] = ("srg",)
    seeds: SeedsConfig = SeedsConfig()
    samples: Positive = 4
    tokens: Positive | None = None
    accepted: Accepted | None = None
    teacher: ModelConfig = ModelConfig(model="embedded")
    judge: ModelConfig | None = None
    guard: ModelConfig | None = None
    target: ModelConfig | None = None
    sampling: SamplingConfig = SamplingConfig()
    curate: CurateConfig = CurateConfig()
    limits: Limits = Limits()
    storage: StorageConfig = StorageConfig()

    @property
    def workspace(self) -> str:
        """Folder that holds `plan/`, `traces/` and `measures/`."""
        return self.traces or self.run

    @field_validator("accepted")
    @classmethod
    def _samples_towards_one_end(
        cls, accepted: Accepted | None, info: ValidationInfo
    ) -> Accepted | None:
        if accepted is not None and info.data.get("tokens") is not None:
            raise ValueError("leave out tokens: each of the two says how long to sample on")
        return accepted

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in ("recipe", "guidelines"):
                if isinstance(data.get(key), str):
                    data = {**data, key: [data[key]]}
        return data
