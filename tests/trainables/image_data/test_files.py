from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from trainables.image_data._files import LOADER_WORKERS_VARIABLE, FileSource, Framing, read_into_memory
from trainables.image_data._pixels import Normalisation

CPU = torch.device("cpu")
NORMALISATION = Normalisation(mean_C=(0.485, 0.456, 0.406), std_C=(0.229, 0.224, 0.225))
RESIZED = Framing(image_size=28, resized=32)
PADDED = Framing(image_size=16, resized=16, padding=2)
SIZES = [(40, 60), (60, 40), (33, 32), (20, 50), (100, 30), (28, 28)]


def smooth(width: int, height: int, seed: int) -> Image.Image:
    """Random colours without detail finer than a few pixels, which JPEG keeps."""
    colours = np.random.default_rng(seed).integers(256, size=(4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{number}.png" for number in range(len(SIZES))]
    for number, path in enumerate(paths):
        smooth(*SIZES[number], seed=number).save(path)
    return paths


def everything(source, seed: int | None = None, batches: tuple[list[int], ...] = ([0, 1, 2], [3, 4, 5])) -> torch.Tensor:
    """All images in order of their indices, fed in the given batches."""
    images = torch.cat(list(source.feed(map(torch.tensor, batches), CPU, seed)))
    return images[torch.tensor([index for batch in batches for index in batch]).argsort()]


def test_evaluation_images_are_torchvisions(paths):
    theirs = transforms.Compose(
        [
            transforms.Resize(RESIZED.resized),
            transforms.CenterCrop(RESIZED.image_size),
            transforms.ToTensor(),
            transforms.Normalize(NORMALISATION.mean_C, NORMALISATION.std_C),
        ]
    )
    expected = torch.stack([theirs(Image.open(path).convert("RGB")) for path in paths])
    # To one of 255 steps: where a margin is odd, centres differ by rounding, so only even ones are compared.
    even = [i for i, size in enumerate(SIZES) if (max(size) * RESIZED.resized // min(size) - RESIZED.resized) % 2 == 0]
    assert len(even) >= 3
    torch.testing.assert_close(everything(FileSource(paths, RESIZED, NORMALISATION, 0))[even], expected[even], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("framing", [RESIZED, PADDED])
@pytest.mark.parametrize("seed", [None, 3])
def test_streamed_and_remembered_images_are_the_same(paths, framing, seed):
    streamed = everything(FileSource(paths, framing, NORMALISATION, num_workers=0), seed)
    remembered = everything(read_into_memory(paths, framing, NORMALISATION), seed)
    assert streamed.shape == (len(paths), 3, framing.image_size, framing.image_size)
    assert torch.equal(streamed, remembered)


def test_augmentation_of_an_image_depends_on_neither_its_batch_nor_the_workers(paths):
    one = everything(FileSource(paths, RESIZED, NORMALISATION, num_workers=0), seed=3)
    two = everything(FileSource(paths, RESIZED, NORMALISATION, num_workers=2), 3, batches=([5, 0], [3], [1, 4, 2]))
    assert torch.equal(one, two)


def test_another_seed_augments_otherwise(paths):
    source = FileSource(paths, RESIZED, NORMALISATION, num_workers=0)
    assert not torch.equal(everything(source, seed=1), everything(source, seed=2))


def test_padding_is_black(paths):
    source = FileSource(paths, PADDED, Normalisation((0, 0, 0), (1, 1, 1)), num_workers=0)
    stored = PADDED.read(paths[0])
    assert stored.shape == (3, 20, 20)
    assert stored[:, :2].sum() == stored[:, -2:].sum() == stored[:, :, :2].sum() == stored[:, :, -2:].sum() == 0
    torch.testing.assert_close(everything(source)[0], stored[:, 2:-2, 2:-2] / 255)


def test_large_jpegs_decoded_at_a_fraction_look_the_same(tmp_path):
    original = smooth(400, 300, seed=0)
    original.save(tmp_path / "large.jpg", quality=95)
    fraction = RESIZED.read(tmp_path / "large.jpg").float()
    original.save(tmp_path / "large.png")
    assert (fraction - RESIZED.read(tmp_path / "large.png").float()).abs().mean() < 2


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_images_of_any_mode_become_red_green_and_blue(tmp_path, mode):
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    smooth(40, 40, seed=1).convert(mode).save(path)
    assert RESIZED.read(path).shape == (3, 32, 32)


# Once with a worker process: PyTorch waits five seconds for one that has met an error.
@pytest.mark.parametrize(("damage", "num_workers"), [("truncated", 0), ("missing", 0), ("text", 1)])
def test_a_damaged_file_is_named(paths, tmp_path, damage, num_workers):
    broken = tmp_path / "broken.png"
    match damage:
        case "truncated":
            broken.write_bytes(paths[0].read_bytes()[:-40])
        case "text":
            broken.write_text("no image")
    source = FileSource([*paths, broken], RESIZED, NORMALISATION, num_workers)
    with pytest.raises(ValueError, match=r"broken\.png cannot be decoded"):
        list(source.feed([torch.tensor([0, len(paths)])], CPU))


def test_a_damaged_file_is_named_when_read_into_memory(paths, tmp_path):
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(ValueError, match=r"broken\.png cannot be decoded"):
        read_into_memory([*paths, tmp_path / "broken.png"], RESIZED, NORMALISATION)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_feeding_leaves_the_global_generator_alone(paths, num_workers):
    before = torch.get_rng_state()
    everything(FileSource(paths, RESIZED, NORMALISATION, num_workers), seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_environment_says_how_many_processes_decode(paths, monkeypatch):
    monkeypatch.setenv(LOADER_WORKERS_VARIABLE, "3")
    assert FileSource(paths, RESIZED, NORMALISATION).num_workers == 3
    monkeypatch.setenv(LOADER_WORKERS_VARIABLE, "many")
    with pytest.raises(ValueError, match="must be a number of processes, 0 or more, got 'many'"):
        FileSource(paths, RESIZED, NORMALISATION)


def test_one_thread_is_left_to_train_where_the_environment_says_nothing(paths, monkeypatch):
    monkeypatch.delenv(LOADER_WORKERS_VARIABLE, raising=False)
    assert FileSource(paths, RESIZED, NORMALISATION).num_workers == torch.get_num_threads() - 1


def test_other_files_are_shown_in_place_of_some(paths):
    mine, others = FileSource(paths[:3], RESIZED, NORMALISATION, 0), FileSource(paths[3:], RESIZED, NORMALISATION, 0)
    shown = mine.showing(others, torch.tensor([1]), torch.tensor([2]))
    expected = FileSource([paths[0], paths[5], paths[2]], RESIZED, NORMALISATION, 0)
    torch.testing.assert_close(everything(shown, batches=([0, 1, 2],)), everything(expected, batches=([0, 1, 2],)))
