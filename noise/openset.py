"""Open-set noise: some images are of no class at all; they come from another data set, and the labels stay.

The label is then wrong whatever it says. Which images are replaced by which is kept as two arrays of indices. Sources: Wang
et al., "Iterative learning with open-set noisy labels", CVPR 2018; Chen et al., "Noise against noise", ICLR 2021, whose CIFAR-10
has 0.4 of its images replaced by training images of CIFAR-100.
"""

import torch
from pydantic import Field

from noise._base import NOISES, CleanLabels, Corruption, Replacement
from noise._select import Count, SelectParams, draw, lowest, rank_within_groups
from spec.run import RunConfig


class OpensetParams(SelectParams):
    """A share `rate` of the training images is replaced by images of another data set; their labels stay."""

    count: Count = Field("exact", description="exactly round(rate * n) images, overall or of each class; or each with probability `rate`")
    source: str = Field(
        "cifar100",
        min_length=1,
        description="data set whose training images are shown; read with the same parameters (verify, download) as the run's own",
    )

    def check_run(self, run: RunConfig) -> None:
        """Raise ValueError where the source is the run's own data set."""
        if run.dataset.name == self.source:
            raise ValueError(f"noise.source must be another data set than the run's own, {self.source!r}: its images are of known classes")


@NOISES.register("openset", OpensetParams)
def openset(clean: CleanLabels, params: OpensetParams, generator: torch.Generator) -> Corruption:
    """The clean labels, and which images are replaced: each by another one, drawn uniformly from the source.

    Raises:
        ValueError: the source has fewer images than are to be replaced.
        FileNotFoundError: the source's files are missing.
    """
    scores_N = draw(len(clean.labels_N), generator)
    replaced_N = lowest(scores_N, clean.labels_N, params)
    num_replaced, available = int(replaced_N.sum()), clean.num_images_of(params.source)
    if num_replaced > available:
        raise ValueError(f"{num_replaced} images are to be replaced, but {params.source} has {available}: lower noise.rate")
    shuffled_S = draw(available, generator).argsort(stable=True)
    # By rank, so that a higher rate shows the same images at the same places, and more.
    ranks_N = rank_within_groups((~replaced_N).long(), scores_N)
    sources_M = shuffled_S[ranks_N[replaced_N]]
    return Corruption(clean.labels_N.clone(), Replacement(params.source, replaced_N.nonzero().squeeze(1), sources_M))
