"""A decoded resource as rows: what is read from which element, and what makes a resource unusable.

docs/fhir.md holds the same as tables for readers.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import pybase64

from zebrawatch.fhir import resources as fhir
from zebrawatch.fhir.availability import Calendar, Getter, Moment, parse_date
from zebrawatch.fhir.codes import meds_code
from zebrawatch.fhir.kept_texts import KeptTexts
from zebrawatch.fhir.subjects import binary_id_of, local_id, subject_id_of, type_of
from zebrawatch.fhir.text import TextLimits, UnreadableError, clean, plain_text, plain_utf8, rank_of
from zebrawatch.units import convert

Row = tuple[Any, ...]

TIMES = ("available_at", "available_rule", "available_grade", "single_version", "last_updated")
PATIENT_COLUMNS = (
    "lines", "subject_id", "source_id", "version", "sex", "birth_date", "birth_precision", "death_time", "race",
    "ethnicity", "language", "payer", "merged_into", "restricted", "deleted", "event_time", *TIMES,
)  # fmt: skip
NOTE_COLUMNS = (
    "lines", "subject_id", "note_id", "version", "resource_type", "text", "text_sha256", "type_code", "type_display",
    "author_role", "encounter_id", "status", "content_type", "alternatives", "relates_to", "conformant", "restricted",
    "deleted", "binary_id", "event_time", *TIMES,
)  # fmt: skip
EVENT_COLUMNS = (
    "lines", "event_id", "code", "code_system", "display", "numeric_value", "text_value", "unit", "interpretation",
    "reference_low", "reference_high", "category", "relationship", "medication_id", "subject_id", "version",
    "resource_type", "status", "encounter_id", "conformant", "restricted", "deleted", "event_time", *TIMES,
)  # fmt: skip
ENCOUNTER_COLUMNS = (
    "lines",
    "subject_id",
    "encounter_id",
    "version",
    "start",
    "end",
    "status",
    "restricted",
    "deleted",
    *TIMES,
)
BINARY_COLUMNS = (
    "lines",
    "binary_id",
    "version",
    "text",
    "text_sha256",
    "content_type",
    "restricted",
    "deleted",
    "last_updated",
)
COVERAGE_COLUMNS = (
    "lines", "subject_id", "coverage_id", "version", "payer", "status", "start", "end", "restricted", "deleted",
    *TIMES,
)  # fmt: skip
MEDICATION_COLUMNS = (
    "lines",
    "medication_id",
    "version",
    "code",
    "code_system",
    "display",
    "restricted",
    "deleted",
    "last_updated",
)

NO_CODE = "TEXT"  # MEDS code of an event that was only written in words
TOMBSTONE = "DELETED"  # MEDS code of a deleted event, whose own codes are not sent again

# LOINC codes of Observations that speak about relatives (https://loinc.org/10157-6, /8670-2, /67803-7).
FAMILY_OBSERVATIONS = frozenset({"10157-6", "8670-2", "67803-7"})

RESTRICTED_CODES = frozenset({"R", "V"})  # http://terminology.hl7.org/CodeSystem/v3-Confidentiality


class UnusableError(Exception):
    """A resource that cannot be used: `reason` in fixed words, `detail` for the person who mends it."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class MentionsUsError(Exception):
    """Text that speaks of Zebrawatch: what it says may come from an alert, so it is left out, and counted."""


class Version(NamedTuple):
    """What is known about the resource before its content is read."""

    digest: str  # sha256 of its bytes, first 16 hex digits
    conformant: bool | None


class Rows:
    """Rows gathered for one batch, by kind."""

    def __init__(self) -> None:
        self.by_kind: dict[str, list[Row]] = {
            kind: [] for kind in ("patient", "note", "event", "encounter", "binary", "coverage", "medication")
        }
        self.patients, self.notes, self.events = (self.by_kind[kind] for kind in ("patient", "note", "event"))
        self.encounters, self.binaries = self.by_kind["encounter"], self.by_kind["binary"]
        self.coverages, self.medications = self.by_kind["coverage"], self.by_kind["medication"]


class RowMaker:
    """Makes rows of decoded resources; holds what one call repeats: subjects, times, texts of attachments."""

    def __init__(
        self,
        *,
        site_key: bytes,
        calendar: Calendar,
        pulled_at: int,
        rules: dict[str, tuple[tuple[str, str, Getter], ...]],
        limits: TextLimits,
        kept: KeptTexts | None = None,
    ) -> None:
        self._site_key = site_key
        self._calendar = calendar
        self._pulled_at = pulled_at
        self._latest = pulled_at + 86_400_000_000  # a day of grace for clocks that differ
        self._rules = rules
        self._limits = limits
        self._subjects: dict[str, int] = {}
        self._texts = TextCache(limits, kept=kept)

    # ---- who, when, how restricted -------------------------------------------------------------------------------

    def _subject(self, reference: fhir.Reference | None) -> int:
        text = reference.reference if reference is not None else None
        if text is None:
            raise UnusableError("no subject")
        known = self._subjects.get(text)
        if known is not None:
            return known
        assert reference is not None
        patient = local_id(text, "Patient")
        if patient is None:
            kind = type_of(reference)
            if kind is not None and kind != "Patient":
                raise UnusableError("subject is no patient", kind)
            raise UnusableError("no subject", "the reference names no Patient by id")
        found = self._subjects[text] = subject_id_of(patient, self._site_key)
        return found

    def _available(
        self, resource: Any, kind: str, deleted: bool, encounter: str | None, happened: Moment | None = None
    ) -> tuple[int | None, str | None, str | None, bool, int | None]:
        """The TIMES columns. `happened` is the event itself for what cannot be shown before it has happened."""
        meta = resource.meta
        updated = self._calendar[meta.lastUpdated] if meta is not None and meta.lastUpdated else None
        if updated is None:
            single, last_updated = True, None
        else:
            single, last_updated = False, updated.last
            if deleted:  # a withdrawal acts from its own time, not from that of what it withdraws
                at = self._checked(updated.last, "meta.lastUpdated")
                return at, "meta.lastUpdated", "version", False, last_updated
        unreadable = False
        for rule, grade, get in self._rules[kind]:
            if rule == "meta.lastUpdated":
                moment = updated
            else:
                text = get(resource)
                if not text:
                    continue
                moment = self._calendar[text]
                unreadable = unreadable or moment is None
            if moment is None:
                continue
            _, at, precision = moment
            if happened is not None and happened.last > at:
                rule = f"{kind}.effective"
                _, at, precision = happened
            if at > self._latest:
                raise UnusableError("dated in the future", rule)
            return at, rule, grade if precision == "instant" else "date", single, last_updated
        if encounter is None and kind != "Patient" and kind != "Coverage":
            raise UnusableError("unreadable time" if unreadable else "no time")
        return None, None, None, single, last_updated

    def _checked(self, at: int, rule: str) -> int:
        if at > self._latest:
            raise UnusableError("dated in the future", rule)
        return at

    def _first(self, *texts: str | None) -> int | None:
        calendar = self._calendar
        for text in texts:
            if text:
                moment = calendar[text]
                if moment is not None:
                    return moment.first
        return None

    def _moment(self, *texts: str | None) -> Moment | None:
        calendar = self._calendar
        for text in texts:
            if text:
                moment = calendar[text]
                if moment is not None:
                    return moment
        return None

    # ---- patients and their coverage -----------------------------------------------------------------------------

    def patient(self, resource: fhir.Patient, version: Version, rows: Rows) -> None:
        """A `patient` row."""
        source_id = _id_of(resource)
        subject = subject_id_of(source_id, self._site_key)
        times = self._available(resource, "Patient", False, None)
        birth = parse_date(resource.birthDate[:10]) if resource.birthDate else None
        death = self._moment(resource.deceasedDateTime)
        died = (
            death.last
            if death is not None
            else (times[0] if resource.deceasedBoolean or resource.deceasedDateTime else None)
        )
        rows.patients.append(
            (
                1, subject, source_id, version.digest, resource.gender, None if birth is None else birth[0],
                None if birth is None else birth[2], died, _us_core(resource.extension, "us-core-race"),
                _us_core(resource.extension, "us-core-ethnicity"), _language(resource.communication), None,
                self._survivor(resource.link), _restricted(resource.meta), False, times[0], *times,
            )
        )  # fmt: skip

    def _survivor(self, links: list[fhir.Link] | None) -> int | None:
        for link in links or ():
            if link.type == "replaced-by" and link.other is not None:
                survivor = local_id(link.other.reference, "Patient")
                if survivor:
                    return subject_id_of(survivor, self._site_key)
        return None

    def coverage(self, resource: fhir.Coverage, version: Version, rows: Rows) -> None:
        """A `coverage` row: who pays, from when to when."""
        coverage_id = _id_of(resource)
        subject = self._subject(resource.beneficiary)
        payer = _words(resource.type) or next((one.display for one in resource.payor or () if one.display), None)
        period = resource.period or fhir.Period()
        end = self._moment(period.end)
        deleted = resource.status == "entered-in-error"
        times = self._available(resource, "Coverage", deleted, None)
        rows.coverages.append(
            (
                1, subject, coverage_id, version.digest, payer, resource.status, self._first(period.start),
                None if end is None else end.last, _restricted(resource.meta), deleted, *times,
            )
        )  # fmt: skip

    # ---- notes ---------------------------------------------------------------------------------------------------

    def document_reference(self, resource: fhir.DocumentReference, version: Version, rows: Rows) -> None:
        """A `note` row."""
        note_id = "DocumentReference/" + _id_of(resource)
        subject = self._subject(resource.subject)
        deleted = resource.status == "entered-in-error" or resource.docStatus == "entered-in-error"
        context = resource.context or _NO_CONTEXT
        encounter = _encounter(context.encounter[0]) if context.encounter else None
        times = self._available(resource, "DocumentReference", deleted, encounter)
        attachments = [one.attachment for one in resource.content or () if one.attachment is not None]
        text = self._text_of(attachments, resource.contained, deleted)
        period = context.period
        rows.notes.append(
            (
                1, subject, note_id, version.digest, "DocumentReference", text.text, text.sha256,
                *_type_of(resource.type), _role(resource.author), encounter, resource.docStatus or resource.status,
                text.content_type, text.alternatives, _relations(resource.relatesTo), version.conformant,
                _restricted(resource.meta) or _labelled(resource.securityLabel), deleted, text.binary_id,
                self._first(period.start if period else None, resource.date), *times,
            )
        )  # fmt: skip

    def diagnostic_report(self, resource: fhir.DiagnosticReport, version: Version, rows: Rows) -> None:
        """A `note` row where the report has text, and `event` rows of its code and conclusion codes."""
        base = "DiagnosticReport/" + _id_of(resource)
        subject = self._subject(resource.subject)
        deleted = resource.status == "entered-in-error"
        encounter = _encounter(resource.encounter)
        effective = resource.effectivePeriod or fhir.Period()
        happened = self._moment(resource.effectiveDateTime, effective.end, effective.start)
        times = self._available(resource, "DiagnosticReport", deleted, encounter, happened)
        restricted = _restricted(resource.meta)
        event_time = self._first(resource.effectiveDateTime, effective.start, resource.issued)
        text = self._report_text(resource, deleted)
        if text is None and not deleted and not _has_code(resource):
            raise UnusableError("no content")
        if text is not None:
            rows.notes.append(
                (
                    1, subject, base, version.digest, "DiagnosticReport", text.text, text.sha256,
                    *_type_of(resource.code), _role(resource.performer), encounter, resource.status,
                    text.content_type, text.alternatives, None, version.conformant, restricted, deleted,
                    text.binary_id, event_time, *times,
                )
            )  # fmt: skip
        about = (
            subject, version.digest, "DiagnosticReport", resource.status, encounter, version.conformant, restricted,
            deleted, event_time, *times,
        )  # fmt: skip
        made: list[Row] = []
        category = _category(resource.category)
        _coded(made, base, resource.code, category, about)
        for n, concept in enumerate(resource.conclusionCode or ()):
            _coded(made, f"{base}#conclusion{n}", concept, "conclusion", about)
        if text is not None and text.binary_id and resource.conclusion:
            made.append(_words_row(f"{base}#conclusion", resource.conclusion, "conclusion", about))
        gone = _withdrawn(base, about) if deleted else None
        _add(rows.events, made, gone, first=text is None, may_be_empty=text is not None)

    def _report_text(self, resource: fhir.DiagnosticReport, deleted: bool) -> NoteText | None:
        conclusion = clean(resource.conclusion or "").strip()
        forms = resource.presentedForm
        if forms:
            try:
                found = self._text_of(forms, resource.contained, deleted)
            except UnusableError:
                if not conclusion:
                    raise
                return NoteText.of(conclusion, "text/plain", alternatives=len(forms))
            if not conclusion or found.text is None or conclusion in found.text:
                return found
            return NoteText.of(
                f"{found.text.rstrip()}\n\nConclusion:\n{conclusion}",
                found.content_type,
                alternatives=found.alternatives,
            )
        return NoteText.of(conclusion, "text/plain") if conclusion else None

    def composition(self, resource: fhir.Composition, version: Version, rows: Rows) -> None:
        """A `note` row of the sections' narratives, each under its title."""
        note_id = "Composition/" + _id_of(resource)
        subject = self._subject(resource.subject)
        deleted = resource.status == "entered-in-error"
        encounter = _encounter(resource.encounter)
        times = self._available(resource, "Composition", deleted, encounter)
        parts: list[str] = []
        self._sections(resource.section, parts, 0)
        if not parts and resource.text is not None and resource.text.div:
            parts.append(self._texts.narrative(resource.text.div))
        text = "\n\n".join(part for part in parts if part)
        if not text and not deleted:
            raise UnusableError("no text")
        made = NoteText.of(text, "text/html") if text else NoteText()
        period = next((one.period for one in resource.event or () if one.period is not None), None)
        rows.notes.append(
            (
                1, subject, note_id, version.digest, "Composition", made.text, made.sha256, *_type_of(resource.type),
                _role(resource.author), encounter, resource.status, made.content_type, 0,
                _relations(resource.relatesTo), version.conformant,
                _restricted(resource.meta) or resource.confidentiality in RESTRICTED_CODES, deleted, None,
                self._first(period.start if period else None, resource.date), *times,
            )
        )  # fmt: skip

    def _sections(self, sections: list[fhir.Section] | None, parts: list[str], depth: int) -> None:
        if depth > 50:
            raise UnusableError("attachment too large", "sections nested deeper than 50")
        for section in sections or ():
            title = section.title or _words(section.code)
            text = self._texts.narrative(section.text.div) if section.text is not None and section.text.div else ""
            if text:
                parts.append(f"{title}:\n{text}" if title else text)
            elif title and section.section:
                parts.append(f"{title}:")
            if section.section:
                self._sections(section.section, parts, depth + 1)

    def _text_of(
        self, attachments: Sequence[fhir.Attachment], contained: list[fhir.Contained] | None, deleted: bool
    ) -> NoteText:
        if len(attachments) == 1 and attachments[0].data is not fhir.NO_DATA:  # nine notes in ten
            try:
                return NoteText(*self._texts.of(attachments[0].data, attachments[0].contentType))
            except UnreadableError as error:
                if deleted:
                    return NoteText()
                raise UnusableError(error.reason, error.detail) from None
        ranked = sorted(attachments, key=_attachment_rank) if len(attachments) > 1 else attachments
        others = sum(1 for one in attachments if one.url or one.data != fhir.NO_DATA) - 1
        failure: UnreadableError | None = None
        linked: str | None = None
        elsewhere = False
        for attachment in ranked:
            raw, kind = attachment.data, attachment.contentType
            if raw == fhir.NO_DATA and contained and attachment.url and attachment.url.startswith("#"):
                inner = next((one for one in contained if one.id == attachment.url[1:]), None)
                raw, kind = (inner.data, inner.contentType or kind) if inner is not None else (raw, kind)
            if raw != fhir.NO_DATA:
                try:
                    text, sha, form = self._texts.of(raw, kind)
                except UnreadableError as error:
                    failure = failure or error
                    continue
                return NoteText(text, sha, form, max(others, 0), None)
            if attachment.url and linked is None:
                if rank_of(kind) is None:
                    failure = failure or UnreadableError("attachment of a type without text", kind or "")
                    continue
                linked = binary_id_of(attachment.url)
                elsewhere = elsewhere or linked is None
        if linked is not None:
            return NoteText(None, None, None, max(others, 0), linked)
        if deleted:
            return NoteText()
        if failure is not None:
            raise UnusableError(failure.reason, failure.detail)
        raise UnusableError("text lies elsewhere" if elsewhere else "no text")

    def binary(self, resource: fhir.Binary, version: Version, rows: Rows) -> None:
        """A `binary` row: the text some note refers to."""
        binary_id = _id_of(resource)
        if resource.data == fhir.NO_DATA:
            raise UnusableError("no text")
        try:
            text, sha, form = self._texts.of(resource.data, resource.contentType)
        except UnreadableError as error:
            raise UnusableError(error.reason, error.detail) from None
        updated = self._moment(resource.meta.lastUpdated if resource.meta else None)
        rows.binaries.append(
            (1, binary_id, version.digest, text, sha, form, _restricted(resource.meta), False, updated and updated.last)
        )

    # ---- events --------------------------------------------------------------------------------------------------

    def observation(self, resource: fhir.Observation, version: Version, rows: Rows) -> None:
        """`event` rows of the code, each component, coded values, and notes."""
        base = "Observation/" + _id_of(resource)
        deleted = resource.status == "entered-in-error"
        encounter = _encounter(resource.encounter)
        effective = resource.effectivePeriod or _NO_PERIOD
        happened = self._moment(resource.effectiveDateTime, resource.effectiveInstant, effective.end, effective.start)
        times = self._available(resource, "Observation", deleted, encounter, happened)
        event_time = self._first(
            resource.effectiveDateTime, resource.effectiveInstant, effective.start, resource.issued
        )
        about = (
            self._subject(resource.subject), version.digest, "Observation", resource.status, encounter,
            version.conformant, _restricted(resource.meta), deleted, event_time, *times,
        )  # fmt: skip
        made: list[Row] = []
        category = _category(resource.category)
        relationship = _family(resource.code)
        _measured(made, base, resource, category, relationship, about)
        for n, component in enumerate(resource.component or ()):
            _measured(made, f"{base}#{n + 1}", component, category, relationship or _family(component.code), about)
        if resource.note:
            _annotated(made, base, resource.note, about)
        _add(rows.events, made, _withdrawn(base, about) if deleted else None)

    def condition(self, resource: fhir.Condition, version: Version, rows: Rows) -> None:
        """`event` rows of a diagnosis, whatever its verification status."""
        base = "Condition/" + _id_of(resource)
        status = _first_code(resource.verificationStatus)
        deleted = status == "entered-in-error"
        encounter = _encounter(resource.encounter)
        times = self._available(resource, "Condition", deleted, encounter)
        onset = resource.onsetPeriod.start if resource.onsetPeriod else None
        about = (
            self._subject(resource.subject), version.digest, "Condition", status, encounter, version.conformant,
            _restricted(resource.meta), deleted, self._first(resource.onsetDateTime, onset, resource.recordedDate),
            *times,
        )  # fmt: skip
        made: list[Row] = []
        _coded(made, base, resource.code, _category(resource.category), about)
        if resource.note:
            _annotated(made, base, resource.note, about)
        _add(rows.events, made, _withdrawn(base, about) if deleted else None)

    def procedure(self, resource: fhir.Procedure, version: Version, rows: Rows) -> None:
        """`event` rows of a procedure and its reasons."""
        base = "Procedure/" + _id_of(resource)
        deleted = resource.status == "entered-in-error"
        encounter = _encounter(resource.encounter)
        period = resource.performedPeriod or _NO_PERIOD
        times = self._available(
            resource, "Procedure", deleted, encounter, self._moment(period.end, resource.performedDateTime)
        )
        about = (
            self._subject(resource.subject), version.digest, "Procedure", resource.status, encounter,
            version.conformant, _restricted(resource.meta), deleted,
            self._first(period.start, resource.performedDateTime), *times,
        )  # fmt: skip
        made: list[Row] = []
        category = _first_code(resource.category)
        _coded(made, base, resource.code, category, about)
        if resource.reasonCode:
            _reasons(made, base, resource.reasonCode, about)
        if resource.note:
            _annotated(made, base, resource.note, about)
        _add(rows.events, made, _withdrawn(base, about) if deleted else None)

    def medication_request(self, resource: fhir.MedicationRequest, version: Version, rows: Rows) -> None:
        """`event` rows of an ordered drug and its reasons."""
        base = "MedicationRequest/" + _id_of(resource)
        deleted = resource.status == "entered-in-error"
        encounter = _encounter(resource.encounter)
        times = self._available(resource, "MedicationRequest", deleted, encounter)
        status = "not to be done" if resource.doNotPerform else _joined(resource.intent, resource.status)
        about = (
            self._subject(resource.subject), version.digest, "MedicationRequest", status, encounter,
            version.conformant, _restricted(resource.meta), deleted, self._first(resource.authoredOn), *times,
        )  # fmt: skip
        made: list[Row] = []
        category = _category(resource.category)
        concept, medication_id = _medication_of(resource)
        _coded(made, base, concept, category, about, medication_id=medication_id)
        if not made and medication_id:
            made.append(_event(base, NO_CODE, None, None, category=category, medication_id=medication_id, about=about))
        if resource.reasonCode:
            _reasons(made, base, resource.reasonCode, about)
        if resource.note:
            _annotated(made, base, resource.note, about)
        _add(rows.events, made, _withdrawn(base, about) if deleted else None)

    def service_request(self, resource: fhir.ServiceRequest, version: Version, rows: Rows) -> None:
        """`event` rows of an order or referral, its details and its reasons."""
        base = "ServiceRequest/" + _id_of(resource)
        deleted = resource.status == "entered-in-error"
        encounter = _encounter(resource.encounter)
        times = self._available(resource, "ServiceRequest", deleted, encounter)
        status = "not to be done" if resource.doNotPerform else _joined(resource.intent, resource.status)
        about = (
            self._subject(resource.subject), version.digest, "ServiceRequest", status, encounter, version.conformant,
            _restricted(resource.meta), deleted, self._first(resource.authoredOn), *times,
        )  # fmt: skip
        made: list[Row] = []
        category = _category(resource.category)
        _coded(made, base, resource.code, category, about)
        for n, detail in enumerate(resource.orderDetail or ()):
            _coded(made, f"{base}#detail{n}", detail, category, about)
        if resource.reasonCode:
            _reasons(made, base, resource.reasonCode, about)
        if resource.note:
            _annotated(made, base, resource.note, about)
        _add(rows.events, made, _withdrawn(base, about) if deleted else None)

    def family_member_history(self, resource: fhir.FamilyMemberHistory, version: Version, rows: Rows) -> None:
        """`event` rows of a relative's conditions; the relationship alone where none is given."""
        base = "FamilyMemberHistory/" + _id_of(resource)
        deleted = resource.status == "entered-in-error"
        times = self._available(resource, "FamilyMemberHistory", deleted, None)
        relative = _words(resource.relationship) or "relative"
        about = (
            self._subject(resource.patient), version.digest, "FamilyMemberHistory", resource.status, None,
            version.conformant, _restricted(resource.meta), deleted, self._first(resource.date), *times,
        )  # fmt: skip
        made: list[Row] = []
        for n, condition in enumerate(resource.condition or ()):
            _coded(made, f"{base}#{n + 1}", condition.code, "family history", about, relationship=relative)
            _annotated(made, f"{base}#{n + 1}", condition.note, about, relationship=relative)
        _annotated(made, base, resource.note, about, relationship=relative)
        if not made:
            made.append(
                _event(base, NO_CODE, None, None, category="family history", relationship=relative, about=about)
            )
        _add(rows.events, made, _withdrawn(base, about) if deleted else None)

    def allergy_intolerance(self, resource: fhir.AllergyIntolerance, version: Version, rows: Rows) -> None:
        """`event` rows of an allergy and its manifestations."""
        base = "AllergyIntolerance/" + _id_of(resource)
        status = _first_code(resource.verificationStatus)
        deleted = status == "entered-in-error"
        encounter = _encounter(resource.encounter)
        times = self._available(resource, "AllergyIntolerance", deleted, encounter)
        about = (
            self._subject(resource.patient), version.digest, "AllergyIntolerance", status, encounter,
            version.conformant, _restricted(resource.meta), deleted,
            self._first(resource.onsetDateTime, resource.recordedDate), *times,
        )  # fmt: skip
        made: list[Row] = []
        _coded(made, base, resource.code, resource.category[0] if resource.category else None, about)
        manifestations = (concept for reaction in resource.reaction or () for concept in reaction.manifestation or ())
        for n, concept in enumerate(manifestations):
            _coded(made, f"{base}#reaction{n}", concept, "reaction", about)
        if resource.note:
            _annotated(made, base, resource.note, about)
        _add(rows.events, made, _withdrawn(base, about) if deleted else None)

    def encounter(self, resource: fhir.Encounter, version: Version, rows: Rows) -> None:
        """An `encounter` row, and `event` rows of its types, service and reasons."""
        encounter_id = _id_of(resource)
        base = "Encounter/" + encounter_id
        deleted = resource.status == "entered-in-error"
        subject = self._subject(resource.subject)
        period = resource.period or _NO_PERIOD
        end = self._moment(period.end)
        times = self._encounter_times(resource, deleted, encounter_id)
        restricted = _restricted(resource.meta)
        start = self._first(period.start)
        about = (
            subject, version.digest, "Encounter", resource.status, encounter_id, version.conformant, restricted,
            deleted, start, *times,
        )  # fmt: skip
        made: list[Row] = []
        category = resource.class_.code if resource.class_ else None
        for n, concept in enumerate(resource.type or ()):
            _coded(made, base if n == 0 else f"{base}#type{n}", concept, category, about)
        _coded(made, f"{base}#service", resource.serviceType, category, about)
        if resource.reasonCode:
            _reasons(made, base, resource.reasonCode, about)
        rows.encounters.append(
            (
                1, subject, encounter_id, version.digest, start, None if end is None else end.last, resource.status,
                restricted, deleted, *times,
            )
        )  # fmt: skip
        _add(rows.events, made, first=False, may_be_empty=True)

    def _encounter_times(
        self, resource: fhir.Encounter, deleted: bool, encounter_id: str
    ) -> tuple[int | None, str | None, str | None, bool, int | None]:
        times = self._available(resource, "Encounter", deleted, encounter_id)
        if times[0] is not None:
            return times
        # Still open, and no word on when it was written: known at the latest when it was pulled.
        return self._pulled_at, "pull", "filed", times[3], times[4]

    def immunization(self, resource: fhir.Immunization, version: Version, rows: Rows) -> None:
        """`event` rows of a vaccination."""
        base = "Immunization/" + _id_of(resource)
        deleted = resource.status == "entered-in-error"
        encounter = _encounter(resource.encounter)
        happened = self._moment(resource.occurrenceDateTime)
        times = self._available(resource, "Immunization", deleted, encounter, happened)
        about = (
            self._subject(resource.patient), version.digest, "Immunization", resource.status, encounter,
            version.conformant, _restricted(resource.meta), deleted,
            self._first(resource.occurrenceDateTime, resource.recorded), *times,
        )  # fmt: skip
        made: list[Row] = []
        _coded(made, base, resource.vaccineCode, None, about)
        if resource.note:
            _annotated(made, base, resource.note, about)
        _add(rows.events, made, _withdrawn(base, about) if deleted else None)

    def medication(self, resource: fhir.Medication, version: Version, rows: Rows) -> None:
        """`medication` rows: the codes that MedicationRequests refer to."""
        medication_id = _id_of(resource)
        updated = self._moment(resource.meta.lastUpdated if resource.meta else None)
        found = _codes(resource.code)
        if not found:
            raise UnusableError("no content")
        for n, (code, system, display) in enumerate(found):
            rows.medications.append(
                (
                    1 if n == 0 else 0, medication_id, version.digest, code, system, display,
                    _restricted(resource.meta), False, updated and updated.last,
                )
            )  # fmt: skip

    # ---- deletions -----------------------------------------------------------------------------------------------

    def tombstone(self, url: str, deleted_at: str | None, version: Version, rows: Rows) -> str | None:
        """Rows for a deleted resource (`Observation/7`); gives the type where it is one that carries nothing here.

        It acts from the Bundle's own time, else from the pull.
        """
        kind, _, found = url.partition("/_history/")[0].strip("/").rpartition("/")
        kind = kind.rpartition("/")[2]
        if not kind or not found or "?" in found:
            raise UnusableError("unreadable deletion", "request.url names no resource")
        moment = self._moment(deleted_at)
        at, rule = (
            (self._pulled_at, "pull") if moment is None else (min(moment.last, self._pulled_at), "Bundle.timestamp")
        )
        times = (at, rule, "version", False, None if moment is None else moment.last)
        digest = tombstone_version(version.digest, url)
        name = f"{kind}/{found}"
        note = (
            1, None, name, digest, kind, None, None, None, None, None, None, "deleted", None, 0, None, None, False,
            True, None, None, *times,
        )  # fmt: skip
        event = _event(
            name, TOMBSTONE, None, None, about=(None, digest, kind, "deleted", None, None, False, True, None, *times)
        )
        match kind:
            case "Patient":
                subject = subject_id_of(found, self._site_key)
                rows.patients.append((1, subject, found, digest, *(None,) * 9, False, True, None, *times))
            case "DocumentReference" | "Composition":
                rows.notes.append(note)
            case "DiagnosticReport":
                rows.notes.append(note)
                _add(rows.events, [event], first=False)
            case "Encounter":
                rows.encounters.append((1, None, found, digest, None, None, "deleted", False, True, *times))
                _add(rows.events, [event], first=False)
            case "Binary":
                rows.binaries.append((1, found, digest, None, None, None, False, True, times[4]))
            case "Coverage":
                rows.coverages.append((1, None, found, digest, None, "deleted", None, None, False, True, *times))
            case "Medication":
                rows.medications.append((1, found, digest, TOMBSTONE, None, None, False, True, times[4]))
            case _ if kind in fhir.READ_NAMES:
                _add(rows.events, [event])
            case _:
                return kind
        return None


def tombstone_version(bundle: str, url: str) -> str:
    """Version of a deletion: a digest of its Bundle's version and of what it deletes."""
    return hashlib.sha256(f"{bundle}/{url}".encode("utf-8", "replace")).hexdigest()[:16]


class NoteText(NamedTuple):
    """A note's text and where it came from."""

    text: str | None = None
    sha256: str | None = None
    content_type: str | None = None
    alternatives: int = 0
    binary_id: str | None = None

    @classmethod
    def of(cls, text: str, content_type: str | None, alternatives: int = 0) -> NoteText:
        """Text made here, with its digest."""
        text, sha = _digested(text)
        return cls(text, sha, content_type, alternatives)


def _digested(text: str) -> tuple[str, str]:
    _check_own(text)
    return text, hashlib.sha256(text.encode()).hexdigest()


def _check_own(text: str) -> None:
    # One letter is found fifty times faster than a word, and capitals are rare: most text is not searched twice.
    capital = "Z" in text
    if not capital and "z" not in text:
        return
    if ("ebrawatch" in text or (capital and "EBRAWATCH" in text)) and "zebrawatch" in text.lower():
        raise MentionsUsError


_NOT_PLAIN = frozenset((b"{", b"%", b"<", b"\xef"))  # RTF, PDF, markup, a byte order mark


class TextCache:
    """Text of attachments, made once per content: copied-forward and re-sent documents cost a look-up.

    What earlier pulls made is asked of `kept`, and what is made here is given to it; plain text is read faster than
    looked up.
    """

    def __init__(self, limits: TextLimits, keep_chars: int = 32 * 1024 * 1024, kept: KeptTexts | None = None) -> None:
        self._limits = limits
        self._kept = kept
        self._keep = keep_chars
        self._held = 0
        self._made: OrderedDict[tuple[bytes, str | None], tuple[str, str, str] | UnreadableError] = OrderedDict()

    def of(self, raw: msgspec.Raw, content_type: str | None) -> tuple[str, str, str]:
        """Plain text, its sha256 and the media type it was read as, of base64 in undecoded JSON; UnreadableError
        otherwise.
        """
        data = _base64(raw)
        if content_type is not None and content_type.startswith("text/plain") and data[:1] not in _NOT_PLAIN:
            text = plain_utf8(data, content_type, self._limits)
            if text is not None:  # nine notes in ten: nothing to mend, and the digest is that of the bytes
                _check_own(text)
                return text, hashlib.sha256(data).hexdigest(), "text/plain"
            text, form = plain_text(data, content_type, self._limits)  # faster than looking it up
            return (*_digested(text), form)
        key = (hashlib.sha256(data).digest(), content_type)
        made = self._made.get(key)
        if made is None:
            made = self._kept_or_made(key, data)
            self._keep_it(key, made)
        else:
            self._made.move_to_end(key)
        if isinstance(made, UnreadableError):
            raise made
        return made

    def _kept_or_made(self, key: tuple[bytes, str | None], data: bytes) -> tuple[str, str, str] | UnreadableError:
        if self._kept is None:
            return self._make(data, key[1])
        found = self._kept.get(*key)
        if found is not None:
            _check_own(found[0])
            return found
        made = self._make(data, key[1])
        if isinstance(made, tuple):
            self._kept.keep(*key, made)
        return made

    def _make(self, data: bytes, content_type: str | None) -> tuple[str, str, str] | UnreadableError:
        try:
            text, form = plain_text(data, content_type, self._limits)
        except UnreadableError as error:
            return error
        return (*_digested(text), form)

    def _keep_it(self, key: tuple[bytes, str | None], made: tuple[str, str, str] | UnreadableError) -> None:
        self._made[key] = made
        self._held += 200 + (len(made[0]) if isinstance(made, tuple) else 0)
        while self._held > self._keep and self._made:
            _, old = self._made.popitem(last=False)
            self._held -= 200 + (len(old[0]) if isinstance(old, tuple) else 0)

    def narrative(self, div: str) -> str:
        """Text of a FHIR narrative (XHTML, https://hl7.org/fhir/R4/narrative.html)."""
        if len(div) > self._limits.input_bytes:
            raise UnusableError("attachment too large", f"narrative of {len(div)} characters")
        return clean(self._html_text(div))

    @cached_property
    def _html_text(self) -> Callable[[str], str]:
        from zebrawatch.fhir.markup import html_text  # when the first narrative comes: most pulls have none

        return html_text


def _base64(raw: msgspec.Raw) -> bytes:
    view = memoryview(raw)
    if len(view) < 2 or view[0] != 0x22:
        if bytes(view) == b"null":
            return b""
        raise UnreadableError("attachment is damaged", "data is no base64 string")
    inner: memoryview | bytes = view[1:-1]
    try:
        return pybase64.b64decode(inner, validate=True)
    except ValueError:
        pass
    # Escaped slashes and line breaks are legal JSON and common base64; anything else is damage.
    try:
        text = "".join(msgspec.json.decode(raw, type=str).split())
        text += "=" * (-len(text) % 4)
        return pybase64.b64decode(text.replace("-", "+").replace("_", "/").encode("ascii"), validate=True)
    except (ValueError, msgspec.MsgspecError) as error:
        raise UnreadableError("attachment is damaged", f"base64: {type(error).__name__}") from None


# ---- small readers of elements ---------------------------------------------------------------------------------------

_NO_CONTEXT = fhir.DocumentContext()
_NO_PERIOD = fhir.Period()


def _id_of(resource: fhir.Resource) -> str:
    if not resource.id:
        raise UnusableError("no id")
    return resource.id


def _restricted(meta: fhir.Meta | None) -> bool:
    return bool(meta is not None and meta.security and any(label.code in RESTRICTED_CODES for label in meta.security))


def _labelled(labels: list[fhir.CodeableConcept] | None) -> bool:
    return bool(labels) and any(code.code in RESTRICTED_CODES for label in labels or () for code in label.coding or ())


def _encounter(reference: fhir.Reference | None) -> str | None:
    if reference is None:
        return None
    text = reference.reference
    if text is not None and text[:10] == "Encounter/":  # nine in ten: the id stands alone behind the type
        found = text[10:]
        if found and "/" not in found and "?" not in found and "#" not in found:
            return found
    return local_id(text, "Encounter")


def _words(concept: fhir.CodeableConcept | None) -> str | None:
    if concept is None:
        return None
    return concept.text or next((coding.display for coding in concept.coding or () if coding.display), None)


def _first_code(concept: fhir.CodeableConcept | None) -> str | None:
    if concept is None:
        return None
    for coding in concept.coding or ():
        if coding.code:
            return coding.code
    return concept.text


def _category(concepts: list[fhir.CodeableConcept] | None) -> str | None:
    return _first_code(concepts[0]) if concepts else None


def _joined(*words: str | None) -> str | None:
    return " ".join(word for word in words if word) or None


def _type_of(concept: fhir.CodeableConcept | None) -> tuple[str | None, str | None]:
    if concept is None:
        return None, None
    for one in concept.coding or ():
        if one.code and meds_code(one.system, "").startswith("LOINC"):
            return one.code, concept.text or one.display
    return None, _words(concept)


def _role(people: list[fhir.Reference] | None) -> str | None:
    return type_of(people[0]) if people else None


def _relations(relations: list[fhir.RelatesTo] | None) -> str | None:
    if not relations:
        return None
    found = []
    for relation in relations:
        target = relation.target or relation.targetReference
        if target is not None and target.reference:
            found.append(f"{relation.code or 'related'} {target.reference.partition('/_history/')[0]}")
    return "; ".join(found) or None


def _us_core(extensions: list[fhir.Extension] | None, name: str) -> str | None:
    """US Core race and ethnicity: https://hl7.org/fhir/us/core/StructureDefinition-us-core-race.html"""
    for extension in extensions or ():
        if extension.url and extension.url.endswith("/" + name):
            parts = extension.extension or ()
            told = next((one.valueString for one in parts if one.url == "text" and one.valueString), None)
            return told or next(
                (one.valueCoding.display for one in parts if one.valueCoding and one.valueCoding.display), None
            )
    return None


def _language(spoken: list[fhir.Communication] | None) -> str | None:
    if not spoken:
        return None
    chosen = next((one for one in spoken if one.preferred), spoken[0])
    return _first_code(chosen.language)


def _attachment_rank(attachment: fhir.Attachment) -> tuple[int, bool]:
    rank = rank_of(attachment.contentType)
    return 9 if rank is None else rank, attachment.data == fhir.NO_DATA


def _medication_of(resource: fhir.MedicationRequest) -> tuple[fhir.CodeableConcept | None, str | None]:
    if resource.medicationCodeableConcept is not None:
        return resource.medicationCodeableConcept, None
    reference = resource.medicationReference
    if reference is None:
        return None, None
    text = reference.reference or ""
    if text.startswith("#"):
        inner = next((one.code for one in resource.contained or () if one.id == text[1:] and one.code), None)
        return inner or fhir.CodeableConcept(text=reference.display), None
    return fhir.CodeableConcept(text=reference.display), local_id(text, "Medication")


def _has_code(resource: fhir.DiagnosticReport) -> bool:
    return any(_codes(concept) for concept in (resource.code, *(resource.conclusionCode or ())))


def _family(concept: fhir.CodeableConcept | None) -> str | None:
    if concept is not None and concept.coding:
        for coding in concept.coding:
            if coding.code in FAMILY_OBSERVATIONS:
                return "relative"
    return None


# ---- event rows ----------------------------------------------------------------------------------------------------


def _event(
    event_id: str,
    code: str,
    system: str | None,
    display: str | None,
    *,
    about: Row,
    category: str | None = None,
    relationship: str | None = None,
    medication_id: str | None = None,
    text_value: str | None = None,
) -> Row:
    return (
        0,
        event_id,
        code,
        system,
        display,
        None,
        text_value,
        None,
        None,
        None,
        None,
        category,
        relationship,
        medication_id,
        *about,
    )


def _codes(concept: fhir.CodeableConcept | None) -> Sequence[tuple[str, str | None, str | None]]:
    """(MEDS code, system, display) of each coding, once each; the text alone where there is no code."""
    if concept is None:
        return ()
    codings, text = concept.coding, concept.text
    if codings is not None and len(codings) == 1:
        (coding,) = codings
        if coding.code:
            return ((meds_code(coding.system, coding.code), coding.system, coding.display or text),)
    found: dict[str, tuple[str, str | None, str | None]] = {}
    for coding in codings or ():
        if coding.code:
            code = meds_code(coding.system, coding.code)
            if code not in found:
                found[code] = (code, coding.system, coding.display or text)
    if found:
        return tuple(found.values())
    words = _words(concept)
    return ((NO_CODE, None, words),) if words else ()


def _coded(
    made: list[Row],
    event_id: str,
    concept: fhir.CodeableConcept | None,
    category: str | None,
    about: Row,
    *,
    relationship: str | None = None,
    medication_id: str | None = None,
) -> None:
    if concept is None:
        return
    for code, system, display in _codes(concept):
        said = concept.text if concept.text != display else None  # the clinician's own words beside the code's
        made.append(
            (
                0 if made else 1,
                event_id,
                code,
                system,
                display,
                None,
                said,
                None,
                None,
                None,
                None,
                category,
                relationship,
                medication_id,
                *about,
            )
        )


def _reasons(made: list[Row], base: str, reasons: list[fhir.CodeableConcept] | None, about: Row) -> None:
    for n, reason in enumerate(reasons or ()):
        _coded(made, f"{base}#reason{n}", reason, "reason", about)


def _words_row(event_id: str, words: str, category: str, about: Row, relationship: str | None = None) -> Row:
    return _event(
        event_id, NO_CODE, None, None, category=category, text_value=words, relationship=relationship, about=about
    )


def _annotated(
    made: list[Row], base: str, notes: list[fhir.Annotation] | None, about: Row, relationship: str | None = None
) -> None:
    for n, note in enumerate(notes or ()):
        if note.text:
            _check_own(note.text)
            made.append(_words_row(f"{base}#note{n}", note.text, "note", about, relationship))


def _measured(
    made: list[Row],
    event_id: str,
    measured: fhir.Measured | fhir.Component,
    category: str | None,
    relationship: str | None,
    about: Row,
) -> None:
    number, text, unit = _value(measured)
    interpretation = _category(measured.interpretation)
    low, high = _reference(measured.referenceRange, unit) if measured.referenceRange else (None, None)
    for code, system, display in _codes(measured.code):
        made.append(
            (
                0 if made else 1,
                event_id,
                code,
                system,
                display,
                number,
                text,
                unit,
                interpretation,
                low,
                high,
                category,
                relationship,
                None,
                *about,
            )
        )
    value = measured.valueCodeableConcept
    if value is not None and value.coding:
        _coded(made, f"{event_id}#value", value, "value", about, relationship=relationship)


def _value(measured: fhir.Measured | fhir.Component) -> tuple[float | None, str | None, str | None]:
    """Number, text and unit of a value; a comparator makes the text (`<5`), the number stays beside it."""
    quantity = measured.valueQuantity
    if quantity is not None:
        text = (
            f"{quantity.comparator}{quantity.value:g}" if quantity.comparator and quantity.value is not None else None
        )
        return quantity.value, text, quantity.code or quantity.unit
    concept = measured.valueCodeableConcept
    if concept is not None:
        return None, _words(concept) or _first_code(concept), None
    if measured.valueString is not None:
        return None, measured.valueString, None
    if measured.valueInteger is not None:
        return float(measured.valueInteger), None, None
    if measured.valueBoolean is not None:
        return None, "true" if measured.valueBoolean else "false", None
    return _rare_value(measured)


def _rare_value(measured: fhir.Measured | fhir.Component) -> tuple[float | None, str | None, str | None]:
    if measured.valueRange is not None:
        low, high = measured.valueRange.low, measured.valueRange.high
        unit = next((one.code or one.unit for one in (low, high) if one is not None), None)
        return None, f"{_figure(low)}-{_figure(high)}", unit
    if measured.valueRatio is not None:
        return None, f"{_figure(measured.valueRatio.numerator)}:{_figure(measured.valueRatio.denominator)}", None
    period = measured.valuePeriod
    return (
        None,
        measured.valueDateTime or measured.valueTime or (_joined(period.start, period.end) if period else None),
        None,
    )


def _figure(quantity: fhir.Quantity | None) -> str:
    return "" if quantity is None or quantity.value is None else f"{quantity.comparator or ''}{quantity.value:g}"


def _reference(ranges: list[fhir.ReferenceRange], unit: str | None) -> tuple[float | None, float | None]:
    """Low and high of the normal range in `unit`: the first one that is untyped or typed normal, and gives a limit."""
    for one in ranges:
        if one.type is not None and _first_code(one.type) not in _NORMAL:
            continue
        low, high = _limit(one.low, unit), _limit(one.high, unit)
        if low is None and high is None and one.text:
            low, high = _told_range(one.text)
        if low is not None or high is not None:
            return low, high
    return None, None


_NORMAL = frozenset(
    (None, "normal", "Normal", "Normal Range", "N")
)  # http://terminology.hl7.org/CodeSystem/referencerange-meaning
_BETWEEN = re.compile(r"\s*\(?\s*(-?\d+(?:\.\d+)?)\s*(?:-|–|to)\s*(\d+(?:\.\d+)?)")
_BEYOND = re.compile(r"\s*([<>≤≥])\s*=?\s*(\d+(?:\.\d+)?)")


def _limit(limit: fhir.Quantity | None, unit: str | None) -> float | None:
    if limit is None or limit.value is None:
        return None
    own = limit.code or limit.unit
    return (
        limit.value
        if own is None or unit is None or own == unit or limit.unit == unit
        else convert(limit.value, own, unit)
    )


def _told_range(text: str) -> tuple[float | None, float | None]:
    """Limits of a range told in words: `3.5-5.0 mmol/L`, `<5`."""
    between = _BETWEEN.match(text)
    if between:
        return float(between[1]), float(between[2])
    beyond = _BEYOND.match(text)
    if beyond is None:
        return None, None
    return (None, float(beyond[2])) if beyond[1] in "<≤" else (float(beyond[2]), None)


def _withdrawn(event_id: str, about: Row) -> Row:
    """The row of a resource that was entered in error and emptied: it must still take its earlier version away."""
    return _event(event_id, TOMBSTONE, None, None, about=about)


def _add(
    events: list[Row], made: list[Row], gone: Row | None = None, *, first: bool = True, may_be_empty: bool = False
) -> None:
    """Add a resource's rows; the first stands for its line unless another row does.

    Where there are none: `gone` for a withdrawn resource, nothing where another row stands for the line, else
    UnusableError.
    """
    if not made:
        if may_be_empty:
            return
        if gone is None:
            raise UnusableError("no content")
        made = [gone]
    if made[0][0] != first:
        made[0] = (int(first), *made[0][1:])
    events.extend(made)
