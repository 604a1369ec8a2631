"""What a kernel trace tells: a report, a workload, distributions for costs."""
