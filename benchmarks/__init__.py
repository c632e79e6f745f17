"""Side by side with other providers, in one run: ``make benchmark``, or ``python -m benchmarks --help``."""
