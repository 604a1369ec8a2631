"""Floor 7: published experiments, run anew: predicted against measured.

An experiment is a scenario and a description (``pmsim/data/experiments``): what was measured, on
which machine, which points may be fitted and which are predicted. Measurements stand apart from it,
in a table whose column ``split`` says what each row may be used for. A raw prediction reads none of
them; a scaled one reads a single row, its calibration point.
"""
