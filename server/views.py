"""What the service answers with. The dashboard, the command line and scripts read these."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field, computed_field

from dashboard.claims import CheckedClaim
from dashboard.compare import Comparison
from dashboard.search_report import SearchOutcome
from spec.grid import Role
from spec.records import LabelCard, RunState
from spec.summary import Summary


class GridState(StrEnum):
    """Where a grid stands: as its runs do, taken together."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Factor(BaseModel):
    """A varying path of a grid: its role and its values, in the order that the grid gives them."""

    path: str
    role: Role
    values: list[Any]


class GridSummary(BaseModel):
    """A grid in the list: how far it is."""

    grid_id: str
    name: str
    state: GridState
    created_at: float
    num_runs: int
    runs_by_state: dict[RunState, int]
    epochs_done: int
    epochs_total: int
    epochs_shared: int = Field(description="epochs that need not be trained, because another run of the grid has the same")
    epochs_saved: int = Field(description="epochs that were not trained for that reason, so far")
    seconds_left: float | None = Field(None, description="estimate from the epochs so far; None before there are any, and at the end")
    message: str = Field("", description="why the grid stands still or failed, for people")


class GridView(GridSummary):
    """A grid, whole."""

    description: str
    factors: list[Factor]
    spec: dict[str, Any]


class CreatedGrid(GridView):
    """Answer to a POST of a grid."""

    token: str | None = Field(None, description="for sending records; only where the sender launches the grid itself")


class RunSummary(BaseModel):
    """A run in the table."""

    run_id: str
    grid_id: str
    state: RunState
    attempt: int
    factors: dict[str, Any]
    epoch: int = Field(description="the last epoch recorded; 0 before the first")
    epochs: int
    started_at: float | None
    heard_at: float | None
    finished_at: float | None
    noise_rate: float | None = Field(description="nominal")
    realised_rate: float | None
    noisy_hash: str | None
    summary: Summary | None
    error: str | None

    @computed_field(description="estimate from the last epoch; None where the run does not run")  # type: ignore[prop-decorator]
    @property
    def seconds_left(self) -> float | None:
        if self.state is not RunState.RUNNING or self.summary is None:
            return None
        last = self.summary.last_metrics
        seconds = (last.get("train_seconds") or 0.0) + (last.get("evaluate_seconds") or 0.0)
        return (self.epochs - self.epoch) * seconds if seconds else None


class GridPage(BaseModel):
    """A page of the grids, newest first; `total` counts all."""

    total: int
    offset: int
    limit: int
    grids: list[GridSummary]


class GridChange(BaseModel):
    """Data of the event `change`: the grid as it is now, and its runs that changed."""

    grid: GridSummary
    runs: list[RunSummary]


class LogText(BaseModel):
    """A piece of a driver's log, and the position to ask from next."""

    text: str
    next: int


class RunView(RunSummary):
    """A run, whole."""

    config: dict[str, Any]
    labels: LabelCard | None
    num_train: int | None
    num_validation: int | None
    num_test: int | None
    num_parameters: int | None
    forked_after: int = Field(description="epochs that another run trained for this one")
    device: str | None
    host: str | None
    log_tail: str


class RunPage(BaseModel):
    """A page of a run table; `total` counts all runs that match the filter."""

    total: int
    offset: int
    limit: int
    runs: list[RunSummary]


class Records(BaseModel):
    """A run's epoch records by column; of an epoch recorded by several attempts, the last attempt's."""

    run_id: str
    epochs: list[int]
    attempts: list[int]
    metrics: dict[str, list[float | None]]


class ExamplesKept(BaseModel):
    """Answer to a file about a run's examples."""

    run_id: str
    num_examples: int
    models: list[str] = Field(description="`raw`, and `ema` where the run has a moving average")


class Curve(BaseModel):
    """One metric over the epochs for one treatment under one condition: mean over the runs that reached the epoch."""

    group: dict[str, Any] = Field(description="value of each factor that is not a replicate")
    label: str
    condition: str = Field("", description="what may be compared with each other, e.g. 'noise rate = 0.4'")
    treatment: str = Field("", description="what is compared, e.g. 'σ = 0.5'")
    color: str = Field("", description="the treatment's colour in every figure, #rrggbb")
    epochs: list[int]
    mean: list[float | None]
    low: list[float | None] = Field(description="mean minus one sample standard deviation; the mean where n = 1")
    high: list[float | None]
    n: list[int]


class Curves(BaseModel):
    """A grid's curves of one metric."""

    metric: str
    metrics: list[str] = Field(description="every metric that the grid's runs recorded")
    curves: list[Curve]


class GridWarnings(BaseModel):
    """What a reader must know before comparing a grid's means, a sentence each."""

    warnings: list[str]


class GridComparison(BaseModel):
    """A grid's results beside published ones."""

    grid_id: str
    comparisons: list[Comparison]
    claims: list[CheckedClaim] = Field(description="what must hold between methods")


class GridSearch(BaseModel):
    """What a noisy validation split chooses, condition by condition and model by model."""

    grid_id: str
    outcomes: list[SearchOutcome]


class LabelOrigin(BaseModel):
    """One way that runs came by a label vector: its generator and seed."""

    dataset: dict[str, Any]
    noise: dict[str, Any]
    label_seed: int
    num_runs: int


class LabelUse(BaseModel):
    """A grid whose runs were given a label vector."""

    grid_id: str
    name: str
    num_runs: int


class LabelEntry(BaseModel):
    """A label vector in the ledger, known by the hash of what its examples were given."""

    noisy_hash: str
    clean_hash: str
    dataset: dict[str, Any]
    noise: dict[str, Any] = Field(description="the generator and its parameters; where several made the same labels, one of them")
    label_seed: int
    noise_rate: float | None = Field(description="nominal")
    realised_rate: float | None = Field(description="None where nobody knows the true labels")
    num_examples: int
    num_corrupt: int
    num_replaced: int
    num_runs: int
    num_grids: int


class LabelView(LabelEntry):
    """A label vector, whole."""

    card: LabelCard
    rate_by_class: list[float | None] = Field(description="realised rate of each clean class; None for one without examples")
    origins: list[LabelOrigin] = Field(description="every generator and seed that made it: a file and what it was made from are two")
    grids: list[LabelUse]


class LabelPage(BaseModel):
    """A page of the ledger, last used first; `total` counts all label vectors."""

    total: int
    offset: int
    limit: int
    labels: list[LabelEntry]


class Health(BaseModel):
    """Whether the service can take records."""

    status: str
    version: str
    writer_alive: bool
    queued_writes: int
    ray: str = Field(description="'not started', an address, or what is wrong with it")


class ErrorView(BaseModel):
    """Every error that the service answers with. `problems` names path, given value and what is allowed."""

    error: str
    problems: list[dict[str, Any]] = Field(default_factory=list)
