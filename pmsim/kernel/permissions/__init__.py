"""``set_memory_*``: how permissions of kernel memory change, on each architecture."""
