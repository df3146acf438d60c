"""Synthetic grids shaped as real ones: CE rises, then memorises and falls; SLN stays."""

import math
from itertools import product
from typing import Any

from spec.grid import Role
from spec.records import LabelCard

ROLES = {"noise.rate": Role.CONDITION, "method.sigma": Role.TREATMENT, "seed": Role.REPLICATE}
RATES = (0.2, 0.4, 0.6)
SIGMAS = (0.0, 0.2, 0.5)
SEEDS = (0, 1, 2)


def factors_of_runs(rates: tuple[float, ...] = RATES, sigmas: tuple[float, ...] = SIGMAS, seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """run_id -> factors, crossed."""
    cells = product(rates, sigmas, seeds)
    return {f"run-{position}": {"noise.rate": r, "method.sigma": s, "seed": d} for position, (r, s, d) in enumerate(cells)}


def metrics_at(epoch: int, rate: float, sigma: float, seed: int) -> dict[str, float | None]:
    """An epoch's metrics: memorisation grows with the epoch and shrinks with sigma; it costs test accuracy."""
    wobble = 0.006 * math.sin(1.7 * epoch + 2.3 * seed) + 0.008 * (seed - 1)
    learned = 1 - math.exp(-epoch / 3)
    memorised = (1 - math.exp(-((max(0, epoch - 6) / 14) ** 1.5))) * math.exp(-4 * sigma)
    clean = 0.955 * learned - 0.25 * sigma * rate
    test = clean - 1.1 * rate * rate * memorised - 0.35 * rate * memorised + wobble
    validation = test * (1 - rate) + 0.02 * rate
    pristine, corrupt = min(1.0, clean + 0.05 * memorised), 0.03 + 0.96 * memorised
    smooth = test + 0.6 * (clean - test) - 0.01
    raw = {
        "train_accuracy": (1 - rate) * pristine + rate * corrupt,
        "validation_accuracy": validation,
        "test_accuracy": test,
        "test_loss": 2.4 - 2 * test,
        "pristine_fit_given": pristine,
        "corrupt_fit_given": corrupt,
        "corrupt_recovered_true": 0.93 * learned * (1 - memorised),
    }
    ema = {"ema_test_accuracy": smooth, "ema_validation_accuracy": smooth * (1 - rate), "ema_corrupt_fit_given": 0.6 * corrupt}
    clipped = {
        name: round(min(0.999, max(0.02, value)), 4) if "loss" not in name else round(value, 4) for name, value in (raw | ema).items()
    }
    return {"objective": round(2.3 * math.exp(-epoch / 15), 4), "learning_rate": 0.02, **clipped}


def label_card(rate: float, seed: int, classes: int = 10, per_class: int = 180) -> LabelCard:
    """Symmetric noise, nearly at its nominal rate."""
    names = [f"digit {name}" for name in range(classes)] if classes <= 10 else [f"class {name}" for name in range(classes)]
    counts = [[0] * classes for _ in range(classes)]
    for clean in range(classes):
        wrong = round(rate * per_class) + (clean * 3 + seed * 5) % 7 - 3 if rate else 0
        for given in range(classes):
            extra = (given - clean) % classes <= wrong % (classes - 1)
            counts[clean][given] = wrong // (classes - 1) + extra if given != clean else 0
        counts[clean][clean] = per_class - sum(counts[clean])
    total = classes * per_class
    corrupt = total - sum(counts[c][c] for c in range(classes))
    return LabelCard(
        noise="symmetric",
        noise_rate=rate,
        realised_rate=corrupt / total,
        num_examples=total,
        num_corrupt=corrupt,
        class_names=names,
        counts=counts,
        clean_hash="c1ea4c1ea4c1ea40",
        noisy_hash=f"{seed:04d}{int(1000 * rate):04d}beefbeef",
    )
