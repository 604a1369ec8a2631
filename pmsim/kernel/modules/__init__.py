"""Kernel modules: their memory in every generation, loading and unloading."""
