"""A sheet of images: what is said above and below them, as a figure and as a plain image."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dashboard.figures.samples import CELL_HEIGHT, CELL_WIDTH, TITLE_HEIGHT, sample_figure, sample_sheet, sample_table
from spec.records import LabelCard
from tests.dashboard.test_run_figures import CARD

RED = np.full((8, 8, 3), (255, 0, 0), np.uint8)


def sample(index: int, given: str = "cat", true: str | None = "cat", is_corrupt: bool = False, source: Any = None) -> dict[str, Any]:
    return {"index": index, "image": RED, "given": given, "true": true, "is_corrupt": is_corrupt, "source": source}


def words(drawn: dict[str, Any], card: LabelCard = CARD) -> list[str]:
    (row,) = sample_table([drawn], card).itertuples()
    return [row.group, row.first, row.second]


def test_words_say_given_and_true_label():
    assert words(sample(3)) == ["label right (5 of 8)", "given: cat", "image 3"]
    assert words(sample(3, true="dog", is_corrupt=True)) == ["label wrong (3 of 8)", "given: cat", "true: dog"]


def test_words_say_where_a_replaced_image_is_from():
    card = CARD.model_copy(update={"num_replaced": 3, "replaced_from": "cifar100"})
    replaced = sample(3, true=None, is_corrupt=True, source=("cifar100", 17))
    assert words(replaced, card) == ["image replaced (3 of 8)", "given: cat", "cifar100 17"]


def test_words_claim_no_truth_that_nobody_knows():
    card = CARD.model_copy(update={"realised_rate": None})
    assert words(sample(3, true=None), card) == ["label as published, right or wrong", "given: cat", "image 3"]
    assert words(sample(3, true=None, is_corrupt=True), card)[0] == "label changed"


@pytest.mark.parametrize("columns", [2, 8])
def test_the_figure_holds_the_images(columns: int):
    table = sample_table(
        [*(sample(index) for index in range(16)), *(sample(index, true="dog", is_corrupt=True) for index in range(3))], CARD
    )
    figure = sample_figure(table, CARD, columns)
    assert len(figure.layout.images) == 19
    assert max(image.x for image in figure.layout.images) == columns - 0.5
    rows = 16 // columns + -(-3 // columns)
    assert figure.layout.yaxis.range[0] == 2 * TITLE_HEIGHT + rows * CELL_HEIGHT
    image = Image.open(io.BytesIO(base64.b64decode(figure.layout.images[0].source.removeprefix("data:image/png;base64,"))))
    assert (image.size, image.getpixel((0, 0))) == ((128, 128), (255, 0, 0))


def test_the_plain_image_has_the_same_cells():
    sheet = sample_sheet(sample_table([sample(index) for index in range(3)], CARD), CARD, columns=2)
    assert sheet.size == (2 * CELL_WIDTH, 3 * TITLE_HEIGHT + 2 * CELL_HEIGHT)
    assert sheet.getpixel((CELL_WIDTH // 2, 3 * TITLE_HEIGHT + 10)) == (255, 0, 0)


def test_without_samples_there_is_a_figure_with_a_title():
    figure = sample_figure(sample_table([], CARD), CARD)
    assert figure.layout.title.text.startswith("symmetric")
    assert not figure.layout.images
