"""Floor 3: programs that use the kernel, one file per kind, registered by a decorator."""
