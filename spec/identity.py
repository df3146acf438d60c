"""Content hashes: two things with the same content have the same name, on any machine."""

import hashlib
import json
from typing import Any


def content_hash(content: Any) -> str:
    """First 16 hex digits of the SHA-256 of the content as canonical JSON (sorted keys, no spaces).

    Raises:
        ValueError: the content holds NaN or an infinity, which JSON has no word for.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
