"""The first-appearance clock: what counts as a copied sentence, and what is a new observation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zebrawatch.evidence.copied import Sentence, first_appearances

LONG = "The spleen is palpable four centimetres below the costal margin."


def told(*sentences: tuple[str, str], group: str = "splenomegaly") -> list[int | None]:
    return first_appearances(Sentence(group, source, text) for source, text in sentences)


def test_a_sentence_carried_forward_points_to_where_it_first_stood() -> None:
    assert told(("note 1", LONG), ("note 2", LONG), ("note 3", LONG)) == [None, 0, 0]


def test_spacing_case_and_punctuation_make_no_new_sentence() -> None:
    assert told(("note 1", LONG), ("note 2", "the spleen is palpable\nfour centimetres below the costal margin")) == [
        None,
        0,
    ]


def test_nine_tenths_of_the_words_are_enough_and_less_is_not() -> None:
    ten = "one two three four five six seven eight nine ten"
    assert told(("note 1", ten), ("note 2", ten.replace("ten", "other"))) == [None, 0]
    assert told(("note 1", ten), ("note 2", ten.replace("nine ten", "some other"))) == [None, None]


def test_a_changed_value_is_a_new_observation() -> None:
    before = "Creatine kinase today was measured at 4200 units per litre."
    assert told(("note 1", before), ("note 2", before.replace("4200", "3900"))) == [None, None]
    assert told(
        ("note 1", "Ferritin was 1.5 on the last visit here"), ("note 2", "Ferritin was 15 on the last visit here")
    ) == [
        None,
        None,
    ]


def test_five_words_are_too_few_to_be_a_copy() -> None:
    assert told(("note 1", "Spleen palpable below the margin"), ("note 2", "Spleen palpable below the margin")) == [
        None,
        None,
    ]


def test_a_repeated_sentence_within_one_note_is_no_copy() -> None:
    assert told(("note 1", LONG), ("note 1", LONG)) == [None, None]


def test_another_assertion_of_the_same_finding_is_new() -> None:
    sentences = [
        Sentence(("HP:0001744", "present"), "note 1", LONG),
        Sentence(("HP:0001744", "negated"), "note 2", LONG),
    ]
    assert first_appearances(sentences) == [None, None]


WORDS = st.lists(st.sampled_from(["spleen", "liver", "enlarged", "no", "pain", "12", "3"]), min_size=1, max_size=9)
HISTORY = st.lists(st.tuples(st.integers(1, 4), WORDS, st.sampled_from("ab")), max_size=15)


@given(HISTORY)
def test_copies_point_back_to_originals_of_another_source_and_the_same_finding(
    history: list[tuple[int, list[str], str]],
) -> None:
    sentences = [Sentence(group, f"note {source}", " ".join(words)) for source, words, group in history]
    origins = first_appearances(sentences)
    for index, origin in enumerate(origins):
        if origin is not None:
            assert origin < index
            assert origins[origin] is None
            assert sentences[origin].group == sentences[index].group
            assert sentences[origin].source_id != sentences[index].source_id


@given(HISTORY, st.integers(0, 15))
def test_what_comes_later_changes_nothing_said_before(history: list[tuple[int, list[str], str]], cut: int) -> None:
    sentences = [Sentence(group, f"note {source}", " ".join(words)) for source, words, group in history]
    assert first_appearances(sentences[:cut]) == first_appearances(sentences)[:cut]
