"""Floor 10: what files of the kernel and its tools say, and the workloads made of them."""
