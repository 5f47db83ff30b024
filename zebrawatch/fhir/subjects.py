"""Who a resource is about: patient references, and the pseudonymous key that stands for a patient everywhere else."""

from __future__ import annotations

import hmac

from zebrawatch.fhir.resources import Reference


def subject_id_of(patient_id: str, site_key: bytes) -> int:
    """The patient's key: the first 63 bits of HMAC-SHA256 of the Patient's id under the site key (RFC 2104).

    63 bits fit MEDS' signed `subject_id`. ValueError on an empty id or key.
    """
    if not patient_id or not site_key:
        raise ValueError("a subject id needs a patient id and a site key")
    digest = hmac.digest(site_key, patient_id.encode("utf-8", "surrogatepass"), "sha256")
    return int.from_bytes(digest[:8], "big") >> 1


def local_id(reference: str | None, resource_type: str) -> str | None:
    """The id in a reference to a `resource_type`, relative or absolute, with or without version; None for anything
    else.

    `Patient/7`, `https://server/fhir/Patient/7`, `Patient/7/_history/2` and `urn:uuid:7` (as in bundles) all give `7`.
    """
    if not reference:
        return None
    if reference.startswith("urn:uuid:"):
        return reference[9:] or None
    path = reference.partition("/_history/")[0]
    kind, slash, found = path.rpartition("/")
    if not slash or not found or "?" in found or "#" in found:
        return None
    if kind == resource_type or kind.endswith("/" + resource_type):
        return found
    return None


def binary_id_of(address: str) -> str | None:
    """The id under which the Binary behind an attachment's address is kept; None where the address has none.

    It is the last part of the address, without history, query and fragment: `7` for `Binary/7?x=y`,
    `https://server/fhir/Binary/7/_history/2`, `https://server/documents/7` and `urn:uuid:7`. Fetched attachments are
    stored under it, and notes look their text up by it.
    """
    if address.startswith("urn:"):
        return address.removeprefix("urn:uuid:") if address.startswith("urn:uuid:") else None
    path = address.partition("#")[0].partition("?")[0].partition("/_history/")[0]
    if "://" in path:
        path = path.partition("://")[2].partition("/")[2]
    return path.rstrip("/").rpartition("/")[2] or None


def type_of(reference: Reference) -> str | None:
    """The resource type a reference points to, by its own word or its path; None where neither tells."""
    if reference.type:
        return reference.type
    text = reference.reference or ""
    if "?" in text:  # a conditional reference such as Practitioner?identifier=…
        return text.partition("?")[0].rpartition("/")[2] or None
    parts = text.partition("/_history/")[0].split("/")
    return parts[-2] if len(parts) > 1 and parts[-2] else None
