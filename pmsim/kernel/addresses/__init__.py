"""The kernel's address space: areas of vmalloc and others, and what freeing them leaves behind."""
