"""The two pages in a real browser: silent console, no request, no sideways scroll, print, keyboard, axe."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from report_samples import alerted_patient, patient_report_sample, replay_report_sample, summary_report_sample

from zebrawatch.reports.data import PatientReport
from zebrawatch.reports.pages import patient_report, summary_report
from zebrawatch.reports.replay_page import replay_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
)
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def hostile_report() -> PatientReport:
    """A report whose notes hold markup, a very long word and text that runs from right to left."""
    report = patient_report_sample(2)
    script = "<script>window.caught=1</script><img src=http://127.0.0.1:9/x onerror=window.caught=1> " + "W" * 400
    patient = alerted_patient(0)
    findings = tuple(
        dataclasses.replace(f, label=script[:90], sentence=script + "\u202e", start=0, end=len(script))
        for f in patient.findings
    )
    episode = dataclasses.replace(patient.episodes[-1], raised=findings[0].known_night)
    return dataclasses.replace(
        report, patients=(dataclasses.replace(patient, findings=findings, episodes=(episode,)), report.patients[1])
    )


def long_names() -> PatientReport:
    """A report whose first diseases have names as long as Orphanet's."""
    report = patient_report_sample(3)
    name = "Corticosteroid-sensitive mucopolysaccharidosis-like leukoencephalopathy with intracranial calcification"
    patients = tuple(
        dataclasses.replace(one, diseases=(dataclasses.replace(one.diseases[0], name=name), *one.diseases[1:]))
        for one in report.patients
    )
    return dataclasses.replace(report, patients=patients)


PAGES: dict[str, Callable[[], str]] = {
    "patients": lambda: patient_report(patient_report_sample(3)),
    "many": lambda: patient_report(patient_report_sample(200)),
    "a dozen": lambda: patient_report(patient_report_sample(12)),
    "hostile": lambda: patient_report(hostile_report()),
    "long": lambda: patient_report(long_names()),
    "summary": lambda: summary_report(summary_report_sample()),
    "replay": lambda: replay_report(replay_report_sample()),
    "real": lambda: summary_report(summary_report_sample("real", 9)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, make in PAGES.items():
        (folder / f"{name}.html").write_text(make(), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[api.Browser]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def opened(browser: api.Browser, file: Path, width: int, scheme: str = "light") -> tuple[api.Page, list[str]]:
    """The page at a width and colour scheme, and everything it complained about or asked for."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
    page.on("dialog", lambda dialog: trouble.append(f"dialog: {dialog.message}"))
    page.on(
        "request",
        lambda request: None if request.url.startswith((file.as_uri(), "data:")) else trouble.append(request.url),
    )
    page.goto(file.as_uri())
    return page, trouble


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_silent_and_fits(browser: api.Browser, folder: Path, name: str, width: int) -> None:
    page, trouble = opened(browser, folder / f"{name}.html", width)
    page.evaluate("document.querySelectorAll('details').forEach((d, i) => { if (i < 40) d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.caught === undefined")
    assert trouble == []
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_no_word_of_the_index_is_broken(browser: api.Browser, folder: Path, width: int) -> None:
    page, _ = opened(browser, folder / "long.html", width)
    broken = page.evaluate(
        """() => {
          const broken = [];
          const walker = document.createTreeWalker(document.querySelector('table.index tbody'), NodeFilter.SHOW_TEXT);
          while (walker.nextNode()) {
            for (const word of walker.currentNode.data.matchAll(/[^\\s-]+/g)) {
              const range = document.createRange();
              range.setStart(walker.currentNode, word.index);
              range.setEnd(walker.currentNode, word.index + word[0].length);
              if (range.getClientRects().length > 1) broken.push(word[0]);
            }
          }
          return broken;
        }"""
    )
    assert broken == []
    page.close()


def test_a_link_in_the_index_opens_its_patient(browser: api.Browser, folder: Path) -> None:
    page, _ = opened(browser, folder / "many.html", 1280)
    link = page.locator("table.index a").nth(120)
    target = link.get_attribute("href")
    body = page.locator(f"[id='{(target or '')[1:]}']")
    assert not body.is_visible()
    link.focus()
    page.keyboard.press("Enter")
    body.wait_for(state="visible")
    assert body.locator("svg.picture").is_visible()
    page.close()


def test_pictures_have_names_for_screen_readers(browser: api.Browser, folder: Path) -> None:
    page, _ = opened(browser, folder / "summary.html", 1280)
    assert page.get_by_role("img", name="Lead time, a line per case").count() == 1
    assert page.get_by_role("table", name="Quarantine: lines that could not be used").count() == 1
    page.close()


def test_dark_follows_the_reader(browser: api.Browser, folder: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page, _ = opened(browser, folder / "summary.html", 1280, scheme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()
    assert grounds == ["rgb(253, 252, 249)", "rgb(23, 22, 20)"]


def test_print_opens_every_patient_on_white(browser: api.Browser, folder: Path) -> None:
    page, _ = opened(browser, folder / "a dozen.html", 1280, "dark")
    page.emulate_media(media="print")
    first = page.locator("details.patient").first
    assert first.get_attribute("open") is None
    assert first.locator("svg.picture").bounding_box()["height"] > 100
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(253, 252, 249)"
    page.close()


@pytest.mark.parametrize(
    ("name", "scheme"), [("patients", "light"), ("patients", "dark"), ("summary", "dark"), ("replay", "light")]
)
def test_axe_finds_no_serious_fault(browser: api.Browser, folder: Path, name: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page, _ = opened(browser, folder / f"{name}.html", 1280, scheme)
    found = axe.Axe().run(page).response["violations"]
    serious = [(f["id"], f["nodes"][0]["html"][:120]) for f in found if f["impact"] in ("serious", "critical")]
    assert serious == []
    page.close()
