"""Images in the device's memory: uint8, cropped, mirrored and normalised there in batches.

Shapes: N examples, B batch, C channels, H and W stored pixels, S x S pixels that a network sees.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Stored pixels (B, C, S, S) of a batch of indices (B,), all on one device.
Windows = Callable[[Tensor], Tensor]
PixelsToFloats = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, on a scale where the pixel value `white` is 1."""

    mean_C: tuple[float, ...]
    std_C: tuple[float, ...]
    white: int = 255

    def on(self, device: torch.device) -> PixelsToFloats:
        """The function from stored pixels (uint8) on the device to normalised floats."""
        # Made once for all batches: a copy of Python numbers to a GPU waits for the work that the GPU still has.
        mean_C11, std_C11 = (torch.tensor(values_C, device=device)[:, None, None] * self.white for values_C in (self.mean_C, self.std_C))
        return lambda pixels_BCSS: pixels_BCSS.float().sub_(mean_C11).div_(std_C11)


@dataclass(frozen=True)
class CropsAndFlips:
    """What augmentation does to each of N examples: where its crop starts (y, x), and whether it is mirrored left to right."""

    offsets_N2: Tensor
    flips_N: Tensor

    @classmethod
    def draw(cls, num_examples: int, margin: int, seed: int) -> "CropsAndFlips":
        """Uniform offsets in 0..margin, and mirrored with probability 1/2.

        Drawn for all examples at once, so that what happens to one depends on (seed, its index) alone.
        """
        generator = torch.Generator().manual_seed(seed)
        offsets_N2 = torch.randint(margin + 1, (num_examples, 2), generator=generator)
        return cls(offsets_N2, torch.randint(2, (num_examples,), generator=generator).bool())


def copied(index_batches: Iterable[Tensor], device: torch.device) -> Sequence[Tensor]:
    """The batches of indices on the device, all in one copy: each copy to a GPU waits for the work that the GPU still has."""
    batches = list(index_batches)
    return torch.cat(batches).to(device).split([len(index_B) for index_B in batches]) if batches else []


class PixelSource:
    """An `ImageSource` of uint8 images that lie on the device; it copies them there once.

    A network sees a window of `image_size` pixels of each stored image: the central one, or with augmentation
    a random one, mirrored or not. A source that is not `augmented` shows the central one always.
    """

    def __init__(self, pixels_NCHW: Tensor, image_size: int, normalisation: Normalisation, augmented: bool = True) -> None:
        self.image_size = image_size
        self.margin = pixels_NCHW.shape[-1] - image_size
        self.normalisation = normalisation
        self.augmented = augmented
        self._pixels_NCHW = pixels_NCHW
        self._on_device: dict[torch.device, Tensor] = {}

    @classmethod
    def padded(cls, pixels_NCSS: Tensor, padding: int, normalisation: Normalisation) -> "PixelSource":
        """Images whose random windows reach up to `padding` pixels over the edge, into black (0 before normalisation)."""
        return cls(F.pad(pixels_NCSS, [padding] * 4), pixels_NCSS.shape[-1], normalisation)

    def __len__(self) -> int:
        return len(self._pixels_NCHW)

    def feed(self, index_batches: Iterable[Tensor], device: torch.device, augment_seed: int | None = None) -> Iterator[Tensor]:
        """See `ImageSource.feed`."""
        windows = self._central(device) if augment_seed is None or not self.augmented else self._random(device, augment_seed)
        normalise = self.normalisation.on(device)
        for index_B in copied(index_batches, device):
            yield normalise(windows(index_B))

    def pictures(self, index_B: Tensor) -> Tensor:
        """See `ImageSource.pictures`."""
        return self._central(torch.device("cpu"))(index_B).float() / self.normalisation.white

    def showing(self, other: "PixelSource", index_M: Tensor, index_in_other_M: Tensor) -> "PixelSource":
        """See `ImageSource.showing`; the pixels are copied."""
        if not isinstance(other, PixelSource):
            raise ValueError("images that are streamed from files cannot be shown among images in memory: set dataset.cache to stream")
        if other.kind != self.kind:
            raise ValueError(
                f"images of {other.kind} cannot be shown among images of {self.kind}: use a source like the run's own data set"
            )
        pixels_NCHW = self._pixels_NCHW.clone()
        pixels_NCHW[index_M] = other._pixels_NCHW[index_in_other_M]
        return PixelSource(pixels_NCHW, self.image_size, self.normalisation, self.augmented)

    @property
    def kind(self) -> str:
        """What images must have in common to be shown together."""
        channels, height, width = self._pixels_NCHW.shape[1:]
        stored, seen = f"{channels} x {height} x {width}", f"{self.image_size} x {self.image_size}"
        return f"{stored} pixels from 0 to {self.normalisation.white}, of which {seen} are seen"

    def _central(self, device: torch.device) -> Windows:
        start, stop = self.margin // 2, self.margin // 2 + self.image_size
        return self._pixels(device)[:, :, start:stop, start:stop].__getitem__

    def _random(self, device: torch.device, seed: int) -> Windows:
        # A view: every window of every image, without a copy. Indexing it copies whole windows, which is
        # faster on a CPU than gathering single pixels (0.5 ms instead of 1.6 ms for 128 CIFAR images).
        size = self.image_size
        windows_NCYXSS = self._pixels(device).unfold(2, size, 1).unfold(3, size, 1)
        table = CropsAndFlips.draw(len(self), self.margin, seed)
        offsets_N2, flips_N = table.offsets_N2.to(device), table.flips_N.to(device)

        def crop_and_flip(index_B: Tensor) -> Tensor:
            y_B, x_B = offsets_N2[index_B].unbind(1)
            pixels_BCSS = windows_NCYXSS[index_B, :, y_B, x_B]
            return torch.where(flips_N[index_B][:, None, None, None], pixels_BCSS.flip(-1), pixels_BCSS)

        return crop_and_flip

    def _pixels(self, device: torch.device) -> Tensor:
        if device not in self._on_device:
            self._on_device[device] = self._pixels_NCHW.to(device)
        return self._on_device[device]
