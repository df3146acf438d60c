"""RunConfig: everything that decides a run's numbers, and nothing else."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model, model_validator

from spec.identity import content_hash
from spec.registry import NEVER, NamedParams, Registry
from spec.seeds import SEED_LIMIT, Seeds

# Part of a run's identity: raise it when the same configuration gives other numbers than before.
RUN_VERSION = 1

SEED = TypeAdapter(Annotated[int, Field(ge=0, lt=SEED_LIMIT)])


class Split(BaseModel):
    """Which training examples are used for what. Sizes are exact; the draw is stratified by given label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    validation: float = Field(0.0, ge=0, le=0.9, description="share of the training set held out, with its noisy labels")
    train_size: int | None = Field(None, ge=2, description="use only so many training examples (drawn with the split seed)")
    test_size: int | None = Field(None, ge=1, description="use only so many test examples (the first ones)")


class EMA(BaseModel):
    """Exponential moving average of the weights ("momentum model", MO), evaluated beside the raw model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decay: float = Field(0.999, gt=0, lt=1, description="share of the average that each step keeps")


class Measure(BaseModel):
    """What is measured of the training examples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # All of CIFAR-10, with a moving average, takes more than half as long to measure as to train on.
    train_sample: int | None = Field(10_000, ge=1, description="training examples whose fit is measured after each epoch; null: all")
    examples: bool = Field(True, description="keep loss and prediction of every training example after the last epoch")


class RunConfig(BaseModel):
    """One cell of a grid. `bind` gives the model whose part fields know their registries."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dataset: NamedParams
    split: Split = Split()
    augmentation: Literal["standard", "none"] = Field("standard", description="the data set's usual crops and flips, or none")
    noise: NamedParams
    model: NamedParams
    method: NamedParams
    optimizer: NamedParams
    schedule: NamedParams
    ema: EMA | None = None
    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(128, ge=1, le=1_000_000, description="examples per step, over all workers")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the network's arithmetic; its weights are float32 in both")
    workers: int = Field(1, ge=1, le=1024, description="processes that share each step (DDP)")
    seed: int = Field(0, ge=0, lt=SEED_LIMIT, description="the seed that all unnamed seeds follow")
    seeds: Seeds = Seeds()
    measure: Measure = Measure()

    @model_validator(mode="before")
    @classmethod
    def _seeds_follow_seed(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not isinstance(raw.get("seeds", {}), dict):
            return raw
        try:
            seed = SEED.validate_python(raw.get("seed", 0))
        except ValidationError:
            # Told once, as `seed`, and not again for every seed that follows it.
            seed = 0
        return {**raw, "seeds": {**dict.fromkeys(Seeds.model_fields, seed), **raw.get("seeds", {})}}

    @model_validator(mode="after")
    def _parts_go_together(self) -> Self:
        for part in self.parts.values():
            part.check_run(self)
        if self.batch_size < self.workers:
            raise ValueError(f"batch_size {self.batch_size} is shared by {self.workers} workers: give each at least one example")
        return self

    @property
    def parts(self) -> dict[str, NamedParams]:
        """The parts by field."""
        return {name: part for name in type(self).model_fields if isinstance(part := getattr(self, name), NamedParams)}

    def resolved(self) -> dict[str, Any]:
        """The whole configuration as JSON values, every default written out."""
        return self.model_dump(mode="json", serialize_as_any=True)

    @property
    def run_id(self) -> str:
        """Hash of the resolved configuration and the version of the code's numbers."""
        return content_hash({"version": RUN_VERSION, "config": self.resolved()})

    def prefix(self, epoch: int) -> dict[str, Any]:
        """All that decides the first `epoch` epochs, as JSON values: runs with the same prefix are one run so far."""
        config = self.resolved()
        for name, part in self.parts.items():
            waiting = {key for key, first in part.acts_from().items() if first > epoch}
            config[name] = {key: value for key, value in config[name].items() if key not in waiting}
        if not any(part.looks_ahead for part in self.parts.values()):
            del config["epochs"]
        return {"version": RUN_VERSION, "after": epoch, "config": config}

    def prefix_id(self, epoch: int) -> str:
        """Hash of the prefix."""
        return content_hash(self.prefix(epoch))

    @property
    def validates(self) -> bool:
        """Whether the run measures validation accuracy."""
        return self.split.validation > 0 or self.dataset.brings_validation

    def turns(self) -> set[int]:
        """The epochs after which something new acts, and the last one: up to there, this run may be the same as another."""
        first = {first for part in self.parts.values() for first in part.acts_from().values() if first != NEVER}
        return {epoch - 1 for epoch in first if 1 < epoch <= self.epochs} | {self.epochs}


def bind(
    *,
    dataset: Registry[Any],
    noise: Registry[Any],
    model: Registry[Any],
    method: Registry[Any],
    optimizer: Registry[Any],
    schedule: Registry[Any],
) -> type[RunConfig]:
    """RunConfig that knows its parts: unions, error messages and OpenAPI come from the registries."""
    fields: dict[str, Any] = {
        "dataset": (dataset.union(), ...),
        "noise": (noise.union(), ...),
        "model": (model.union(), ...),
        "method": (method.union(), Field(default_factory=method.params("ce"), validate_default=True)),
        "optimizer": (optimizer.union(), ...),
        "schedule": (schedule.union(), Field(default_factory=schedule.params("constant"), validate_default=True)),
    }
    return create_model("RunConfig", __base__=RunConfig, __doc__="One run: everything that decides its numbers.", **fields)
