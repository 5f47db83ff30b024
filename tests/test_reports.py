"""The two pages: what they say, what they must never hold, and that small cells stay hidden."""

from __future__ import annotations

import dataclasses
import math
import re
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html
from report_samples import (
    NIGHTS,
    alerted_patient,
    case_lines,
    outcome_sample,
    patient_report_sample,
    provenance_sample,
    summary_report_sample,
)

from zebrawatch.reports import figures
from zebrawatch.reports.charts import finding_weighed
from zebrawatch.reports.data import (
    AlertedPatient,
    BurdenPoint,
    CaseLine,
    Contribution,
    ExpectedFinding,
    Finding,
    FlowStep,
    PatientReport,
    RankedDisease,
    Source,
    SummaryReport,
)
from zebrawatch.reports.drawing import Scale
from zebrawatch.reports.pages import (
    TEMPLATES,
    cut_quote,
    drawable_cases,
    patient_report,
    shown_burden,
    shown_flow,
    shown_points,
    signed,
    summary_report,
    weigh,
)
from zebrawatch.reports.pictures import diverging_bar, lead_lines
from zebrawatch.reports.risk import risk_word
from zebrawatch.reports.statement import Provenance, statement
from zebrawatch.reports.suppression import (
    SMALLEST_CELL,
    share_may_show,
    shown_apart,
    shown_count,
    shown_parts,
    total_may_show,
)
from zebrawatch.reports.timeline import timeline

HOSTILE = '<script>window.caught = 1</script><img src="http://example.org/x" onerror="window.caught = 1">"\'&'


def page_of(text: str) -> html.HtmlElement:
    return html.document_fromstring(text)


def text_of(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def only(patient: AlertedPatient) -> PatientReport:
    return PatientReport(NIGHTS, provenance_sample(), 240, 0.6, 5, (patient,), {"code": "test"})


def finding(label: str = "Tremor", **changes: object) -> Finding:
    told = Finding(
        "HP:0001337", label, "present", "text", date(2024, 5, 2),
        Source("DocumentReference/1", "Primary care visit", date(2024, 5, 1)), "Coarse shaking of both hands.", 7, 14,
    )  # fmt: skip
    return dataclasses.replace(told, **changes)  # type: ignore[arg-type]


PAGES = {
    "patients": lambda: patient_report(patient_report_sample(5)),
    "no patients": lambda: patient_report(patient_report_sample(0)),
    "summary": lambda: summary_report(summary_report_sample()),
    "summary of real records": lambda: summary_report(summary_report_sample("real", 9)),
    "summary of nothing": lambda: summary_report(
        SummaryReport(NIGHTS, provenance_sample(), patients=0, alerted=0, threshold=0.6, shown_k=5)
    ),
}


@pytest.fixture(scope="module", params=PAGES)
def any_page(request: pytest.FixtureRequest) -> str:
    return PAGES[request.param]()


class TestEveryPage:
    def test_carries_the_statement(self, any_page: str) -> None:
        footer = text_of(page_of(any_page).find(".//footer"))
        assert footer.startswith("Screening aid, not a diagnosis and not a cleared medical device; a clinician must")
        assert "No flag does not mean no rare disease." in footer
        assert footer.endswith("data to 2025-12-31.")

    def test_asks_for_nothing_from_outside(self, any_page: str) -> None:
        page = page_of(any_page)
        assert not page.xpath("//script | //iframe | //object | //embed | //img | //base")
        links = page.xpath("//@href | //@src | //@action | //@data")
        assert all(link.startswith(("#", "data:")) for link in links)
        assert not re.search(r"@import|url\(", any_page)
        assert page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0].startswith("default-src 'none'")

    def test_names_tables_pictures_and_headings(self, any_page: str) -> None:
        page = page_of(any_page)
        assert page.get("lang") == "en"
        assert all(table.find("caption") is not None and text_of(table.find("caption")) for table in page.iter("table"))
        for picture in page.xpath("//svg"):
            if picture.get("role") == "img":
                named = picture.get("aria-labelledby").split()
                assert all(page.xpath("//*[@id=$id]", id=name) for name in named)
            else:
                assert picture.get("aria-hidden") == "true"
        levels = [int(heading.tag[1]) for heading in page.xpath("//h1|//h2|//h3|//h4|//h5")]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(then - here <= 1 for here, then in pairwise(levels))

    def test_ids_are_unique_and_links_lead_somewhere(self, any_page: str) -> None:
        page = page_of(any_page)
        ids = page.xpath("//@id")
        assert len(ids) == len(set(ids))
        assert {link[1:] for link in page.xpath("//a/@href") if link.startswith("#")} <= set(ids)

    def test_is_the_same_each_time(self, any_page: str) -> None:
        assert any_page in [make() for make in PAGES.values()]


def test_statement_in_full() -> None:
    kind = Provenance(
        "real", ("evidence", "reasoning"), "HPO 2025-01-16", date(2026, 3, 1), "RaDaR-32B", "2026-02-01, n = 140"
    )
    assert statement(kind) == (
        "Screening aid, not a diagnosis and not a cleared medical device; a clinician must review the chart. No flag "
        "does not mean no rare disease. Data: real. Local validation: 2026-02-01, n = 140. Arms: evidence, reasoning. "
        "Knowledge HPO 2025-01-16; model RaDaR-32B; data to 2026-03-01."
    )


def test_data_kind_is_checked() -> None:
    with pytest.raises(ValueError, match="real, made, rendered"):
        provenance_sample("synthetic")


# ------------------------------------------------------------------------------------------------------- untrusted text


def test_nothing_a_note_says_becomes_markup() -> None:
    evil = finding(HOSTILE, sentence=HOSTILE, start=0, end=8, source=Source("x", HOSTILE, date(2024, 5, 2), HOSTILE))
    disease = RankedDisease(1, HOSTILE, HOSTILE, 2.0, 0.7, (Contribution(HOSTILE, 1.0, evil, HOSTILE),),
                            (ExpectedFinding(HOSTILE, HOSTILE, 0.5, evil),), HOSTILE)  # fmt: skip
    patient = dataclasses.replace(
        alerted_patient(0), diseases=(disease,), findings=(evil,), previous_p_note=HOSTILE, sex=HOSTILE
    )
    page = page_of(patient_report(only(patient)))
    assert not page.xpath("//script | //img | //@onerror")
    assert HOSTILE in page.text_content()
    assert "<script>" in page.xpath("//mark")[0].text_content()


def test_notes_with_lone_surrogates_can_be_written() -> None:
    broken = finding(sentence="odd \ud800 character", start=0, end=3)
    patient = dataclasses.replace(alerted_patient(0), findings=(broken,))
    assert patient_report(only(patient)).encode("utf-8")


@given(st.text(max_size=300), st.integers(-5, 310), st.integers(-5, 310))
def test_a_quote_is_cut_from_its_sentence_or_not_at_all(sentence: str, start: int, end: int) -> None:
    cut = cut_quote(finding(sentence=sentence, start=start, end=end))
    if not sentence:
        assert cut == ("Tremor", "", "")
    elif len(sentence) <= 240:
        assert "".join(cut) == sentence
        assert cut.quote == (sentence[start:end] if 0 <= start < end <= len(sentence) else "")
    else:
        assert len("".join(cut)) <= 3 * 244


# --------------------------------------------------------------------------------------------------- patient-level page


def test_why_now_tells_what_was_new_that_night() -> None:
    old = finding("Depression", known_night=date(2024, 1, 9), sentence="Low mood since spring.", start=0, end=8)
    new = finding("Tremor")
    base = alerted_patient(2)
    disease = RankedDisease(1, "OMIM:277900", "Wilson disease", 1.4, 0.2, (Contribution("Depression", 0.3, old),
                            Contribution("Tremor", 1.1, new)))  # fmt: skip
    episode = dataclasses.replace(base.episodes[-1], raised=date(2024, 5, 2), withdrawn=None, reason=None)
    patient = dataclasses.replace(base, episodes=(episode,), findings=(old, new), diseases=(disease,), suspicions=())
    page = page_of(patient_report(only(patient)))
    why = page.xpath("//h4[.='Why now']/following-sibling::p")[0]
    assert text_of(why).startswith("One finding became known on 2024-05-02; it changes Wilson disease by +1.10.")
    assert [text_of(item) for item in page.xpath("//ul[@class='quotes']/li")] == [
        "Tremor: Coarse shaking of both hands. Primary care visit, 2024-05-01 · present · known 2024-05-02"
    ]
    assert page.xpath("//ul[@class='quotes']//mark")[0].text == "shaking"
    assert "1 stands on 2025-12-31" in text_of(page.find(".//header"))


def test_a_weight_rests_on_the_finding_in_its_own_source() -> None:
    history = finding("Coma", known_night=date(2021, 11, 1), assertion="historical")
    history = dataclasses.replace(history, source=dataclasses.replace(history.source, source_id="note/1"))
    later = dataclasses.replace(history, assertion="present", known_night=date(2023, 11, 2),
                                source=dataclasses.replace(history.source, source_id="note/9"))  # fmt: skip
    term = history.hpo_id
    findings = {(term, "present"): later, (term, "historical"): history}
    weighed = {"hpo_id": term, "assertion": "present", "source_id": "note/1"}
    assert finding_weighed(weighed, findings) is history
    assert finding_weighed(weighed | {"source_id": "note/9"}, findings) is later
    assert finding_weighed(weighed | {"source_id": "gone"}, findings) is later
    assert finding_weighed(weighed | {"hpo_id": "HP:0000001"}, findings) is None
    assert finding_weighed(weighed | {"assertion": "negated"}, {(term, "negated"): later}) is later


def test_why_now_puts_the_weightiest_first_and_folds_what_weighs_nothing() -> None:
    night = date(2024, 5, 2)
    light, heavy, none = (finding(name, known_night=night) for name in ("Cough", "Tremor", "Rash"))
    base = alerted_patient(2)
    parts = (Contribution("Cough", 0.2, light), Contribution("Tremor", -1.1, heavy), Contribution("Rash", 0.001, none))
    disease = RankedDisease(1, "OMIM:277900", "Wilson disease", 1.4, 0.2, parts)
    episode = dataclasses.replace(base.episodes[-1], raised=night, withdrawn=None, reason=None)
    patient = dataclasses.replace(base, episodes=(episode,), findings=(none, light, heavy), diseases=(disease,))
    page = page_of(patient_report(only(patient)))
    told = [text_of(one) for one in page.xpath("//h4[.='Why now']/following-sibling::ul[1]/li/strong")]
    assert told == ["Tremor", "Cough"]
    (folded,) = page.xpath("//h4[.='Why now']/following-sibling::details[1]")
    assert text_of(folded).startswith("1 more, without weight for Wilson disease") and "Rash" in text_of(folded)


def test_evidence_is_weighed_for_and_against() -> None:
    parts = (Contribution("a", 0.2), Contribution("b", -0.9), Contribution("c", 1.5), Contribution("d", 0.001))
    named = dict(weigh(RankedDisease(1, "OMIM:1", "x", 0.8, 0.5, parts)).named)
    assert [part.label for part in named["Speaks for"]] == ["c", "a"]
    assert [part.label for part in named["Speaks against"]] == ["b"]
    assert [part.label for part in named["No weight"]] == ["d"]
    assert weigh(RankedDisease(1, "OMIM:1", "x", 0.8, 0.5, parts)).words == "For: +1.70; against: −0.90."


def test_expected_findings_are_absent_or_never_looked_for() -> None:
    absent = finding("Kayser-Fleischer ring", assertion="negated", sentence="No KF rings.", start=3, end=11)
    expected = (
        ExpectedFinding("HP:0200032", "Kayser-Fleischer ring", 0.7, absent),
        ExpectedFinding("HP:1", "Cirrhosis"),
    )
    disease = RankedDisease(1, "OMIM:277900", "Wilson disease", 2.0, 0.6, (), expected)
    page = page_of(patient_report(only(dataclasses.replace(alerted_patient(2), diseases=(disease,)))))
    rows = [text_of(row) for row in page.xpath("//table[contains(caption, 'Expected in')]/tbody/tr")]
    assert rows[0].startswith("Kayser-Fleischer ring70%said to be absent: No KF rings. Primary care visit")
    assert rows[1] == "Cirrhosisunknownnever looked for"


def test_risk_is_a_word_and_never_a_percentage() -> None:
    patient = alerted_patient(1)
    first = dataclasses.replace(patient.diseases[0], posterior=0.7312, expected=())
    text = patient_report(only(dataclasses.replace(patient, diseases=(first,), p_any=0.8451)))
    assert "risk-high" in text
    body = page_of(text).find(".//main").text_content()
    assert not re.search(r"0\.73|73|0\.84|84\.5", body.replace(patient.key, ""))


@pytest.mark.parametrize(("p_any", "word"), [(0.8, "high"), (0.009, "low"), (0.002, "low"), (None, "not told")])
def test_the_risk_of_an_alert_is_that_of_any_rare_disease_and_never_negligible(p_any: float | None, word: str) -> None:
    patient = alerted_patient(1)
    first = dataclasses.replace(patient.diseases[0], posterior=0.0004)
    page = page_of(patient_report(only(dataclasses.replace(patient, diseases=(first,), p_any=p_any))))
    (row,) = page.xpath("//table[contains(@class, 'index')]/tbody/tr")
    assert text_of(row.xpath("td[4]")[0]) == word
    assert f"risk {word}" in text_of(page.xpath("//dl[contains(@class, 'facts')]")[0])
    assert "negligible" not in text_of(page)


@pytest.mark.parametrize(("posterior", "word"), [(1, "high"), (0.5, "high"), (0.49, "moderate"), (0.1, "moderate"),
                                                 (0.008, "low"), (0.001, "negligible"), (0, "negligible")])  # fmt: skip
def test_risk_words(posterior: float, word: str) -> None:
    assert risk_word(posterior) == word


@pytest.mark.parametrize("posterior", [-0.1, 1.01, math.nan])
def test_a_posterior_outside_its_range_is_refused(posterior: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        risk_word(posterior)


def test_two_hundred_patients_stay_usable() -> None:
    text = patient_report(patient_report_sample(200))
    page = page_of(text)
    assert len(page.xpath("//details[@class='patient']")) == 200
    assert not page.xpath("//details[@class='patient'][@open]")
    assert len(page.xpath("//table[contains(@class, 'index')]/tbody/tr//a")) == 200
    assert len(text) < 8_000_000


def test_standing_alerts_come_first_and_the_newest_of_them() -> None:
    page = page_of(patient_report(patient_report_sample(40)))
    rows = page.xpath("//table[contains(@class, 'index')]/tbody/tr")
    stands = ["stands" in text_of(row) for row in rows]
    assert any(stands) and not all(stands)
    assert stands == sorted(stands, reverse=True)
    nights = [text_of(row.xpath("td")[1]) for row, standing in zip(rows, stands, strict=True) if standing]
    assert nights == sorted(nights, reverse=True)


def test_an_alerted_patient_without_an_episode_is_refused() -> None:
    with pytest.raises(ValueError, match="without an episode"):
        dataclasses.replace(alerted_patient(1), episodes=())


# ------------------------------------------------------------------------------------------------------------- pictures


def places(svg: str) -> list[float]:
    return [float(value) for value in re.findall(r'(?:x|cx|x1|x2|width)="(-?[\d.]+)%"', svg)]


@given(st.integers(0, 300), st.floats(-9, 9), st.floats(-9, 0), st.floats(0, 9))
def test_marks_stay_inside_their_picture(number: int, value: float, least: float, most: float) -> None:
    assert 0 <= Scale(0, 10).at(value) <= 100
    assert all(0 <= place <= 100 for place in places(str(diverging_bar(value, least, most))))
    assert all(0 <= place <= 100 for place in places(str(timeline(alerted_patient(number)))))


def test_a_record_of_a_single_day_can_be_drawn() -> None:
    base = alerted_patient(0)
    day = base.episodes[-1].raised
    episode = dataclasses.replace(base.episodes[-1], withdrawn=None)
    bare = AlertedPatient("k", None, None, day, day, (episode,), ())
    assert "Timeline of patient k" in timeline(bare)
    assert "none listed" in patient_report(only(bare))


def test_a_long_record_is_drawn_with_few_marks() -> None:
    base = alerted_patient(0)
    start = date(2019, 1, 1)
    many = tuple(finding(f"Finding {n}", known_night=start + timedelta(days=n)) for n in range(90))
    notes = tuple(dataclasses.replace(base.notes[0], day=start + timedelta(days=n // 3)) for n in range(6000))
    svg = str(timeline(dataclasses.replace(base, findings=many, notes=notes, entry_night=start)))
    assert "60 lighter not drawn" in svg
    assert "6000 notes" in svg and "more to" in svg
    assert len(svg) < 100_000


def test_findings_are_drawn_at_first_appearance() -> None:
    early = finding("Depression", known_night=date(2021, 1, 1))
    late = finding("Tremor", known_night=date(2025, 12, 31))
    base = alerted_patient(2)
    patient = dataclasses.replace(base, findings=(late, early), entry_night=date(2021, 1, 1), suspicions=())
    page = html.fragment_fromstring(str(timeline(patient)))
    dots = [mark for mark in page.xpath("//circle") if "finding" in mark.get("class")]
    assert [(text_of(mark), mark.get("cx")) for mark in dots] == [
        ("2021-01-01 Depression (Primary care visit)", "1.5%"),
        ("2025-12-31 Tremor (Primary care visit)", "97.5%"),
    ]


def test_weights_carry_their_sign() -> None:
    assert [signed(value) for value in (1.524, -0.18, 0.001, -0.001)] == ["+1.52", "−0.18", "0.00", "0.00"]


# ------------------------------------------------------------------------------------------------------------- contrast


def luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_colours_reach_wcag_aa(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", (TEMPLATES / "style.css").read_text(), re.S)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[scheme]))
    for ink in ("ink", "muted", "alert", "suspect", "confirm", "pale"):
        assert contrast(colours[ink], colours["paper"]) >= 4.5, ink
    for mark in ("for", "against"):
        assert contrast(colours[mark], colours["paper"]) >= 3, mark
    assert contrast(colours["mark-ink"], colours["mark"]) >= 4.5


# ---------------------------------------------------------------------------------------------------------- small cells

counts = st.lists(st.integers(0, 40), max_size=8)


@given(counts)
def test_hidden_parts_cannot_be_worked_out(parts: list[int]) -> None:
    shown = shown_parts(parts, SMALLEST_CELL)
    assert all(value is None or value == 0 or value >= SMALLEST_CELL for value in shown)
    assert all(value in (None, part) for value, part in zip(shown, parts, strict=True))
    hidden = [part for part, value in zip(parts, shown, strict=True) if value is None]
    if hidden and total_may_show(parts, SMALLEST_CELL):
        assert len(hidden) >= 2 and sum(hidden) >= SMALLEST_CELL


@given(counts)
def test_nothing_is_hidden_without_need(parts: list[int]) -> None:
    assert shown_parts(parts, 1) == parts
    if all(part == 0 or part >= SMALLEST_CELL for part in parts):
        assert shown_parts(parts, SMALLEST_CELL) == parts


@given(counts)
def test_differences_of_shown_groups_are_no_small_cells(groups: list[int]) -> None:
    shown = [value for value in shown_apart(groups, SMALLEST_CELL) if value is not None]
    assert all(shown_count(abs(a - b), SMALLEST_CELL) is not None for a in shown for b in shown)


def test_a_share_hides_with_its_numerator_or_the_rest() -> None:
    assert share_may_show(27, 48, SMALLEST_CELL)
    assert not share_may_show(5, 48, SMALLEST_CELL)
    assert not share_may_show(45, 48, SMALLEST_CELL)
    assert share_may_show(0, 48, SMALLEST_CELL)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2)), max_size=10))
def test_a_hidden_step_hides_its_parts(steps: list[tuple[int, int]]) -> None:
    flow = [FlowStep(f"s{n}", pairs, depth) for n, (pairs, depth) in enumerate(steps)]
    shown = shown_flow(flow, SMALLEST_CELL)
    assert [step for step, _ in shown] == flow
    for index, (step, value) in enumerate(shown):
        assert value is None or value == 0 or value >= SMALLEST_CELL
        inner = next((n for n in range(index + 1, len(flow)) if flow[n].depth <= step.depth), len(flow))
        if value is None:
            assert all(part is None for _, part in shown[index + 1 : inner])


def test_the_flow_never_contradicts_the_leading_figures() -> None:
    """57 incident of which 48 at risk would tell 9; the leading figures need the 48."""
    text = text_of(page_of(summary_report(summary_report_sample("real"))).find(".//main"))
    assert "27 of 48 pairs at risk" in text
    assert not re.search(r"\b57\b", text)
    assert "How all pairs divide is hidden" in text


def test_flow_of_made_data_is_whole() -> None:
    sample = summary_report_sample()
    assert [value for _, value in shown_flow(sample.flow, 1)] == [step.pairs for step in sample.flow]


def test_a_burden_class_is_hidden_whole() -> None:
    for row in shown_burden(summary_report_sample().burden, SMALLEST_CELL):
        assert (row.episodes is None) == (row.patients is None)


@given(st.lists(st.floats(0, 3), max_size=20), st.integers(100, 20_000))
def test_curve_steps_are_no_small_cells(steps: list[float], patients: int) -> None:
    level, points = 0.0, []
    for month, step in enumerate(steps):
        level += step
        points.append(BurdenPoint(month, level))
    before = 0.0
    for point in shown_points(points, patients, SMALLEST_CELL):
        assert shown_count(round((point.per_1000 - before) * patients / 1000), SMALLEST_CELL) is not None
        before = point.per_1000


# -------------------------------------------------------------------------------------------------------- summary page


def test_leading_figures_of_made_data() -> None:
    page = page_of(summary_report(summary_report_sample()))
    told = [text_of(figure) for figure in page.xpath("//dl[@class='figures']/div")]
    assert all("data: made" in figure for figure in told)
    assert told[0].startswith(
        "Prioritised before suspicion data: made 56.2% 95% interval 42.0 to 70.0; 27 of 48 pairs at risk"
    )
    assert "412 days 95% interval 250 to 590; over 27 prioritised pairs" in told[1]
    assert "12.4 per 1,000 95% interval 7.1 to 19.9; of 1,440 patients" in told[4]
    assert "not that medicine gains" in text_of(page.find(".//header"))


def test_every_picture_and_table_of_made_data_says_so() -> None:
    page = page_of(summary_report(summary_report_sample()))
    captions = [text_of(caption) for caption in page.xpath("//caption")]
    unmarked = [c for c in captions if "data: made" not in c]
    assert all(c.startswith(("Naming set", "What this run", "RaDaR")) for c in unmarked)
    assert all("data: made" in text_of(p.getprevious()) or "data: made" in text_of(p.getprevious().getprevious())
               for p in page.xpath("//svg[@role='img']"))  # fmt: skip


def test_few_real_cases_are_told_in_a_sentence_and_hidden() -> None:
    text = summary_report(summary_report_sample("real", 9))
    page = page_of(text)
    assert "Fewer than 11 cases were at risk: lines of single cases are not drawn." in page.text_content()
    assert not page.xpath("//svg[contains(@aria-labelledby, 'lead')]")
    for key in ("56.2%", "412 days", "268", "21.3%", "8.1%"):
        assert key not in text
    assert "of 9 pairs" not in text


def test_few_real_leads_are_not_drawn() -> None:
    cases = tuple(CaseLine(n, -900, -300 if n < 5 else None) for n in range(40))
    outcome = {**outcome_sample(40), "prioritised_share": 5 / 40}
    report = dataclasses.replace(summary_report_sample("real"), cases=cases, outcome=outcome)
    page = page_of(summary_report(report))
    assert "Too few cases with or without a lead" in page.text_content()
    assert not page.xpath("//svg[contains(@aria-labelledby, 'lead')]")


def test_marks_of_few_real_cases_are_left_out() -> None:
    cases = [CaseLine(n, -900, -300 if n < 20 else None, -300 if n < 24 else None, 50 if n < 36 else None)
             for n in range(40)]  # fmt: skip
    drawn = drawable_cases(cases, SMALLEST_CELL)
    assert {case.confirmed for case in drawn} == {None} and {case.first for case in drawn} == {None}
    assert drawable_cases(cases, 1) == cases


def test_few_made_cases_are_drawn() -> None:
    page = page_of(summary_report(summary_report_sample("made", 9)))
    assert page.xpath("//svg[contains(@aria-labelledby, 'lead')]")


@given(st.lists(st.tuples(st.integers(-90, -2), st.integers(0, 8)), min_size=11, max_size=20), st.integers(-14, 14))
def test_lines_of_real_cases_do_not_tell_the_day(cases: list[tuple[int, int]], jitter: int) -> None:
    exact = [CaseLine(n, entry * 30, None, None, after * 30) for n, (entry, after) in enumerate(cases)]
    moved = [dataclasses.replace(c, entry=c.entry + jitter, confirmed=(c.confirmed or 0) + jitter) for c in exact]
    assert lead_lines(exact, grain=30) == lead_lines(moved, grain=30)


def test_lead_lines_are_told_in_words_too() -> None:
    cases = (CaseLine(1, -900, -300, -400, 20), CaseLine(2, -500), CaseLine(3, -700, -100, -100, None))
    assert "3 cases at risk; 2 prioritised before suspicion, from 100 to 300 days" in lead_lines(cases)
    assert "none was prioritised" in lead_lines(cases[1:2])


def test_what_was_not_measured_is_not_zero() -> None:
    empty = SummaryReport(NIGHTS, provenance_sample(), patients=50, alerted=0, threshold=0.6, shown_k=5)
    page = page_of(summary_report(empty))
    values = [text_of(value) for value in page.xpath("//dd[contains(@class, 'value')]")]
    assert values == ["not measured"] * 6
    told = page.text_content()
    assert "The leak gate was not run." in told
    assert "Recall of the suspicion detector: not measured" in told
    assert "The nulls were not computed for this run." in told


def test_a_rate_of_a_short_run_is_not_shown_and_a_short_look_is_said() -> None:
    short = {**outcome_sample(), "person_years": 2.0, "false_alerts_per_1000_12m": 0.0, "episodes_per_1000_py": 0.0,
             "ci95": {"false_alerts_per_1000_12m": [0, 1845], "episodes_per_1000_py": [0, 1845]}}  # fmt: skip
    for figure in figures.headlines(short, 240, 1)[4:]:
        assert (figure.value, figure.interval, figure.blank) == ("not shown", "", True)
        assert figure.counted == "fewer than 10 patient-years were followed, too few for a rate"
    longer = short | {"person_years": 40.0, "burden": {"false_alerts_per_1000_12m": {"followed_days_max": 61}}}
    assert figures.headlines(longer, 240, 1)[4].counted == "of 240 patients, followed for 61 days at most"
    report = dataclasses.replace(summary_report_sample(), outcome=short)
    assert "1,845" not in summary_report(report)


def test_few_false_alerts_of_real_patients_are_hidden_wherever_they_would_stand() -> None:
    few = {**outcome_sample(), "false_alerts_per_1000_12m": 3.7}
    told = text_of(page_of(summary_report(dataclasses.replace(summary_report_sample("real"), outcome=few))))
    assert "3.7" not in told


def test_no_case_prioritised_is_no_lead_rather_than_unmeasured() -> None:
    outcome = {**outcome_sample(), "prioritised_share": 0.0, "lead_days_median": None}
    lead = figures.headlines(outcome, 100, 1)[1]
    assert (lead.value, lead.counted) == ("no lead", "over 0 prioritised pairs")


@pytest.mark.parametrize("odd", [math.nan, math.inf, None, "12", True, [1], {}])
def test_odd_figures_are_not_measured(odd: object) -> None:
    outcome = dict.fromkeys(outcome_sample(), odd)
    report = dataclasses.replace(summary_report_sample(), outcome=outcome)
    values = page_of(summary_report(report)).xpath("//dd[contains(@class, 'value')]")
    assert {text_of(value) for value in values} == {"not measured"}


def test_a_result_counts_against_its_worst_null() -> None:
    share = figures.against_nulls(outcome_sample(), 1)[0]
    assert share.worst.value == 0.104
    assert share.clear is True
    weak = outcome_sample()
    weak["nulls"]["within_stratum"]["ci95"]["share_difference"] = [-0.02, 0.6]
    assert figures.against_nulls(weak, 1)[0].clear is False
    text = summary_report(dataclasses.replace(summary_report_sample(), outcome=weak))
    assert "Does not count: the lower bound of observed − worst null is not above zero." in text


def test_a_broken_gate_is_said_at_the_top() -> None:
    broken = {**outcome_sample(), "leak_gate": {"leaks": 2, "documents": 452}}
    page = page_of(summary_report(dataclasses.replace(summary_report_sample(), outcome=broken)))
    assert "The leak gate did not hold" in text_of(page.find(".//header"))
    assert "leak gate" not in text_of(page_of(summary_report(summary_report_sample())).find(".//header"))


def test_a_broken_gate_is_said_aloud() -> None:
    leaking = {**outcome_sample(), "leak_gate": {"leaks": 2, "documents": 10}}
    text = summary_report(dataclasses.replace(summary_report_sample(), outcome=leaking))
    assert "found 2 namings of a disease in the raw text of the 10 documents" in text
    assert "no figure on this page may be quoted" in text
    words, held = figures.gate_words(outcome_sample())
    assert held
    assert words == (
        "Leak gate: a second, independent detector found no naming of a disease in the raw text of the 6,120 documents "
        "that counted as evidence for it. Set aside: 14 as name of a finding."
    )
    unread = {"leak_gate": {"leaks": 0, "documents": 10, "missing_documents": 1}}
    assert figures.gate_words(unread)[1] is False


def test_recall_is_a_share_or_counted_over_planted_namings() -> None:
    planted = {"suspicion_recall": {"n": 200, "recall": 0.9, "ci95": [0.85, 0.94], "by_wording": {}}}
    assert figures.recall_words(planted) == (
        "Recall of the suspicion detector: 90.0% (95% interval 85.0 to 94.0, 200 planted namings); what it misses "
        "lengthens the lead."
    )
    assert "95.8% (95% interval 88.0 to 99.0)" in figures.recall_words(outcome_sample())


def test_ppv_is_a_value_or_a_pair_of_bounds() -> None:
    lines = {line.prevalence: line for line in figures.ppv_lines(outcome_sample(), 1)}
    assert (lines["1/500"].value, lines["1/500"].interval, lines["1/500"].reviewed) == (
        "8.1% to 9.4%",
        "5% to 13%",
        "12",
    )
    assert lines["1/25,000"].value == "0.18%"
    assert figures.ppv_lines({"ppv_by_prevalence": {"1/500": {"low": None}}}, 1)[0].value == "not measured"


def test_rows_by_k_never_tell_a_small_cell() -> None:
    outcome = outcome_sample()
    lines = [line for line in figures.k_lines(outcome, SMALLEST_CELL) if line.mean]
    hits = [round(float(line.share.rstrip("%")) / 100 * 48) for line in lines]
    assert 27 in hits
    assert all(abs(a - b) == 0 or abs(a - b) >= SMALLEST_CELL for a in hits for b in hits)
    whole = figures.k_lines(outcome, 1)
    assert [line.name for line in whole] == ["1", "3", "5", "10"]
    assert whole[-1].share == "not assessed: alerts showed 5"


def test_other_denominators_stand_beside_unless_they_tell_a_small_cell() -> None:
    names = [line.name for line in figures.beside_lines(outcome_sample(), 1)]
    assert names == ["at risk (primary)", "all incident pairs", "against the specific suspicion alone (upper)"]
    assert [line.name for line in figures.beside_lines(outcome_sample(), SMALLEST_CELL)] == ["at risk (primary)"]


def test_published_figures_stand_beside_ours_with_what_is_unknown() -> None:
    page = page_of(summary_report(summary_report_sample()))
    rows = [text_of(row) for row in page.xpath("//table[contains(@class, 'reference')]/tbody/tr")]
    assert any("61.06%" in row and "56.2%" in row and "how suspicion was dated" in row for row in rows)
    assert any("1.87 months" in row and "13.5 months" in row for row in rows)


def test_the_summary_knows_no_patient() -> None:
    names = {field.name for part in (SummaryReport, CaseLine) for field in dataclasses.fields(part)}
    assert not names & {"key", "subject_id", "birth_date", "quote", "sentence"}
    text = summary_report(summary_report_sample())
    assert set(re.findall(r"\d{4}-\d{2}-\d{2}", text)) <= {"2022-01-01", "2025-12-31", "2025-01-16"}


def test_case_numbers_are_as_given() -> None:
    assert [case.order for case in case_lines(3)] == [1, 2, 3]
    assert "case 3: " in lead_lines(case_lines(3)) or "case 1: " in lead_lines(case_lines(3))


def test_templates_ship_with_the_package() -> None:
    assert {path.suffix for path in Path(TEMPLATES).iterdir()} == {".html", ".css"}
