"""Floor 1: files that the kernel and its tools print: what each of them is, and what is in it."""
