"""The checker: nothing is found where kernel and protocol are right, and each fault is."""
