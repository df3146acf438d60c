"""Images streamed from a tree of files: decoded by worker processes, normalised on the device.

Shapes: N examples, B batch, H and W stored pixels, S x S pixels that a network sees.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from trainables.image_data._pixels import CropsAndFlips, Normalisation, PixelSource

# Overrides how many processes decode images for each process that trains.
LOADER_WORKERS_VARIABLE = "NOISEGRID_LOADER_WORKERS"


@dataclass(frozen=True)
class Framing:
    """How an image of any shape becomes a square of stored pixels, of which a network sees a window.

    The shorter side is resized to `resized`, the centre is cropped to a square, and `padding` black pixels are
    put around it.
    """

    image_size: int
    resized: int
    padding: int = 0

    @property
    def stored_size(self) -> int:
        return self.resized + 2 * self.padding

    @property
    def margin(self) -> int:
        return self.stored_size - self.image_size

    def read(self, path: Path) -> Tensor:
        """The file's stored pixels, uint8 (3, H, W).

        Raises:
            ValueError: the file is not an image that can be decoded.
        """
        # Here, so that data sets without image files do not need Pillow.
        from PIL import Image

        try:
            with Image.open(path) as image:
                scale = self.resized / min(image.size)
                width, height = (max(self.resized, int(side * scale)) for side in image.size)
                # JPEG: decode at 1/2, 1/4 or 1/8 of the size where that is still large enough.
                image.draft("RGB", (width, height))
                resized = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        # Decoders fail in many ways: OSError, SyntaxError, ValueError, struct.error, DecompressionBombError.
        except Exception as error:
            raise ValueError(f"{path} cannot be decoded ({error}): replace it, or remove it from the data set") from error
        left, top = round((width - self.resized) / 2), round((height - self.resized) / 2)
        square = np.array(resized.crop((left, top, left + self.resized, top + self.resized)))
        return F.pad(torch.from_numpy(square).permute(2, 0, 1), [self.padding] * 4)


def read_into_memory(paths: Sequence[Path], framing: Framing, normalisation: Normalisation) -> PixelSource:
    """A source of the same images as `FileSource`, decoded once, by as many threads as PyTorch uses."""
    pixels_NCHW = torch.empty(len(paths), 3, framing.stored_size, framing.stored_size, dtype=torch.uint8)

    def read(index: int) -> None:
        pixels_NCHW[index] = framing.read(paths[index])

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        # Through list, so that the first error is raised here.
        list(pool.map(read, range(len(paths))))
    return PixelSource(pixels_NCHW, framing.image_size, normalisation)


class FileSource:
    """An `ImageSource` that decodes files as they are asked for.

    `num_workers` processes decode ahead; 0 decodes in the calling process. By default, it is the environment's
    NOISEGRID_LOADER_WORKERS, or one less than the threads that PyTorch was given.
    """

    def __init__(self, paths: Sequence[Path], framing: Framing, normalisation: Normalisation, num_workers: int | None = None) -> None:
        self.framing = framing
        self.normalisation = normalisation
        self.num_workers = _default_workers() if num_workers is None else num_workers
        # One array of characters: worker processes share its memory, where reading a list of objects would copy it.
        self._paths_N = np.array([str(path) for path in paths])

    def __len__(self) -> int:
        return len(self._paths_N)

    def feed(self, index_batches: Iterable[Tensor], device: torch.device, augment_seed: int | None = None) -> Iterator[Tensor]:
        """See `ImageSource.feed`."""
        table = None if augment_seed is None else CropsAndFlips.draw(len(self), self.framing.margin, augment_seed)
        loader = DataLoader(
            _Windows(self._paths_N, self.framing, table),
            batch_sampler=(index_B.tolist() for index_B in index_batches),
            num_workers=self.num_workers,
            pin_memory=device.type == "cuda",
            # Without its own generator, a DataLoader draws from PyTorch's global one.
            generator=torch.Generator(),
        )
        normalise = self.normalisation.on(device)
        for pixels_BCSS in loader:
            yield normalise(pixels_BCSS.to(device, non_blocking=True))

    def pictures(self, index_B: Tensor) -> Tensor:
        """See `ImageSource.pictures`; read by the calling thread."""
        windows = _Windows(self._paths_N, self.framing, table=None)
        return torch.stack([windows[index] for index in index_B.tolist()]).float() / self.normalisation.white

    def showing(self, other: "FileSource", index_M: Tensor, index_in_other_M: Tensor) -> "FileSource":
        """See `ImageSource.showing`; images of any size are framed like this source's own."""
        if not isinstance(other, FileSource):
            raise ValueError("images in memory cannot be shown among images that are streamed from files: set dataset.cache to memory")
        paths = [Path(path) for path in self._paths_N]
        for index, index_in_other in zip(index_M.tolist(), index_in_other_M.tolist(), strict=True):
            paths[index] = Path(other._paths_N[index_in_other])
        return FileSource(paths, self.framing, self.normalisation, self.num_workers)


class _Windows(TorchDataset[Tensor]):
    """What a network sees of each file, as uint8, so that a quarter of the bytes goes from process to process."""

    def __init__(self, paths_N: np.ndarray, framing: Framing, table: CropsAndFlips | None) -> None:
        self.paths_N = paths_N
        self.framing = framing
        self.table = table

    def __getitem__(self, index: int) -> Tensor:
        pixels_CHW = self.framing.read(Path(self.paths_N[index]))
        size = self.framing.image_size
        if self.table is None:
            start = self.framing.margin // 2
            return pixels_CHW[:, start : start + size, start : start + size]
        y, x = self.table.offsets_N2[index].tolist()
        pixels_CSS = pixels_CHW[:, y : y + size, x : x + size]
        return pixels_CSS.flip(-1) if self.table.flips_N[index] else pixels_CSS


def _default_workers() -> int:
    given = os.environ.get(LOADER_WORKERS_VARIABLE)
    if given is None:
        return torch.get_num_threads() - 1
    if not given.isdecimal():
        raise ValueError(f"{LOADER_WORKERS_VARIABLE} must be a number of processes, 0 or more, got {given!r}")
    return int(given)
