"""Knowledge about rare diseases: the HPO, its annotations, Orphanet, MONDO, merged to one row a disease.

Belongs here: parsers of the published files and the compiled arrays the ranker reads.
Does not: where the files lie (connectors.knowledge_files), scoring (zebrawatch.evidence).
"""
