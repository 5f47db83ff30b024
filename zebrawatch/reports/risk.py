"""A word for the risk, in place of a percentage, until a site has confirmed events of its own to calibrate on."""

from __future__ import annotations

BANDS = ((0.5, "high"), (0.1, "moderate"), (0.005, "low"))
LOWEST = "negligible"
LEAST_ALERTED = "low"
MEANING = (
    "Risk is a word for the uncalibrated share of all listed rare diseases together: high from one half, moderate from "
    "one tenth, else low. A percentage is shown once it was checked against 100 confirmed cases here."
)


def risk_word(posterior: float) -> str:
    """`high`, `moderate`, `low` or `negligible` (FHIR risk-probability codes) for a posterior from 0 to 1.

    ValueError outside 0 to 1 (NaN too). The bands are a convention of this project, printed beside the words.
    """
    if not 0 <= posterior <= 1:
        raise ValueError(f"a posterior lies between 0 and 1, not at {posterior}")
    return next((word for least, word in BANDS if posterior >= least), LOWEST)


def alert_risk(p_any: float) -> str:
    """The word for an alert, of P(any listed rare disease): at least `low`, however low a site sets its threshold.

    Who is worth a look is not called negligible in the same breath.
    """
    word = risk_word(min(max(p_any, 0.0), 1.0))
    return LEAST_ALERTED if word == LOWEST else word


def percent(value: float) -> str:
    """A percentage as it is shown: two digits, and never a certainty (`< 0.1 %`, `> 99 %`)."""
    if value < 0.1:
        return "< 0.1 %"
    return "> 99 %" if value > 99 else f"{float(f'{value:.2g}'):g} %"
