"""Input that cannot be used: every problem is told with its path, what was given and what is allowed."""

import json

import pytest
from fastapi.testclient import TestClient

from tests.server.parts import BASE, grid_spec


def without(key: str) -> dict:
    return {name: value for name, value in BASE.items() if name != key}


@pytest.mark.parametrize(
    ("spec", "path", "said"),
    [
        ({"name": "x"}, "base", "is required"),
        ({"nmae": "x", "name": "x", "base": BASE}, "nmae", "did you mean 'name'?"),
        ({"name": "", "base": BASE}, "name", "at least 1 character"),
        ({"name": "x", "base": [1]}, "base", "valid dictionary"),
        (grid_spec(base={"epohcs": 3}), "base.epohcs", "did you mean 'epochs'?"),
        (grid_spec(base={"method": {"name": "sln", "sgima": 1}}), "base.method.sgima", "did you mean 'sigma'?"),
        (grid_spec(base={"method": "slnn"}), "base.method", "unknown method 'slnn': expected one of ce, sln; did you mean 'sln'?"),
        (grid_spec(method=["slnn"]), "method", "did you mean 'sln'?"),
        (grid_spec(base={"epochs": "many"}), "base.epochs", "valid integer"),
        (grid_spec(base={"epochs": 0}), "base.epochs", "greater than or equal to 1"),
        (grid_spec(base={"epochs": 2**80}), "base.epochs", "less than or equal to"),
        (grid_spec(noise__rate=[0.2, 1.2]), "noise.rate", "less than or equal to 1, got 1.2"),
        (grid_spec(base={"method": {"name": "sln", "sigma": -1}}), "base.method.sigma", "greater than or equal to 0"),
        (grid_spec(base={"method": {"name": "sln", "sigma": float("nan")}}), "base.method.sigma", "finite number"),
        (grid_spec(base={"method": "\ud800"}), "base.method", "unknown method"),
        ({"name": "\ud800", "base": BASE}, "name", "valid string"),
        (grid_spec(base={"batch_size": 1, "workers": 2}), "", "give each at least one example"),
        ({"name": "x", "base": without("noise")}, "base.noise", "is required"),
        (grid_spec(seed=[]), "", "axis 'seed' has no values"),
        (grid_spec(seed=[1, 1]), "", "axis 'seed' lists 1 twice"),
        ({**grid_spec(), "roles": {"sede": "replicate"}}, "", "did you mean 'seed'?"),
        ({**grid_spec(), "roles": {"seed": "replicat"}}, "roles.seed", "'replicate'"),
        ({**grid_spec(), "resources": {"cpus": 1}}, "resources.cpus", "unknown key 'cpus'"),
        ({**grid_spec(), "cells": [{"seed": 0}]}, "cells", "are the same run"),
        (
            grid_spec(seed=list(range(101)), optimizer__lr=[n / 1000 for n in range(1, 101)]),
            "axes",
            "the grid has 10,100 runs, the limit is 10,000",
        ),
    ],
)
def test_a_bad_grid_is_refused_with_the_place_and_what_is_allowed(client: TestClient, spec: dict, path: str, said: str):
    # Python's own JSON: a stricter client would not send NaN, or half a character pair.
    answer = client.post("/api/grids", content=json.dumps(spec), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    problems = [problem for problem in answer.json()["problems"] if problem["path"] == path]
    assert any(said in problem["message"] for problem in problems), answer.json()
    assert client.get("/api/grids").json()["total"] == 0


def test_all_problems_are_told_at_once(client: TestClient):
    spec = grid_spec(base={"epochs": 0, "dataset": "digit", "batchsize": 3})
    answer = client.post("/api/grids", json=spec).json()
    assert {problem["path"] for problem in answer["problems"]} == {"base.epochs", "base.dataset", "base.batchsize"}
    assert answer["error"].endswith("(and 2 more)")


@pytest.mark.parametrize(
    ("content", "content_type", "said"),
    [
        ("{", "application/json", "the body is not JSON"),
        ("", "application/json", "must be a JSON object"),
        ("[1]", "application/json", "must be a JSON object"),
        ("name: x", "application/yaml", "Content-Type: application/json"),
        ("name=x", "application/x-www-form-urlencoded", "Content-Type: application/json"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(client: TestClient, content: str, content_type: str, said: str):
    answer = client.post("/api/grids", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == 422
    assert said in answer.json()["error"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b'{"name": ' + b"9" * 5000 + b"}"])
def test_a_body_that_no_parser_takes_is_a_clean_400_or_422(client: TestClient, content: bytes):
    answer = client.post("/api/grids", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("query", "path", "said"),
    [
        ("state=runing", "state", "'running'"),
        ("where=seed", "where", "expected PATH=VALUE"),
        ("where=sede=1", "where", "did you mean 'seed'?"),
        ("sort=-raw.lst", "sort", "did you mean 'raw.last'?"),
        ("limit=0", "limit", "greater than or equal to 1"),
        ("limit=10001", "limit", "less than or equal to 10000"),
        ("offset=-1", "offset", "greater than or equal to 0"),
        ("offset=100000000000000000000", "offset", "less than or equal to"),
        ("format=xml", "format", "'csv'"),
    ],
)
def test_a_bad_query_is_refused(client: TestClient, post, query: str, path: str, said: str):
    grid = post(grid_spec())
    answer = client.get(f"/api/grids/{grid['grid_id']}/runs?{query}")
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert problem["path"].startswith(path)
    assert said in problem["message"]


def test_who_launches_is_one_of_two(client: TestClient):
    assert client.post("/api/grids", params={"launch": "nobody"}, json=grid_spec()).status_code == 422


def test_other_errors_have_the_same_form(client: TestClient):
    assert client.get("/api/nowhere").json() == {"error": "Not Found", "problems": []}
    answer = client.delete("/api/grids")
    assert answer.status_code == 405
    assert answer.json()["error"] == "Method Not Allowed"
