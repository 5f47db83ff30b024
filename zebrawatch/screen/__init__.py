"""The screen: naming set and suspicion, masking, alert policy and episodes.

Belongs here: rules that turn scores and namings of a patient into suspicions and flags.
Does not: scores themselves (zebrawatch.evidence), figures about them (zebrawatch.outcome).
"""
