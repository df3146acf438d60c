"""What the training does about label noise, one file per method."""
