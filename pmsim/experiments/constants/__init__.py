"""What the constants leave open: which of them matter, and how far they may move a figure.

Each constant has a range (`pmsim.scenario.known`). Here the ranges are sampled: for an interval
(`uncertainty`), and to find out on which constants a figure hangs (`sensitivity`).
"""
