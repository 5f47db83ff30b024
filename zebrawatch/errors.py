"""Errors a person reads: one clear sentence each, without patient data."""

from __future__ import annotations


class ZebrawatchError(Exception):
    """Something the user can mend; its text is one sentence that says what to do."""


class ConfigurationError(ZebrawatchError):
    """A setting is wrong."""


class SourceError(ZebrawatchError):
    """The records could not be had whole; no night is published."""


class KnowledgeError(ZebrawatchError):
    """A knowledge file is missing, cut short, or of the wrong release."""


class LakeError(ZebrawatchError):
    """The lake cannot be used as asked."""
