"""Arithmetic: the same numbers again on the same hardware, in the precision that the run names."""

import os

import torch
from torch import Tensor, nn


def make_repeatable(device: torch.device) -> None:
    """Have this process compute the same numbers again on the same GPU, and float32 as IEEE has it. A CPU does so anyway.

    By default, convolutions on a GPU add up in any order, and round what they multiply to TF32, 10 bits of mantissa.
    """
    if device.type != "cuda":
        return
    # cuBLAS looks for this when it is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Operations that know no fixed order say so, once, in the log.
    torch.use_deterministic_algorithms(True, warn_only=True)
    # It would also fill all new memory with NaN, to find programs that read what nobody wrote.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


class Bfloat16(nn.Module):
    """A network whose convolutions and products are computed in bfloat16. Its weights, statistics and logits are float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits (B, K) in float32."""
        with torch.autocast(images_BCHW.device.type, torch.bfloat16):
            logits_BK: Tensor = self.network(images_BCHW)
        return logits_BK.float()
