"""Label corruption: pure functions on labels, one file per kind."""
