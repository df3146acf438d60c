"""World: which worker this is, among how many, on which device; and what workers do together.

One worker is the same code with a world of size 1, where nothing is exchanged.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class World:
    """This worker's rank, the number of workers, and its device."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def alone(cls, device: torch.device | None = None) -> Self:
        """One worker, on the GPU where there is one."""
        return cls(0, 1, device or torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    @classmethod
    def distributed(cls, device: torch.device) -> Self:
        """This worker's place in the process group, which the caller has initialised."""
        return cls(distributed.get_rank(), distributed.get_world_size(), device)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over the workers."""
        # Batch norm's running statistics are made the same after each epoch (`copy_first`): no step reads them.
        return DistributedDataParallel(model, broadcast_buffers=False) if self.size > 1 else model

    def share(self, index_B: Tensor) -> Tensor:
        """This worker's part of a batch: contiguous, and within one of equal in size."""
        return index_B.tensor_split(self.size)[self.rank]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the workers."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def join(self, share: Tensor) -> Tensor:
        """All workers' shares, one after the other in rank order (the inverse of `share`)."""
        if self.size == 1:
            return share
        counts = torch.zeros(self.size, dtype=torch.long, device=self.device)
        counts[self.rank] = len(share)
        longest = int(self.sum(counts).max())
        # Workers can only gather tensors of one size, with rows first in memory (images may have channels last).
        padded = torch.cat([share, share.new_zeros(longest - len(share), *share.shape[1:])]).contiguous()
        shares = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(shares, padded)
        return torch.cat([rows[:count] for rows, count in zip(shares, counts.tolist(), strict=True)])

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Every worker's tensors become the first worker's, in place."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any worker."""
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def check_same(self, text: str, what: str) -> None:
        """Raise RuntimeError if the workers do not hold the same text."""
        if self.size == 1:
            return
        texts: list[str] = [""] * self.size
        distributed.all_gather_object(texts, text)
        if len(set(texts)) > 1:
            raise RuntimeError(f"the workers differ in {what}: {dict(enumerate(texts))}")
