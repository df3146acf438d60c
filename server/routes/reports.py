"""Reports: a grid's results beside published ones, and what its noisy validation split chooses."""

from fastapi import APIRouter

from dashboard.claims import check_claims
from dashboard.compare import OurRun, compare
from dashboard.figures.groups import group_table
from dashboard.published.noise_against_noise import CELLS, CLAIMS
from dashboard.search_report import SearchRun, search_report
from server.state import StoreDep
from server.store import RunFacts, Store
from server.views import ErrorView, GridComparison, GridSearch
from spec.problems import InvalidInputError, Problem

router = APIRouter(prefix="/api/grids/{grid_id}", tags=["reports"], responses={404: {"model": ErrorView, "description": "no such grid"}})


@router.get("/compare")
def read_comparison(grid_id: str, store: StoreDep) -> GridComparison:
    """The grid's results beside published ones: within tolerance, outside, or why not to compare; and what must hold between methods."""
    runs = [OurRun(run.config, run.state, run.labels.noisy_hash if run.labels else None, run.summary) for run in store.run_facts(grid_id)]
    return GridComparison(grid_id=grid_id, comparisons=compare(runs, CELLS), claims=check_claims(runs, CLAIMS, CELLS))


@router.get("/search", responses={422: {"model": ErrorView, "description": "no noisy validation split"}})
def read_search(grid_id: str, store: StoreDep) -> GridSearch:
    """What noisy validation chooses under each condition, how high its accuracy can be, and what the choice costs on the test set."""
    facts = store.run_facts(grid_id)
    if not any(run.is_validated for run in facts):
        message = "the grid has no noisy validation split: set split.validation, e.g. to 0.1"
        raise InvalidInputError([Problem(path="split.validation", given=0, message=message)])
    return GridSearch(grid_id=grid_id, outcomes=search_report(_search_runs(facts, store, grid_id)))


def _search_runs(facts: list[RunFacts], store: Store, grid_id: str) -> list[SearchRun]:
    """The runs with what the grid's figures call their condition and treatment."""
    roles = {factor.path: factor.role for factor in store.factors(grid_id)}
    groups = group_table({cell.run_id: cell.factors for cell in store.cells(grid_id)}, roles)
    return [
        SearchRun(
            condition=str(groups["condition"][run.run_id]),
            treatment=str(groups["treatment"][run.run_id]),
            state=run.state,
            wrong_labels=_wrong_labels(run),
            num_classes=len(run.labels.class_names) if run.labels else 0,
            num_validation=run.num_validation or 0,
            last_metrics=run.summary.last_metrics if run.summary else {},
            validation_labels=run.labels.validation_labels if run.labels else "noisy",
        )
        for run in facts
    ]


def _wrong_labels(run: RunFacts) -> float | None:
    """The share of wrong labels; None where it is not known, or where images are wrong and labels right."""
    return run.labels.realised_rate if run.labels and not run.labels.num_replaced else None
