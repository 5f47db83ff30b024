"""The review application in a real browser: from log-in to verdict, by mouse and keys, at every width and ground."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import review_lake
from review_lake import HUNTER, MPS2

from review import accounts, readings
from review.web import Site

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PASSWORD = "a long enough password"
HUNTER_FLAG = f"{HUNTER}:2025-06-10"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
)
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = review_lake.make(tmp_path_factory.mktemp("review"))
    _ = site.records.knowledge, site.records.ontology
    for login, role in (
        ("ada", "reviewer"),
        ("ben", "reviewer"),
        ("aud", "auditor"),
        ("das", "dashboard"),
        ("adm", "admin"),
    ):
        accounts.create_account(site.engine, login, login.title(), role, PASSWORD)
    return site


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    with review_lake.served(site) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[api.Browser]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """A browser window, and everything it complained about or asked of others."""

    def __init__(self, browser: api.Browser, address: str, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page, self.address, self.trouble = self.context.new_page(), address, []
        self.page.on("console", lambda message: self.trouble.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.trouble.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda one: None if one.url.startswith(address) else self.trouble.append(one.url))

    def log_in(self, login: str) -> api.Page:
        self.page.goto(f"{self.address}/login")
        self.page.get_by_label("Name").fill(login)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "/login" not in url)
        return self.page

    def go(self, path: str) -> api.Page:
        self.page.goto(f"{self.address}{path}")
        return self.page


def serious(page: api.Page) -> list[tuple[str, str]]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page).response["violations"]
    return [(f["id"], f["nodes"][0]["html"][:160]) for f in found if f["impact"] in ("serious", "critical")]


OVERLAPS = """() => {
  const kinds = 'main a, main button, main select, main input:not([type=radio]), main h1, main h2';
  const seen = [...document.querySelectorAll(kinds)]
    .filter((one) => one.checkVisibility() && !one.closest('svg, .notes, .off, .answers'))
    .filter((one) => (one.closest('thead')?.offsetWidth ?? 2) > 1)
    .flatMap((one) => [...one.getClientRects()].map((box) => [one, box]))
    .filter(([, box]) => box.width > 1 && box.height > 1);
  const found = [];
  for (const [one, a] of seen) for (const [other, b] of seen) {
    if (one === other || one.contains(other) || other.contains(one)) continue;
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 2 && down > 2) found.push(one.outerHTML.slice(0, 80));
  }
  const short = (one) => one.scrollHeight > one.clientHeight + 2;
  return found.concat([...document.querySelectorAll('.filters label')].filter(short).map((one) => one.innerText));
}"""


def test_from_log_in_to_verdict(browser: api.Browser, address: str, site: Site) -> None:
    visitor = Visitor(browser, address)
    page = visitor.log_in("ada")
    page.locator(f"a[href='/flags/{HUNTER_FLAG}']").click()
    assert page.get_by_role("heading", name="Read the chart first").is_visible()
    assert page.locator("mark").count() == 0
    assert page.get_by_role("img", name="Timeline").locator("text.alert").count() == 0
    page.get_by_label("plausible").check()
    page.get_by_label("Reason").fill("large tongue, hernia")
    page.get_by_role("button", name="Keep my reading").click()
    assert page.get_by_role("heading", name="Why now").is_visible()

    picture = page.get_by_role("img", name="Timeline")
    assert picture.get_by_text("Alert 2025-06-10", exact=True).is_visible()
    assert picture.locator("text.new", has_text="Macroglossia").count() == 1
    assert picture.locator("circle.lab.odd").count() == 1
    places = [
        picture.locator(f"circle.finding{kind}").first.evaluate("one => one.getBoundingClientRect().x")
        for kind in (".before", ".new")
    ]
    assert places[0] < places[1]  # the hernia of 2024 stands left of the tongue of 2025

    spoken_for, against = (page.locator(f"section.notes mark.{kind}").all_inner_texts() for kind in ("for", "against"))
    assert sorted(spoken_for) == ["coarse facial features", "inguinal hernia", "macroglossia"]
    assert against == ["seizures"]
    page.get_by_role("link", name="inguinal hernia").click()
    here = page.locator("mark.here")
    assert here.inner_text() == "inguinal hernia"
    box, pane = here.bounding_box(), page.locator("section.notes").bounding_box()
    assert box is not None and pane is not None
    assert pane["y"] <= box["y"] <= pane["y"] + pane["height"]

    page.locator("#verdict").get_by_label("plausible").check()
    page.locator("#reason").fill("enzyme test asked for")
    page.get_by_label("Confirm for the EHR").check()
    page.get_by_role("button", name="Keep my verdict").click()
    assert "waits in the outbox" in page.get_by_role("status").inner_text()
    assert [one.stage for one in readings.verdicts_on(site.engine, [HUNTER_FLAG])] == ["chart", "final"]
    assert readings.verdicts_on(site.engine, [HUNTER_FLAG])[-1].disease_id == MPS2
    assert visitor.trouble == []
    visitor.context.close()


def test_by_keyboard_alone(browser: api.Browser, address: str, site: Site) -> None:
    visitor = Visitor(browser, address)
    page = visitor.log_in("ben")
    for key in ("j", "j", "k", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**/flags/**")
    assert page.url.endswith(HUNTER_FLAG)
    page.keyboard.press("4")
    page.keyboard.press("r")
    page.keyboard.type("not sure: 1 note")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Why now").wait_for()
    assert readings.verdicts_on(site.engine, [HUNTER_FLAG])[-1].verdict == "unsure"
    for _ in range(2):
        page.keyboard.press("n")
    assert page.locator("mark.here").count() == 1
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.get_by_label("Single keys work").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    assert page.url.endswith(HUNTER_FLAG)  # single keys can be turned off
    assert visitor.trouble == []
    visitor.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pages_fit_are_silent_and_accessible(browser: api.Browser, address: str, width: int, scheme: str) -> None:
    visitor = Visitor(browser, address, width, scheme)
    faults: list[object] = []
    for login, paths in (
        ("", ["/login"]),
        ("ada", ["/worklist", f"/flags/{review_lake.WITHDRAWN}:2024-09-01", "/account"]),
        ("aud", [f"/flags/{HUNTER_FLAG}", "/audit", "/agreement", "/policy"]),
        ("adm", ["/accounts", "/dashboard"]),
    ):
        if login:
            visitor.context.clear_cookies()
            visitor.log_in(login)
        for path in paths:
            page = visitor.go(path)
            if page.evaluate("document.documentElement.scrollWidth") > width:
                faults.append((path, "does not fit"))
            faults += [(path, "stands over another", one) for one in page.evaluate(OVERLAPS)]
            faults += [(path, *one) for one in serious(page)]
    assert faults == []
    assert visitor.trouble == []
    visitor.context.close()


def test_dark_and_light_differ_and_nothing_of_a_note_runs(browser: api.Browser, address: str) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        visitor = Visitor(browser, address, scheme=scheme)
        visitor.log_in("aud")
        page = visitor.go(f"/flags/{HUNTER_FLAG}")
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert "caught" not in page.title()
        assert "<script>document.title='caught'</script>" in page.locator("section.notes").inner_text()
        assert visitor.trouble == []
        visitor.context.close()
    assert grounds == {"rgb(253, 252, 249)", "rgb(23, 22, 20)"}


def test_it_works_without_scripts(browser: api.Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/login")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("State").select_option("withdrawn")
    page.get_by_role("button", name="Filter").click()
    assert page.locator("a.go").count() == 1
    page.locator("a.go").click()
    assert page.get_by_role("heading", name="Read the chart first").is_visible()
    context.close()
