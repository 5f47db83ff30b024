"""The evidence arm: findings from text, labs and codes, and the likelihood-ratio ranking over them.

Belongs here: recogniser, assertion, labs, codes, background, ranker, explanation.
Does not: who is alerted (zebrawatch.screen), how early it was (zebrawatch.outcome).
"""
