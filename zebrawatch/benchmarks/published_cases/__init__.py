"""Published cases with ages of onset, rendered as the notes of a hospital, so that lead time can be measured on them.

Belongs here: which cases, what happens to a patient, the writer, knowledge without the cases' own papers, the measure.
Does not belong here: the demo hospital's writer, and running the screen (pipelines do that).
"""
