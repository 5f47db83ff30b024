"""The tables of the lake: columns, keys and versions, in the order the data flows.

The data dictionary in ARCHITECTURE.md is generated from this module and checked in CI. Every table carries
`schema_version`; older code refuses a newer lake. Times are UTC; `*_night` columns are local dates (zebrawatch.nights).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Table:
    """One table of the lake.

    `partition` is the folder column: `pull` for what a pull delivered, `night_range` for what a run over nights
    computed, and empty for a snapshot that every run writes anew. `clock` names columns that a content digest leaves
    out; `night` is the column that says which night a row of a `night_range` table belongs to.
    """

    name: str
    layer: str
    about: str
    schema: pa.Schema
    key: tuple[str, ...]
    partition: str
    clock: tuple[str, ...] = ()
    night: str = ""
    version: int = 1


def _column(name: str, kind: pa.DataType, about: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"about": about})


def _schema(*columns: pa.Field) -> pa.Schema:
    return pa.schema(list(columns))


SUBJECT = _column(
    "subject_id", pa.int64(), "patient: 63 bits of an HMAC of the source id under the site key (MEDS subject_id)"
)

TIME_COLUMNS: tuple[pa.Field, ...] = (
    _column("event_time", INSTANT, "when it happened to the patient"),
    _column("available_at", INSTANT, "when the hospital's systems could first show it"),
    _column("available_rule", pa.string(), "the element that gave available_at, such as DocumentReference.date"),
    _column(
        "available_grade",
        pa.string(),
        "version (a version timestamp) / filed (signed or filed) / date (a date without a time)",
    ),
    _column("seen_night", pa.date32(), "night of the pull that first delivered this version"),
    _column("known_night", pa.date32(), "the night from which as-of rules may use the row"),
    _column("single_version", pa.bool_(), "the source kept only the last version and no meta.lastUpdated"),
)

QUARANTINE = Table(
    "quarantine",
    "raw",
    "every line that could not be used, whole, with the reason",
    _schema(
        _column("file", pa.string(), "file of the pull"),
        _column("line_number", pa.int64(), "line in that file, from 1; 0 where the file itself is the fault"),
        _column("line", pa.binary(), "the line's bytes, untouched"),
        _column("resource_type", pa.string(), "resourceType where it could be read"),
        _column("reason", pa.string(), "reason in a few fixed words (no patient data), such as `no subject`"),
        _column("detail", pa.string(), "what exactly was wrong; may hold values, stays in the lake"),
        _column("pull", pa.string(), "the pull that delivered it"),
    ),
    ("pull", "file", "line_number"),
    "pull",
)

VERDICTS = Table(
    "verdicts",
    "raw",
    "what reviewers decided, as the application's database held it when the night was run; a snapshot",
    _schema(
        SUBJECT,
        _column("verdict_id", pa.int64(), "number of the verdict in the application's database"),
        _column("flag_id", pa.string(), "episode_id of the alert, or sample:<subject>:<night> of a random reading"),
        _column("disease_id", pa.string(), "disease confirmed, where the verdict is about one"),
        _column("night", pa.date32(), "night as of which the chart was read"),
        _column("stage", pa.string(), "chart (before the ranking was shown) / final"),
        _column("verdict", pa.string(), "plausible / already known / explained otherwise / unsure"),
        _column("reason", pa.string(), "the reviewer's words (may hold patient data)"),
        _column("reading", pa.string(), "first / second / sample (a patient drawn at random)"),
        _column("sampling_weight", pa.float64(), "random reading: patients it stands for"),
        _column("confirmed", pa.bool_(), "the reviewer let it go to the EHR under their name"),
        _column("flag_state", pa.string(), "standing / withdrawn / sample, when the verdict was given"),
        _column("reviewer", pa.string(), "log-in name of who gave it"),
        _column("given_at", INSTANT, "when it was given"),
        _column("known_night", pa.date32(), "night on which it was given: verdicts train triage from then on"),
    ),
    ("verdict_id",),
    "",
)

PATIENTS = Table(
    "patients",
    "timeline",
    "patients, a row per version",
    _schema(
        SUBJECT,
        _column("source_id", pa.string(), "id of the Patient in its source (patient data)"),
        _column(
            "version",
            pa.string(),
            "sha256 of the resource's bytes, first 16 hex digits; `.2` and on where they came back after others",
        ),
        _column("sex", pa.string(), "administrative gender: female / male / other / unknown"),
        _column("birth_date", pa.date32(), "birth date, first day where only month or year are known"),
        _column("birth_precision", pa.string(), "day / month / year"),
        _column("death_time", INSTANT, "deceasedDateTime; deceasedBoolean true gives the version's available_at"),
        _column("race", pa.string(), "US Core race, text"),
        _column("ethnicity", pa.string(), "US Core ethnicity, text"),
        _column("language", pa.string(), "preferred language, BCP-47"),
        _column("payer", pa.string(), "payer's class where a Coverage says so"),
        _column("merged_into", pa.int64(), "surviving subject_id (Patient.link replaced-by)"),
        _column("restricted", pa.bool_(), "meta.security R or V, or opted out: never scored"),
        _column("deleted", pa.bool_(), "tombstone"),
        *TIME_COLUMNS,
        _column("pull", pa.string(), "the pull that delivered this version"),
    ),
    ("subject_id", "version"),
    "pull",
    clock=("seen_night", "pull"),
)

NOTES = Table(
    "notes",
    "timeline",
    "clinical notes, a row per version",
    _schema(
        SUBJECT,
        _column("note_id", pa.string(), "resource type and id, such as DocumentReference/123"),
        _column("version", pa.string(), "sha256 of the resource's bytes, first 16 hex digits"),
        _column("resource_type", pa.string(), "DocumentReference / DiagnosticReport / Composition"),
        _column("text", pa.string(), "plain text"),
        _column("text_sha256", pa.string(), "sha256 of the plain text (UTF-8)"),
        _column("type_code", pa.string(), "LOINC code of the note's type, where given"),
        _column("type_display", pa.string(), "display of the note's type"),
        _column("author_role", pa.string(), "role or reference type of the author"),
        _column("encounter_id", pa.string(), "id of the encounter, where given"),
        _column("status", pa.string(), "docStatus, else status"),
        _column("content_type", pa.string(), "media type the text came from"),
        _column("alternatives", pa.int32(), "other attachments of the same note that were not taken"),
        _column("relates_to", pa.string(), "code and target of relatesTo, such as `replaces DocumentReference/9`"),
        _column("conformant", pa.bool_(), "judged by fhir.resources R4B; null where not in the sample"),
        _column("restricted", pa.bool_(), "meta.security R or V: never scored"),
        _column("deleted", pa.bool_(), "entered-in-error or a tombstone: the note leaves from known_night on"),
        *TIME_COLUMNS,
        _column("pull", pa.string(), "the pull that delivered this version"),
    ),
    ("note_id", "version"),
    "pull",
    clock=("seen_night", "pull"),
)

EVENTS = Table(
    "events",
    "timeline",
    "coded events in MEDS columns, a row per resource version and code",
    _schema(
        SUBJECT,
        _column("time", INSTANT, "MEDS time: event_time"),
        _column(
            "code", pa.string(), "MEDS code: SYSTEM//CODE, such as LOINC//2157-6, ICD10CM//E75.2, SNOMED//271737000"
        ),
        _column("numeric_value", pa.float64(), "MEDS numeric_value, in `unit`"),
        _column("text_value", pa.string(), "MEDS text_value: coded or string value"),
        _column("event_id", pa.string(), "resource type and id, with #n for a component, such as Observation/7#1"),
        _column("version", pa.string(), "sha256 of the resource's bytes, first 16 hex digits"),
        _column("resource_type", pa.string(), "FHIR resource type"),
        _column("code_system", pa.string(), "code system URI as sent"),
        _column("display", pa.string(), "display of the code, else its text"),
        _column("unit", pa.string(), "UCUM unit as sent"),
        _column("interpretation", pa.string(), "v3 ObservationInterpretation code, such as H, L, HH, N"),
        _column("reference_low", pa.float64(), "low end of the reference range, in `unit`"),
        _column("reference_high", pa.float64(), "high end of the reference range, in `unit`"),
        _column(
            "status",
            pa.string(),
            "resource status; for Condition its verificationStatus; for ServiceRequest its intent and status",
        ),
        _column("category", pa.string(), "resource category code"),
        _column("relationship", pa.string(), "FamilyMemberHistory: relationship; else null (the patient)"),
        _column("encounter_id", pa.string(), "id of the encounter, where given"),
        _column("conformant", pa.bool_(), "judged by fhir.resources R4B; null where not in the sample"),
        _column("restricted", pa.bool_(), "meta.security R or V: never scored"),
        _column("deleted", pa.bool_(), "entered-in-error or a tombstone"),
        *TIME_COLUMNS,
        _column("pull", pa.string(), "the pull that delivered this version"),
    ),
    ("event_id", "version", "code"),
    "pull",
    clock=("seen_night", "pull"),
)

REFERRED = Table(
    "referred",
    "raw",
    "what notes, events and patients refer to (texts of Binaries, ends of encounters, codes of Medications, payers), "
    "a row a version and code: it may have come in another pull; and which Medications orders name",
    _schema(
        _column("kind", pa.string(), "encounter / binary / medication / coverage / order"),
        _column("referred_id", pa.string(), "id of the resource in its source; order: id of the Medication it names"),
        _column("version", pa.string(), "sha256 of the resource's bytes, first 16 hex digits"),
        SUBJECT,
        _column("text", pa.string(), "binary: plain text"),
        _column("text_sha256", pa.string(), "binary: sha256 of the plain text (UTF-8)"),
        _column("content_type", pa.string(), "binary: media type the text came from"),
        _column("code", pa.string(), "medication: MEDS code; order: its event_id"),
        _column("code_system", pa.string(), "medication: code system URI as sent"),
        _column("display", pa.string(), "medication: display of the code, else its text"),
        _column("payer", pa.string(), "coverage: its type, else the payer's display"),
        _column("start", INSTANT, "encounter, coverage: begin"),
        _column("end", INSTANT, "encounter, coverage: end; null while it lasts"),
        _column("deleted", pa.bool_(), "entered-in-error or a tombstone"),
        _column("last_updated", INSTANT, "meta.lastUpdated"),
        _column("seen_night", pa.date32(), "night of the pull that delivered it"),
        _column("pull", pa.string(), "the pull that delivered it"),
    ),
    ("kind", "referred_id", "version", "code"),
    "pull",
    clock=("seen_night", "pull"),
)

FINDINGS = Table(
    "findings",
    "evidence",
    "HPO findings of patients from text, labs and codes",
    _schema(
        SUBJECT,
        _column("source_id", pa.string(), "note_id or event_id the finding stands in"),
        _column("source_version", pa.string(), "version of that source"),
        _column("origin", pa.string(), "text / measurement (a value in text) / lab / code"),
        _column("hpo_id", pa.string(), "HPO term, such as HP:0001250"),
        _column("assertion", pa.string(), "present / negated / uncertain / hypothetical / historical"),
        _column("experiencer", pa.string(), "patient / family"),
        _column("start", pa.int32(), "start of the mention in the note's text (code points); null for labs and codes"),
        _column("end", pa.int32(), "end of the mention, exclusive"),
        _column(
            "quote", pa.string(), "the mention as written; for labs and codes the display and value (patient data)"
        ),
        _column("sentence", pa.string(), "the sentence it stands in (patient data)"),
        _column(
            "copied_from", pa.string(), "earlier source_id whose sentence this one copies; null for a first appearance"
        ),
        _column("event_time", INSTANT, "event_time of the source"),
        _column("known_night", pa.date32(), "known_night of the source; of the copied one where copied"),
        _column("pull", pa.string(), "the pull that delivered the source"),
    ),
    ("source_id", "source_version", "hpo_id", "start", "end", "assertion"),
    "pull",
    clock=("pull",),
)

NAMINGS = Table(
    "namings",
    "evidence",
    "hits of the naming set: where a rare disease, or the thought of one, is written down",
    _schema(
        SUBJECT,
        _column("source_id", pa.string(), "note_id or event_id"),
        _column("source_version", pa.string(), "version of that source"),
        _column("disease_id", pa.string(), "disease named; null for a general suspicion"),
        _column(
            "evidence_class",
            pa.string(),
            "name / synonym / abbreviation / parent / gene / drug / test / code / referral / panel / thought",
        ),
        _column(
            "kind",
            pa.string(),
            "specific / general / confirmed / family (family history alone is no suspicion, but masks)",
        ),
        _column(
            "phenotype_name", pa.bool_(), "the name is also an HPO label: counts only when coded or used as a diagnosis"
        ),
        _column("assertion", pa.string(), "assertion of the hit, for the reader; any counts"),
        _column("start", pa.int32(), "start in the note's text; null for codes"),
        _column("end", pa.int32(), "end, exclusive"),
        _column("quote", pa.string(), "the hit as written (patient data)"),
        _column("event_time", INSTANT, "event_time of the source"),
        _column("known_night", pa.date32(), "known_night of the source"),
        _column("pull", pa.string(), "the pull that delivered the source"),
    ),
    ("source_id", "source_version", "disease_id", "start", "evidence_class"),
    "pull",
    clock=("pull",),
)

CONTRIBUTION = pa.struct(
    [
        pa.field("hpo_id", pa.string()),
        pa.field("label", pa.string()),
        pa.field("matched_id", pa.string()),
        pa.field("matched_label", pa.string()),
        pa.field("log10_lr", pa.float64()),
        pa.field("origin", pa.string()),
        pa.field("assertion", pa.string()),
        pa.field("source_id", pa.string()),
        pa.field("start", pa.int32()),
        pa.field("end", pa.int32()),
        pa.field("quote", pa.string()),
        pa.field("known_night", pa.date32()),
    ]
)

CANDIDATES = Table(
    "candidates",
    "evidence",
    "ranked diseases per scored patient and night",
    _schema(
        SUBJECT,
        _column("night", pa.date32(), "night of the score"),
        _column("rank", pa.int32(), "rank from 1; 0 where nothing was left to rank"),
        _column("disease_id", pa.string(), "disease, by its first id (OMIM before Orphanet)"),
        _column("disease_name", pa.string(), "name of the disease"),
        _column("log10_lr", pa.float64(), "log10 likelihood ratio against this hospital's own patients"),
        _column("posterior", pa.float64(), "share of the posterior, over all diseases and `none of them`"),
        _column("p_any", pa.float64(), "posterior of any listed rare disease: 1 - P(none of them)"),
        _column("n_findings", pa.int32(), "independent findings that were weighed"),
        _column("cause", pa.string(), "what moved the score: evidence / background / source removed"),
        _column("background", pa.string(), "background version, such as background@2025-05"),
        _column("contributions", pa.list_(CONTRIBUTION), "what each finding added or took"),
        _column(
            "expected_absent", pa.list_(pa.string()), "HPO ids frequent in the disease that were denied or never found"
        ),
        _column("next_test", pa.string(), "HPO id of the finding whose test would most change the answer"),
        _column("test_if_present", pa.float64(), "what its presence would add to log10_lr"),
        _column("test_if_absent", pa.float64(), "what its certain absence would take from log10_lr"),
        _column("common_explanation", pa.string(), "most probable common condition that explains any finding"),
        _column("common_posterior", pa.float64(), "its share of the posterior; from one hundredth"),
        _column("night_range", pa.string(), "the run's range of nights"),
    ),
    ("subject_id", "night", "rank"),
    "night_range",
    clock=("night_range",),
    night="night",
)

LLM_REQUESTS = Table(
    "llm_requests",
    "reasoning",
    "who was considered for reading on a night, why they were read or not, and what was asked",
    _schema(
        SUBJECT,
        _column("night", pa.date32(), "night of the chart"),
        _column("read", pa.bool_(), "whether the chart was read"),
        _column("reason", pa.string(), "why it was read or not, in fixed words"),
        _column("sampled", pa.bool_(), "drawn at random from below the shortlist"),
        _column("p_any", pa.float64(), "the evidence arm's posterior of any listed rare disease that night"),
        _column("task", pa.string(), "differential / differential_brief / confirm; null where nothing was asked"),
        _column("candidate", pa.string(), "disease asked about (confirm)"),
        _column("repeat", pa.int32(), "0, or the number of the repeat by which agreement is measured"),
        _column("request_key", pa.string(), "digest of model, task and chart: an answer is made once"),
        _column("prompt_tokens", pa.int32(), "estimated length of the prompt"),
        _column("dropped_sentences", pa.int32(), "sentences that did not fit the context"),
        _column("copied_sentences", pa.int32(), "sentences told at their first appearance only"),
        _column("evidence", pa.string(), "sha256 of patient and text"),
        _column("body", pa.string(), "OpenAI chat completion request, JSON (patient data)"),
        _column("night_range", pa.string(), "the run's range of nights"),
    ),
    ("subject_id", "night", "task", "candidate", "repeat"),
    "night_range",
    clock=("night_range",),
    night="night",
)

LLM_RESPONSES = Table(
    "llm_responses",
    "reasoning",
    "answers as they came and as they were judged; one that did not hold was asked once more",
    _schema(
        SUBJECT,
        _column("night", pa.date32(), "first night whose chart asked for it"),
        _column("request_key", pa.string(), "key of the request"),
        _column("attempt", pa.int32(), "1, or 2 for the answer to the retry that showed the fault"),
        _column("content", pa.string(), "the answer (patient data)"),
        _column("reasoning", pa.string(), "the model's reasoning (patient data)"),
        _column("finish_reason", pa.string(), "stop / length / ..."),
        _column("error", pa.string(), "why there is no answer: timeout / server / cut off / refused / ..."),
        _column("verdict", pa.string(), "of the request, after both attempts: accepted / cut off / no JSON / ..."),
        _column("judged", pa.string(), "JSON: the judged answer, on the attempt that was accepted (patient data)"),
        _column("counts", pa.bool_(), "accepted, and the model is for clinical use: takes part in the joined list"),
        _column("quotes", pa.int32(), "quotes given"),
        _column("struck_quotes", pa.int32(), "quotes that did not stand"),
        _column("prompt_tokens", pa.int32(), "tokens read"),
        _column("cached_tokens", pa.int32(), "of which from the prefix cache"),
        _column("completion_tokens", pa.int32(), "tokens written"),
        _column("seconds", pa.float64(), "time taken, where the door tells it"),
        _column("identity", pa.string(), "JSON: the arm's part of the run identity"),
        _column("night_range", pa.string(), "the run's range of nights"),
    ),
    ("request_key", "attempt", "night"),
    "night_range",
    clock=("night_range", "seconds", "cached_tokens"),
    night="night",
)

LLM_LEDGER = Table(
    "llm_ledger",
    "reasoning",
    "documents and sentences kept from the model, for which disease, and why",
    _schema(
        SUBJECT,
        _column("night", pa.date32(), "night of the chart"),
        _column("task", pa.string(), "differential / differential_brief / confirm"),
        _column("source_id", pa.string(), "note or event"),
        _column("reason", pa.string(), "names a rare disease / ... in a relative / sentence addresses a model"),
        _column("disease_id", pa.string(), "disease named"),
        _column("night_range", pa.string(), "the run's range of nights"),
    ),
    ("subject_id", "night", "task", "source_id", "reason", "disease_id"),
    "night_range",
    clock=("night_range",),
    night="night",
)

SUSPICIONS = Table(
    "suspicions",
    "screen",
    "when suspicion or diagnosis was first documented, by disease and kind",
    _schema(
        SUBJECT,
        _column("disease_id", pa.string(), "disease; null for general suspicion"),
        _column("kind", pa.string(), "specific / general / confirmed"),
        _column("evidence_class", pa.string(), "class of the first hit"),
        _column("phenotype_name", pa.bool_(), "first hit's name is also an HPO label"),
        _column("source_id", pa.string(), "note or event of the first hit"),
        _column("quote", pa.string(), "the hit as written (patient data)"),
        _column("event_time", INSTANT, "event_time of the first hit"),
        _column("known_night", pa.date32(), "night from which it was known"),
        _column("night_range", pa.string(), "the run's range of nights"),
    ),
    ("subject_id", "disease_id", "kind"),
    "night_range",
    clock=("night_range",),
    night="known_night",
)

SHOWN = pa.struct(
    [
        pa.field("rank", pa.int32()),
        pa.field("disease_id", pa.string()),
        pa.field("disease_name", pa.string()),
        pa.field("posterior", pa.float64()),
        pa.field("log10_lr", pa.float64()),
    ]
)

FLAGS = Table(
    "flags",
    "screen",
    "alerts and their episodes, a row per change",
    _schema(
        SUBJECT,
        _column("episode_id", pa.string(), "subject and first night of the episode"),
        _column("night", pa.date32(), "night from which the change holds"),
        _column("action", pa.string(), "raise / show (the list changed) / withdraw"),
        _column(
            "reason",
            pa.string(),
            "why: threshold / below threshold / suspected / died / restricted / merged / source removed / "
            "list changed / new background / policy / budget (was due before, and waited)",
        ),
        _column("met_night", pa.date32(), "night on which the condition was first met"),
        _column("p_any", pa.float64(), "posterior of any listed rare disease that night"),
        _column("threshold", pa.float64(), "the policy's threshold"),
        _column("shown", pa.list_(SHOWN), "the K ranked diseases shown"),
        _column("backlog", pa.bool_(), "raised on the first screened night: prevalence, not a rate"),
        _column("night_range", pa.string(), "the run's range of nights"),
    ),
    ("subject_id", "night", "action"),
    "night_range",
    clock=("night_range",),
    night="night",
)

LEAD_TIME = Table(
    "lead_time",
    "outcome",
    "per patient-disease pair: class, dates, lead; a snapshot as of the last night",
    _schema(
        SUBJECT,
        _column("disease_id", pa.string(), "labelled or confirmed disease, as given"),
        _column("label_source", pa.string(), "labels (a file) / records (found from the records)"),
        _column("pair_class", pa.string(), "prevalent / first contact / at risk / not in the knowledge"),
        _column("exclusion", pa.string(), "why a label could not be used (unknown patient, ...); null otherwise"),
        _column("entry_night", pa.date32(), "first known row of the patient"),
        _column("last_night", pa.date32(), "last night of observation"),
        _column("specific_night", pa.date32(), "first documented suspicion of the disease"),
        _column("general_night", pa.date32(), "first general suspicion"),
        _column("suspicion_night", pa.date32(), "the earlier of the two: headline"),
        _column("confirmed_night", pa.date32(), "confirmation"),
        _column(
            "first_raise_night", pa.date32(), "start of the first episode that showed the disease before suspicion"
        ),
        _column(
            "sustained_raise_night",
            pa.date32(),
            "start of the episode still open and still showing it on the eve of suspicion",
        ),
        _column("match_tier", pa.string(), "exact / family / gene / miss"),
        _column("prioritised", pa.bool_(), "an exact hit was open before the night of suspicion"),
        _column("lead_days", pa.int32(), "sustained lead in days, 0 where never prioritised"),
        _column("first_lead_days", pa.int32(), "first-ever lead in days"),
        _column("interval_days", pa.int32(), "suspicion - entry, in days"),
        _column(
            "best_rank",
            pa.int32(),
            "best rank of the disease on any scored night before suspicion; null if never listed",
        ),
    ),
    ("subject_id", "disease_id"),
    "",
)

NIGHTS = Table(
    "nights",
    "outcome",
    "published nights: readers see these and no others",
    _schema(
        _column("night", pa.date32(), "the night"),
        _column("generation", pa.int32(), "1 for the first run of this night, then counting up"),
        _column("stale", pa.bool_(), "an earlier night was made again since"),
        _column("night_range", pa.string(), "the range of the run that made it"),
        _column("versions", pa.string(), "JSON: table -> Delta version"),
        _column("digests", pa.string(), "JSON: table -> content digest of this run's part"),
        _column("identity", pa.string(), "JSON: run identity"),
        _column("run_id", pa.string(), "Dagster run id"),
        _column("published_at", INSTANT, "clock time of publication"),
        _column("schema_version", pa.int32(), "schema version of the lake"),
    ),
    ("night", "generation"),
    "",
    clock=("run_id", "published_at", "night_range", "versions"),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        QUARANTINE,
        VERDICTS,
        PATIENTS,
        NOTES,
        EVENTS,
        REFERRED,
        FINDINGS,
        NAMINGS,
        CANDIDATES,
        LLM_REQUESTS,
        LLM_RESPONSES,
        LLM_LEDGER,
        SUSPICIONS,
        FLAGS,
        LEAD_TIME,
        NIGHTS,
    )
}

LAKE_SCHEMA_VERSION = 3
