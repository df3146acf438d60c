"""Whether a grid's runs may be compared: the same wrong labels under every treatment, other ones for every seed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from spec.grid import Role
from spec.identity import content_hash


class LabelDraw(NamedTuple):
    """A run's place in its grid, and the labels that it was given (None before it started)."""

    factors: Mapping[str, Any]
    realised_rate: float | None
    noisy_hash: str | None


def warnings(draws: Iterable[LabelDraw], roles: Mapping[str, Role]) -> list[str]:
    """What a reader must know before comparing means, one sentence each."""
    known = [draw for draw in draws if draw.noisy_hash]
    found = []
    if _different_labels(known, roles):
        found.append(
            "Some treatments were trained under different labels with the same condition and seed: their difference is partly the labels'."
        )
    if _one_draw(known, roles):
        found.append("All seeds of a condition share one draw of wrong labels: the spread over seeds does not contain the labels' share.")
    return found


def _different_labels(draws: list[LabelDraw], roles: Mapping[str, Role]) -> bool:
    """Whether treatments differ in labels although condition and replicate are the same."""
    return any(len(hashes) > 1 for hashes in _hashes(draws, roles, Role.CONDITION, Role.REPLICATE).values())


def _one_draw(draws: list[LabelDraw], roles: Mapping[str, Role]) -> bool:
    """Whether a condition with wrong labels has several replicates and one draw."""
    noisy = [draw for draw in draws if draw.realised_rate]
    replicates: dict[str, set[str]] = defaultdict(set)
    for draw in noisy:
        replicates[_key(draw, roles, Role.CONDITION)].add(_key(draw, roles, Role.REPLICATE))
    hashes = _hashes(noisy, roles, Role.CONDITION)
    return any(len(replicates[condition]) > 1 and len(hashes[condition]) == 1 for condition in hashes)


def _hashes(draws: list[LabelDraw], roles: Mapping[str, Role], *kept: Role) -> dict[str, set[str]]:
    by_group: dict[str, set[str]] = defaultdict(set)
    for draw in draws:
        by_group[_key(draw, roles, *kept)].add(draw.noisy_hash or "")
    return by_group


def _key(draw: LabelDraw, roles: Mapping[str, Role], *kept: Role) -> str:
    return content_hash({path: value for path, value in draw.factors.items() if roles.get(path) in kept})
