"""Code that changes while it may run: patching, probes, BPF programs."""
