"""The slow, readable twin of the machine: plain SimPy, an event per step."""
