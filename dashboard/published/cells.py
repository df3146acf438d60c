"""What a published result is: a figure, how it came about, and how far one may be from it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class Labels(BaseModel):
    """A set of noisy labels that published runs were trained on."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="e.g. the name of the authors' file")
    noise: str = Field(description="symmetric, asymmetric, dependent, openset; or real: the data set's labels are wrong as published")
    rate: float | None = Field(None, description="nominal; None where nobody knows")
    sha256: str | None = Field(None, description="of the published file; None where there is none")
    generator: dict[str, Any] | None = Field(None, description="the `noise` of a run that draws exactly these labels")
    noisy_hash: str | None = Field(
        None, description="of the labels themselves, as in a run's label card; None where it is not known, or each run drew its own"
    )

    def are_drawn_by(self, noise: Mapping[str, Any]) -> bool:
        """Whether a run with this `noise` surely has these labels."""
        is_file = self.sha256 is not None and self.sha256 == noise.get("sha256") and noise.get("column") == "label_noisy"
        return is_file or (self.generator is not None and self.generator == noise)


class PublishedCell(BaseModel):
    """Test accuracy, in [0, 1], of one method on one set of labels."""

    model_config = ConfigDict(frozen=True)

    source: str = Field(description="who published it, e.g. 'paper'")
    dataset: str
    labels: Labels
    method: str = Field(description="CE, SLN, SLN-MO or SLN-MO-LC")
    sigma: float
    last: float = Field(description="after the last epoch, mean over n runs")
    last_ten: float | None = Field(None, description="mean over the last ten epochs, where it is known")
    sd: float | None = Field(None, description="sample standard deviation of `last` over the n runs; None where n = 1")
    n: int
    tolerance: float = Field(description="how far the mean of the last ten epochs of one run may be off")
    protocol: dict[str, Any] = Field(description="dotted path into a run's configuration: the value that it had")

    @property
    def expected(self) -> float:
        """What a mean of the last ten epochs is held to: the same where it is known, else the last epoch."""
        return self.last if self.last_ten is None else self.last_ten


class PublishedPair(NamedTuple):
    """Two methods of one source, on the same labels."""

    method: PublishedCell
    than: PublishedCell

    @property
    def difference(self) -> float:
        """Of their test accuracies, `method` minus `than`."""
        return self.method.expected - self.than.expected


class Claim(NamedTuple):
    """How much more accurate one method is than another on the same labels.

    Each pair is of a source that has both. Bounds are of the difference of their test accuracies, in [-1, 1]; without any,
    it is more than nothing.
    """

    pairs: tuple[PublishedPair, ...]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def method(self) -> PublishedCell:
        """Whose accuracy it is about, according to the first source."""
        return self.pairs[0].method

    @property
    def than(self) -> PublishedCell:
        """What it is held against, according to the first source."""
        return self.pairs[0].than

    @property
    def text(self) -> str:
        """The claim in a few words, bounds in points: `SLN > CE`, `SLN-MO-LC − SLN-MO at least +1.5`."""
        method, than = self.method.method, self.than.method
        if not self.bounds:
            return f"{method} > {than}"
        words = ["from", "to"] if len(self.bounds) > 1 else ["at most" if self.at_least is None else "at least"]
        return f"{method} − {than} " + " ".join(f"{word} {100 * bound:+g}" for word, bound in zip(words, self.bounds, strict=True))

    @property
    def bounds(self) -> list[float]:
        """The least and the most that the difference may be, as far as they are given."""
        return [bound for bound in (self.at_least, self.at_most) if bound is not None]

    def holds(self, difference: float) -> bool:
        """Whether a difference is as claimed."""
        if not self.bounds:
            return difference > 0
        return (self.at_least is None or difference >= self.at_least) and (self.at_most is None or difference <= self.at_most)
