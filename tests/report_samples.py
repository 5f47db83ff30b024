"""Made patients and made figures for the reports: nobody stands behind them.

Texts are written for these tests, in the manner of clinic notes; likelihood ratios are plausible, not computed.
"""

# ruff: noqa: E501  (sentences as notes have them)
from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from zebrawatch.nights import NightRange
from zebrawatch.reports.data import (
    AlertedPatient,
    BurdenClass,
    BurdenPoint,
    CaseLine,
    CommonExplanation,
    Contribution,
    Coverage,
    Encounter,
    Episode,
    ExpectedFinding,
    Finding,
    FlowStep,
    LabMark,
    Lateness,
    NoteMark,
    PatientReport,
    QuarantineReason,
    RankedDisease,
    ReplayReport,
    RowCount,
    Source,
    SummaryReport,
    SuspicionMark,
)
from zebrawatch.reports.statement import Provenance

NIGHTS = NightRange(date(2022, 1, 1), date(2025, 12, 31))
IDENTITY = {
    "code": "zebrawatch 0.1.0, 3f1c9a7",
    "data": "sha256:8e1f…c02b, 31 files, data: made",
    "knowledge": "HPO 2025-01-16, Orphanet 2025-12, sha256:51d0…9aa4",
    "background": "background@2025-12",
    "naming set": "sha256:77ab…10fe",
    "policy": "threshold 0.60, K = 5, persistence 0",
    "protocol": "sha256:0c44…e1b9",
    "configuration": "sha256:ab90…7712",
}


@dataclass(frozen=True)
class Told:
    """A finding as a note tells it; the quote stands in square brackets."""

    hpo_id: str
    label: str
    sentence: str
    kind: str
    weight: float
    assertion: str = "present"
    origin: str = "text"


@dataclass(frozen=True)
class Picture:
    """A disease with what is told of it, what it resembles, and what is expected of it."""

    disease_id: str
    name: str
    told: tuple[Told, ...]
    alike: tuple[tuple[str, str, float], ...]
    expected: tuple[tuple[str, str, float | None], ...]
    common: CommonExplanation | None = None
    test: str | None = None


FABRY = Picture(
    "OMIM:301500",
    "Fabry disease",
    (
        Told(
            "HP:0031006",
            "Acroparesthesia",
            "Since school age [burning pain in hands and feet], worse with fever and "
            "exercise; paracetamol does little.",
            "Primary care visit",
            1.52,
        ),
        Told(
            "HP:0002014",
            "Diarrhea",
            "Cramps and [loose stools] most days after meals, weight steady.",
            "Primary care visit",
            0.21,
        ),
        Told("HP:0000966", "Hypohidrosis", "Says she [hardly sweats], avoids sport in summer.", "Telephone note", 1.31),
        Told(
            "HP:0000093",
            "Proteinuria",
            "[Protein/creatinine ratio in urine 84 mg/mmol (H)], reference below 15",
            "Laboratory",
            0.94,
            origin="lab",
        ),
        Told("HP:0000360", "Tinnitus", "C/o [ringing in both ears] x 3 mo, audiogram booked.", "ENT letter", 0.42),
        Told(
            "HP:0001712",
            "Left ventricular hypertrophy",
            "Echo: [concentric LVH], septum 14 mm, good systolic function, no outflow gradient.",
            "Cardiology letter",
            0.83,
        ),
        Told(
            "HP:0001014",
            "Angiokeratoma",
            "Several [dark red papules around the umbilicus], do not blanch, looked at as angiokeratomas.",
            "Dermatology consult",
            2.37,
        ),
        Told(
            "HP:0001250", "Seizure", "[No seizures], no loss of consciousness.", "Neurology consult", -0.04, "negated"
        ),
        Told("HP:0002829", "Arthralgia", "[Knees ache] in the mornings, no swelling.", "Primary care visit", -0.18),
    ),
    (
        ("ORPHA:658549", "Idiopathic small fibers neuropathy", -1.6),
        ("OMIM:609241", "Schindler disease, type I", -2.9),
        ("ORPHA:774", "Hereditary hemorrhagic telangiectasia", -4.1),
        ("OMIM:230800", "Gaucher disease, type I", -4.6),
    ),
    (
        ("HP:0500008", "Cornea verticillata", 0.76),
        ("HP:0001297", "Stroke", 0.24),
        ("HP:0000365", "Hearing impairment", 0.55),
    ),
    CommonExplanation(
        "Irritable bowel syndrome with anxiety",
        ("Diarrhea", "Arthralgia"),
        "problem list, since 2023; leaves five open",
    ),
    "alpha-galactosidase A activity in leukocytes; in women GLA sequencing, as activity may be normal",
)

NIEMANN_PICK = Picture(
    "OMIM:257220",
    "Niemann-Pick disease, type C1",
    (
        Told(
            "HP:0006579",
            "Prolonged neonatal jaundice",
            "PMH: [jaundiced for 7 weeks as a newborn], settled by itself.",
            "Discharge summary",
            1.11,
        ),
        Told(
            "HP:0001744", "Splenomegaly", "Abdomen soft, [spleen 3 cm below costal margin].", "Primary care visit", 1.05
        ),
        Told(
            "HP:0002066", "Gait ataxia", "[Wide-based, unsteady gait], cannot tandem walk.", "Neurology consult", 0.72
        ),
        Told("HP:0001260", "Dysarthria", "Speech [slurred], school notices too.", "School nurse letter", 0.38),
        Told(
            "HP:0000511",
            "Vertical supranuclear gaze palsy",
            "[Vertical saccades absent], pursuit down slow; moves the head instead.",
            "Neurology consult",
            2.81,
        ),
        Told(
            "HP:0002524",
            "Cataplexy",
            "When he laughs his [knees give way], never loses consciousness.",
            "Primary care visit",
            1.94,
        ),
        Told("HP:0001250", "Seizure", "[Denies seizures].", "Neurology consult", -0.15, "negated"),
        Told(
            "HP:0001945",
            "Fever",
            "[Temp 38.9] today with sore throat.",
            "Urgent care note",
            -0.22,
            origin="measurement",
        ),
    ),
    (
        ("OMIM:231000", "Gaucher disease, type III", -1.1),
        ("OMIM:277900", "Wilson disease", -2.6),
        ("OMIM:213700", "Cerebrotendinous xanthomatosis", -2.8),
        ("OMIM:230800", "Gaucher disease, type I", -3.9),
    ),
    (("HP:0100543", "Cognitive impairment", 0.8), ("HP:0002015", "Dysphagia", 0.64), ("HP:0000709", "Psychosis", 0.33)),
)

WILSON = Picture(
    "OMIM:277900",
    "Wilson disease",
    (
        Told(
            "HP:0031964",
            "Elevated circulating alanine aminotransferase concentration",
            "[ALT 143 U/L (HH)], reference 7 to 35",
            "Laboratory",
            0.44,
            origin="lab",
        ),
        Told(
            "HP:0001337", "Tremor", "Coarse [shaking of both hands], worse holding a cup.", "Primary care visit", 0.61
        ),
        Told("HP:0000716", "Depression", "[Low mood] since spring, sertraline started.", "Psychiatry letter", 0.09),
        Told("HP:0001260", "Dysarthria", "[Speech has become indistinct].", "Neurology consult", 0.55),
        Told(
            "HP:0010837",
            "Decreased circulating ceruloplasmin concentration",
            "[Ceruloplasmin 0.08 g/L (L)], reference 0.20 to 0.60",
            "Laboratory",
            2.44,
            origin="lab",
        ),
        Told(
            "HP:0200032",
            "Kayser-Fleischer ring",
            "Slit lamp: [no KF rings] seen, mild cataract left.",
            "Ophthalmology consult",
            -0.86,
            "negated",
        ),
    ),
    (
        ("OMIM:257220", "Niemann-Pick disease, type C1", -1.3),
        ("OMIM:213700", "Cerebrotendinous xanthomatosis", -2.0),
        ("OMIM:231000", "Gaucher disease, type III", -2.2),
        ("OMIM:263800", "Gitelman syndrome", -3.8),
    ),
    (("HP:0001394", "Cirrhosis", 0.45), ("HP:0001878", "Hemolytic anemia", 0.12), ("HP:0001332", "Dystonia", None)),
    CommonExplanation("Alcohol-related liver disease", ("Tremor",), "problem list: 'drinks 2 units a week'"),
    "copper in 24-hour urine; ATP7B sequencing",
)

TELANGIECTASIA = Picture(
    "OMIM:187300",
    "Telangiectasia, hereditary hemorrhagic, type 1",
    (
        Told(
            "HP:0000421",
            "Epistaxis",
            "[Nosebleeds] twice a week since childhood, packed once in the ED.",
            "Emergency department note",
            0.88,
        ),
        Told(
            "HP:0001891",
            "Iron deficiency anemia",
            "[Hb 91 g/L (L), ferritin 5 µg/L (L)]",
            "Laboratory",
            0.57,
            origin="lab",
        ),
        Told("HP:0001009", "Telangiectasia", "[Pinpoint red spots on lips and tongue].", "Dental note", 1.63),
        Told("HP:0002094", "Dyspnea", "[SOB] climbing one flight, sats 93% upright.", "Primary care visit", 0.12),
        Told("HP:0002076", "Migraine", "[Migraine] with aura, monthly.", "Neurology consult", 0.35),
        Told(
            "HP:0006548",
            "Pulmonary arteriovenous malformation",
            "CT chest: [feeding vessel and sac, right lower lobe]; no pulmonary embolism.",
            "Radiology report",
            2.66,
        ),
        Told("HP:0002239", "Gastrointestinal hemorrhage", "[No melaena].", "Primary care visit", -0.11, "negated"),
    ),
    (
        ("OMIM:600376", "Telangiectasia, hereditary hemorrhagic, type 2", -0.2),
        ("OMIM:175050", "Juvenile polyposis/hereditary hemorrhagic telangiectasia syndrome", -0.9),
        ("OMIM:615506", "Telangiectasia, hereditary hemorrhagic, type 5", -1.2),
        ("OMIM:610655", "Telangiectasia, hereditary hemorrhagic, type 4", -1.3),
    ),
    (("HP:0002239", "Gastrointestinal hemorrhage", 0.28), ("HP:0001297", "Stroke", 0.1)),
)

PICTURES = (FABRY, NIEMANN_PICK, WILSON, TELANGIECTASIA)
NOTE_KINDS = ("Progress note", "Nursing note", "Telephone note", "Letter", "Emergency department note")
LABS = (("Creatinine", "71 µmol/L"), ("Haemoglobin", "128 g/L"), ("ALT", "31 U/L"), ("Sodium", "139 mmol/L"))


def marked(text: str) -> tuple[str, int, int]:
    """`a [b] c` as the sentence `a b c` with the quote's span."""
    start, end = text.index("["), text.index("]") - 1
    return text.replace("[", "", 1).replace("]", "", 1), start, end


def finding_of(told: Told, day: date, number: int, mentions: int = 1) -> Finding:
    sentence, start, end = marked(told.sentence)
    return Finding(
        told.hpo_id, told.label, told.assertion, told.origin, day + timedelta(days=number % 2),
        Source(f"DocumentReference/n{number}", told.kind, day, "physician" if number % 3 and told.origin == "text" else None),
        sentence, start, end, mentions,
    )  # fmt: skip


def ranked(picture: Picture, findings: tuple[Finding, ...], draw: random.Random) -> tuple[RankedDisease, ...]:
    """The disease itself, then those alike, each with every finding's contribution."""
    told = {item.label: item.weight for item in picture.told}
    known = {finding.label: finding for finding in findings}
    diseases = []
    for rank, (disease_id, name, less) in enumerate(((picture.disease_id, picture.name, 0.0), *picture.alike), start=1):
        share = less / max(len(findings), 1)
        parts = [
            Contribution(f.label, round(told[f.label] + share + (draw.gauss(0, 0.2) if less else 0), 2), f,
                         "Abnormality of the eye" if rank == 2 and f.hpo_id == "HP:0000511" else None)
            for f in findings
        ]  # fmt: skip
        parts.append(Contribution("Age at first finding", round(0.12 + share / 4, 2)))
        expected = (
            tuple(ExpectedFinding(hpo, label, share_of, known.get(label)) for hpo, label, share_of in picture.expected)
            if rank == 1
            else ()
        )
        score = round(sum(part.log10_lr for part in parts), 2)
        posterior = min(0.97, max(0.001, draw.choice((0.82, 0.64, 0.31)) * 10 ** (less * 1.1)))
        diseases.append(
            RankedDisease(rank, disease_id, name, score, posterior, tuple(parts), expected,
                          picture.test if rank == 1 else None)
        )  # fmt: skip
    return tuple(diseases)


def alerted_patient(number: int, seed: int = 7) -> AlertedPatient:
    """One made alerted patient; the same number gives the same patient."""
    draw = random.Random(seed * 100_003 + number)
    picture = PICTURES[number % len(PICTURES)]
    entry = date(2019, 1, 15) + timedelta(days=draw.randrange(900))
    days = sorted(entry + timedelta(days=draw.randrange(60, 1500)) for _ in picture.told)
    findings = tuple(
        finding_of(told, day, number * 40 + i, draw.choice((1, 1, 1, 3, 6)))
        for i, (told, day) in enumerate(zip(picture.told, days, strict=True))
    )
    heavy = [finding for finding, told in zip(findings, picture.told, strict=True) if told.weight >= 0.8]
    raised = max(finding.known_night for finding in heavy)
    last = date(2025, 12, 31)
    known = tuple(finding for finding in findings if finding.known_night <= raised)
    visits = sorted({day - timedelta(days=draw.randrange(3)) for day in days}
                    | {entry + timedelta(days=draw.randrange(2200)) for _ in range(16)})  # fmt: skip
    suspected = raised + timedelta(days=draw.randrange(90, 900)) if number % 3 != 1 else None
    if suspected and suspected > last:
        suspected = None
    episodes = [
        Episode(
            raised,
            suspected,
            "suspected" if suspected else None,
            raised,
            backlog=number % 11 == 5,
            shown_changes=(raised + timedelta(days=61),) if number % 5 == 1 else (),
        )
    ]
    if number % 7 == 3:
        early = entry + timedelta(days=40)
        episodes.insert(0, Episode(early, early + timedelta(days=120), "below threshold", early))
    suspicions: tuple[SuspicionMark, ...] = ()
    if suspected:
        suspicions = (
            SuspicionMark(suspected, "general", None, "referral", "refer to clinical genetics"),
            SuspicionMark(suspected + timedelta(days=25), "specific", picture.name, "name", f"?{picture.name}"),
        )
        if suspected + timedelta(days=140) < last:
            suspicions += (SuspicionMark(suspected + timedelta(days=140), "confirmed", picture.name, "code", None),)
    return AlertedPatient(
        key=f"{draw.getrandbits(63):019d}",
        sex="female" if picture is FABRY or (number % 8 > 3 and picture is not NIEMANN_PICK) else "male",
        birth_date=date(1974 + draw.randrange(40), draw.randrange(1, 13), draw.randrange(1, 28)),
        entry_night=entry,
        last_night=last,
        episodes=tuple(episodes),
        diseases=ranked(picture, known, draw),
        findings=findings,
        encounters=tuple(
            Encounter(day, day + timedelta(days=6) if i % 9 == 4 else None, "inpatient stay" if i % 9 == 4 else "visit")
            for i, day in enumerate(visits)
        ),
        notes=tuple(
            NoteMark(day, draw.choice(NOTE_KINDS), scored=not (suspected and day >= suspected)) for day in visits
        )
        + tuple(NoteMark(f.source.day, f.source.kind) for f in findings if f.source.day),
        labs=tuple(LabMark(day, *draw.choice(LABS), draw.choice(("N", "N", "N", "H", None))) for day in visits[::2]),
        suspicions=suspicions,
        common_explanations=(picture.common,) if picture.common else (),
        death=None,
        previous_p_note="below the threshold on all 41 scored nights before" if number % 2 == 0 else None,
        p_any=(0.009, 0.2, 0.7)[number % 3],
    )


def provenance_sample(data_kind: str = "made") -> Provenance:
    return Provenance(data_kind, ("evidence",), "HPO 2025-01-16, Orphanet 2025-12", date(2025, 12, 31))


def patient_report_sample(n: int = 6, data_kind: str = "made") -> PatientReport:
    """A patient-level report of `n` made alerted patients."""
    return PatientReport(
        NIGHTS,
        provenance_sample(data_kind),
        max(240, n * 4),
        0.6,
        5,
        tuple(alerted_patient(i) for i in range(n)),
        IDENTITY,
    )


def case_lines(n: int, seed: int = 11) -> tuple[CaseLine, ...]:
    draw = random.Random(seed)
    lines = []
    for order in range(1, n + 1):
        entry = -draw.randrange(200, 2600)
        first = -draw.randrange(1, -entry) if draw.random() < 0.7 else None
        sustained = first if first and draw.random() < 0.8 else None
        if first and sustained is None and draw.random() < 0.5:
            sustained = first // 3 or None
        confirmed = draw.randrange(20, 500) if draw.random() < 0.8 else None
        lines.append(CaseLine(order, entry, sustained, first, confirmed))
    return tuple(lines)


def null_sample(share: float, lead: float, share_ci: list[float], lead_ci: list[float]) -> dict[str, Any]:
    """One null in the form of zebrawatch.outcome.nulls.compare."""
    return {
        "share": share, "lead_days_mean": lead,
        "share_difference": 0.5625 - share, "lead_difference": 268.4 - lead,
        "ci95": {"share_difference": share_ci, "lead_difference": lead_ci},
    }  # fmt: skip


def outcome_sample(at_risk: int = 48) -> dict[str, Any]:
    """Figures in the form of `replay --json`."""
    return {
        "at_risk": at_risk,
        "incident": at_risk + 9,
        "prioritised_share": 0.5625,
        "lead_days_median": 412.0,
        "lead_days_mean_unconditional": 268.4,
        "interval_share": 0.213,
        "episodes_per_1000_py": 21.7,
        "false_alerts_per_1000_12m": 12.4,
        "person_years": 5120.0,
        "ppv_by_prevalence": {
            "1/500": {"prevalence": 0.002, "low": 0.081, "high": 0.094, "ci95": [0.05, 0.13], "number_needed_to_review": 12.3},
            "1/2,000": {"prevalence": 0.0005, "low": 0.022, "high": 0.025, "ci95": [0.013, 0.036], "number_needed_to_review": 45.5},
            "1/10,000": {"prevalence": 0.0001, "low": 0.0044, "high": 0.0051, "ci95": None, "number_needed_to_review": 227.0},
            "1/25,000": {"prevalence": 0.00004, "low": 0.0018, "high": 0.0018, "ci95": None, "number_needed_to_review": None},
        },
        "nulls": {
            "observed": {"share": 0.5625, "lead_days_mean": 268.4},
            "n": at_risk,
            "within_stratum": null_sample(0.104, 61.0, [0.31, 0.60], [120.0, 310.0]),
            "random_timing": null_sample(0.031, 18.0, [0.39, 0.67], [160.0, 340.0]),
            "utilisation": null_sample(0.083, 44.0, [0.33, 0.62], [131.0, 322.0]),
            "worst_share": "within_stratum", "worst_lead": "within_stratum", "counts": True,
        },
        "leak_gate": {"passed": True, "leaks": 0, "by_how": {}, "set_aside": {"name of a finding": 14}, "documents": 6120,
                      "checked": 8903, "missing_documents": 0},
        "suspicion_recall": 0.958,
        "ci95": {
            "prioritised_share": [0.42, 0.70], "lead_days_median": [250.0, 590.0],
            "lead_days_mean_unconditional": [170.0, 371.0], "interval_share": [0.14, 0.29],
            "episodes_per_1000_py": [17.9, 26.0], "false_alerts_per_1000_12m": [7.1, 19.9],
            "suspicion_recall": [0.88, 0.99],
        },
        "by_k": {
            "1": {"prioritised_share": 0.29, "lead_days_median": 398.0, "lead_days_mean_unconditional": 140.2},
            "3": {"prioritised_share": 0.46, "lead_days_median": 405.0, "lead_days_mean_unconditional": 221.0},
            "5": {"prioritised_share": 0.5625, "lead_days_median": 412.0, "lead_days_mean_unconditional": 268.4},
            "10": "not assessed: alerts showed 5",
        },
        "lead": {"n": at_risk, "prioritised_share": 0.5625, "lead_days_median": 412.0, "lead_days_mean_unconditional": 268.4},
        "incident_pairs": {"n": at_risk + 9, "prioritised_share": 27 / 57, "lead_days_median": 412.0, "lead_days_mean_unconditional": 226.0},
        "upper": {"n": at_risk, "prioritised_share": 29 / 48, "lead_days_median": 440.0, "lead_days_mean_unconditional": 301.0},
        "phenotype_names_counted": "not assessed",
    }  # fmt: skip


def summary_report_sample(data_kind: str = "made", cases: int = 48) -> SummaryReport:
    """A summary of a made hospital, called `data_kind`."""
    curve = [BurdenPoint(m, 2.4 + 0.85 * m - 0.012 * m * m, 1.2 + 0.6 * m - 0.012 * m * m, 4.4 + 1.1 * m - 0.012 * m * m)
             for m in range(0, 37, 3)]  # fmt: skip
    return SummaryReport(
        nights=NIGHTS,
        provenance=provenance_sample(data_kind),
        patients=1440,
        alerted=96,
        threshold=0.6,
        shown_k=5,
        outcome=outcome_sample(cases),
        cases=case_lines(cases),
        flow=(
            FlowStep("labelled pairs", cases + 33),
            FlowStep("incident", cases + 9, 1),
            FlowStep("at risk: scored before suspicion", cases, 2),
            FlowStep("first contact: suspected on the night of entry", 9, 2),
            FlowStep("prevalent: named or treated within 30 days of entry", 20, 1),
            FlowStep("not in the knowledge: counts as a miss", 4, 1),
        ),
        burden=(
            BurdenClass("early hit", round(0.5625 * cases), round(0.5625 * cases)),
            BurdenClass("hit after suspicion", 3, 3),
            BurdenClass("known at entry", 12, 12),
            BurdenClass("family or gene hit", 5, 5),
            BurdenClass("wrong list in a patient with a rare disease", 14, 13),
            BurdenClass("no rare disease after 24 months of follow-up", 29, 26),
            BurdenClass("undetermined", 21, 20),
        ),
        cumulative=tuple(curve),
        rows=(
            RowCount("patients", 1440, 1440), RowCount("notes", 61_204, 1440), RowCount("events", 804_112, 1440),
            RowCount("findings", 212_908, 1391), RowCount("candidates", 391_020, 1391), RowCount("flags", 311, 96),
        ),
        quarantine=(
            QuarantineReason("DocumentReference", "no text", 41),
            QuarantineReason("Observation", "no subject", 7),
            QuarantineReason("DocumentReference", "dated in the future", 2),
            QuarantineReason("(unreadable)", "not JSON", 1),
        ),
        lateness=(
            Lateness("DocumentReference", 61_204, 0.4, 2.0, {"version": 58_010, "filed": 3_194}),
            Lateness("Observation", 610_003, 0.1, 1.0, {"filed": 610_003}),
            Lateness("Condition", 44_870, 1.0, 31.0, {"filed": 12_118, "date": 32_752}),
        ),
        coverage=(
            Coverage("name", 12_679),
            Coverage("synonym", 9_960),
            Coverage("gene", 5_101),
            Coverage("code", 8_104),
            Coverage("drug", None),
            Coverage("test", None),
        ),
        duplication_rate=0.183,
        identity=IDENTITY,
        seconds=412.0,
    )  # fmt: skip


def cell_sample(n: int, share: float, lead: float) -> dict[str, Any]:
    return {
        "n": n, "prioritised_share": share, "lead_days_median": lead * 1.6, "lead_days_mean_unconditional": lead,
        "ci95": {"prioritised_share": [max(0, share - 0.14), min(1, share + 0.13)],
                 "lead_days_mean_unconditional": [lead * 0.6, lead * 1.5]},
    }  # fmt: skip


def replay_report_sample(data_kind: str = "made") -> ReplayReport:
    """A replay of a made hospital, called `data_kind`."""
    summary = summary_report_sample(data_kind, 144)
    small = {"n": "below 11"}
    outcome = outcome_sample(144) | {
        "flow": {"pairs": 236, "excluded: unknown patient": 12, "excluded: gene id as label": 14, "prevalent": 35,
                 "not in the knowledge": 12, "first contact": 19, "at risk": 144},
        "problems": {"unknown patient": 12, "gene id as label": 14, "two suspicion dates": 3},
        "label_source": "labels",
        "by_subgroup": {
            "sex": {"female": cell_sample(80, 0.6, 290), "male": cell_sample(64, 33 / 64, 241)},
            "age_band": {"under 1": small, "1-17": cell_sample(61, 38 / 61, 301), "18-64": cell_sample(60, 0.5, 220),
                         "65 and over": small},
            "race_ethnicity": {"Asian": small, "White, Not Hispanic or Latino": cell_sample(101, 58 / 101, 277),
                               "unknown": small},
            "note_density": {"low": cell_sample(48, 0.375, 150), "middle": cell_sample(48, 28 / 48, 270),
                             "high": cell_sample(48, 35 / 48, 385)},
            "language": "not assessed",
        },
        "by_look_back": {"under 1 years": small, "1 to 3 years": cell_sample(60, 0.5, 190),
                         "3 years and more": cell_sample(73, 45 / 73, 350)},
        "by_rule_grade": {"version": cell_sample(100, 0.56, 270), "filed": cell_sample(44, 25 / 44, 260)},
        "by_threshold": [
            {"threshold": t, "protocol": t == 0.6, "prioritised_share": s / 144, "false_alerts_per_1000_12m": f}
            for t, s, f in ((0.1, 125, 71.0), (0.2, 112, 42.0), (0.4, 97, 22.0), (0.6, 81, 12.4), (0.8, 52, 4.1))
        ],
        "calibration": {
            "n": 1100, "events": 96, "brier": 0.061, "auc": 0.81, "stated_mean": 0.101, "happened_mean": 0.087,
            "slope": 0.74, "intercept": -0.2, "landmark_days": 365,
            "bins": [{"n": 220, "stated": s, "happened": h, "ci95": [max(0, h - 0.03), h + 0.05]}
                     for s, h in ((0.002, 0.0), (0.01, 0.0), (0.05, 0.06), (0.12, 0.11), (0.42, 0.27))],
        },
        "single_version": {"pairs": 20, "without": cell_sample(124, 70 / 124, 266)},
    }  # fmt: skip
    curves = {
        name: tuple((30.4 * m, most * (1 - 0.93**m)) for m in range(1, 25))
        for name, most in (("alert", 0.09), ("suspicion", 0.055), ("death", 0.03))
    }
    return ReplayReport(dataclasses.replace(summary, outcome=outcome), "note", curves)
