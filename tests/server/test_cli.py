"""The command line, against a service in this process that launches nothing."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner, Result

from server import cli
from server.client import Client, ServiceError
from server.hosting import DataDirTakenError, PortTakenError, address, check_free, hosted, listen
from server.launcher import NullLauncher
from server.settings import Settings
from tests.server.parts import epoch, finished, started

ROOT = Path(__file__).parents[2]
RUN: dict[str, Any] = {
    "dataset": "digits",
    "split": {"train_size": 200},
    "noise": {"name": "symmetric", "rate": 0.4},
    "model": "small_cnn",
    "method": {"name": "sln", "sigma": 0.5},
    "optimizer": {"name": "sgd", "lr": 0.02},
    "ema": {"decay": 0.9},
    "epochs": 2,
    "batch_size": 64,
}
GRID: dict[str, Any] = {"name": "small", "base": RUN, "axes": {"noise.rate": [0.2, 0.4], "seed": [0, 1]}}
COMMANDS = sorted(command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[str]:
    """Address of a service."""
    with listen("127.0.0.1", 0) as listener, hosted(settings, listener, NullLauncher()):
        yield address("127.0.0.1", listener)


@pytest.fixture
def grid_id(server: str) -> str:
    """A grid whose first two runs are done, at a test accuracy of 0.5 and 0.7; the second's EMA model is at 0.8."""
    answer = httpx.post(f"{server}/api/grids?launch=external", json={**GRID, "name": "half done"}).json()
    with Client(server) as client:
        run_ids = [run.run_id for run in client.runs(answer["grid_id"])]
    messages = []
    for run_id, accuracy, average in zip(run_ids[:2], (0.5, 0.7), (0.6, 0.8), strict=True):
        metrics = {"test_accuracy": accuracy, "ema_test_accuracy": average, "corrupt_fit_given": 0.25}
        messages += [started(run_id), epoch(run_id, 1, **metrics), epoch(run_id, 2, **metrics), finished(run_id)]
    body = {"grid_id": answer["grid_id"], "messages": messages}
    httpx.post(f"{server}/api/records", json=body, headers={"Authorization": f"Bearer {answer['token']}"}).raise_for_status()
    return str(answer["grid_id"])


def run_cli(*arguments: str | Path, server: str | None = None) -> Result:
    environment = {"COLUMNS": "200", **({"NOISEGRID_SERVER": server} if server else {})}
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], env=environment)


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


# Help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name: str):
    result = run_cli(name, "--help")
    assert result.exit_code == 0
    assert re.search(rf"Examples\s+noisegrid {name}\b", result.stdout), result.stdout


def test_the_page_about_the_command_line_has_every_command():
    assert sorted(re.findall(r"^\| `([\w-]+)", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)) == COMMANDS


# Grids without a service


def test_validate_counts_runs(tmp_path: Path):
    result = run_cli("validate", write(tmp_path / "grid.yaml", GRID))
    assert result.exit_code == 0
    assert "4 runs" in result.stdout
    assert re.search(r"noise\.rate\s+condition\s+0\.2, 0\.4", result.stdout)


def test_validate_says_what_a_grid_costs(tmp_path: Path):
    grid = {"name": "cost", "base": {**RUN, "epochs": 30, "ema": {}}, "axes": {"method.correct_from": [None, 21]}}
    result = run_cli("validate", write(tmp_path / "grid.yaml", grid))
    assert "40 epochs to train instead of 60" in result.stdout
    assert "(1.5x fewer)" in result.stdout
    assert "2 runs answer for their moving average, too: 4 models" in result.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"axis": {}}, "unknown key 'axis'"),
        ({"axes": {"noise.rate": [0.2, 1.4]}}, "noise.rate: input should be less than or equal to 1, got 1.4"),
        ({"axes": {"method.sigm": [1]}}, "did you mean 'sigma'?"),
        ({"base": {**RUN, "method": "slnn"}}, "did you mean 'sln'?"),
        ({"base": {**RUN, "epochs": "many"}}, "base.epochs"),
        ({"base": {key: value for key, value in RUN.items() if key != "model"}}, "base.model: is required"),
        ({"axes": {"seed": []}}, "'seed' has no values"),
        ({"axes": {"seed": list(range(200)), "noise.rate": [i / 100 for i in range(100)]}}, "20,000 runs, the limit is 10,000"),
        ({"name": ""}, "name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_validate_says_what_is_wrong_and_exits_with_2(tmp_path: Path, change: dict[str, Any], said: str):
    result = run_cli("validate", write(tmp_path / "grid.yaml", {**GRID, **change}))
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_validate_says_every_problem(tmp_path: Path):
    base = {**RUN, "optimizer": {"name": "sgd", "lr": -1}, "batch_size": 0}
    result = run_cli("validate", write(tmp_path / "grid.yaml", {**GRID, "base": base}))
    assert "2 problems" in result.stderr
    assert "base.optimizer.lr" in result.stderr
    assert "base.batch_size" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nname: b\n", "line 2, column 1: key 'name' is given twice"),
        ("name: [a\n", "line 2, column 1"),
        ("", "the file is empty"),
        ("- a\n", "holds a list"),
    ],
)
def test_validate_says_what_is_wrong_with_a_file(tmp_path: Path, text: str, said: str):
    result = run_cli("validate", write(tmp_path / "grid.yaml", text))
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_missing_file_is_a_usage_error(tmp_path: Path):
    assert run_cli("validate", tmp_path / "none.yaml").exit_code == 2


# One run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A run trained in a process of its own, which says at the end what it had imported."""
    folder = tmp_path_factory.mktemp("run")
    run_file = write(folder / "run.yaml", RUN)
    arguments = ["train", str(run_file), "--out", str(folder / "out")]
    program = f"""
import atexit, sys
atexit.register(lambda: print("imported:", *sorted({{name.split(".")[0] for name in sys.modules}})))
from server.cli import app
app({arguments!r})
"""
    environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder, ended


def test_train_imports_neither_ray_nor_the_service(trained: tuple[Path, "subprocess.CompletedProcess[str]"]):
    imported = set(trained[1].stdout.rpartition("imported: ")[2].split())
    assert "torch" in imported
    assert imported.isdisjoint({"ray", "fastapi", "starlette", "sqlalchemy", "plotly", "uvicorn", "httpx"})


def test_train_leaves_records_and_a_checkpoint(trained: tuple[Path, "subprocess.CompletedProcess[str]"]):
    out = trained[0] / "out"
    messages = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert [message["type"] for message in messages] == ["started", "epoch", "epoch", "finished"]
    assert messages[-1]["state"] == "done"
    assert (out / "checkpoint.pt").exists()


def test_train_prints_each_way_to_choose_an_epoch(trained: tuple[Path, "subprocess.CompletedProcess[str]"]):
    folder, ended = trained
    messages = [json.loads(line) for line in (folder / "out" / "records.jsonl").read_text().splitlines()]
    accuracy = [100 * message["metrics"]["test_accuracy"] for message in messages if message["type"] == "epoch"]
    last, last_ten, oracle = accuracy[-1], sum(accuracy) / 2, max(accuracy)
    # No validation split, so that no epoch can be chosen by it.
    assert re.search(rf"raw model +{last:.2f} +{last_ten:.2f} +- +{oracle:.2f} \(epoch \d\)", ended.stdout), ended.stdout
    assert "oracle" in ended.stdout
    assert "EMA model" in ended.stdout


def test_a_finished_run_is_not_trained_again(trained: tuple[Path, "subprocess.CompletedProcess[str]"]):
    folder, _ = trained
    result = run_cli("train", folder / "run.yaml", "--out", folder / "out")
    assert result.exit_code == 0
    messages = [json.loads(line) for line in (folder / "out" / "records.jsonl").read_text().splitlines()]
    assert [message["epoch"] for message in messages if message["type"] == "epoch"] == [1, 2]


def test_train_refuses_the_folder_of_another_run(trained: tuple[Path, "subprocess.CompletedProcess[str]"], tmp_path: Path):
    other = write(tmp_path / "run.yaml", {**RUN, "seed": 7})
    result = run_cli("train", other, "--out", trained[0] / "out")
    assert result.exit_code == 1
    assert "checkpoint of another run" in result.stderr


def test_train_says_what_is_wrong_with_a_run(tmp_path: Path):
    result = run_cli("train", write(tmp_path / "run.yaml", {**RUN, "epoch": 3}), "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "unknown key 'epoch'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_train_says_which_file_is_missing(tmp_path: Path):
    run = {**RUN, "noise": {"name": "recorded", "path": "labels.csv"}}
    result = run_cli("train", write(tmp_path / "run.yaml", run), "--out", tmp_path / "out", "--data", tmp_path)
    assert result.exit_code == 1
    assert "labels.csv" in result.stderr
    assert json.loads((tmp_path / "out" / "records.jsonl").read_text().splitlines()[-1])["state"] == "failed"


# With a service


def test_submit_says_where_to_look_and_knows_the_grid_again(server: str, tmp_path: Path):
    path = write(tmp_path / "grid.yaml", {**GRID, "name": "submitted"})
    first, again = run_cli("submit", path, server=server), run_cli("submit", path, server=server)
    assert first.exit_code == again.exit_code == 0
    grid = re.search(r"grid (\w{16}) with 4 runs", first.stdout)
    assert grid, first.stdout
    assert f"{server}/grids/{grid[1]}" in first.stdout
    assert f"grid {grid[1]} was there already" in again.stdout


def test_submit_says_every_problem_that_the_service_finds(server: str, tmp_path: Path):
    base = {**RUN, "method": "slnn", "model": "small_cn"}
    result = run_cli("submit", write(tmp_path / "grid.yaml", {**GRID, "base": base}), server=server)
    assert result.exit_code == 2
    assert "did you mean 'sln'?" in result.stderr
    assert "did you mean 'small_cnn'?" in result.stderr


def test_waiting_for_a_grid_that_does_not_get_done_exits_with_1(server: str, tmp_path: Path):
    path = write(tmp_path / "grid.yaml", {**GRID, "name": "cancelled", "axes": {"seed": [21, 22, 23, 24]}})
    grid_id = str(re.findall(r"grid (\w{16})", run_cli("submit", path, server=server).stdout)[0])
    run_cli("cancel", grid_id, server=server)
    result = run_cli("submit", path, "--wait", server=server)
    assert result.exit_code == 1
    assert "0 of 4 runs done, 4 cancelled" in result.stdout
    assert f"grid {grid_id} is cancelled" in result.stderr


def test_waiting_for_a_grid_that_is_done_exits_with_0(server: str, tmp_path: Path, grid_id: str):
    # The same two runs as in the other grid, which are done already.
    done = {**GRID, "name": "done", "axes": {"seed": [0, 1]}, "base": {**RUN, "noise": {"name": "symmetric", "rate": 0.2}}}
    result = run_cli("submit", write(tmp_path / "grid.yaml", done), "--wait", server=server)
    assert result.exit_code == 0, result.stderr
    assert "2 of 2 runs done" in result.stdout


def test_list_shows_grids(server: str, grid_id: str):
    result = run_cli("list", server=server)
    assert re.search(rf"{grid_id}\s+half done\s+\w+\s+4\s+50%", result.stdout), result.stdout


def test_show_has_results_of_finished_runs(server: str, grid_id: str):
    result = run_cli("show", grid_id[:8], server=server)
    assert result.exit_code == 0, result.stderr
    assert "2 of 4 runs done" in result.stdout
    assert re.search(r"test accuracy +60\.0 ± 14\.1", result.stdout), result.stdout
    assert re.search(r"test accuracy, EMA +70\.0 ± 14\.1", result.stdout), result.stdout
    assert "best at noise rate = 0.2" in result.stdout
    assert "oracle" in result.stdout


def test_runs_lists_runs(server: str, grid_id: str):
    lines = run_cli("runs", grid_id, server=server).stdout.splitlines()
    assert len(lines) == 5
    assert re.search(r"0\.2\s+0\s+done\s+2/2\s+0\.3800\s+50\.00\s+60\.00", lines[1]), lines[1]
    assert re.search(r"0\.4\s+1\s+queued\s+0/2\s+-\s+-\s+-", lines[4]), lines[4]


def test_runs_says_below_the_table_why_runs_failed_each_reason_once(server: str):
    answer = httpx.post(f"{server}/api/grids?launch=external", json={**GRID, "name": "failing", "axes": {"seed": [31, 32, 33]}}).json()
    with Client(server) as client:
        run_ids = [run.run_id for run in client.runs(answer["grid_id"])]
    errors = dict(
        zip(run_ids, ["ValueError: the loss is [infinite]", "OSError: no space left", "ValueError: the loss is [infinite]"], strict=True)
    )
    messages = [said for run_id, error in errors.items() for said in (started(run_id), finished(run_id, "failed", error=error))]
    body = {"grid_id": answer["grid_id"], "messages": messages}
    httpx.post(f"{server}/api/records", json=body, headers={"Authorization": f"Bearer {answer['token']}"}).raise_for_status()
    assert run_cli("runs", answer["grid_id"], server=server).stdout.splitlines()[-2:] == [
        f"{run_ids[0]} and 1 more failed: ValueError: the loss is [infinite]",
        f"{run_ids[1]} failed: OSError: no space left",
    ]


def test_runs_as_csv_is_a_table_of_every_run(server: str, grid_id: str):
    lines = run_cli("runs", grid_id, "--csv", server=server).stdout.splitlines()
    assert len(lines) == 5
    assert {"run_id", "noise.rate", "seed", "state"} <= set(lines[0].split(","))


def test_cancel_takes_a_run_or_a_grid_and_resume_takes_it_back(server: str):
    with Client(server) as client:
        grid, _ = client.create_grid({**GRID, "name": "to cancel", "axes": {"seed": [11, 12]}})
        run_id = next(client.runs(grid.grid_id)).run_id
        assert f"run {run_id} is cancelled" in run_cli("cancel", run_id, server=server).stdout
        assert client.grid(grid.grid_id).runs_by_state["cancelled"] == 1
        assert f"grid {grid.grid_id} is cancelled" in run_cli("cancel", grid.grid_id[:10], server=server).stdout
        assert f"grid {grid.grid_id} is queued" in run_cli("resume", grid.grid_id, server=server).stdout


def test_logs_of_a_grid_without_a_driver_are_empty(server: str, grid_id: str):
    result = run_cli("logs", grid_id, server=server)
    assert (result.exit_code, result.stdout) == (0, "")


def test_a_figure_opens_without_a_service(server: str, grid_id: str, tmp_path: Path):
    assert run_cli("figure", grid_id, "curves", "--out", tmp_path / "curves.html", server=server).exit_code == 0
    html = (tmp_path / "curves.html").read_text()
    assert "Plotly.newPlot" in html
    assert re.search(r'<script[^>]* src="http', html) is None
    assert len(html) > 1_000_000


def test_a_figure_as_json_is_plotly_s(server: str, grid_id: str, tmp_path: Path):
    out = tmp_path / "map.json"
    result = run_cli("figure", grid_id, "heatmap", "--metric", "ema_test_accuracy", "--selection", "last", "--out", out, server=server)
    assert result.exit_code == 0, result.stderr
    assert {"data", "layout"} <= set(json.loads(out.read_text()))


@pytest.mark.parametrize(
    ("kind", "name", "code", "said"),
    [
        ("curves", "curves.docx", 1, "a figure's file ends in .html, .json"),
        ("curves", "missing/curves.html", 1, "missing/curves.html"),
        ("pie", "pie.html", 2, "curves"),
    ],
)
def test_a_figure_that_cannot_be_saved_is_said_once(server: str, grid_id: str, tmp_path: Path, kind: str, name: str, code: int, said: str):
    result = run_cli("figure", grid_id, kind, "--out", tmp_path / name, server=server)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.stderr


def test_an_image_without_kaleido_is_an_error_that_says_so(server: str, grid_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run_cli("figure", grid_id, "curves", "--out", tmp_path / "curves.png", server=server)
    assert result.exit_code == 1
    assert "kaleido" in result.stderr


def test_an_unknown_grid_is_an_error_that_says_what_to_do(server: str):
    result = run_cli("show", "no-such", server=server)
    assert result.exit_code == 1
    assert "noisegrid list" in result.stderr


def test_a_prefix_of_several_grids_is_refused(server: str, grid_id: str):
    with Client(server) as client:
        client.create_grid({**GRID, "name": "one more"})
        with pytest.raises(ServiceError, match="give more digits"):
            client.find_grid("")


# Without a service


def test_no_service_is_one_line_that_says_what_to_do():
    with listen("127.0.0.1", 0) as listener:
        nobody = address("127.0.0.1", listener)
    result = run_cli("list", server=nobody)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "noisegrid serve" in result.stderr


@pytest.mark.parametrize("server", ["localhost:8642", "ftp://localhost", "http://[", ""])
def test_a_bad_address_is_one_line(server: str):
    result = run_cli("list", "--server", server)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr


def test_another_program_on_the_port_is_recognised():
    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        result = run_cli("list", "--server", f"http://127.0.0.1:{other.server_port}")
        other.shutdown()
    assert result.exit_code == 1
    assert "is this a Noisegrid service?" in result.stderr


# Starting the service


def test_a_taken_port_is_refused_in_a_line():
    with listen("127.0.0.1", 0) as listener:
        result = run_cli("serve", "--port", str(listener.getsockname()[1]))
    assert result.exit_code == 1
    assert "choose another --port" in result.stderr


def test_two_services_do_not_share_a_data_directory(server: str, settings: Settings):
    with pytest.raises(DataDirTakenError, match="choose another --data-dir"):
        check_free(settings)
    with listen("127.0.0.1", 0) as listener, pytest.raises(DataDirTakenError), hosted(settings, listener, NullLauncher()):
        pass


def test_an_address_that_is_not_ours_cannot_be_listened_on():
    with pytest.raises(PortTakenError):
        listen("192.0.2.1", 0)


def test_stop_says_that_nothing_was_running(tmp_path: Path):
    result = run_cli("stop", "--data-dir", tmp_path)
    assert result.exit_code == 0
    assert f"no Ray of {tmp_path} was running" in result.stdout
