"""Floor 1: what silicon does. It knows no kernel and reads no file."""
