"""Assets: the files that pages load. Their address holds a hash of all of them, so browsers may keep them for ever."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    "": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class Asset:
    """A file and its gzip form, made once: Plotly alone takes a tenth of a second to compress."""

    content: bytes
    compressed: bytes
    media_type: str


class Assets:
    """Files by name: those below `static/`, and `extra` ones from elsewhere (name -> path). Read once."""

    def __init__(self, extra: dict[str, Path]) -> None:
        own = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.is_file()}
        self._assets = {name: _read(path) for name, path in sorted({**own, **extra}.items())}
        # One hash for all, and not one for each: modules then import each other by plain relative names.
        digest = hashlib.sha256()
        for name, asset in self._assets.items():
            digest.update(f"{name}:{len(asset.content)}:".encode() + asset.content)
        self.version = digest.hexdigest()[:12]

    def __getitem__(self, name: str) -> Asset:
        """Raises KeyError for a name that there is not; paths on the disk play no part."""
        return self._assets[name]

    def __contains__(self, name: str) -> bool:
        return name in self._assets


@cache
def _read(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content, gzip.compress(content, 9, mtime=0), MEDIA_TYPES.get(path.suffix, "application/octet-stream"))
