"""Floor 9: results as files for other programs: an HTML page, a timeline, tables.

The page shows the same figures and tables as the terminal, to people who have no pmsim.
"""
