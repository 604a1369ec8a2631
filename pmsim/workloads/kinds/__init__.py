"""The kinds of workload, one file each; the registry finds them by looking here."""
