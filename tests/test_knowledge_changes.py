"""A new release says what it moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from knowledge_samples import whole_knowledge

from zebrawatch.knowledge.changes import changes


def test_the_same_release_moves_nothing() -> None:
    knowledge = whole_knowledge()
    same = changes(knowledge, knowledge)
    assert not (same.releases or same.diseases_added or same.diseases_gone or same.profiles_changed or same.merged)
    assert "the same" in same.sentence()


def test_what_moved_is_named() -> None:
    new = whole_knowledge()
    marfan = new.index_of("OMIM:154700")
    assert marfan is not None
    share = np.array(new.row_share)
    share[np.flatnonzero(np.asarray(new.row_disease) == marfan)[0]] = 0.123
    first = new.diseases[0]
    old = replace(
        new,
        row_share=share,
        releases={**new.releases, "hpoa": "2024-01-16"},
        diseases=(replace(first, id="OMIM:999999", ids=("OMIM:999999",)), *new.diseases[1:]),
    )
    found = changes(old, new)
    assert found.releases == {"hpoa": ("2024-01-16", "2025-01-16")}
    assert found.diseases_added == (first.id,) and found.diseases_gone == ("OMIM:999999",)
    assert "OMIM:154700" in found.profiles_changed
    assert "1 diseases new" in found.sentence()
