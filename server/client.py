"""A client of the service: each answer as its view. The command line and the demo use it; so can scripts.

Example:
    with Client("http://127.0.0.1:8642") as client:
        grid, is_new = client.create_grid({"name": "mine", "base": {...}, "axes": {"seed": [0, 1, 2]}})
        for run in client.runs(grid.grid_id):
            print(run.factors, run.summary)
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from server.views import (
    CreatedGrid,
    GridComparison,
    GridPage,
    GridSearch,
    GridSummary,
    GridView,
    Health,
    LabelEntry,
    LabelPage,
    LogText,
    Records,
    RunPage,
    RunSummary,
    RunView,
)
from spec.records import BatchReply

DEFAULT_SERVER = "http://127.0.0.1:8642"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PAGE_SIZE = 500

View = TypeVar("View", bound=BaseModel)


class ServiceError(Exception):
    """The service cannot be reached, or said no. The message is one for people; `problems` are those of a refused input."""

    def __init__(self, message: str, status: int | None = None, problems: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problems = problems or []


class Client:
    """One service, over HTTP. Every method raises ServiceError where the service cannot be reached or says no."""

    def __init__(self, server: str = DEFAULT_SERVER, *, transport: httpx.BaseTransport | None = None, timeout: float = 30.0) -> None:
        self.server = server.rstrip("/")
        try:
            # A proxy meant for the internet does not know this machine's own ports.
            trust_env = httpx.URL(self.server).host not in LOOPBACK
            self._http = httpx.Client(base_url=self.server, transport=transport, timeout=timeout, trust_env=trust_env)
        except httpx.InvalidURL as error:
            raise ServiceError(f"{server!r} is not the address of a service: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def page(self, grid_id: str) -> str:
        """Address of a grid's page on the dashboard."""
        return f"{self.server}/grids/{grid_id}"

    def health(self) -> Health:
        return self._view(Health, "GET", "/health")

    def create_grid(self, spec: dict[str, Any]) -> tuple[CreatedGrid, bool]:
        """The grid, and whether it is new: the service answers the same specification with the same grid."""
        answer = self._request("POST", "/api/grids", json=spec)
        return CreatedGrid.model_validate(answer.json()), answer.status_code == httpx.codes.CREATED

    def create_foreign_grid(self, spec: dict[str, Any]) -> CreatedGrid:
        """A grid that the service does not launch, with the token that its records need."""
        return self._view(CreatedGrid, "POST", "/api/grids", params={"launch": "external"}, json=spec)

    def add_records(self, grid: CreatedGrid, messages: list[dict[str, Any]]) -> BatchReply:
        """Send messages of a grid's runs; sent again, they change nothing."""
        body = {"grid_id": grid.grid_id, "messages": messages}
        return self._view(BatchReply, "POST", "/api/records", json=body, headers={"Authorization": f"Bearer {grid.token}"})

    def grids(self) -> Iterator[GridSummary]:
        """Every grid, newest first."""
        offset, total = 0, 1
        while offset < total:
            page = self._view(GridPage, "GET", "/api/grids", params={"offset": offset, "limit": PAGE_SIZE})
            yield from page.grids
            offset, total = offset + max(1, len(page.grids)), page.total

    def grid(self, grid_id: str) -> GridView:
        return self._view(GridView, "GET", f"/api/grids/{grid_id}")

    def find_grid(self, prefix: str) -> str:
        """The id of the one grid whose id starts so.

        Raises:
            ServiceError: there is none, or several.
        """
        return self._only("grid", prefix, {grid.grid_id: grid.name for grid in self.grids()}, listed_by="noisegrid list")

    def runs(self, grid_id: str, **filters: Any) -> Iterator[RunSummary]:
        """A grid's runs; `state`, `where` and `sort` as in docs/rest.md."""
        offset, total = 0, 1
        while offset < total:
            params = {**filters, "offset": offset, "limit": PAGE_SIZE}
            page = self._view(RunPage, "GET", f"/api/grids/{grid_id}/runs", params=params)
            yield from page.runs
            offset, total = offset + max(1, len(page.runs)), page.total

    def runs_csv(self, grid_id: str, **filters: Any) -> str:
        """The run table as CSV, all of it."""
        return self._request("GET", f"/api/grids/{grid_id}/runs", params={**filters, "format": "csv"}).text

    def run(self, run_id: str) -> RunView:
        return self._view(RunView, "GET", f"/api/runs/{run_id}")

    def records(self, run_id: str) -> Records:
        """A run's epoch records, all metrics."""
        return self._view(Records, "GET", f"/api/runs/{run_id}/records")

    def cancel_grid(self, grid_id: str) -> GridView:
        return self._view(GridView, "POST", f"/api/grids/{grid_id}/cancel")

    def resume_grid(self, grid_id: str) -> GridView:
        return self._view(GridView, "POST", f"/api/grids/{grid_id}/resume")

    def cancel_run(self, run_id: str) -> RunView:
        return self._view(RunView, "POST", f"/api/runs/{run_id}/cancel")

    def log(self, grid_id: str, after: int = 0) -> LogText:
        """The driver's log from a position on."""
        return self._view(LogText, "GET", f"/api/grids/{grid_id}/logs", params={"after": after})

    def comparison(self, grid_id: str) -> GridComparison:
        """A grid's results beside published ones."""
        return self._view(GridComparison, "GET", f"/api/grids/{grid_id}/compare")

    def search_report(self, grid_id: str) -> GridSearch:
        """What a grid's noisy validation split chooses."""
        return self._view(GridSearch, "GET", f"/api/grids/{grid_id}/search")

    def labels(self) -> Iterator[LabelEntry]:
        """Every label vector that a run was given, last used first."""
        offset, total = 0, 1
        while offset < total:
            page = self._view(LabelPage, "GET", "/api/labels", params={"offset": offset, "limit": PAGE_SIZE})
            yield from page.labels
            offset, total = offset + max(1, len(page.labels)), page.total

    def find_labels(self, prefix: str) -> str:
        """The hash of the one label vector whose hash starts so.

        Raises:
            ServiceError: there is none, or several.
        """
        entries = {entry.noisy_hash: entry.noise["name"] for entry in self.labels()}
        return self._only("label vector", prefix, entries, listed_by="noisegrid noise ledger")

    def label_file(self, noisy_hash: str, format: str) -> bytes:
        """A label vector as `json` (our own file), `csv` or `npy`."""
        return self._request("GET", f"/api/labels/{noisy_hash}/file", params={"format": format}).content

    def figure(self, grid_id: str, kind: str, **options: str | None) -> dict[str, Any]:
        """A Plotly figure as JSON values; `metric` and `selection` as in docs/rest.md."""
        given = {name: value for name, value in options.items() if value is not None}
        figure: dict[str, Any] = self._request("GET", f"/api/grids/{grid_id}/figures/{kind}", params=given).json()
        return figure

    def run_figure(self, run_id: str, kind: str) -> dict[str, Any]:
        """A Plotly figure of a run as JSON values."""
        figure: dict[str, Any] = self._request("GET", f"/api/runs/{run_id}/figures/{kind}").json()
        return figure

    def table(self, grid_id: str, format: str, selection: str | None = None) -> str:
        """A grid's table of results as text, `csv` or `markdown`."""
        params = {"format": format} | ({} if selection is None else {"selection": selection})
        return self._request("GET", f"/api/grids/{grid_id}/table", params=params).text

    def _only(self, what: str, prefix: str, names: dict[str, str], listed_by: str) -> str:
        """The one id among the names' that starts so."""
        found = {id_: name for id_, name in names.items() if id_.startswith(prefix)}
        if not found:
            raise ServiceError(f"no {what} {prefix!r} on {self.server}: `{listed_by}` shows those that there are", status=404)
        if len(found) > 1:
            ids = ", ".join(f"{id_} ({name})" for id_, name in list(found.items())[:5])
            raise ServiceError(f"{prefix!r} may be any of {len(found)} {what}s, {ids}: give more digits")
        return next(iter(found))

    def _view(self, view: type[View], method: str, path: str, **request: Any) -> View:
        return view.model_validate(self._request(method, path, **request).json())

    def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **request)
        except httpx.UnsupportedProtocol:
            raise ServiceError(f"{self.server!r} is not the address of a service: expected one such as {DEFAULT_SERVER}") from None
        except httpx.TimeoutException:
            raise ServiceError(f"the service at {self.server} did not answer in time: is it overloaded?") from None
        except httpx.TransportError as error:
            hint = "start one with `noisegrid serve`, or give its address with --server or NOISEGRID_SERVER"
            raise ServiceError(f"no service at {self.server} ({error}): {hint}") from None
        if answer.is_error:
            raise _refusal(answer)
        return answer


def _refusal(answer: httpx.Response) -> ServiceError:
    try:
        body = answer.json()
        message, problems = str(body["error"]), body.get("problems", [])
    except (ValueError, KeyError, TypeError, AttributeError):
        # A proxy, or another program on that port.
        message, problems = f"{answer.request.url} answered {answer.status_code} {answer.reason_phrase}: is this a Noisegrid service?", []
    return ServiceError(message, answer.status_code, problems)
