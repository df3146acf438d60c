"""Named seeds: each source of randomness has its own, so that one can be held while another varies."""

import hashlib

from pydantic import BaseModel, ConfigDict, Field

SEED_LIMIT = 2**31


def _seed(purpose: str) -> int:
    return Field(0, ge=0, lt=SEED_LIMIT, description=purpose)


class Seeds(BaseModel):
    """One seed per source of randomness. Those not given follow the run's `seed`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: int = _seed("which examples are trained on, validated on")
    label: int = _seed("which labels are wrong, and what they become")
    init: int = _seed("the network's first weights")
    order: int = _seed("the order of the examples in each epoch")
    augment: int = _seed("crops and flips")
    target_noise: int = _seed("noise that a method adds to its targets")
    measure: int = _seed("which examples a measure samples")


def stream_seed(name: str, seed: int, *parts: int) -> int:
    """A 63-bit seed for one named stream, e.g. `stream_seed("order", seeds.order, epoch)`.

    Hashed, so that streams are independent even where their seeds are the same small number.
    """
    text = ":".join([name, str(seed), *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
