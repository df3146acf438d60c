"""How the service itself reads data sets."""

from spec.registry import NamedParams

# It neither downloads a data set nor reads all of its files because somebody looks at a page.
READ_LIGHTLY = {"download": False, "cache": "stream"}


def read_lightly(dataset: NamedParams) -> NamedParams:
    """The same data set, with the same labels."""
    changes = {name: value for name, value in READ_LIGHTLY.items() if name in type(dataset).model_fields}
    return dataset.model_copy(update=changes)
