"""How a finding comes to be in a chart: complained of, seen, measured or shown; by which clinic and investigation."""

from __future__ import annotations

import re
from typing import Literal

from zebrawatch.demo.profiles import read_table
from zebrawatch.knowledge.ontology import Ontology

# Clinic that sees a finding, and investigation that shows it, by the branch of HPO it lies under; the first that fits.
CLINICS: tuple[tuple[str, str, str], ...] = (
    ("HP:0000364", "ENT", "Audiogram"),
    ("HP:0012443", "neurology", "MRI brain"),
    ("HP:0000707", "neurology", "MRI brain"),
    ("HP:0003011", "neurology", "EMG"),
    ("HP:0001627", "cardiology", "Echocardiogram"),
    ("HP:0001626", "cardiology", "CT angiogram"),
    ("HP:0000077", "nephrology", "US renal tract"),
    ("HP:0000119", "urology", "US pelvis"),
    ("HP:0000478", "ophthalmology", "Slit lamp and fundus photo"),
    ("HP:0002086", "respiratory", "CT chest"),
    ("HP:0001871", "haematology", "Blood film"),
    ("HP:0025031", "gastroenterology", "US abdomen"),
    ("HP:0000818", "endocrinology", "US neck"),
    ("HP:0001574", "dermatology", "Skin photographs"),
    ("HP:0000924", "orthopaedics", "X-ray"),
    ("HP:0002715", "rheumatology", "US abdomen"),
)

Manner = Literal["symptom", "sign", "lab", "study"]

_LAB = re.compile(
    r"(?:emia|penia|cytosis|philia|alkalosis|acidosis)\b|(?:protein|glucos|amino|phosphat|calci|globin)\w*uria|"
    r"circulating|serum|plasma|urinary \w+ (?:level|conc)|blood (?:level|conc)|concentration|\blevel|antibod|enzyme",
    re.I,
)
_STUDY = re.compile(
    r"atrophy of|cerebral|cerebell(?:ar|um) (?:atrophy|hypo)|white matter|basal ganglia|ventric|aneurysm|dilat|"
    r"stenosis|hypertroph|calcif|cyst|effusion|vertebra|epiphys|metaphys|ossif|osteo|fracture|regurgitation|prolapse|septal|lith|"
    r"hydroneph|calcinosis|conduction velocity|EMG|EEG|electro|fibrosis|scleros|hypoplasia|agenesis|leuko(?:en|dys)|"
    r"infarct|angioma|lipoma|tumou?r|neoplasm|carcinoma|adenoma|cardiomyopathy|bone density|bronchiectasis|emphysema|"
    r"polyp|varices|infiltrat",
    re.I,
)
_SIGN = re.compile(
    r"reflex|clonus|nystagmus|hypotonia|rigidity|spastic|murmur|megaly|contracture|scoliosis|kyphosis|lordosis|pectus|stature|"
    r"gait|sensory|dermat|macule|papule|telangi|nail|hair|ptosis|strabismus|cephaly|tongue|palate|edema|hypermobil|striae",
    re.I,
)
_SIGN_ROOTS = (
    "HP:0000152",
    "HP:0001574",
    "HP:0040064",
    "HP:0012372",
)  # head and neck, integument, limbs, eye morphology
_SYMPTOM = re.compile(
    r"pain|ache|algia|itus\b|fatigue|cramp|cough|vomit|nausea|constipat|diarrh|seizure|palpit|insomnia|anxiety", re.I
)


class Manners:
    """The manner, clinic and investigation of every finding."""

    def __init__(self, ontology: Ontology) -> None:
        self._ontology = ontology
        ids = {term.name: term.id for term in ontology.terms.values()}
        self.labs = {ids[row["finding"]]: row for row in read_table("labs.csv") if row["finding"] in ids}
        """Rows of labs.csv by HPO id."""

    def clinic_of(self, term_id: str) -> str:
        """The clinic that sees a finding."""
        return next((clinic for root, clinic, _ in CLINICS if self._ontology.under(term_id, root)), "internal medicine")

    def study_of(self, term_id: str) -> str:
        """The investigation that would show a finding."""
        return next((study for root, _, study in CLINICS if self._ontology.under(term_id, root)), "CT abdomen")

    def of(self, term_id: str) -> Manner:
        """Whether a finding is complained of, seen, measured in a laboratory or shown by an investigation."""
        label = self._ontology.terms[term_id].name
        if _SYMPTOM.search(label):
            return "symptom"
        if term_id in self.labs or _LAB.search(label):
            return "lab"
        if any(self._ontology.under(term_id, root) for root in _SIGN_ROOTS) or _SIGN.search(label):
            return "sign"
        return "study" if _STUDY.search(label) else "symptom"
