"""From a resolved scenario to a result directory: building, running, recording."""
