"""A service on an empty folder, with parts of its own: these tests are about the service, not about training."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from server.app import create_app
from server.launcher import NullLauncher
from server.settings import Settings
from tests.server.parts import FakeRunConfig


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def launcher() -> NullLauncher:
    return NullLauncher()


@pytest.fixture
def client(settings: Settings, launcher: NullLauncher) -> Iterator[TestClient]:
    with TestClient(create_app(settings, launcher, FakeRunConfig)) as client:
        yield client


@pytest.fixture
def post(client: TestClient) -> Callable[..., dict[str, Any]]:
    """Post a grid as its own launcher; gives the answer, token included."""

    def send(spec: dict[str, Any], launch: str = "external") -> dict[str, Any]:
        answer = client.post("/api/grids", params={"launch": launch}, json=spec)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    return send
