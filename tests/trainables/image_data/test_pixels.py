import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from trainables.image_data._pixels import CropsAndFlips, Normalisation, PixelSource

CPU = torch.device("cpu")
NORMALISATION = Normalisation(mean_C=(0.4, 0.5, 0.6), std_C=(0.2, 0.3, 0.1))
NUM_IMAGES, SIZE, PADDING = 40, 12, 4


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randint(256, (NUM_IMAGES, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture(scope="module")
def source(pixels) -> PixelSource:
    return PixelSource.padded(pixels, PADDING, NORMALISATION)


def fed(source: PixelSource, batches: list[list[int]], seed: int | None = None) -> dict[int, torch.Tensor]:
    """Each example's image, by its index, as it came out of the batches."""
    images = torch.cat(list(source.feed(map(torch.tensor, batches), CPU, seed)))
    return dict(zip((index for batch in batches for index in batch), images, strict=True))


def augmented_with_pillow(pixels_CSS: torch.Tensor, y: int, x: int, flip: bool) -> torch.Tensor:
    """One image, padded, cropped, mirrored, scaled to [0, 1] and normalised, in the order in which torchvision does it."""
    image = ImageOps.expand(Image.fromarray(pixels_CSS.permute(1, 2, 0).numpy()), border=PADDING, fill=0)
    image = image.crop((x, y, x + SIZE, y + SIZE))
    unit = np.asarray(ImageOps.mirror(image) if flip else image) / 255
    normalised = (unit - np.array(NORMALISATION.mean_C)) / np.array(NORMALISATION.std_C)
    return torch.from_numpy(normalised).permute(2, 0, 1).float()


def test_augmented_images_are_those_that_pillow_makes_one_by_one(pixels, source):
    table = CropsAndFlips.draw(NUM_IMAGES, 2 * PADDING, seed=5)
    for index, image in fed(source, [list(range(NUM_IMAGES))], seed=5).items():
        y, x = table.offsets_N2[index].tolist()
        expected = augmented_with_pillow(pixels[index], y, x, bool(table.flips_N[index]))
        torch.testing.assert_close(image, expected, rtol=1e-5, atol=1e-5)


def test_without_a_seed_images_are_whole_and_unmirrored(pixels, source):
    for index, image in fed(source, [[3, 1], [2]]).items():
        torch.testing.assert_close(image, augmented_with_pillow(pixels[index], PADDING, PADDING, flip=False), rtol=1e-5, atol=1e-5)


def test_augmentation_of_an_image_does_not_depend_on_its_batch(source):
    together = fed(source, [list(range(NUM_IMAGES))], seed=7)
    apart = fed(source, [[index] for index in reversed(range(NUM_IMAGES))], seed=7)
    assert all(torch.equal(together[index], apart[index]) for index in together)


def test_two_workers_see_what_one_sees(source):
    one = fed(source, [list(range(NUM_IMAGES))], seed=7)
    two = fed(source, [list(range(0, NUM_IMAGES, 2))], seed=7) | fed(source, [list(range(1, NUM_IMAGES, 2))], seed=7)
    assert all(torch.equal(one[index], two[index]) for index in one)


def test_another_seed_augments_otherwise(source):
    first, second = (fed(source, [list(range(NUM_IMAGES))], seed) for seed in (7, 8))
    same = sum(torch.equal(first[index], second[index]) for index in first)
    # Chance: 1 in 9 * 9 * 2.
    assert same < 5


def test_an_index_twice_in_a_batch_gives_the_same_image_twice(source):
    (images,) = source.feed([torch.tensor([4, 4])], CPU, 1)
    assert torch.equal(images[0], images[1])


def test_offsets_and_flips_are_uniform():
    table = CropsAndFlips.draw(81_000, margin=8, seed=0)
    for axis in range(2):
        # 9,000 each, give or take five standard deviations of 89.
        assert ((table.offsets_N2[:, axis].bincount(minlength=9) - 9_000).abs() < 450).all()
    assert abs(table.flips_N.float().mean() - 0.5) < 0.01
    assert abs(torch.corrcoef(table.offsets_N2.T.float())[0, 1]) < 0.02


def test_feeding_leaves_the_global_generator_alone(source):
    before = torch.get_rng_state()
    list(source.feed([torch.arange(4)], CPU, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_source_that_is_not_augmented_ignores_the_seed(pixels):
    source = PixelSource(pixels, SIZE, NORMALISATION, augmented=False)
    assert torch.equal(fed(source, [[6]], seed=1)[6], fed(source, [[6]])[6])


def test_normalisation_maps_the_mean_to_0_and_one_deviation_above_to_1():
    normalisation = Normalisation(mean_C=(0.25,), std_C=(0.5,), white=16)
    pixels = torch.tensor([4, 12, 0], dtype=torch.uint8).view(3, 1, 1, 1)
    assert normalisation.on(CPU)(pixels).flatten().tolist() == [0.0, 1.0, -0.5]


def test_pixels_go_to_a_device_once(source):
    (first,) = source.feed([torch.tensor([0])], torch.device("meta"))
    held = source._on_device[torch.device("meta")]
    (second,) = source.feed([torch.tensor([0])], torch.device("meta"))
    assert first.device == second.device == torch.device("meta")
    assert source._on_device[torch.device("meta")] is held


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_feeds_the_same_images(source):
    index = torch.arange(NUM_IMAGES)
    for seed in (None, 3):
        (on_cpu,), (on_gpu,) = source.feed([index], CPU, seed), source.feed([index], torch.device("cuda"), seed)
        torch.testing.assert_close(on_gpu.cpu(), on_cpu)
