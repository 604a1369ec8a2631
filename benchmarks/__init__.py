"""How fast pmsim is, as ratios within one run: ``python -m benchmarks``, or ``make bench``."""
