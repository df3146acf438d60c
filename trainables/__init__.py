"""What Ray runs: the training story, and the adapters that put it on a cluster."""
