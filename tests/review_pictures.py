"""Pictures of reports and review application for the documentation, from a demo lake (made data).

`python tests/review_pictures.py LAKE [OUT]` opens the last night's reports, and the application over the lake with a
database of its own in a temporary folder, and writes docs/pictures/*.png.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent))

import review_lake

from connectors.configuration import load, replaced
from review import accounts
from review.app import make_site
from review.episodes import Alert, alerts_on
from review.pages.figures import last_report
from review.web import Site

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PASSWORD = "only for these pictures"
SHORT = 30


def main(lake: Path, out: Path) -> None:
    """Write all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        settings = replaced(load(), "lake", folder=str(lake))
        site = make_site(replaced(settings, "review", database=f"sqlite:///{folder}/review.db"))
        if site.records.data_kind != "made":
            sys.exit("Pictures are made of made data only.")
        for role in accounts.ROLES:
            accounts.create_account(site.engine, role, f"Demo {role}", role, PASSWORD)
        with review_lake.served(site) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
            for name, role, path, width, scheme, height in _wanted(site):
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                page = context.new_page()
                _log_in(page, address, role)
                page.goto(address + path)
                if name == "patient":
                    page.locator("ul.weights a").first.click()
                _write(page, out / f"review-{name}.png")
                context.close()
            _reports(browser, site, out)
            browser.close()


def _reports(browser: Browser, site: Site, out: Path) -> None:
    """The summary from its top, and one patient of the patient-level report."""
    folder = last_report(site)
    if folder is None:
        sys.exit("The lake holds no reports.")
    page = browser.new_page(viewport={"width": 1280, "height": 1500}, color_scheme="light")
    page.goto((folder / "summary.html").resolve().as_uri())
    _write(page, out / "summary.png")
    page.set_viewport_size({"width": 1280, "height": 1150})
    page.goto((folder / "patients.html").resolve().as_uri())
    key = f"{_heaviest(site).subject_id:016x}"
    patient = page.locator("details.patient", has=page.locator(f"[id='p-{key}']"))
    patient.evaluate("one => { one.open = true; one.scrollIntoView(); }")
    _write(page, out / "patients.png")
    page.close()


def _heaviest(site: Site) -> Alert:
    """The alert whose first disease weighs most, of those whose name is short enough for a picture."""
    snapshot = site.records.snapshot()
    assert snapshot is not None
    short = [one for one in alerts_on(snapshot, snapshot.night) if len(one.diseases[0].name) <= SHORT]
    return max(short, key=lambda one: (one.diseases[0].log10_lr, one.flag_id))


def _wanted(site: Site) -> list[tuple[str, str, str, int, str, int]]:
    alert = _heaviest(site)
    chart, standing = f"/flags/{alert.flag_id}", f"/worklist?night={alert.read_on}"
    return [
        ("worklist", "reviewer", standing, 1280, "light", 560),
        ("patient", "auditor", chart, 1280, "light", 1180),
        ("dashboard", "dashboard", "/dashboard", 1280, "light", 1240),
    ]


def _log_in(page: Page, address: str, role: str) -> None:
    page.goto(f"{address}/login")
    page.get_by_label("Name").fill(role)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def _write(page: Page, file: Path) -> None:
    """A picture with at most 128 colours, which flat pages need no more of."""
    from PIL import Image

    file.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(file))
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(128).save(file, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/pictures"))
