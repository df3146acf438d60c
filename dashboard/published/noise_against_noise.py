"""Figures of "Noise against noise" (SLN): the paper's tables, and every run of a reproduction.

Sources: Chen et al., "Noise against noise: stochastic label noise helps combat inherent label noise", ICLR 2021, tables for
CIFAR-10 and CIFAR-100; mark-antal-csizmadia/re-sln (2021), TensorBoard event files of its runs. Accuracies in percent here, as printed.

The paper's figure is the last epoch's, mean ± standard deviation of five runs on the same label file; for open-set noise its program
draws the images anew, unseeded. re-sln ran everything once, with seed 123. Its own tables print the mean of two runs on *two sets of
labels*, the authors' file and its own ("custom"), ± half of their difference, which is no spread over seeds: here each run is a cell.
On Animal-10N, whose labels are wrong as published, it ran everything twice with one seed: here a cell is the mean of both runs.

Tolerances are for the mean of the last ten epochs of one run. CE's test accuracy jumps from epoch to epoch after it has memorised the
labels (on CIFAR-10 with symmetric noise with a standard deviation of 3.5 points), so that single last epochs may be twice as far away.
"""

from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

from dashboard.published.cells import Claim, Labels, PublishedCell, PublishedPair

METHODS = ("CE", "SLN", "SLN-MO", "SLN-MO-LC")
NUM_PAPER_RUNS = 5

# By set of labels, then in the order of METHODS: mean, standard deviation.
PAPER: dict[str, tuple[tuple[float, float], ...]] = {
    "cifar10-sym0.4": ((53.16, 1.64), (80.00, 0.61), (84.71, 0.43), (87.00, 0.27)),
    "cifar10-asym0.4": ((72.72, 1.35), (80.63, 0.61), (84.80, 0.27), (87.85, 0.41)),
    "cifar10-dependent0.4": ((72.33, 0.50), (78.48, 0.28), (80.56, 0.16), (81.76, 0.16)),
    "cifar10-openset0.4": ((77.74, 0.84), (85.33, 0.52), (89.16, 0.31), (88.47, 0.22)),
    "cifar100-sym0.4": ((31.63, 0.83), (50.24, 0.41), (56.57, 0.38), (58.64, 0.37)),
    "cifar100-asym0.4": ((36.26, 0.65), (44.43, 0.19), (50.59, 0.35), (63.90, 0.46)),
    "cifar100-dependent0.4": ((55.59, 0.43), (57.47, 0.30), (61.24, 0.27), (61.14, 0.39)),
}

# In the same order: last epoch, mean of the last ten.
RE_SLN: dict[str, tuple[tuple[float, float], ...]] = {
    "cifar10-sym0.4": ((56.05, 52.44), (80.64, 80.04), (85.17, 85.03), (87.45, 87.49)),
    "cifar10-sym0.4_custom": ((52.25, 52.67), (80.12, 80.03), (85.03, 84.88), (87.01, 87.00)),
    "cifar10-asym0.4": ((75.44, 72.03), (80.47, 81.12), (84.89, 84.77), (87.84, 87.76)),
    "cifar10-asym0.4_custom": ((75.31, 75.98), (82.23, 82.08), (85.86, 85.43), (86.15, 86.01)),
    "cifar10-dependent0.4": ((74.05, 72.49), (77.91, 78.42), (80.97, 80.96), (82.44, 82.42)),
    "cifar10-openset0.4_custom": ((77.66, 78.16), (85.31, 85.53), (89.22, 89.23), (88.62, 88.66)),
    "cifar100-sym0.4": ((32.07, 32.19), (50.50, 50.36), (57.18, 57.36), (58.09, 58.12)),
    "cifar100-sym0.4_custom": ((34.16, 32.59), (49.70, 50.42), (57.44, 57.32), (59.25, 59.30)),
    "cifar100-asym0.4": ((36.72, 36.91), (46.18, 45.05), (50.80, 51.01), (65.00, 64.67)),
    "cifar100-asym0.4_custom": ((37.39, 37.32), (45.95, 45.16), (52.13, 52.12), (64.69, 64.70)),
    "cifar100-dependent0.4": ((54.92, 55.65), (57.12, 56.68), (60.69, 60.69), (60.98, 61.01)),
}

# Runs on published labels that are wrong as they are, in the same order: last epoch and mean of the last ten, of each run.
RE_SLN_REAL: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "animal10n": (
        ((72.28, 72.20), (74.10, 72.67)),
        ((74.62, 74.31), (75.34, 74.38)),
        ((79.10, 78.88), (78.80, 78.59)),
        ((79.28, 79.13), (78.56, 78.57)),
    ),
}

# SLN under further sigmas.
RE_SLN_ABLATION: dict[str, dict[float, tuple[float, float]]] = {
    "cifar10-sym0.4": {
        0.2: (55.22, 55.10),
        0.4: (67.31, 68.51),
        0.6: (74.95, 75.87),
        0.8: (78.82, 79.22),
        1.2: (80.41, 80.44),
        1.4: (79.18, 79.21),
        1.6: (77.25, 77.99),
        1.8: (74.89, 76.16),
        2.0: (73.51, 74.60),
    },
    "cifar10-sym0.4_custom": {
        0.2: (58.35, 57.53),
        0.4: (68.58, 68.51),
        0.6: (75.25, 75.76),
        0.8: (79.97, 79.45),
        1.2: (79.66, 80.12),
        1.4: (79.27, 79.07),
        1.6: (77.39, 77.70),
        1.8: (76.56, 76.50),
        2.0: (74.37, 74.48),
    },
}

# In every setting each is more accurate than the one before it.
ORDER = ("CE", "SLN", "SLN-MO")
# What label correction adds to SLN-MO where both sources agree on it, in points: at least, at most. On re-sln's own asymmetric labels,
# which lack one of the file's five flips, it added 0.3 at the last epoch, and nothing is claimed.
CORRECTION_GAINS: dict[str, tuple[float, float | None]] = {
    "cifar10-sym0.4": (1.5, None),
    "cifar10-asym0.4": (1.5, None),
    "cifar10-openset0.4": (-1.5, 0.5),
    "cifar10-openset0.4_custom": (-1.5, 0.5),
    "cifar100-asym0.4": (10.0, None),
    "cifar100-dependent0.4": (-1.5, 0.5),
}

CIFAR10_SIGMAS = {"symmetric": 1.0, "asymmetric": 0.5, "dependent": 0.5, "openset": 0.5}
CIFAR100_SIGMAS = {"symmetric": 0.2, "asymmetric": 0.2, "dependent": 0.1}
REAL_SIGMAS = {"animal10n": 0.5}

TOLERANCES = {"CE": 0.025, "SLN": 0.015, "SLN-MO": 0.012, "SLN-MO-LC": 0.012}
# From epoch to epoch as restless as CE: standard deviations of 3.5, and of 2.2 and 2.5 points.
RESTLESS_TOLERANCE = 0.035
MAX_RESTLESS_SIGMA = 0.2

# WRN-28-2 with the authors' final BatchNorm, plain SGD, one learning rate throughout, weight decay on everything, all images.
PROTOCOL: dict[str, Any] = {
    "model.name": "wide_resnet",
    "model.depth": 28,
    "model.widen_factor": 2,
    "model.final_bn_momentum": 0.9,
    "optimizer.name": "sgd",
    "optimizer.lr": 0.001,
    "optimizer.momentum": 0.9,
    "optimizer.nesterov": False,
    "optimizer.weight_decay": 5e-4,
    "schedule.name": "constant",
    "schedule.warmup_epochs": 0.0,
    "batch_size": 128,
    "epochs": 300,
    "augmentation": "standard",
    "split.validation": 0.0,
    "split.train_size": None,
    "split.test_size": None,
}
AVERAGED = {"ema.decay": 0.999}
# What belongs to the protocol of one data set alone.
OF_DATASET: dict[str, dict[str, Any]] = {"animal10n": {"dataset.image_size": 32}}
# First epoch with corrected labels: 50 such epochs in the authors' program, 51 in re-sln.
CORRECT_FROM = {"paper": 251, "re-sln": 250}


def custom(mode: str) -> dict[str, Any]:
    """The noise of a run that draws re-sln's own labels, bit for bit."""
    return {"name": "re_sln", "mode": mode, "rate": 0.4, "seed": 123}


# A "custom" set's hash is that of the labels that noise `re_sln` draws; it gives re-sln's own files where there are some.
LABELS = {
    "cifar10-sym0.4": Labels(
        name="cifar10-sym0.4.csv",
        noise="symmetric",
        rate=0.4,
        sha256="96c1bb492340f32681142d5cb2b0003c005227235e923b27ef86d2c11ab083d0",
        noisy_hash="a05906bde56211e294f08172c03a45dbb75dca07812c7871fc004eae13aeb4a1",
    ),
    "cifar10-sym0.4_custom": Labels(
        name="cifar10-sym0.4_custom.csv",
        noise="symmetric",
        rate=0.4,
        sha256="c0a7589754a9d35668b6e5d41ae47426b56bfdbf7eb1b5bc27292eb5e682a734",
        generator=custom("sym"),
        noisy_hash="3c5a540547f7ef7fb65d7ac46154377a7d52353ff17a0387720eb5137fe86aa0",
    ),
    "cifar10-asym0.4": Labels(
        name="cifar10-asym0.4.csv",
        noise="asymmetric",
        rate=0.4,
        sha256="eae3112b2e876f1ed375d2456b7d9b135b3b0f0c9e5c1a2d1b81417307d7d64c",
        noisy_hash="eb26009d57c120ac67d7698d6946a6b47516179cdfda8c4b28a33897f51a4a61",
    ),
    "cifar10-asym0.4_custom": Labels(
        name="cifar10-asym0.4_custom.csv",
        noise="asymmetric",
        rate=0.4,
        sha256="72f4812c41ed1f896d967df46df309c54fb84c08ab66a67eed2e92b68aac916e",
        generator=custom("asym"),
        noisy_hash="4b2cab248e72be77b0b8c8a797713ff6653e71aecc07d3f79890c4281f5b3851",
    ),
    "cifar10-dependent0.4": Labels(
        name="cifar10-dependent0.4.csv",
        noise="dependent",
        rate=0.4,
        sha256="e56e57cd7ec402ead6cd65f6f64ca436c7d3e5cf4bdf174eb8a1efa1daa90dad",
        noisy_hash="28fc377bcebd07398ad69b30d45c1bcb7ae9001ee1cc9f80e17daa77dae31bbb",
    ),
    "cifar10-openset0.4": Labels(name="images of CIFAR-100, drawn anew in each run", noise="openset", rate=0.4),
    "cifar10-openset0.4_custom": Labels(
        name="cifar10-openset0.4_custom",
        noise="openset",
        rate=0.4,
        generator=custom("openset"),
        noisy_hash="fc4c0c24a9427c8dac9ca758d28de554af469ca782d371250aeb2979b474a749",
    ),
    "cifar100-sym0.4": Labels(
        name="cifar100-sym0.4.csv",
        noise="symmetric",
        rate=0.4,
        sha256="e074d1181c8b297dd1e888a70bc8a959c26769c08fb4fadff58460f901d5f5fc",
        noisy_hash="867281724f2c7b908dd200cc8e30b4f2027c765a413279a19f3c0a80517ab4ae",
    ),
    "cifar100-sym0.4_custom": Labels(
        name="cifar100-sym0.4_custom.csv",
        noise="symmetric",
        rate=0.4,
        generator=custom("sym"),
        noisy_hash="33adc2bb532a2b332689bd756960aeb7205938d6136892dd3207a3fca28c1f20",
    ),
    "cifar100-asym0.4": Labels(
        name="cifar100-asym0.4.csv",
        noise="asymmetric",
        rate=0.4,
        sha256="a1fbcb8217b5c7dc68cc1f101d2034c634fce5e2b9f6ac34daadc5ca9826bd3c",
        noisy_hash="8c32f43c842594102ecf056b5ceaa20e1074e756949b8a31c16ec3339de19cde",
    ),
    "cifar100-asym0.4_custom": Labels(
        name="cifar100-asym0.4_custom.csv",
        noise="asymmetric",
        rate=0.4,
        generator=custom("asym"),
        noisy_hash="b4e29ef9e7d40d1a4d621a6c58955055d1779def16bb2346efd0d51991ca8659",
    ),
    "cifar100-dependent0.4": Labels(
        name="cifar100-dependent0.4.csv",
        noise="dependent",
        rate=0.4,
        sha256="f5d3e4506550be0532344138d6f0fc82ac32472cf669acee43b8f190b8d260d7",
        noisy_hash="014117306a80ae3b5c6dba076b83fb3bc92ebf012ccfac97125e8afb3c567abe",
    ),
    "animal10n": Labels(name="Animal-10N as published", noise="real", generator={"name": "clean"}),
}


def sigma_of(labels: str, method: str) -> float:
    """The sigma that the authors took for a set of labels."""
    by_noise = CIFAR100_SIGMAS if labels.startswith("cifar100-") else CIFAR10_SIGMAS
    return 0.0 if method == "CE" else REAL_SIGMAS.get(labels) or by_noise[LABELS[labels].noise]


def protocol(dataset: str, method: str, source: str) -> dict[str, Any]:
    """What a run must share to be comparable. The average's decay is part of it only where the average is what counts."""
    correction = {"method.correct_from": CORRECT_FROM[source], "method.correction": "hard", "method.weigh_against": "corrected"}
    return {**PROTOCOL, **OF_DATASET.get(dataset, {}), **(AVERAGED if "MO" in method else {}), **(correction if "LC" in method else {})}


def tolerance(labels: str, sigma: float, method: str) -> float:
    """How far the mean of the last ten epochs of one run may be off."""
    is_restless = labels.startswith("cifar10-sym") and sigma <= MAX_RESTLESS_SIGMA
    return RESTLESS_TOLERANCE if is_restless else TOLERANCES[method]


def _cell(source: str, labels: str, method: str, sigma: float, **figures: Any) -> PublishedCell:
    dataset = labels.partition("-")[0]
    return PublishedCell(
        source=source,
        dataset=dataset,
        labels=LABELS[labels],
        method=method,
        sigma=sigma,
        tolerance=tolerance(labels, sigma, method),
        protocol=protocol(dataset, method, source),
        **figures,
    )


def _paper() -> list[PublishedCell]:
    return [
        _cell("paper", labels, method, sigma_of(labels, method), last=mean / 100, sd=sd / 100, n=NUM_PAPER_RUNS)
        for labels, row in PAPER.items()
        for method, (mean, sd) in zip(METHODS, row, strict=True)
    ]


def _re_sln() -> list[PublishedCell]:
    runs = [
        (labels, method, sigma_of(labels, method), figures)
        for labels, row in RE_SLN.items()
        for method, figures in zip(METHODS, row, strict=True)
    ]
    ablation = [(labels, "SLN", sigma, figures) for labels, row in RE_SLN_ABLATION.items() for sigma, figures in row.items()]
    return [
        _cell("re-sln", labels, method, sigma, last=last / 100, last_ten=last_ten / 100, n=1)
        for labels, method, sigma, (last, last_ten) in [*runs, *ablation]
    ]


def _re_sln_real() -> list[PublishedCell]:
    cells = []
    for labels, row in RE_SLN_REAL.items():
        for method, runs in zip(METHODS, row, strict=True):
            last, last_ten = ([run[place] / 100 for run in runs] for place in (0, 1))
            figures = {"last": fmean(last), "last_ten": fmean(last_ten), "sd": stdev(last), "n": len(runs)}
            cells.append(_cell("re-sln", labels, method, sigma_of(labels, method), **figures))
    return cells


CELLS = [*_paper(), *_re_sln(), *_re_sln_real()]


def _claim(labels: str, method: str, than: str, at_least: float | None = None, at_most: float | None = None) -> Claim:
    """Bounds in points."""
    cells = {(cell.source, cell.labels.name, cell.method, cell.sigma): cell for cell in CELLS}

    def find(source: str, name: str) -> PublishedCell | None:
        return cells.get((source, LABELS[labels].name, name, sigma_of(labels, name)))

    both = [(find(source, method), find(source, than)) for source in CORRECT_FROM]
    return Claim(
        tuple(PublishedPair(one, other) for one, other in both if one and other),
        *(None if bound is None else bound / 100 for bound in (at_least, at_most)),
    )


CLAIMS = [
    *(_claim(labels, method, than) for labels in LABELS for than, method in pairwise(ORDER)),
    *(_claim(labels, "SLN-MO-LC", "SLN-MO", *bounds) for labels, bounds in CORRECTION_GAINS.items()),
]
