"""The demo hospital: made patients with real disease profiles, written as clinics write.

Belongs here: the writer and its data (delay distribution, phrases). Everything it makes is called made.
Does not: anything the screen reads when it runs on real records.
"""
