"""What travels between workers and the service: messages from a run, work for a launcher."""

import math
import time
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from spec.forks import Fork
from spec.grid import EarlyStopping, Resources


class RunState(StrEnum):
    """Where a run stands. `lost`: it was running, and has not been heard of for a while. `stopped`: early, by its grid's rule."""

    QUEUED = "queued"
    RUNNING = "running"
    LOST = "lost"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    CANCELLED = "cancelled"


# JSON's numbers are exact so far, and databases count further.
MAX_COUNT = 2**53
MetricName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]{1,100}$")]

# A file in a run's folder: what its last models make of each training example.
EXAMPLES = "examples.npz"
FINAL_STATES = frozenset({RunState.DONE, RunState.STOPPED, RunState.FAILED, RunState.CANCELLED})


class LabelCard(BaseModel):
    """The labels that a run was given: what was asked for, what came out, and their identity.

    "Clean" is as published. Where published labels are wrong in places, as people's are, nobody knows the true rate: then
    `realised_rate` is None, and "corrupt" counts what the run's noise changed on top.
    """

    model_config = ConfigDict(extra="forbid")

    noise: str
    noise_rate: float | None = Field(description="nominal: what was asked for; None for recorded labels")
    realised_rate: float | None = Field(ge=0, le=1, description="share of the training set that is corrupt; None where nobody knows")
    num_examples: int
    num_corrupt: int = Field(description="examples whose given label differs from the clean one, or whose image was replaced")
    class_names: list[str]
    counts: list[list[int]] = Field(description="K x K; row: clean class, column: given class")
    clean_hash: str
    noisy_hash: str = Field(description="identity of what the examples were given: of their labels, and of the images that were replaced")
    corrupt_by_class: list[int] = Field([], description="corrupt examples of each clean class; from `counts` where it is empty")
    num_replaced: int = Field(0, description="examples that show an image of another data set")
    replaced_from: str | None = Field(None, description="that data set's name")
    replacement_hash: str | None = Field(None, description="identity of which images were replaced, and by which")
    validation_labels: Literal["noisy", "clean"] = Field(
        "noisy", description="of a validation split: `noisy` as held out of the training set, or `clean` ones that the data set brings"
    )

    @property
    def truth_is_known(self) -> bool:
        """Whether a given label can be told to be right or wrong."""
        return self.realised_rate is not None

    @property
    def rate_by_class(self) -> list[float | None]:
        """Realised rate of each clean class; None for a class without examples, and where nobody knows."""
        if not self.truth_is_known:
            return [None] * len(self.counts)
        sizes = [sum(row) for row in self.counts]
        corrupt = self.corrupt_by_class or [size - row[label] for label, (size, row) in enumerate(zip(sizes, self.counts, strict=True))]
        return [wrong / size if size else None for wrong, size in zip(corrupt, sizes, strict=True)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")

    run_id: str
    attempt: int = Field(ge=1, le=MAX_COUNT, description="1 for the first start of the run; a resumed run counts on")
    at: float = Field(default_factory=time.time, allow_inf_nan=False, description="seconds since 1970, by the sender's clock")


class RunFacts(BaseModel):
    """What is known of a run when it is set up."""

    model_config = ConfigDict(extra="forbid")

    labels: LabelCard
    num_train: int = Field(ge=0, le=MAX_COUNT)
    num_validation: int = Field(ge=0, le=MAX_COUNT)
    num_test: int = Field(ge=0, le=MAX_COUNT)
    num_parameters: int = Field(ge=0, le=MAX_COUNT)
    device: str
    resumed_from: int = Field(0, description="the last epoch that an earlier attempt completed")
    forked_after: int = Field(0, ge=0, le=MAX_COUNT, description="epochs that another run trained for this one")


class Started(_Message, RunFacts):
    """A worker took the run up."""

    type: Literal["started"] = "started"
    host: str


class EpochRecord(_Message):
    """What a run measured after an epoch (counted from 1). Accuracies are in [0, 1]; a loss that diverged is None."""

    type: Literal["epoch"] = "epoch"
    epoch: int = Field(ge=1, le=MAX_COUNT)
    metrics: dict[MetricName, float | None]

    @field_validator("metrics")
    @classmethod
    def _finite_or_none(cls, metrics: dict[str, float | None]) -> dict[str, float | None]:
        return {name: value if value is not None and math.isfinite(value) else None for name, value in metrics.items()}


class Finished(_Message):
    """The run ended: done, stopped, failed or cancelled."""

    type: Literal["finished"] = "finished"
    state: RunState
    error: str | None = None
    log_tail: str = Field("", description="the last lines of the run's log, where it failed")

    @field_validator("state")
    @classmethod
    def _is_an_end(cls, state: RunState) -> RunState:
        if state not in FINAL_STATES:
            raise ValueError(f"a run ends {', '.join(sorted(FINAL_STATES))}, got {state.value!r}")
        return state


class Heartbeat(_Message):
    """The run is alive, and has nothing else to say."""

    type: Literal["heartbeat"] = "heartbeat"


Message = Annotated[Started | EpochRecord | Finished | Heartbeat, Field(discriminator="type")]


class RecordBatch(BaseModel):
    """Messages of one grid's runs. Sending a batch twice changes nothing."""

    model_config = ConfigDict(extra="forbid")

    grid_id: str
    messages: list[Message] = Field(max_length=10_000)


class BatchReply(BaseModel):
    """Answer to a batch. Runs that the sender named and that were cancelled meanwhile must stop."""

    accepted: int
    cancelled: list[str]


class WorkItem(BaseModel):
    """A run to make: its identity and its whole resolved configuration."""

    run_id: str
    config: dict[str, Any]
    attempts: int = Field(0, ge=0, description="attempts that the service knows of; the next one must have a higher number")
    fork: Fork = Fork()
    condition: str = Field("", description="early stopping ranks the runs of one condition with each other")


class Work(BaseModel):
    """What is left of a grid for a launcher to run."""

    grid_id: str
    resources: Resources
    early_stopping: EarlyStopping | None = None
    runs: list[WorkItem]
