"""What the pages say of the language model: its quotes, what counts and what does not, counts in the summary."""

from __future__ import annotations

import dataclasses
from datetime import date

from lxml import html
from report_samples import alerted_patient, patient_report_sample, summary_report_sample

from zebrawatch.reports.data import ModelCounts, ModelDisease, ModelQuote, ModelReading, Source
from zebrawatch.reports.pages import patient_report, summary_report
from zebrawatch.reports.readings import Readings

NEUROLOGY = Source("DocumentReference/7", "Neurology consult", date(2023, 5, 4))
CLINIC = Source("DocumentReference/9", "Clinic note", date(2023, 8, 20))
READING = ModelReading(
    date(2023, 8, 21), "made-model", True, "would be alerted by the evidence arm", "accepted",
    (
        ModelDisease("Fabry disease", "OMIM:301500", 3,
                     (ModelQuote(NEUROLOGY, "burning pain in hands <b>and</b> feet since childhood"),),
                     (ModelQuote(CLINIC, "no cornea verticillata"),), 1, "alpha-galactosidase A in leucocytes"),
        ModelDisease("Erythromelalgia", "ORPHA:1956", None, (ModelQuote(CLINIC, "red, hot feet in the evening"),)),
        ModelDisease("Pompe disease", "OMIM:232300", 2, (), (), 2, "enzyme"),
        ModelDisease("Burning feet disorder", None, None, (), (), 1),
    ),
    ("other first: Fabry disease (the evidence arm puts Wilson disease first)",),
)  # fmt: skip
COUNTS = ModelCounts(
    "made-model", True, 900, 120, 30, 260, 20, 240, 12, 231, 900, 90, 1_200_000, 800_000, 90_000, 14, 0.8
)


def patients_page(reading: ModelReading | None) -> str:
    patient = dataclasses.replace(alerted_patient(2), reading=reading)
    return patient_report(dataclasses.replace(patient_report_sample(1), patients=(patient,)))


def told(page: str) -> str:
    return " ".join(html.fromstring(page).find(".//main").text_content().split())


def test_each_disease_says_whether_it_counts_with_the_quotes_that_stand() -> None:
    text = told(patients_page(READING))
    assert "made-model read the chart as it stood on 2023-08-21 (would be alerted by the evidence arm)" in text
    assert "Fabry disease OMIM:301500: 3. by the evidence alone; 1 quote struck" in text
    assert "for: burning pain in hands <b>and</b> feet since childhood Neurology consult, 2023-05-04" in text
    assert "against: no cornea verticillata Clinic note, 2023-08-20" in text
    assert "not on the evidence arm's list, so it cannot flag" in text
    assert "Pompe disease OMIM:232300: no quote stands; it counts for nothing; 2 quotes struck" in text
    assert "Burning feet disorder: no known disease has this name; it counts for nothing" in text
    assert "Where the two differ: other first: Fabry disease" in text
    assert "not clinically useful" not in text


def test_a_model_for_trying_out_and_an_unusable_answer_are_said_so() -> None:
    text = told(patients_page(dataclasses.replace(READING, clinical_use=False, verdict="cut off", diseases=())))
    assert "its answers are not clinically useful and moved nothing" in text
    assert "Its answer could not be used (cut off)." in text


def test_without_a_model_the_pages_say_nothing_of_it() -> None:
    assert "language model" not in patients_page(None)
    assert "language model" not in summary_report(summary_report_sample())


def test_the_summary_counts_and_hides_small_groups_of_real_patients() -> None:
    made = told(summary_report(dataclasses.replace(summary_report_sample(), reading=COUNTS)))
    for line in (
        "patients considered900", "read at least once120", "struck: not in the note, or denied there90",
        "given up (no usable answer in two tries)9", "same first disease80% of 14", "prefix cache800,000",
    ):  # fmt: skip
        assert line.replace(" ", "") in made.replace(" ", ""), line
    few = dataclasses.replace(COUNTS, sampled=4, agreement=None)
    real = told(summary_report(dataclasses.replace(summary_report_sample("real"), reading=few)))
    assert "drawn at random from below the shortlisthidden" in real.replace("shortlist hidden", "shortlisthidden")
    assert "same first diseasenot measured" in real.replace("disease not", "diseasenot")


def test_the_newest_night_on_which_a_chart_was_read_is_found_whatever_was_considered_since() -> None:
    def asked(subject: int, day: int, key: str | None) -> dict[str, object]:
        return {"subject_id": subject, "night": date(2024, 5, day), "request_key": key}

    read = Readings([asked(1, 3, "a"), asked(1, 7, "b"), asked(1, 9, None), asked(2, 8, None)], [], 0.01)
    assert (read.last(1), read.last(2), read.last(3)) == (date(2024, 5, 7), None, None)
