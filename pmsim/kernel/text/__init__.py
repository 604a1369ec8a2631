"""Code that changes while it may run: patching, tracing, probes, BPF programs."""
