"""Programs that time things. Each prints ratios against a named reference, measured interleaved in one run."""
