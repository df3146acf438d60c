"""Mixed precision: the network's arithmetic in bfloat16, everything else in float32."""

import torch
from torch import Tensor, nn


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
