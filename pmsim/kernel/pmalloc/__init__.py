"""Pools of protectable memory, in all their generations."""
