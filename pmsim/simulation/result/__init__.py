"""A result directory: where it stands, where it comes from, what is in it."""
