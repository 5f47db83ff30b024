"""Typed shapes of the FHIR R4 resources the screen reads: what must hold for a resource to be usable.

Only the elements that are read are declared, with the cardinality of R4 (https://hl7.org/fhir/R4/); the rest of a
resource is passed over. Every element is optional here, because the rules on what must be present (id, patient, time,
content) are stated once, in `zebrawatch.fhir.rows`. A declared element of the wrong type refuses the resource.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

# FHIR's own element names are kept: they are looked up in its pages.
# ruff: noqa: N815

NO_DATA = msgspec.Raw()  # an element that was not sent


class Element(msgspec.Struct, gc=False):
    """Base of data types."""


class Coding(Element):
    """https://hl7.org/fhir/R4/datatypes.html#Coding"""

    system: str | None = None
    code: str | None = None
    display: str | None = None


class CodeableConcept(Element):
    """https://hl7.org/fhir/R4/datatypes.html#CodeableConcept"""

    coding: list[Coding] | None = None
    text: str | None = None


class Reference(Element):
    """https://hl7.org/fhir/R4/references.html"""

    reference: str | None = None
    type: str | None = None
    display: str | None = None


class Period(Element):
    """https://hl7.org/fhir/R4/datatypes.html#Period"""

    start: str | None = None
    end: str | None = None


class Quantity(Element):
    """https://hl7.org/fhir/R4/datatypes.html#Quantity"""

    value: float | None = None
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class Range(Element):
    """https://hl7.org/fhir/R4/datatypes.html#Range"""

    low: Quantity | None = None
    high: Quantity | None = None


class Ratio(Element):
    """https://hl7.org/fhir/R4/datatypes.html#Ratio"""

    numerator: Quantity | None = None
    denominator: Quantity | None = None


class Meta(Element):
    """https://hl7.org/fhir/R4/resource.html#Meta"""

    lastUpdated: str | None = None
    source: str | None = None
    security: list[Coding] | None = None
    tag: list[Coding] | None = None


class Attachment(Element):
    """https://hl7.org/fhir/R4/datatypes.html#Attachment; `data` stays undecoded JSON until it is wanted."""

    contentType: str | None = None
    data: msgspec.Raw = NO_DATA
    url: str | None = None
    title: str | None = None


class Narrative(Element):
    """https://hl7.org/fhir/R4/narrative.html"""

    div: str | None = None


class Annotation(Element):
    """https://hl7.org/fhir/R4/datatypes.html#Annotation"""

    text: str | None = None


class Extension(Element):
    """https://hl7.org/fhir/R4/extensibility.html; the values that US Core race and ethnicity use."""

    url: str | None = None
    extension: list[Extension] | None = None
    valueString: str | None = None
    valueCoding: Coding | None = None


class Contained(Element):
    """A resource inside a resource: a Medication, or the Binary of an attachment."""

    resourceType: str | None = None
    id: str | None = None
    code: CodeableConcept | None = None
    contentType: str | None = None
    data: msgspec.Raw = NO_DATA


class Resource(msgspec.Struct, gc=False, tag_field="resourceType"):
    """Base of resources: the resourceType picks the shape."""

    id: str | None = None
    meta: Meta | None = None


class Skipped(msgspec.Struct, gc=False, tag_field="resourceType"):
    """A resource that carries nothing the screen reads."""


class Link(Element):
    """https://hl7.org/fhir/R4/patient-definitions.html#Patient.link"""

    other: Reference | None = None
    type: str | None = None


class Communication(Element):
    """https://hl7.org/fhir/R4/patient-definitions.html#Patient.communication"""

    language: CodeableConcept | None = None
    preferred: bool | None = None


class Patient(Resource, tag=True):
    """https://hl7.org/fhir/R4/patient.html"""

    gender: str | None = None
    birthDate: str | None = None
    deceasedBoolean: bool | None = None
    deceasedDateTime: str | None = None
    extension: list[Extension] | None = None
    communication: list[Communication] | None = None
    link: list[Link] | None = None


class Coverage(Resource, tag=True):
    """https://hl7.org/fhir/R4/coverage.html"""

    status: str | None = None
    type: CodeableConcept | None = None
    beneficiary: Reference | None = None
    period: Period | None = None
    payor: list[Reference] | None = None


class DocumentContent(Element):
    """https://hl7.org/fhir/R4/documentreference-definitions.html#DocumentReference.content"""

    attachment: Attachment | None = None


class DocumentContext(Element):
    """https://hl7.org/fhir/R4/documentreference-definitions.html#DocumentReference.context"""

    encounter: list[Reference] | None = None
    period: Period | None = None


class RelatesTo(Element):
    """DocumentReference.relatesTo and Composition.relatesTo."""

    code: str | None = None
    target: Reference | None = None
    targetReference: Reference | None = None


class DocumentReference(Resource, tag=True):
    """https://hl7.org/fhir/R4/documentreference.html"""

    status: str | None = None
    docStatus: str | None = None
    type: CodeableConcept | None = None
    subject: Reference | None = None
    date: str | None = None
    author: list[Reference] | None = None
    relatesTo: list[RelatesTo] | None = None
    securityLabel: list[CodeableConcept] | None = None
    content: list[DocumentContent] | None = None
    context: DocumentContext | None = None
    contained: list[Contained] | None = None


class DiagnosticReport(Resource, tag=True):
    """https://hl7.org/fhir/R4/diagnosticreport.html"""

    status: str | None = None
    category: list[CodeableConcept] | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    issued: str | None = None
    performer: list[Reference] | None = None
    conclusion: str | None = None
    conclusionCode: list[CodeableConcept] | None = None
    presentedForm: list[Attachment] | None = None
    contained: list[Contained] | None = None


class Section(Element):
    """https://hl7.org/fhir/R4/composition-definitions.html#Composition.section"""

    title: str | None = None
    code: CodeableConcept | None = None
    text: Narrative | None = None
    section: list[Section] | None = None


class CompositionEvent(Element):
    """https://hl7.org/fhir/R4/composition-definitions.html#Composition.event"""

    period: Period | None = None


class Composition(Resource, tag=True):
    """https://hl7.org/fhir/R4/composition.html"""

    status: str | None = None
    type: CodeableConcept | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    date: str | None = None
    author: list[Reference] | None = None
    title: str | None = None
    confidentiality: str | None = None
    relatesTo: list[RelatesTo] | None = None
    event: list[CompositionEvent] | None = None
    section: list[Section] | None = None
    text: Narrative | None = None


class ReferenceRange(Element):
    """https://hl7.org/fhir/R4/observation-definitions.html#Observation.referenceRange"""

    low: Quantity | None = None
    high: Quantity | None = None
    type: CodeableConcept | None = None
    text: str | None = None


class Measured(Resource):
    """What an Observation and its components share: a code, a value, how it is judged."""

    code: CodeableConcept | None = None
    valueQuantity: Quantity | None = None
    valueCodeableConcept: CodeableConcept | None = None
    valueString: str | None = None
    valueBoolean: bool | None = None
    valueInteger: int | None = None
    valueRange: Range | None = None
    valueRatio: Ratio | None = None
    valueTime: str | None = None
    valueDateTime: str | None = None
    valuePeriod: Period | None = None
    interpretation: list[CodeableConcept] | None = None
    referenceRange: list[ReferenceRange] | None = None


class Component(Element):
    """https://hl7.org/fhir/R4/observation-definitions.html#Observation.component"""

    code: CodeableConcept | None = None
    valueQuantity: Quantity | None = None
    valueCodeableConcept: CodeableConcept | None = None
    valueString: str | None = None
    valueBoolean: bool | None = None
    valueInteger: int | None = None
    valueRange: Range | None = None
    valueRatio: Ratio | None = None
    valueTime: str | None = None
    valueDateTime: str | None = None
    valuePeriod: Period | None = None
    interpretation: list[CodeableConcept] | None = None
    referenceRange: list[ReferenceRange] | None = None


class Observation(Measured, tag=True):
    """https://hl7.org/fhir/R4/observation.html"""

    status: str | None = None
    category: list[CodeableConcept] | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    effectiveInstant: str | None = None
    issued: str | None = None
    note: list[Annotation] | None = None
    component: list[Component] | None = None


class Condition(Resource, tag=True):
    """https://hl7.org/fhir/R4/condition.html"""

    clinicalStatus: CodeableConcept | None = None
    verificationStatus: CodeableConcept | None = None
    category: list[CodeableConcept] | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    onsetDateTime: str | None = None
    onsetPeriod: Period | None = None
    recordedDate: str | None = None
    note: list[Annotation] | None = None


class Procedure(Resource, tag=True):
    """https://hl7.org/fhir/R4/procedure.html"""

    status: str | None = None
    category: CodeableConcept | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    performedDateTime: str | None = None
    performedPeriod: Period | None = None
    reasonCode: list[CodeableConcept] | None = None
    note: list[Annotation] | None = None


class MedicationRequest(Resource, tag=True):
    """https://hl7.org/fhir/R4/medicationrequest.html"""

    status: str | None = None
    intent: str | None = None
    category: list[CodeableConcept] | None = None
    doNotPerform: bool | None = None
    medicationCodeableConcept: CodeableConcept | None = None
    medicationReference: Reference | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    authoredOn: str | None = None
    reasonCode: list[CodeableConcept] | None = None
    note: list[Annotation] | None = None
    contained: list[Contained] | None = None


class ServiceRequest(Resource, tag=True):
    """https://hl7.org/fhir/R4/servicerequest.html"""

    status: str | None = None
    intent: str | None = None
    category: list[CodeableConcept] | None = None
    doNotPerform: bool | None = None
    code: CodeableConcept | None = None
    orderDetail: list[CodeableConcept] | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    authoredOn: str | None = None
    reasonCode: list[CodeableConcept] | None = None
    note: list[Annotation] | None = None


class FamilyCondition(Element):
    """https://hl7.org/fhir/R4/familymemberhistory-definitions.html#FamilyMemberHistory.condition"""

    code: CodeableConcept | None = None
    note: list[Annotation] | None = None


class FamilyMemberHistory(Resource, tag=True):
    """https://hl7.org/fhir/R4/familymemberhistory.html"""

    status: str | None = None
    patient: Reference | None = None
    date: str | None = None
    relationship: CodeableConcept | None = None
    condition: list[FamilyCondition] | None = None
    note: list[Annotation] | None = None


class Reaction(Element):
    """https://hl7.org/fhir/R4/allergyintolerance-definitions.html#AllergyIntolerance.reaction"""

    manifestation: list[CodeableConcept] | None = None


class AllergyIntolerance(Resource, tag=True):
    """https://hl7.org/fhir/R4/allergyintolerance.html"""

    verificationStatus: CodeableConcept | None = None
    category: list[str] | None = None
    code: CodeableConcept | None = None
    patient: Reference | None = None
    encounter: Reference | None = None
    onsetDateTime: str | None = None
    recordedDate: str | None = None
    reaction: list[Reaction] | None = None
    note: list[Annotation] | None = None


class Encounter(Resource, tag=True):
    """https://hl7.org/fhir/R4/encounter.html"""

    status: str | None = None
    class_: Coding | None = msgspec.field(default=None, name="class")
    type: list[CodeableConcept] | None = None
    serviceType: CodeableConcept | None = None
    subject: Reference | None = None
    period: Period | None = None
    reasonCode: list[CodeableConcept] | None = None


class Immunization(Resource, tag=True):
    """https://hl7.org/fhir/R4/immunization.html"""

    status: str | None = None
    vaccineCode: CodeableConcept | None = None
    patient: Reference | None = None
    encounter: Reference | None = None
    occurrenceDateTime: str | None = None
    recorded: str | None = None
    note: list[Annotation] | None = None


class Medication(Resource, tag=True):
    """https://hl7.org/fhir/R4/medication.html"""

    code: CodeableConcept | None = None


class Binary(Resource, tag=True):
    """https://hl7.org/fhir/R4/binary.html"""

    contentType: str | None = None
    data: msgspec.Raw = NO_DATA


class EntryRequest(Element):
    """https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.request"""

    method: str | None = None
    url: str | None = None


class Entry(Element):
    """https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry"""

    request: EntryRequest | None = None
    resource: msgspec.Raw = NO_DATA


class Bundle(Resource, tag=True):
    """https://hl7.org/fhir/R4/bundle.html; bulk export writes deletions as entries with request DELETE."""

    timestamp: str | None = None
    entry: list[Entry] | None = None


READ_TYPES: tuple[type[Resource], ...] = (
    Patient,
    Coverage,
    DocumentReference,
    DiagnosticReport,
    Composition,
    Observation,
    Condition,
    Procedure,
    MedicationRequest,
    ServiceRequest,
    FamilyMemberHistory,
    AllergyIntolerance,
    Encounter,
    Immunization,
    Medication,
    Binary,
    Bundle,
)

# The other resource types of R4 (https://hl7.org/fhir/R4/resourcelist.html) and R4B: known, and passed over with a
# count.
_SKIPPED = """
    Account ActivityDefinition AdministrableProductDefinition AdverseEvent Appointment AppointmentResponse
    AuditEvent Basic BiologicallyDerivedProduct BodyStructure CapabilityStatement CarePlan CareTeam CatalogEntry
    ChargeItem ChargeItemDefinition Citation Claim ClaimResponse ClinicalImpression ClinicalUseDefinition
    CodeSystem Communication CommunicationRequest CompartmentDefinition ConceptMap Consent Contract
    CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric
    DeviceRequest DeviceUseStatement DocumentManifest EffectEvidenceSynthesis Endpoint EnrollmentRequest
    EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceReport EvidenceVariable ExampleScenario
    ExplanationOfBenefit Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy
    ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide Ingredient InsurancePlan Invoice Library
    Linkage List Location ManufacturedItemDefinition Measure MeasureReport Media MedicationAdministration
    MedicationDispense MedicationKnowledge MedicationStatement MedicinalProduct MedicinalProductAuthorization
    MedicinalProductContraindication MedicinalProductDefinition MedicinalProductIndication
    MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
    MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition MessageHeader
    MolecularSequence NamingSystem NutritionOrder NutritionProduct ObservationDefinition OperationDefinition
    OperationOutcome Organization OrganizationAffiliation PackagedProductDefinition Parameters PaymentNotice
    PaymentReconciliation Person PlanDefinition Practitioner PractitionerRole Provenance Questionnaire
    QuestionnaireResponse RegulatedAuthorization RelatedPerson RequestGroup ResearchDefinition
    ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment RiskEvidenceSynthesis Schedule
    SearchParameter Slot Specimen SpecimenDefinition StructureDefinition StructureMap Subscription
    SubscriptionStatus SubscriptionTopic Substance SubstanceDefinition SubstanceNucleicAcid SubstancePolymer
    SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification SupplyDelivery
    SupplyRequest Task TerminologyCapabilities TestReport TestScript ValueSet VerificationResult
    VisionPrescription
"""
SKIPPED_NAMES: tuple[str, ...] = tuple(_SKIPPED.split())

READ_NAMES: frozenset[str] = frozenset(kind.__name__ for kind in READ_TYPES)


@cache
def resource_decoder() -> msgspec.json.Decoder[Any]:
    """A decoder of one JSON resource of any R4 type; numbers written as strings are taken as numbers."""
    skipped = [msgspec.defstruct(name, [], bases=(Skipped,), tag=name, gc=False) for name in SKIPPED_NAMES]
    union: Any = READ_TYPES[0]
    for kind in (*READ_TYPES[1:], *skipped):
        union = union | kind
    return msgspec.json.Decoder(union, strict=False)
