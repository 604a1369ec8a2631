"""What a run is measured by, and what its tables say in words."""
