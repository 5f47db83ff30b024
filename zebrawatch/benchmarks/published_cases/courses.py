"""What happens to a patient of the rendered hospital before a word is written: findings in time, visits, suspicion.

Rules (docs/lead-time-benchmark.md). A case's clock starts at its first dated finding. The delay to suspicion comes from
the published distribution the demo uses too, truncated to one to five years and to the age at the last encounter, from
a random stream of its own: it knows no finding. Undated findings begin after an exponential time from the first one. A
control copies the skeleton of a case (age, sex, visits, number and times of findings, denials) and fills it with other
findings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from importlib import resources
from random import Random
from typing import Literal, NamedTuple

from zebrawatch.benchmarks.published_cases.selection import PublishedCase
from zebrawatch.demo.course import Delays
from zebrawatch.demo.profiles import read_table
from zebrawatch.errors import ZebrawatchError

Kind = Literal["case", "common", "explained", "mixed"]

WINDOW = (date(2016, 1, 4), date(2024, 12, 20))
YEAR = 365.25
SHORTEST, LONGEST = 1.0, 5.0
"""Years from the first finding to the suspicion, as the demo has them."""
UNDATED_MEAN = 1.2
"""Mean years from the first finding to an undated one, as the demo has it; never past the last encounter."""
GENERAL_SHARE = 0.25
"""Share of cases in whom a general suspicion (referral to genetics) comes first."""
CONTROL_KINDS: tuple[tuple[Kind, float], ...] = (("common", 0.7), ("explained", 0.2), ("mixed", 0.1))
REFERRED_CONTROLS = 0.05
"""Share of controls referred to genetics, after the matched date."""


class Planned(NamedTuple):
    """A finding, and the day it began."""

    hpo_id: str
    begins: date


@dataclass(frozen=True)
class Course:
    """Everything the writer needs of one patient."""

    patient_id: str
    kind: Kind
    case: str
    """The published case it is, or whose skeleton it has."""
    sex: str
    birth: date
    visits: tuple[date, ...]
    findings: tuple[Planned, ...]
    denied: tuple[str, ...]
    blamed: tuple[tuple[str, str], ...]
    """Common causes the chart names, with what it says of them."""
    suspected: date
    """Of a control: the matched date."""
    general: date | None = None
    confirmed: date | None = None
    disease_id: str | None = None

    def age(self, day: date) -> float:
        """Age in years on a day."""
        return (day - self.birth).days / YEAR


class Everyday(NamedTuple):
    """Findings of an everyday illness."""

    from_age: float
    to_age: float
    findings: tuple[str, ...]


class Cause(NamedTuple):
    """A common cause of rare-looking findings."""

    name: str
    said: str
    from_age: float
    to_age: float
    sex: str
    findings: tuple[str, ...]


class Planner:
    """Plans courses; every choice comes from a stream named by the seed and what is drawn.

    `ids`: HPO ids by label. `writable` says which findings the writer has words for.
    """

    def __init__(self, seed: int, ids: Mapping[str, str], writable: Callable[[str], bool]) -> None:
        self._seed = seed
        self._writable = writable
        self._delays = Delays()
        self._everyday = _everyday(ids, writable)
        self._causes = [
            Cause(
                row["cause"], row["statement"], float(row["from_age"]), float(row["to_age"]), row["sex"],
                tuple(ids[name] for name in row["findings"].split("|") if name in ids and writable(ids[name])),
            )
            for row in read_table("explanations.csv")
        ]  # fmt: skip

    def stream(self, *names: str) -> Random:
        """The random stream of this name."""
        return Random("|".join((str(self._seed), *names)))

    def case(self, case: PublishedCase) -> Course:
        """The course of a published case."""
        delay, before, after = self._times(case)
        random = self.stream("course", case.id)
        born = _birth(random, case.first - before, before + delay + after)
        start = born + _days(case.first)
        entry, suspected = start - _days(before), start + _days(delay)
        end = min(suspected + _days(after), WINDOW[1])
        findings = tuple(
            Planned(finding.hpo_id, born + _days(self._begins(random, case, finding.age)))
            for finding in case.findings
            if self._writable(finding.hpo_id)
        )
        general = (
            suspected - _days(random.uniform(0.1, min(1.0, delay / 2))) if random.random() < GENERAL_SHARE else None
        )
        return Course(
            patient_id=self._id("case", case.id),
            kind="case",
            case=case.id,
            sex=case.sex,
            birth=born,
            visits=_visits(random, entry, end, (start, suspected, *(f.begins for f in findings))),
            findings=findings,
            denied=tuple(term for term in case.excluded if self._writable(term)),
            blamed=self._blamed(random, (start - born).days / YEAR, case.sex),
            suspected=suspected,
            general=general,
            confirmed=min(end, suspected + _days(random.uniform(0.1, 0.6))),
            disease_id=case.disease_id,
        )

    def controls(self, cases: Sequence[Course], count: int) -> list[Course]:
        """`count` controls, each with the skeleton of a case, in turn."""
        controls = []
        for number in range(count):
            case = cases[number % len(cases)]
            controls.append(self._control(case, cases, number))
        return controls

    # -- cases --------------------------------------------------------------------------------------------------------

    def _times(self, case: PublishedCase) -> tuple[float, float, float]:
        """Years from first finding to suspicion, of record before the first finding, and after the suspicion."""
        random = self.stream("delay", case.id)
        longest = min(LONGEST, max(SHORTEST, case.last - case.first))
        delay = self._delays.draw(random, SHORTEST, longest)
        return delay, min(case.first, random.uniform(0.2, 1.5)), random.uniform(0.5, 2.0)

    def _begins(self, random: Random, case: PublishedCase, age: float | None) -> float:
        drawn = case.first + random.expovariate(1 / UNDATED_MEAN)
        return age if age is not None else min(drawn, max(case.last, case.first))

    def _id(self, *names: str) -> str:
        return f"pt-{sha256('|'.join((str(self._seed), *names)).encode()).hexdigest()[:12]}"

    def _blamed(self, random: Random, age: float, sex: str) -> tuple[tuple[str, str], ...]:
        fitting = [c for c in self._causes if c.from_age <= age + 2 <= c.to_age + 2 and c.sex in ("", sex)]
        return tuple((c.name, c.said) for c in random.sample(fitting, min(len(fitting), random.randint(1, 3))))

    # -- controls -----------------------------------------------------------------------------------------------------

    def _control(self, case: Course, cases: Sequence[Course], number: int) -> Course:
        random = self.stream("control", str(number))
        kind = random.choices([k for k, _ in CONTROL_KINDS], [w for _, w in CONTROL_KINDS])[0]
        shift = timedelta(days=random.randint(-60, 60))
        room = (WINDOW[0] - case.visits[0], WINDOW[1] - case.visits[-1])
        shift = min(max(shift, room[0]), room[1])
        age = case.age(case.suspected)
        blamed = case.blamed
        if kind == "mixed":
            terms = self._of_others(random, case, cases, lambda c: [f.hpo_id for f in c.findings], len(case.findings))
        elif kind == "explained":
            terms, blamed = self._explained(random, case, age)
        else:
            terms = self._common(random, age, len(case.findings), ())
            blamed = self._blamed(random, age, case.sex)
        days = [finding.begins + shift for finding in case.findings]
        random.shuffle(days)
        denials = self._of_others(random, case, cases, lambda c: list(c.denied), len(case.denied))
        suspected = case.suspected + shift
        referred = random.random() < REFERRED_CONTROLS
        return Course(
            patient_id=self._id("control", str(number)),
            kind=kind,
            case=case.case,
            sex=case.sex,
            birth=case.birth + shift,
            visits=tuple(
                sorted({max(case.birth + shift, visit + shift + timedelta(days=random.randint(-4, 4)))
                        for visit in case.visits})
            ),
            findings=tuple(Planned(term, day) for term, day in zip(terms, days, strict=False)),
            denied=tuple(term for term in denials if term not in terms),
            blamed=blamed,
            suspected=suspected,
            general=suspected + timedelta(days=random.randint(5, 300)) if referred else None,
        )  # fmt: skip

    def _of_others(
        self, random: Random, case: Course, cases: Sequence[Course], of: Callable[[Course], list[str]], count: int
    ) -> list[str]:
        """`count` terms, at most a third from any one case of another disease."""
        terms: list[str] = []
        for _ in range(60):
            if len(terms) >= count:
                break
            other = random.choice(cases)
            if other.disease_id == case.disease_id:
                continue
            free = [term for term in of(other) if term not in terms]
            terms += random.sample(free, min(len(free), -(-count // 3), count - len(terms)))
        return terms

    def _explained(self, random: Random, case: Course, age: float) -> tuple[list[str], tuple[tuple[str, str], ...]]:
        fitting = [c for c in self._causes if c.from_age <= age + 2 <= c.to_age + 2 and c.sex in ("", case.sex)]
        terms: list[str] = []
        blamed: list[tuple[str, str]] = []
        for cause in random.sample(fitting, min(3, len(fitting))):
            terms += [t for t in random.sample(cause.findings, min(4, len(cause.findings))) if t not in terms]
            blamed.append((cause.name, cause.said))
        count = len(case.findings)
        return [*terms, *self._common(random, age, count - len(terms), terms)][:count], tuple(blamed)

    def _common(self, random: Random, age: float, count: int, taken: Sequence[str]) -> list[str]:
        """Findings of everyday illnesses of this age, illness by illness; of ages near it where they do not suffice."""
        fitting = [group for group in self._everyday if group.from_age <= age <= group.to_age]
        near = [
            group
            for group in self._everyday
            if group not in fitting and group.from_age <= age + 10 and age <= group.to_age + 4
        ]
        terms: list[str] = []
        for group in (*random.sample(fitting, len(fitting)), *random.sample(near, len(near))):
            free = [term for term in group.findings if term not in terms and term not in taken]
            terms += random.sample(free, min(len(free), random.randint(2, 4), max(0, count - len(terms))))
        return terms


def _everyday(ids: Mapping[str, str], writable: Callable[[str], bool]) -> list[Everyday]:
    text = resources.files(__package__).joinpath("common.tsv").read_text(encoding="utf-8")
    groups = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        _, low, high, names = line.split("\t")
        unknown = [name for name in names.split("|") if name not in ids]
        if unknown:
            raise ZebrawatchError(f"The HPO has no term '{unknown[0]}' (common.tsv of the rendered hospital).")
        terms = tuple(ids[name] for name in names.split("|"))
        groups.append(Everyday(float(low), float(high), tuple(term for term in terms if writable(term))))
    return groups


def _birth(random: Random, entry_age: float, length: float) -> date:
    """A birthday that lets a record of `length` years from `entry_age` on lie in the window."""
    room = max(1, round((WINDOW[1] - WINDOW[0]).days - length * YEAR))
    return WINDOW[0] + timedelta(days=random.randrange(room)) - _days(entry_age)


def _visits(random: Random, entry: date, end: date, needed: Sequence[date]) -> tuple[date, ...]:
    """Entry, ordinary visits (a rate of the patient's own), and visits 2-40 days after what brings somebody in."""
    rate = random.lognormvariate(0.4, 0.4)
    length = max(1, (end - entry).days)
    days = {entry, end, *(entry + timedelta(days=random.randrange(length)) for _ in range(round(rate * length / YEAR)))}
    for day in needed:
        if entry <= day <= end:
            seen = min(end, day + timedelta(days=random.randint(2, 40)))
            # a visit soon after serves as well
            if not any(day <= other <= seen + timedelta(days=30) for other in days):
                days.add(seen)
    return tuple(sorted(days))


def _days(years: float) -> timedelta:
    return timedelta(days=round(years * YEAR))
