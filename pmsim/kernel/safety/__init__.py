"""Whether every CPU has forgotten what the kernel took away, when it relies on that."""
