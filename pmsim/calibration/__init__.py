"""Floor 8: this machine, measured: a platform file whose values come from cells.

A cell is one call, so many pages, so many other threads: a median of samples, which counts only if
the kernel's own counters prove that interrupts came. Two cells of three are fitted by running the
simulator with trial constants; the third is predicted. What the cells do not tell apart stays as
it is on the nearest platform that pmsim ships, and the file says so.
"""
