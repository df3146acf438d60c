"""Numbers taken of a model on data, one file per measure."""
