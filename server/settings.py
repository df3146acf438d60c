"""Settings: what the service is told from outside, by arguments or by environment variables NOISEGRID_..."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where things lie and how much is allowed. Every path is absolute: a Ray worker's current directory is not ours."""

    model_config = SettingsConfigDict(env_prefix="NOISEGRID_", frozen=True, extra="ignore")

    data_dir: Path = Field(default_factory=lambda: Path.home() / ".noisegrid", description="database, checkpoints, logs, data sets")
    database_url: str = Field("", description="SQLAlchemy URL; an SQLite file in data_dir if not given")
    dataset_root: Path | None = Field(None, description="folder that data sets lie in; data_dir/datasets if not given")
    url: str = Field("http://127.0.0.1:8642", description="the service's own address, as workers reach it")
    ray_address: str | None = Field(None, description="a running Ray cluster; an own one is started if not given")
    ray_cpus: int | None = Field(None, ge=1, description="CPU cores of the service's own Ray; all of the machine's if not given")
    allow_open_ray: bool = Field(False, description="use a Ray cluster that takes jobs from anyone, without a token")
    max_runs: int = Field(10_000, ge=1, description="runs that one grid may have")
    lost_after_seconds: float = Field(60, gt=0, description="a running run that is silent for so long counts as lost")
    max_queued_writes: int = Field(2_000, ge=1, description="requests that may wait for the database; more are answered 503")
    write_timeout_seconds: float = Field(30, gt=0, description="a request that waits longer for its commit is answered 503")
    ping_seconds: float = Field(15, gt=0, description="a quiet event stream says this often that it is alive")

    @field_validator("data_dir", "dataset_root")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().resolve()

    @model_validator(mode="after")
    def _paths_follow_data_dir(self) -> Self:
        # Frozen for everybody else; defaults that depend on data_dir are filled in here, once.
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{self.data_dir / 'noisegrid.db'}")
        if self.dataset_root is None:
            object.__setattr__(self, "dataset_root", self.data_dir / "datasets")
        return self

    @property
    def runs_dir(self) -> Path:
        """Where runs leave checkpoints, outboxes and logs."""
        return self.data_dir / "runs"
