"""Tokens: each grid's workers have their own, made from one secret; nothing is stored per grid."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path


class Tokens:
    """Tokens of grids: HMAC-SHA256 (RFC 2104) of the grid's id under the service's secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of(self, grid_id: str) -> str:
        """The grid's token, 64 hex digits."""
        return hmac.new(self._secret, grid_id.encode(), hashlib.sha256).hexdigest()

    def allows(self, grid_id: str, token: str) -> bool:
        """Whether the token is the grid's; takes the same time for any wrong one."""
        return hmac.compare_digest(self.of(grid_id).encode(), token.encode())


def load_or_make_secret(path: Path) -> bytes:
    """The service's secret; made once, readable by its owner alone.

    Raises:
        ValueError: the file holds something else.
    """
    if not path.exists():
        # Written aside and linked into place: a crash leaves no half secret, and of two starters one wins.
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    text = path.read_text().strip()
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise ValueError(f"{path} does not hold 64 hex digits: remove it for a new secret; grids that run now lose their tokens with it")
    return secret
