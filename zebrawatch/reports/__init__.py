"""Reports: self-contained HTML pages made from plain data.

Belongs here: page templates and pictures (SVG) for the patient-level and the summary report.
Does not: reading the lake, choosing what is shown to whom.
"""
