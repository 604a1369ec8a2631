"""Floor 2: what Linux does. It knows the hardware, and nothing of scenarios."""
