"""Outcomes: pairs, lead time, burden, nulls, the leak gate, as the protocol defines them.

Belongs here: statistics over flags, suspicions and labels, with intervals and denominators.
Does not: anything that influences a flag.
"""
