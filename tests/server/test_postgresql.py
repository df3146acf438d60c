"""The service on a PostgreSQL of the tests' own: what SQLite would let pass, and PostgreSQL does not."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from server.app import create_app
from server.settings import Settings
from tests.server.parts import FakeRunConfig, epoch, finished, grid_spec, started
from tests.server.world import bearer, read_run, run_ids, send, work


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """An empty database, in a server that listens on a socket in a folder of its own."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed")
    # It does not run as root.
    user = {"user": "nobody"} if os.geteuid() == 0 else {}
    # A short path, which nobody may enter: the socket lies in it.
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp", ignore_cleanup_errors=True) as folder:
        if user:
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        data = f"{folder}/data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "noisegrid", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **user,
        )
        control = [programs / "pg_ctl", "-D", data, "-w", "-s"]
        subprocess.run([*control, "-l", f"{folder}/log", "-o", f"-k {folder} -c listen_addresses=", "start"], check=True, cwd="/", **user)
        try:
            yield f"postgresql://noisegrid@/postgres?host={quote(folder)}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd="/", **user)


def _programs() -> Path | None:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    # Debian leaves the server's programs out of the path.
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


def test_a_grid_comes_in_runs_is_cancelled_and_taken_up_again(database_url: str, tmp_path: Path):
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    with TestClient(create_app(settings, run_type=FakeRunConfig)) as client:
        grid = client.post("/api/grids", params={"launch": "external"}, json=grid_spec(seed=[0, 1, 2], method__sigma=[0, 1])).json()
        ids = run_ids(client, grid)
        messages = [said for run_id in ids[:2] for said in (started(run_id), *(epoch(run_id, number) for number in (1, 2)))]
        send(client, grid, *messages)
        # Told again, as after an answer that was lost; and one epoch more.
        send(client, grid, *messages, epoch(ids[0], 3), finished(ids[1], "failed", error="OSError: no space left"))
        assert client.get(f"/api/runs/{ids[0]}/records").json()["epochs"] == [1, 2, 3]
        view = client.get(f"/api/grids/{grid['grid_id']}").json()
        assert view["seconds_left"] > 0
        assert (
            client.get("/api/grids").json()["grids"][0]["runs_by_state"]
            == view["runs_by_state"]
            == {"queued": 4, "running": 1, "failed": 1}
        )
        page = client.get(f"/api/grids/{grid['grid_id']}/runs", params={"where": "method.sigma=1", "sort": "-raw.last"}).json()
        assert (page["total"], page["runs"][0]["run_id"]) == (3, ids[1])
        client.post(f"/api/grids/{grid['grid_id']}/cancel", headers=bearer(grid)).raise_for_status()
        assert read_run(client, ids[0])["state"] == "cancelled"
        client.post(f"/api/grids/{grid['grid_id']}/resume", headers=bearer(grid)).raise_for_status()
        assert sorted(work(client, grid)) == sorted(ids)
        assert client.get("/api/labels").json()["labels"][0]["num_runs"] == 2
    with TestClient(create_app(settings, run_type=FakeRunConfig)) as client:
        assert client.get(f"/api/runs/{ids[0]}/records").json()["epochs"] == [1, 2, 3]
        assert client.get(f"/api/grids/{grid['grid_id']}/figures/curves").status_code == 200
