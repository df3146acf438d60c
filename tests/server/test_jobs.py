"""The overseer's decisions, with a Ray that is a list of jobs."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from server.jobs import FRUITLESS, REFUSED, GivenRay, Overseer, RayUnusableError
from server.launcher import GridService
from server.ray_head import MAX_TEMP_DIR, find_head, process_start, stop_embedded, temp_dir, token_file
from server.settings import Settings
from spec.records import RunState


@dataclass
class FakeStore:
    """One grid of ten epochs."""

    active: list[str] = field(default_factory=lambda: ["g"])
    epochs_done: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def active_grids(self) -> list[str]:
        return [grid_id for grid_id in self.active if grid_id not in self.failed]

    def grid_summary(self, grid_id: str) -> Any:
        return SimpleNamespace(epochs_done=self.epochs_done, runs_by_state={RunState.RUNNING: 1})

    def fail_runs(self, grid_id: str, message: str) -> None:
        self.failed[grid_id] = message

    def set_message(self, grid_id: str, message: str) -> None:
        self.messages[grid_id] = message


@dataclass
class FakeRay:
    """A cluster and its job server: jobs go on until a test ends them."""

    jobs: list[Any] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    trouble: Exception | None = None
    started: bool = True

    def connect(self, start: bool) -> Any:
        if self.trouble:
            raise self.trouble
        return self if start or self.started else None

    def python(self) -> str:
        return "the python"

    def runtime_env(self) -> dict[str, Any]:
        return {"env_vars": {"PYTHONPATH": "here"}}

    def close(self, idle: bool) -> None:
        pass

    def get_address(self) -> str:
        return "http://ray"

    def list_jobs(self) -> list[Any]:
        return list(self.jobs)

    def submit_job(self, submission_id: str, **job: Any) -> None:
        assert submission_id not in [known.submission_id for known in self.jobs]
        self.jobs.append(SimpleNamespace(submission_id=submission_id, status=JobStatus.RUNNING, driver_exit_code=None, **job))

    def stop_job(self, submission_id: str) -> None:
        self.stopped.append(submission_id)

    def get_job_logs(self, submission_id: str) -> str:
        return f"{submission_id} says no\n"

    def end_last(self, exit_code: int = 137) -> None:
        self.jobs[-1].status, self.jobs[-1].driver_exit_code = JobStatus.FAILED, exit_code


@pytest.fixture
def ray() -> FakeRay:
    return FakeRay()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def overseer_of(store: FakeStore, ray: FakeRay, folder: Path, secret: str = "secret") -> Overseer:
    tokens = SimpleNamespace(of=lambda grid_id: f"{secret}00{grid_id}")
    service = GridService(Settings(data_dir=folder), store, tokens)  # type: ignore[arg-type]
    return Overseer(service, ray)  # type: ignore[arg-type]


@pytest.fixture
def overseer(store: FakeStore, ray: FakeRay, tmp_path: Path) -> Overseer:
    return overseer_of(store, ray, tmp_path)


def test_a_grid_with_runs_left_gets_one_driver(overseer: Overseer, ray: FakeRay):
    overseer.look()
    overseer.look()
    [job] = ray.jobs
    assert job.submission_id == "g-secret00-1"
    assert "-m trainables.launch --grid-id g" in job.entrypoint
    assert job.runtime_env["env_vars"] == {"PYTHONPATH": "here", "NOISEGRID_TOKEN": "secret00g"}
    assert overseer.status == "http://ray"


def test_the_token_is_not_in_the_command_that_everybody_sees(overseer: Overseer, ray: FakeRay):
    overseer.look()
    assert "secret" not in ray.jobs[0].entrypoint


def test_nothing_starts_before_there_is_a_grid(overseer: Overseer, store: FakeStore, ray: FakeRay):
    store.active, ray.started = [], False
    overseer.look()
    assert (ray.jobs, overseer.status) == ([], "not started")


def test_a_killed_driver_is_replaced(overseer: Overseer, ray: FakeRay):
    overseer.look()
    ray.end_last()
    overseer.look()
    assert [job.submission_id for job in ray.jobs] == ["g-secret00-1", "g-secret00-2"]


def test_a_restarted_service_finds_the_driver_of_before(overseer: Overseer, store: FakeStore, ray: FakeRay, tmp_path: Path):
    overseer.look()
    overseer_of(store, ray, tmp_path).look()
    assert len(ray.jobs) == 1


def test_two_services_on_one_cluster_run_the_same_grid_each(overseer: Overseer, ray: FakeRay, tmp_path: Path):
    overseer.look()
    overseer_of(FakeStore(), ray, tmp_path / "other", secret="others").look()
    assert len({job.submission_id for job in ray.jobs}) == 2


def test_drivers_that_bring_nothing_are_given_up_with_their_last_words(overseer: Overseer, store: FakeStore, ray: FakeRay):
    for _ in range(FRUITLESS + 5):
        overseer.look()
        ray.end_last()
    assert len(ray.jobs) == 1 + FRUITLESS
    assert f"g-secret00-{1 + FRUITLESS} says no" in store.failed["g"]


def test_drivers_that_bring_something_are_replaced_for_ever(overseer: Overseer, store: FakeStore, ray: FakeRay):
    for _ in range(20):
        overseer.look()
        ray.end_last()
        store.epochs_done += 1
    assert len(ray.jobs) == 20
    assert store.failed == {}


def test_a_driver_that_refuses_the_grid_is_not_asked_twice(overseer: Overseer, store: FakeStore, ray: FakeRay):
    overseer.look()
    ray.end_last(REFUSED)
    overseer.look()
    assert len(ray.jobs) == 1
    assert "says no" in store.failed["g"]


def test_a_grid_asked_for_again_is_tried_again(overseer: Overseer, store: FakeStore, ray: FakeRay):
    overseer.look()
    ray.end_last(REFUSED)
    overseer.look()
    store.failed.clear()
    overseer.afresh.append("g")
    overseer.look()
    assert len(ray.jobs) == 2


def test_a_ray_that_died_with_its_jobs_is_not_fed_for_ever(overseer: Overseer, store: FakeStore, ray: FakeRay):
    names = set()
    for _ in range(FRUITLESS + 5):
        overseer.look()
        names |= {job.submission_id for job in ray.jobs}
        overseer.look()
        ray.jobs.clear()
    assert len(names) == 1 + FRUITLESS
    assert "g" in store.failed


def test_trouble_is_said_and_forgotten_when_it_is_over(overseer: Overseer, store: FakeStore, ray: FakeRay):
    ray.trouble = RayUnusableError("Ray is starting")
    overseer.look()
    assert (overseer.status, store.messages["g"]) == ("Ray is starting", "Ray is starting")
    ray.trouble = None
    overseer.look()
    overseer.look()
    assert (overseer.status, store.messages["g"]) == ("http://ray", "")


def test_an_unforeseen_error_does_not_end_the_overseer(overseer: Overseer, store: FakeStore, ray: FakeRay):
    ray.trouble = KeyError("surprise")
    overseer.look()
    assert "surprise" in store.messages["g"]


def test_a_submission_that_fails_is_no_fruitless_driver(
    overseer: Overseer, store: FakeStore, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
):
    def no_agent(**job: Any) -> None:
        raise RuntimeError("No available agent to submit job")

    with monkeypatch.context() as patch:
        patch.setattr(ray, "submit_job", no_agent)
        for _ in range(FRUITLESS + 5):
            overseer.look()
    overseer.look()
    assert (len(ray.jobs), store.failed) == (1, {})


def test_stopping_a_grid_stops_its_driver_and_no_other(overseer: Overseer, store: FakeStore, ray: FakeRay):
    store.active = ["g", "other"]
    overseer.look()
    store.active = ["other"]
    overseer.to_stop.append("g")
    overseer.look()
    assert ray.stopped == ["g-secret00-1"]
    assert [job.submission_id for job in ray.jobs] == ["g-secret00-1", "other-secret00-1"]


def test_logs_of_all_drivers_follow_each_other(overseer: Overseer, ray: FakeRay):
    overseer.look()
    ray.end_last()
    overseer.look()
    overseer.look()
    text, end = overseer.log("g", 0)
    assert text == "g-secret00-1 says no\ng-secret00-2 says no\n"
    assert overseer.log("g", end) == ("", end)
    assert overseer.log("g", end - 3) == ("no\n", end)


def test_a_cluster_open_to_anyone_is_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("server.jobs.answers", lambda url, token: token is None)
    monkeypatch.setattr("server.jobs._client", lambda url, token: url)
    settings = Settings(data_dir=tmp_path, ray_address="head:8265")
    with pytest.raises(RayUnusableError, match="RAY_AUTH_MODE=token"):
        GivenRay(settings).connect(start=True)
    assert GivenRay(settings.model_copy(update={"allow_open_ray": True})).connect(start=True) == "http://head:8265"  # type: ignore[comparison-overlap]


def test_the_token_of_the_own_ray_is_private_and_stays(tmp_path: Path):
    token = token_file(tmp_path).read_text()
    assert len(token) == 64
    assert token_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert token_file(tmp_path).read_text() == token


def test_ray_s_folder_is_short_and_behind_a_private_one(tmp_path: Path):
    folder = temp_dir(tmp_path / "a-rather-long-name-for-a-data-directory")
    assert len(str(folder)) <= MAX_TEMP_DIR
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    other = temp_dir(tmp_path / "another-data-directory")
    assert other != folder
    folder.parent.rmdir()
    other.parent.rmdir()


def test_a_process_that_took_over_the_number_of_a_dead_ray_is_left_alone(tmp_path: Path):
    (tmp_path / "ray.json").write_text('{"url": "u", "temp_dir": "t", "pid": 1, "started": 123456789012}')
    assert process_start(1) is not None
    assert find_head(tmp_path) is None
    assert stop_embedded(tmp_path) is False
