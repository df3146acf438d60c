"""Reports as tables in a terminal, and as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from dashboard.claims import CheckedClaim, ClaimVerdict
from dashboard.compare import Comparison, Verdict
from dashboard.search_report import SearchOutcome

COMPARED = ("data set", "noise", "method", "σ", "ours, %", "source", "published, %", "difference", "tolerance", "verdict")
STYLES = {Verdict.WITHIN: "green", Verdict.OUTSIDE: "red", Verdict.REFUSED: "yellow", Verdict.WAITING: "dim"}
CSV_COMPARED = (
    *("dataset", "noise", "method", "sigma", "runs", "n", "last_ten", "sd", "last", "source", "published_labels", "published_last"),
    *("published_last_ten", "published_sd", "published_n", "expected", "difference", "tolerance", "verdict", "reasons", "notes"),
)
CLAIMED = ("data set", "noise", "must hold", "ours, points", "published, points", "verdict")
CLAIM_STYLES = {
    ClaimVerdict.HOLDS: "green",
    ClaimVerdict.DOES_NOT_HOLD: "red",
    ClaimVerdict.REFUSED: "yellow",
    ClaimVerdict.WAITING: "dim",
}
CSV_CLAIMED = (
    *("dataset", "noise", "claim", "method", "sigma", "than", "at_least", "at_most", "difference", "standard_error", "n", "n_than"),
    *("is_paired", "published", "verdict", "reasons", "notes"),
)
CSV_SEARCH = ("condition", "model", "treatment", "runs", "n", "validation", "standard_error", "ceiling", "test", "chosen", "oracle")


def comparison_table(comparisons: Iterable[Comparison]) -> Table:
    """Ours as mean of the last ten epochs ± sample standard deviation (n), in per cent; what cannot be compared has no figure beside it."""
    table = _table(*COMPARED)
    table.add_column("", no_wrap=False, overflow="fold")
    for comparison in comparisons:
        if comparison.published is not None:
            table.add_row(*_compared(comparison), Text("; ".join([*comparison.reasons, *comparison.notes])))
    return table


def unpublished_text(comparisons: Iterable[Comparison]) -> str:
    """How the table is to be read, and what is not in it."""
    comparisons = list(comparisons)
    words = "ours: mean of the last ten epochs ± sd over runs (n); published: the same for re-sln, the last epoch for the paper"
    unpublished = sorted({c.ours.method for c in comparisons if c.verdict is Verdict.UNPUBLISHED})
    if not unpublished:
        return words
    count = sum(c.verdict is Verdict.UNPUBLISHED for c in comparisons)
    return f"{words}\n{count} of {len(comparisons)} lines have no published counterpart ({', '.join(unpublished)}) and are left out here"


def comparison_csv(comparisons: Iterable[Comparison]) -> str:
    """One line per result and source; accuracies in [0, 1]."""
    return _csv(CSV_COMPARED, [_csv_compared(comparison) for comparison in comparisons])


def claims_table(claims: Iterable[CheckedClaim]) -> Table:
    """Ours as difference ± standard error (seeds of both) in points; sources whose labels or protocol ours are not have no figure."""
    table = _table(*CLAIMED)
    table.add_column("", no_wrap=False, overflow="fold")
    for claim in claims:
        table.add_row(*_claimed(claim), Text("; ".join([*claim.reasons, *claim.notes])))
    return table


def claims_csv(claims: Iterable[CheckedClaim]) -> str:
    """One line per claim; accuracies in [0, 1]."""
    return _csv(CSV_CLAIMED, [_csv_claimed(claim) for claim in claims])


def search_table(outcome: SearchOutcome) -> Table:
    """Candidates in the grid's order, in per cent."""
    table = _table("treatment", "runs", f"{outcome.validation_labels} validation", "its ceiling", "test", "")
    for c in outcome.candidates:
        marks = [word for word, treatment in (("chosen", outcome.chosen), ("oracle's", outcome.oracle)) if treatment == c.treatment]
        validation = _mean(c.validation, c.validation_standard_error, None)
        table.add_row(c.treatment, f"{c.n}/{c.num_runs}", validation, _percent(c.ceiling), _percent(c.test), ", ".join(marks))
    return table


def search_text(outcome: SearchOutcome) -> str:
    """What was chosen, and what it costs."""
    if outcome.chosen is None:
        return "nothing is finished yet"
    regret = "no test accuracy" if outcome.regret is None else f"regret {100 * outcome.regret:.2f} points against {outcome.oracle}"
    return "\n".join([f"chosen {outcome.chosen}, {regret}", *outcome.notes])


def search_csv(outcomes: Iterable[SearchOutcome]) -> str:
    """One line per condition, model and treatment; accuracies in [0, 1]."""
    rows = [
        (
            *(outcome.condition, outcome.model, c.treatment, c.num_runs, c.n),
            *(c.validation, c.validation_standard_error, c.ceiling, c.test),
            *(c.treatment == outcome.chosen, c.treatment == outcome.oracle),
        )
        for outcome in outcomes
        for c in outcome.candidates
    ]
    return _csv(CSV_SEARCH, rows)


def _table(*titles: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, no_wrap=True)
    return table


def _compared(comparison: Comparison) -> list[str | Text]:
    ours, cell = comparison.ours, comparison.published
    assert cell is not None
    may_be_compared = comparison.verdict is not Verdict.REFUSED
    return [
        *(ours.dataset, ours.noise, ours.method, "" if ours.sigma is None else f"{ours.sigma:g}"),
        _mean(ours.last_ten, ours.sd, ours.n),
        cell.source,
        _mean(cell.expected, cell.sd, cell.n) if may_be_compared else "–",
        "–" if comparison.difference is None else f"{100 * comparison.difference:+.2f}",
        "–" if comparison.tolerance is None else f"{100 * comparison.tolerance:.2f}",
        Text(comparison.verdict.value, style=STYLES[comparison.verdict]),
    ]


def _csv_compared(comparison: Comparison) -> tuple[Any, ...]:
    ours, cell = comparison.ours, comparison.published
    published = (None,) * 6 if cell is None else (cell.source, cell.labels.name, cell.last, cell.last_ten, cell.sd, cell.n)
    return (
        *(ours.dataset, ours.noise, ours.method, ours.sigma, ours.num_runs, ours.n, ours.last_ten, ours.sd, ours.last),
        *published,
        *(comparison.expected, comparison.difference, comparison.tolerance, comparison.verdict.value),
        *("; ".join(comparison.reasons), "; ".join(comparison.notes)),
    )


def _claimed(claim: CheckedClaim) -> list[str | Text]:
    published = ", ".join(f"{found.source} {100 * found.difference:+.2f}" for found in claim.published)
    verdict = Text(claim.verdict.value, style=CLAIM_STYLES[claim.verdict])
    return [claim.dataset, claim.noise, claim.claim, _our_difference(claim), published or "–", verdict]


def _our_difference(claim: CheckedClaim) -> str:
    ours = claim.ours
    if ours is None:
        return "–"
    error = "" if ours.standard_error is None else f" ± {100 * ours.standard_error:.2f}"
    return f"{100 * ours.mean:+.2f}{error} ({ours.n if ours.is_paired else f'{ours.n}, {ours.n_than}'})"


def _csv_claimed(claim: CheckedClaim) -> tuple[Any, ...]:
    ours = claim.ours
    return (
        *(claim.dataset, claim.noise, claim.claim, claim.method, claim.sigma, claim.than, claim.at_least, claim.at_most),
        *((None,) * 5 if ours is None else (ours.mean, ours.standard_error, ours.n, ours.n_than, ours.is_paired)),
        "; ".join(f"{found.source} {found.difference:.4f}" for found in claim.published),
        *(claim.verdict.value, "; ".join(claim.reasons), "; ".join(claim.notes)),
    )


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f}"


def _mean(mean: float | None, sd: float | None, n: int | None) -> str:
    if mean is None:
        return "–"
    spread = "" if sd is None else f" ± {100 * sd:.2f}"
    return f"{100 * mean:.2f}{spread}" + ("" if n is None else f" ({n})")
