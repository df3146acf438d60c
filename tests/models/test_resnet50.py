from pathlib import Path

import pytest
import torch
from torchvision import models

from models._base import DataShape
from models.resnet50 import ResNet50Params, resnet50

CLOTHES = DataShape(channels=3, image_size=224, num_classes=14)
GREY = DataShape(channels=1, image_size=224, num_classes=14)


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_it_has_the_parameters_of_resnet50():
    assert count(resnet50(ResNet50Params(), DataShape(channels=3, image_size=224, num_classes=1000))) == 25_557_032
    assert count(resnet50(ResNet50Params(), CLOTHES)) == 23_536_718


def test_grey_images_need_a_third_of_the_first_weights():
    assert count(resnet50(ResNet50Params(), GREY)) == 23_536_718 - 2 * 64 * 7 * 7


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of weights, on a machine without a network."""

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    return tmp_path / "hub" / "checkpoints"


def test_pretrained_weights_come_from_the_cache_and_the_last_layer_from_the_seed(hub: Path):
    torch.manual_seed(5)
    imagenet = models.resnet50().state_dict()
    hub.mkdir(parents=True)
    torch.save(imagenet, hub / "resnet50-0676ba61.pth")
    torch.manual_seed(0)
    ours = resnet50(ResNet50Params(pretrained=True), CLOTHES).state_dict()
    torch.manual_seed(0)
    random = resnet50(ResNet50Params(), CLOTHES).state_dict()
    assert ours.keys() == imagenet.keys()
    for key, weights in ours.items():
        assert torch.equal(weights, random[key] if key.startswith("fc.") else imagenet[key]), key


def test_missing_weights_are_told_with_where_they_come_from_and_go(hub: Path):
    with pytest.raises(FileNotFoundError, match=rf"no network.*download http.*resnet50-0676ba61\.pth to {hub}.*model\.pretrained to false"):
        resnet50(ResNet50Params(pretrained=True), CLOTHES)


def test_pretrained_weights_are_for_colours():
    with pytest.raises(ValueError, match=r"for 3 channels, the data have 1: set model\.pretrained to false"):
        resnet50(ResNet50Params(pretrained=True), GREY)
