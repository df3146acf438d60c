"""The vocabulary that every other package shares: runs, grids, records, seeds. Imports pydantic and the standard library only."""
