"""Fetching the published knowledge files from their official addresses, for sites with a network.

Only what comes as one file: the HPO's three and MONDO's exact matches. Orphanet publishes a packet a disease; its file
is given by folder. Belongs here: the transfer. What the files say is judged by zebrawatch.knowledge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from zebrawatch.errors import KnowledgeError

_OBO = "https://purl.obolibrary.org/obo"
ADDRESSES: Mapping[str, str] = {
    "hp.obo": f"{_OBO}/hp.obo",
    "phenotype.hpoa": f"{_OBO}/hp/hpoa/phenotype.hpoa",
    "genes_to_phenotype.txt": f"{_OBO}/hp/hpoa/genes_to_phenotype.txt",
    "mondo_exactmatch_omim.sssom.tsv": f"{_OBO}/mondo/mappings/mondo_exactmatch_omim.sssom.tsv",
    "mondo_exactmatch_orphanet.sssom.tsv": f"{_OBO}/mondo/mappings/mondo_exactmatch_orphanet.sssom.tsv",
    "mondo_exactmatch_icd10cm.sssom.tsv": f"{_OBO}/mondo/mappings/mondo_exactmatch_icd10cm.sssom.tsv",
}
"""Permanent addresses (OBO Foundry PURLs), which lead to the newest release."""
MOST_BYTES = 500_000_000
_TIMEOUT = httpx.Timeout(60.0, connect=20.0)


def download(
    folder: Path, addresses: Mapping[str, str] | None = None, say: Callable[[str], None] = lambda _: None
) -> dict[str, str]:
    """Fetch every file into `folder`; the address by file name. KnowledgeError, in one sentence, where one fails.

    A transfer that breaks off is an error, not a shorter file; nothing of the site is sent along.
    """
    wanted = ADDRESSES if addresses is None else addresses
    with httpx.Client(follow_redirects=True, timeout=_TIMEOUT) as client:
        for name, address in wanted.items():
            say(f"Fetching {address}")
            _fetch(client, address, folder / name)
    return dict(wanted)


def _fetch(client: httpx.Client, address: str, path: Path) -> None:
    size = 0
    try:
        with client.stream("GET", address) as answer, path.open("wb") as file:
            if answer.status_code != httpx.codes.OK:
                raise KnowledgeError(f"{address} could not be fetched: the server answered {answer.status_code}.")
            for part in answer.iter_bytes():
                size += len(part)
                if size > MOST_BYTES:
                    raise KnowledgeError(f"{address} is larger than a knowledge file can be.")
                file.write(part)
    except httpx.HTTPError as error:
        raise KnowledgeError(
            f"{address} could not be fetched ({type(error).__name__}): is there a network? "
            "Files can be given by folder instead."
        ) from None
