"""Image data sets, and the two ways to feed them: from the device's memory, or streamed from files."""
