"""App: `create_app(settings)` is the service. Importing this module opens nothing."""

import asyncio
import contextlib
import fcntl
import importlib.metadata
import json
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from server.db import Writer, WriterBusyError, WriterClosedError, migrate, open_engine
from server.histories import Histories
from server.launcher import GridService, Launcher, NullLauncher
from server.notifier import Notifier
from server.routes import examples, figures, grids, health, labels, pages, records, reports, runs, tensorboard
from server.settings import Settings
from server.state import State
from server.store import Store, UnknownIdError
from server.tokens import Tokens, load_or_make_secret
from server.views import ErrorView
from spec.problems import InvalidInputError, Problem, problems_of
from spec.run import RunConfig

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2
MAX_SWEEP_SECONDS = 10.0


def create_app(settings: Settings, launcher: Launcher | None = None, run_type: type[RunConfig] | None = None) -> FastAPI:
    """The service as an ASGI application; the database is opened when it starts.

    `run_type` is the configuration that runs are validated by: every part that is installed, if not given.
    """
    launcher = launcher or NullLauncher()
    run_type = run_type or _installed_run_type()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with _opened(settings, launcher, run_type, asyncio.get_running_loop()) as state:
            app.state.noisegrid = state
            with _streams_end_on_signal(state.notifier):
                sweep = asyncio.create_task(_sweep(state.store, settings.lost_after_seconds))
                try:
                    yield
                finally:
                    sweep.cancel()
                    state.notifier.close()

    # FastAPI's own /docs loads its scripts from another site.
    app = FastAPIOffline(
        title="Noisegrid",
        version=version(),
        summary="Label-noise experiments as a service.",
        lifespan=lifespan,
        redoc_url=None,
        favicon_url="/favicon.ico",
    )
    for module in (records, grids, runs, examples, figures, labels, reports, tensorboard, health, pages):
        app.include_router(module.router)
    _answer_errors(app)
    return app


def version() -> str:
    """The installed version; a tree that runs without being installed (`ray job submit --working-dir .`) has none."""
    try:
        return importlib.metadata.version("noisegrid")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _installed_run_type() -> type[RunConfig]:
    # Imports torch, which takes seconds: not before somebody makes a service.
    from trainables.parts import RunConfig as InstalledRunConfig

    return InstalledRunConfig


@contextlib.contextmanager
def _opened(settings: Settings, launcher: Launcher, run_type: type[RunConfig], loop: asyncio.AbstractEventLoop) -> Iterator[State]:
    """Everything that a running service holds; closed in the opposite order."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_locked(settings.data_dir / "service.lock"))
        tokens = Tokens(load_or_make_secret(settings.data_dir / "secret"))
        engine = open_engine(settings.database_url)
        stack.callback(engine.dispose)
        migrate(engine)
        notifier, histories = Notifier(loop), Histories()
        writer = Writer(engine, settings.max_queued_writes, on_commit=notifier.notify, on_rollback=histories.clear)
        stack.callback(writer.close)
        store = Store(engine, writer, histories, settings.lost_after_seconds, settings.write_timeout_seconds)
        launcher.start(GridService(settings, store, tokens))
        stack.callback(launcher.close)
        yield State(settings, store, writer, tokens, launcher, run_type, notifier, version())


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[TextIO]:
    """Hold the data folder: two services on one would each believe that they alone write. The kernel lets go when we die.

    Raises:
        RuntimeError: another service holds it.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another service runs on {path.parent}: stop it, or choose another data_dir") from None
        yield file


@contextlib.contextmanager
def _streams_end_on_signal(notifier: Notifier) -> Iterator[None]:
    """End event streams as soon as the server is told to stop: it waits for open connections before it ends the lifespan."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Where the server has set no handler (it runs in another thread, or is not uvicorn), there is none to go before.
    before = {number: handler for number in (signal.SIGINT, signal.SIGTERM) if callable(handler := signal.getsignal(number))}

    def end_streams(number: int, frame: Any) -> None:
        notifier.close()
        before[signal.Signals(number)](number, frame)

    for number in before:
        signal.signal(number, end_streams)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _sweep(store: Store, lost_after_seconds: float) -> None:
    """Mark silent runs as lost, so that event streams tell of them too."""
    while True:
        await asyncio.sleep(min(MAX_SWEEP_SECONDS, lost_after_seconds / 4))
        try:
            await asyncio.to_thread(store.sweep_lost)
        except (OperationalError, WriterBusyError, WriterClosedError) as error:
            logger.warning("lost runs could not be marked: %s", error)


def _answer_errors(app: FastAPI) -> None:
    app.add_exception_handler(UnknownIdError, _answer(404))
    app.add_exception_handler(WriterBusyError, _busy)
    app.add_exception_handler(WriterClosedError, _busy)
    app.add_exception_handler(OperationalError, _database_fails)
    app.add_exception_handler(InvalidInputError, _invalid_input)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    # Starlette logs the traceback, whatever the answer is.
    app.add_exception_handler(Exception, lambda _request, _: _error(500, "the service failed at this; its log says why"))


def _error(status: int, message: str, problems: list[Problem] | None = None, headers: dict[str, str] | None = None) -> Response:
    view = ErrorView(error=message, problems=[problem.model_dump(mode="json") for problem in problems or []])
    # What was given may be NaN, or half a character pair: valid in the JSON that we read, not in what we write.
    plain = json.loads(json.dumps(view.model_dump()), parse_constant=str)
    return Response(json.dumps(plain), status, headers, media_type="application/json")


def _answer(status: int) -> Callable[[Request, Exception], Response]:
    return lambda _request, error: _error(status, str(error))


def _busy(_request: Request, error: Exception) -> Response:
    return _error(503, f"{error}: try again later", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _database_fails(_request: Request, error: Exception) -> Response:
    logger.error("the database fails: %s", error)
    return _error(503, "the database fails, see the service's log: try again later", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, str(error.detail), headers=dict(error.headers or {}))


def _invalid_input(_request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidInputError)
    return _error(422, _headline(error.problems), error.problems)


def _headline(problems: list[Problem]) -> str:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = _body_problems(request, error) or [_plain_problem(details) for details in error.errors()]
    return _error(422, _headline(problems), problems)


def _body_problems(request: Request, error: RequestValidationError) -> list[Problem]:
    """The body's problems in full (did you mean, what is allowed), by reading it again as the route's model."""
    body = getattr(request.scope.get("route"), "body_field", None)
    model = body and body.field_info.annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or not isinstance(error.body, dict):
        return []
    try:
        model.model_validate(error.body)
    except ValidationError as invalid:
        return problems_of(invalid, model)
    return []


def _plain_problem(details: dict[str, Any]) -> Problem:
    """A problem of the path, the query or a header, or a body that is no JSON object at all."""
    place, *path = details["loc"]
    if details["type"] == "json_invalid":
        return Problem(path="", message=f"the body is not JSON: {details['ctx']['error']} at character {path[0]}")
    if place == "body":
        return Problem(path="", message="the body must be a JSON object, sent as Content-Type: application/json")
    given = None if details["type"] == "missing" else details["input"]
    text = details["msg"]
    return Problem(path=".".join(map(str, path)), given=given, message=f"{text[0].lower()}{text[1:]}, got {given!r}")
