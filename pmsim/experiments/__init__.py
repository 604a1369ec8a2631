"""Floor 6: experiments, which are many runs: replications, sweeps, comparisons, statistics.

A sweep is a plan (a scenario, values for some of its keys, replications), a directory in which each
finished replication is a row, and workers that fill in the rows that are missing.
"""
