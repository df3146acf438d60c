"""Access: the grid's token on requests of its workers and its driver."""

from typing import Annotated

from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from server.tokens import Tokens

Bearer = HTTPAuthorizationCredentials | None
BearerDep = Annotated[Bearer, Depends(HTTPBearer(auto_error=False, description="the grid's token"))]


def require_token(tokens: Tokens, grid_id: str, bearer: Bearer) -> None:
    """Refuse a request without the grid's token.

    Raises:
        HTTPException: 401.
    """
    if bearer is None or not tokens.allows(grid_id, bearer.credentials):
        message = f"this needs the token of grid {grid_id!r}: send it as 'Authorization: Bearer TOKEN'"
        raise HTTPException(401, message, headers={"WWW-Authenticate": "Bearer"})
