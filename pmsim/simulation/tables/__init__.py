"""The tables of a result: what stands in them, written as it comes, read in batches."""
