"""Floor 5: a scenario becomes a machine, a kernel and workloads, runs, and leaves a result."""
