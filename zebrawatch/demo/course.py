"""What happens to a patient of the overlay, before a word of it is written: findings in time, visits, suspicion.

A case, and each of its five controls, is a `Course` of the same form and goes through the same writer. Controls take
the number of visits, the span and the number of findings from their case; only where the findings come from differs:
`explained` (rare-looking findings with a common cause) and `mixed` (findings of three other diseases).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import exp, log
from random import Random
from typing import Literal, NamedTuple

from zebrawatch.demo.base import FIRST_DAY, LAST_DAY
from zebrawatch.demo.manner import Manners
from zebrawatch.demo.profiles import Profile, Wordings, read_table
from zebrawatch.knowledge.ontology import Ontology

Kind = Literal["case", "explained", "mixed"]

YEAR = 365.25
SHORTEST, LONGEST = 1.0, 5.0
"""Years an overlay runs from the first complaint to the suspicion."""


class Sitter(NamedTuple):
    """A base patient an overlay can be written on."""

    patient_id: str
    sex: str
    birth: date
    first: date
    last: date
    visits: int
    part: int

    def age(self, day: date) -> float:
        """Age in years on `day`."""
        return (day - self.birth).days / YEAR


class PlannedFinding(NamedTuple):
    """A finding the chart will hold, and from when."""

    hpo_id: str
    first: date


@dataclass(frozen=True)
class Course:
    """Everything the writer needs of one patient."""

    sitter: Sitter
    kind: Kind
    case: str
    """Patient id of the case it is, or is a control of."""
    start: date
    index: date
    """Date of suspicion; of a control, the matched date."""
    visits: tuple[date, ...]
    findings: tuple[PlannedFinding, ...]
    causes: tuple[tuple[str, str], ...]
    """Common causes the chart blames: rightly in `explained`, wrongly in the others."""
    headline: date
    """The earlier of the specific and the general suspicion; of a control, the matched date."""
    profile: Profile | None = None
    general: date | None = None
    confirmed: date | None = None


class Delays:
    """The committed distribution of years from first complaint to suspicion (delays.csv), truncated by the record."""

    def __init__(self) -> None:
        rows = read_table("delays.csv")
        self._points = [(float(row["quantile"]), float(row["years"])) for row in rows]

    def years(self, share: float) -> float:
        """Inverse of the distribution function at `share` (0 to 1), log-linear between the committed quantiles."""
        for (q0, y0), (q1, y1) in zip(self._points, self._points[1:], strict=False):
            if share <= q1:
                return exp(log(y0) + (log(y1) - log(y0)) * (share - q0) / (q1 - q0))
        return self._points[-1][1]

    def share(self, years: float) -> float:
        """Distribution function: share of delays up to `years`."""
        for (q0, y0), (q1, y1) in zip(self._points, self._points[1:], strict=False):
            if years <= y1:
                return q0 + (q1 - q0) * max(0.0, log(years) - log(y0)) / (log(y1) - log(y0))
        return 1.0

    def draw(self, random: Random, shortest: float, longest: float) -> float:
        """A delay in years, from the distribution truncated to `shortest`..`longest`."""
        low, high = self.share(shortest), self.share(longest)
        return self.years(low + (high - low) * random.random())


class Explanation(NamedTuple):
    """A common cause and the rare-looking findings it explains."""

    cause: str
    statement: str
    from_age: int
    to_age: int
    sex: str
    findings: tuple[str, ...]


def _explanation(row: Mapping[str, str], ids: Mapping[str, str]) -> Explanation:
    findings = tuple(ids[name] for name in row["findings"].split("|") if name in ids)
    return Explanation(row["cause"], row["statement"], int(row["from_age"]), int(row["to_age"]), row["sex"], findings)


class Planner:
    """Plans courses; every random choice comes from a stream named by the seed and what is being drawn."""

    def __init__(self, seed: int, ontology: Ontology, wordings: Wordings, profiles: Sequence[Profile]) -> None:
        self._seed = seed
        self._ontology = ontology
        self._wordings = wordings
        self._profiles = profiles
        self._delays = Delays()
        self._manners = Manners(ontology)
        ids = {term.name: term.id for term in ontology.terms.values()}
        self._explanations = [_explanation(row, ids) for row in read_table("explanations.csv")]

    def stream(self, *names: str) -> Random:
        """The random stream of this name."""
        return Random("|".join((str(self._seed), *names)))

    def cases(
        self, sitters: Iterable[Sitter], count: int, quiet: Callable[[Sitter, Profile], bool] = lambda _s, _p: True
    ) -> list[Course]:
        """Courses of `count` cases on sitters whose age and sex fit the disease; diseases repeat only when used up.

        `quiet` says whether a sitter's own record is free of the disease's names, genes and drugs.
        """
        free = sorted(sitters)
        self.stream("sitters").shuffle(free)
        order = list(self._profiles)
        self.stream("diseases").shuffle(order)
        courses: list[Course] = []
        turn = 0
        while len(courses) < count and turn < 20 * count:
            profile = order[turn % len(order)]
            turn += 1
            planned = (course for course in (self._case(s, profile) for s in free) if course is not None)
            course = next((c for c in planned if quiet(c.sitter, profile)), None)
            if course is not None:
                courses.append(course)
                free.remove(course.sitter)
        return courses

    def controls(self, cases: Sequence[Course], sitters: Iterable[Sitter], each: int = 5) -> list[Course]:
        """`each` controls for every case, nearest in sex, age, number of visits and span of record; nobody twice."""
        taken = {course.sitter.patient_id for course in cases}
        free = {s.patient_id: s for s in sorted(sitters) if s.patient_id not in taken}
        controls: list[Course] = []
        for number in range(each):
            for case in cases:
                near = sorted((_distance(case, sitter), sitter) for sitter in free.values())
                for _, sitter in near:
                    course = self._control(case, cases, sitter, "explained" if number % 2 == 0 else "mixed")
                    if course is not None:
                        controls.append(course)
                        del free[sitter.patient_id]
                        break
        return controls

    # -- cases ---------------------------------------------------------------------------------------------------------

    def _case(self, sitter: Sitter, profile: Profile) -> Course | None:
        if profile.sex not in (None, sitter.sex):
            return None
        random = self.stream("timing", sitter.patient_id)
        longest = min(LONGEST, (min(LAST_DAY, sitter.last) - max(FIRST_DAY, sitter.first)).days / YEAR - 0.6)
        if longest < SHORTEST:
            return None
        delay = timedelta(days=round(self._delays.draw(random, SHORTEST, longest) * YEAR))
        earliest, latest = max(FIRST_DAY, sitter.first), min(LAST_DAY, sitter.last) - delay - timedelta(days=30)
        start = earliest + timedelta(days=random.randrange(max(1, (latest - earliest).days)))
        if not profile.from_age <= sitter.age(start) <= profile.to_age:
            return None
        findings = self._disease_findings(sitter, profile, start)
        if findings is None:
            return None
        index = start + delay
        confirmed = index + timedelta(days=round(random.uniform(20, 300)))
        general = (
            index - timedelta(days=round(random.uniform(30, min(400, delay.days * 0.6))))
            if random.random() < 0.4
            else None
        )
        return Course(
            sitter=sitter,
            kind="case",
            case=sitter.patient_id,
            start=start,
            index=index,
            visits=self._visits(random, start, index),
            findings=findings,
            causes=self._causes(random, sitter, start),
            headline=index if general is None else general,
            profile=profile,
            general=general,
            confirmed=confirmed if confirmed <= LAST_DAY else None,
        )

    def _disease_findings(self, sitter: Sitter, profile: Profile, start: date) -> tuple[PlannedFinding, ...] | None:
        random = self.stream("findings", sitter.patient_id, profile.disease_id)
        chosen: list[str] = []
        for term, share in profile.findings:
            perturbed = 1 / (1 + exp(-(log((share + 0.01) / (1.01 - share)) + random.gauss(0.0, 0.7))))
            fits = self._wordings.fits(term, sitter.age(start), sitter.sex) and self._wordings.silent(term, profile)
            if random.random() < perturbed * 0.5 and fits:
                chosen.append(term)
        if len(chosen) < 5:
            return None
        random.shuffle(chosen)
        chosen = chosen[:14]
        # Unrelated findings come together too: a slice of one other disease, as comorbidity does.
        other = random.choice([p for p in self._profiles if p is not profile])
        strange = self._some_of(other, random, sitter, start, random.randint(1, 3), chosen)
        chosen += [term for term in strange if self._wordings.silent(term, profile)]
        return self._in_time(random, chosen, start)

    def _some_of(
        self, profile: Profile, random: Random, sitter: Sitter, start: date, count: int, taken: Sequence[str]
    ) -> list[str]:
        fitting = [
            t
            for t, s in profile.findings
            if s >= 0.1 and t not in taken and self._wordings.fits(t, sitter.age(start), sitter.sex)
        ]
        return random.sample(fitting, min(count, len(fitting)))

    @staticmethod
    def _in_time(random: Random, terms: Sequence[str], start: date) -> tuple[PlannedFinding, ...]:
        """First appearances from an exponential with a mean of 1.2 years, whatever the date of suspicion."""
        days = sorted(min(random.expovariate(1 / 1.2), 6.0) * YEAR for _ in terms)
        days[0] = 0.0
        return tuple(
            PlannedFinding(term, start + timedelta(days=round(d))) for term, d in zip(terms, days, strict=True)
        )

    # -- controls ------------------------------------------------------------------------------------------------------

    def _control(self, case: Course, cases: Sequence[Course], sitter: Sitter, kind: Kind) -> Course | None:
        random = self.stream("control", case.case, sitter.patient_id)
        shift = timedelta(days=round(random.uniform(-45, 45)))
        start, index = case.start + shift, case.index + shift
        if index > LAST_DAY or start < FIRST_DAY:
            start, index = case.start, case.index
        if sitter.age(start) < 0.1:
            return None
        count = len(case.findings)
        if kind == "explained":
            terms, causes = self._explained(random, sitter, start, case)
        else:
            terms, causes = self._mixed(random, case, cases, sitter, start), self._causes(random, sitter, start)
        if len(terms) < min(5, count):
            return None
        # A few patients without a rare disease are sent to genetics too, after all has been told.
        general = index + timedelta(days=random.randrange(1, 200)) if random.random() < 0.1 else None
        visits: list[date] = []
        for visit in case.visits:
            day = index + (visit - case.index) + timedelta(days=round(random.uniform(-12, 12)) if visits else 0)
            visits.append(max(day, visits[-1] + timedelta(days=1) if visits else start))
        return Course(
            sitter=sitter,
            kind=kind,
            case=case.case,
            start=start,
            index=index,
            causes=causes,
            general=general if general is not None and general <= LAST_DAY else None,
            visits=tuple(v for v in visits if v <= LAST_DAY),
            headline=index - (case.index - case.headline),
            findings=self._in_time(random, terms, start),
        )

    def _explained(
        self, random: Random, sitter: Sitter, start: date, case: Course
    ) -> tuple[list[str], tuple[tuple[str, str], ...]]:
        """Findings with a common cause, each like one of the case's: of the same manner, about as long a word."""
        rows = self._explanations_for(sitter, start)
        rows = random.sample(rows, min(len(rows), 8))
        cause_of: dict[str, Explanation] = {}
        for row in rows:
            for term in row.findings:
                if self._wordings.fits(term, sitter.age(start), sitter.sex):
                    cause_of.setdefault(term, row)
        terms: list[str] = []
        for finding in random.sample(case.findings, len(case.findings)):
            free = [(self._unlike(finding.hpo_id, term), term) for term in cause_of if term not in terms]
            if free:
                terms.append(min(free)[1])
        causes = {cause_of[term].cause: cause_of[term].statement for term in terms}
        random.shuffle(terms)
        return terms, tuple(causes.items())

    def _unlike(self, one: str, other: str) -> float:
        """How differently two findings look in a chart, whatever they mean."""
        written = abs(len(self._wordings.of(one)[0].text) - len(self._wordings.of(other)[0].text))
        manner = 100.0 * (self._manners.of(one) != self._manners.of(other))
        return manner + 50.0 * ((one in self._manners.labs) != (other in self._manners.labs)) + written

    def _mixed(self, random: Random, case: Course, cases: Sequence[Course], sitter: Sitter, start: date) -> list[str]:
        """As many findings as the case has, a third from each of three other cases; more where they do not fit."""
        count = len(case.findings)
        others = [tuple(f.hpo_id for f in other.findings) for other in cases if other.profile is not case.profile]
        random.shuffle(others)
        spare = [p for p in self._profiles if p is not case.profile]
        others += [tuple(t for t, share in p.findings if share >= 0.1) for p in random.sample(spare, 6)]
        terms: list[str] = []
        for donor in others:
            fitting = [t for t in donor if t not in terms and self._wordings.fits(t, sitter.age(start), sitter.sex)]
            terms += random.sample(fitting, min(len(fitting), -(-count // 3), count - len(terms)))
        random.shuffle(terms)
        return terms

    # -- both ----------------------------------------------------------------------------------------------------------

    def _explanations_for(self, sitter: Sitter, start: date) -> list[Explanation]:
        age = sitter.age(start)
        return [row for row in self._explanations if row.from_age <= age <= row.to_age and row.sex in ("", sitter.sex)]

    def _causes(self, random: Random, sitter: Sitter, start: date) -> tuple[tuple[str, str], ...]:
        rows = self._explanations_for(sitter, start)
        return tuple((r.cause, r.statement) for r in random.sample(rows, min(random.randint(3, 6), len(rows))))

    @staticmethod
    def _visits(random: Random, start: date, index: date) -> tuple[date, ...]:
        days: list[date] = []
        day = start
        until = min(LAST_DAY, index + timedelta(days=540))
        gap = random.uniform(50, 120)
        while day <= until:
            days.append(day)
            day += timedelta(days=max(5, round(random.expovariate(1 / gap))))
        return tuple(days)


def _distance(case: Course, sitter: Sitter) -> float:
    """How far a control is from its case: sex first, then age, visits and span of the record."""
    ages = abs((sitter.birth - case.sitter.birth).days) / YEAR
    return (
        (30.0 if sitter.sex != case.sitter.sex else 0.0)
        + ages
        + abs(sitter.visits - case.sitter.visits) / 5
        + abs((sitter.last - sitter.first).days - (case.sitter.last - case.sitter.first).days) / YEAR
    )
