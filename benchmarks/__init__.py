"""How fast pmsim is: ``make bench``, or ``python -m benchmarks PART...`` for some parts of it."""
