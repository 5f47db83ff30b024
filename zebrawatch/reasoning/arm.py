"""The reasoning arm over nights: choose, ask, judge, ask once more where an answer did not hold, join.

Nights are planned one by one and read in one batch, so that a range of nights starts a model once. Plain data in, plain
data out; the caller gives the doors: a token counter and a function that answers requests (connectors.vllm_batch has
both). Answers already made are given by key and cost nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import combinations

from zebrawatch.reasoning.answers import JudgedAnswer, JudgedDisease, judge
from zebrawatch.reasoning.chart import CountTokens, LeftOut, PatientChart, Prompt, build_prompts
from zebrawatch.reasoning.fusion import RULE, Joined, Listed, join
from zebrawatch.reasoning.names import Resolver
from zebrawatch.reasoning.profile import ModelProfile
from zebrawatch.reasoning.requests import Request, Response, request_key, request_of, retry_of
from zebrawatch.reasoning.shortlist import Budget, Choice, Scored, choose, still_waiting, worth_a_chart
from zebrawatch.reasoning.task import Task

Complete = Callable[[Sequence[Request]], Iterable[Response]]
"""Answers requests, in any order; one response a key (with `error` set where none came)."""


@dataclass(frozen=True)
class ScoredChart:
    """A patient's chart of a night and what the evidence arm says of it: P(any), and its list in order.

    `bar` says why the patient may not be alerted (suspected, died, ...); "" where they may.
    """

    chart: PatientChart
    p_any: float
    listed: tuple[Listed, ...]
    bar: str = ""


@dataclass(frozen=True)
class ArmSettings:
    """How the arm runs. `confirm` and `confirm_top`: the evidence arm's first so many are put to the model one by one.

    `floor`: least P(any) to be on the shortlist. `repeats` and `repeat_share`: this share of the charts, by a hash of
    the request's key, is asked about so many times more, to measure agreement.
    """

    profile: ModelProfile
    differential: Task
    budget: Budget
    threshold: float
    floor: float
    confirm: Task | None = None
    confirm_top: int = 1
    repeats: int = 0
    repeat_share: float = 0.0
    seed: int = 7

    def identity(self) -> dict[str, str]:
        """The arm's part of the run identity."""
        told = {
            "llm.model": self.profile.name,
            "llm.profile": self.profile.digest,
            "llm.weights": self.profile.sha256 or "not hashed",
            "llm.quantisation": self.profile.quantisation or "bf16",
            "llm.differential": f"{self.differential.version} {self.differential.digest[:16]}",
            "llm.fusion": RULE if self.profile.clinical_use else "none: no model for clinical use",
            "llm.clinical_use": str(self.profile.clinical_use).lower(),
        }
        if self.confirm is not None:
            told["llm.confirm"] = f"{self.confirm.version} {self.confirm.digest[:16]}"
        return told


@dataclass(frozen=True)
class Asked:
    """One question that was asked or found answered: a row of `llm_requests`; its night is the prompt's."""

    request: Request
    task: str
    prompt: Prompt
    candidate: tuple[str, str] | None = None
    repeat: int = 0


@dataclass(frozen=True)
class NightPlan:
    """Who is read on a night, and what is asked."""

    night: date
    choices: tuple[Choice, ...]
    asked: tuple[Asked, ...]

    @property
    def keys(self) -> Set[str]:
        """Keys of the night's requests."""
        return {question.request.key for question in self.asked}

    @property
    def ledger(self) -> tuple[LeftOut, ...]:
        """What was kept from the model, each line once."""
        return tuple(dict.fromkeys(line for question in self.asked for line in question.prompt.left_out))


@dataclass(frozen=True)
class Planned:
    """Nights laid out to be read: how, what is asked on each, and the charts that were laid out."""

    settings: ArmSettings
    plans: tuple[NightPlan, ...]
    charts: tuple[ScoredChart, ...]


@dataclass(frozen=True)
class ArmOutcome:
    """What the nights gave.

    `joined` holds a list for every (patient, night) with a chart: where nothing was read, the evidence arm's own.
    `responses` are those made now (retries under their own key). `dead_letters` are keys that gave no usable answer in
    two tries. `figures` are numbers for the run's record.
    """

    choices: tuple[Choice, ...]
    asked: tuple[Asked, ...]
    responses: tuple[Response, ...]
    answers: Mapping[str, JudgedAnswer]
    joined: Mapping[tuple[int, date], Joined]
    ledger: tuple[LeftOut, ...]
    dead_letters: tuple[str, ...]
    unresolved: tuple[str, ...]
    figures: Mapping[str, float]
    identity: Mapping[str, str] = field(default_factory=dict)


def run_arm(
    scored: Sequence[ScoredChart],
    settings: ArmSettings,
    night: date,
    *,
    resolver: Resolver,
    count_tokens: CountTokens,
    complete: Complete,
    answered: Mapping[str, Response] | None = None,
) -> ArmOutcome:
    """Run the arm over one night's scored charts (one a patient).

    `answered`: responses of earlier nights by request key; a chart that has not changed is not asked again. ValueError
    where two charts are of one patient or a chart holds rows of a later night.
    """
    known = {key: response for key, response in (answered or {}).items() if response.error is None}
    everyone = [Scored(each.chart.subject_id, each.p_any, each.bar) for each in scored]
    plan = plan_night(everyone, scored, settings, night, count_tokens=count_tokens, asked_before=known.keys())
    return read([plan], scored, settings, resolver=resolver, complete=complete, answered=known)


def plan_nights(
    nights: Iterable[date],
    scored: Mapping[date, Sequence[Scored]],
    waiting: Sequence[Scored],
    settings: ArmSettings,
    *,
    bar: Callable[[Scored, date], Scored],
    charts: Callable[[date, Mapping[int, date]], Sequence[ScoredChart]],
    count_tokens: CountTokens,
    asked_before: Set[str] = frozenset(),
) -> Planned:
    """Lay out nights in their order, each under its own budget; a range plans what its nights one by one would.

    `scored`: everyone scored, by night; `waiting`: who did not fit an earlier night's budget. `bar` says of a patient
    what bars them on a night, `charts` gives the charts of a night for patients by the night of the score that stands.
    """
    plans: list[NightPlan] = []
    laid_out: list[ScoredChart] = []
    asked = set(asked_before)
    for night in nights:
        tonight = [bar(each, night) for each in scored.get(night, ())]
        fresh = {each.subject_id for each in tonight}
        everyone = tonight + [bar(each, night) for each in waiting if each.subject_id not in fresh]
        if not everyone:
            continue
        chosen = worth(everyone, settings, night)
        told = charts(night, {each.subject_id: each.since or night for each in everyone if each.subject_id in chosen})
        plan = plan_night(everyone, told, settings, night, count_tokens=count_tokens, asked_before=asked)
        waiting = still_waiting(waiting, tonight, plan.choices)
        asked |= plan.keys
        plans.append(plan)
        laid_out += told
    return Planned(settings, tuple(plans), tuple(laid_out))


def worth(scored: Sequence[Scored], settings: ArmSettings, night: date) -> Set[int]:
    """The patients whose chart is worth laying out on a night."""
    return worth_a_chart(scored, settings.budget, night, floor=settings.floor, seed=settings.seed)


def plan_night(
    scored: Sequence[Scored],
    charts: Sequence[ScoredChart],
    settings: ArmSettings,
    night: date,
    *,
    count_tokens: CountTokens,
    asked_before: Set[str] = frozenset(),
) -> NightPlan:
    """Choose among everyone scored on a night, and those who wait since an earlier one, and lay out the questions.

    `charts` are those of the patients that are worth one (zebrawatch.reasoning.shortlist.worth_a_chart), one a patient
    (ValueError otherwise). `asked_before`: request keys of earlier nights.
    """
    if len({each.chart.subject_id for each in charts}) != len(charts):
        raise ValueError("the arm reads one chart a patient and night")
    profile, task = settings.profile, settings.differential
    told = [each.chart for each in charts]
    prompts = build_prompts(told, task, profile.prompt_tokens, count_tokens) if told else []
    laid_out = {each.chart.subject_id: prompt for each, prompt in zip(charts, prompts, strict=True)}
    choices = choose(
        [_with_prompt(each, laid_out.get(each.subject_id), settings, asked_before) for each in scored],
        settings.budget, night, threshold=settings.threshold, floor=settings.floor,
        answer_tokens=profile.answer_tokens, seed=settings.seed,
        questions=1 + (settings.confirm_top if settings.confirm is not None else 0),
    )  # fmt: skip
    chosen = {choice.subject_id for choice in choices if choice.read}
    to_read = [(each, laid_out[each.chart.subject_id]) for each in charts if each.chart.subject_id in chosen]
    return NightPlan(night, tuple(choices), tuple(_questions(to_read, settings, count_tokens)))


def _with_prompt(scored: Scored, prompt: Prompt | None, settings: ArmSettings, asked_before: Set[str]) -> Scored:
    if prompt is None:
        return scored
    key = request_key(settings.profile, settings.differential, prompt.evidence)
    return replace(scored, prompt_tokens=prompt.tokens, answered=key in asked_before)


def _questions(
    chosen: Sequence[tuple[ScoredChart, Prompt]], settings: ArmSettings, count_tokens: CountTokens
) -> list[Asked]:
    profile, task = settings.profile, settings.differential
    asked = [Asked(request_of(profile, task, prompt), task.name, prompt) for _, prompt in chosen]
    asked += [
        Asked(request_of(profile, task, question.prompt, repeat=n), task.name, question.prompt, repeat=n)
        for question in list(asked)
        if _lot(question.request.key) < settings.repeat_share
        for n in range(1, settings.repeats + 1)
    ]
    if settings.confirm is None or not chosen:
        return asked
    pairs = [(each.chart, (d.disease_id, d.name)) for each, _ in chosen for d in each.listed[: settings.confirm_top]]
    prompts = build_prompts(
        [chart for chart, _ in pairs], settings.confirm, profile.prompt_tokens, count_tokens, [c for _, c in pairs]
    )
    return asked + [
        Asked(request_of(profile, settings.confirm, prompt), settings.confirm.name, prompt, candidate)
        for (_, candidate), prompt in zip(pairs, prompts, strict=True)
    ]


def _lot(key: str) -> float:
    """A number in [0, 1) drawn by a key."""
    return int(hashlib.sha256(f"repeat {key}".encode()).hexdigest()[:12], 16) / 16**12


def read(
    plans: Sequence[NightPlan],
    charts: Iterable[ScoredChart],
    settings: ArmSettings,
    *,
    resolver: Resolver,
    complete: Complete,
    answered: Mapping[str, Response] | None = None,
) -> ArmOutcome:
    """Ask all that the plans ask in one batch, judge every answer, join it with the evidence arm's list.

    `charts` are those the plans were made of. `answered`: responses by key that are not to be made again.
    """
    known = {key: response for key, response in (answered or {}).items() if response.error is None}
    by_night = {(each.chart.subject_id, each.chart.night): each for each in charts}
    asked = [question for plan in plans for question in plan.asked]
    responses, answers, dead = _ask(asked, settings, by_night, resolver, complete, known)
    unresolved = sorted(
        {d.name for answer in answers.values() for d in answer.diseases if d.resolution.disease_id is None}
    )
    choices = tuple(choice for plan in plans for choice in plan.choices)
    ledger = tuple(line for plan in plans for line in plan.ledger)
    figures = _figures(choices, asked, responses, answers, dead, ledger)
    return ArmOutcome(
        choices, tuple(asked), tuple(responses), answers, _join(by_night, asked, answers, settings), ledger,
        tuple(dead), tuple(unresolved), figures, settings.identity(),
    )  # fmt: skip


def _ask(
    asked: Sequence[Asked],
    settings: ArmSettings,
    charts: Mapping[tuple[int, date], ScoredChart],
    resolver: Resolver,
    complete: Complete,
    known: Mapping[str, Response],
) -> tuple[list[Response], dict[str, JudgedAnswer], list[str]]:
    """Ask what is not known, judge all, ask the failed ones once more with their fault shown."""
    by_key: dict[str, Asked] = {}
    for question in asked:
        by_key.setdefault(question.request.key, question)
    tasks = {task.name: task for task in (settings.differential, settings.confirm) if task is not None}

    def judged(question: Asked, response: Response) -> JudgedAnswer:
        findings = charts[question.request.subject_id, question.prompt.night].chart.findings
        return judge(
            response, tasks[question.task], settings.profile, question.prompt, findings, resolver, question.candidate
        )

    made = _complete([q.request for q in by_key.values() if q.request.key not in known], complete)
    answers = {key: judged(q, made.get(key) or known[key]) for key, q in by_key.items()}
    failed = [key for key, answer in answers.items() if not answer.accepted and key in made]
    retries = {
        f"{key}-again": retry_of(by_key[key].request, made[key].content, answers[key].fault or answers[key].verdict)
        for key in failed
    }
    second = _complete(list(retries.values()), complete)
    for key, answer in list(answers.items()):
        later = second.get(f"{key}-again") or known.get(f"{key}-again")
        if not answer.accepted and later is not None and (better := judged(by_key[key], later)).accepted:
            answers[key] = better
    dead = [key for key, answer in answers.items() if not answer.accepted]
    return [*made.values(), *second.values()], answers, dead


def _complete(requests: Sequence[Request], complete: Complete) -> dict[str, Response]:
    """Answers by key; a request the door gave nothing for gets an error of its own."""
    wanted = [request.key for request in requests]
    given = {response.key: response for response in complete(requests)} if requests else {}
    return {key: given.get(key) or Response(key, None, None, None, error="missing") for key in wanted}


def _join(
    charts: Mapping[tuple[int, date], ScoredChart],
    asked: Sequence[Asked],
    answers: Mapping[str, JudgedAnswer],
    settings: ArmSettings,
) -> dict[tuple[int, date], Joined]:
    differential: dict[tuple[int, date], JudgedAnswer] = {}
    confirmations: dict[tuple[int, date], list[JudgedAnswer]] = {}
    for question in asked:
        place = question.request.subject_id, question.prompt.night
        if question.candidate is not None:
            confirmations.setdefault(place, []).append(answers[question.request.key])
        elif not question.repeat:
            differential[place] = answers[question.request.key]
    return {
        place: join(
            each.p_any, each.listed, differential.get(place), confirmations.get(place, ()),
            threshold=settings.threshold,
        )
        for place, each in charts.items()
    }  # fmt: skip


def _figures(
    choices: Sequence[Choice],
    asked: Sequence[Asked],
    responses: Sequence[Response],
    answers: Mapping[str, JudgedAnswer],
    dead: Sequence[str],
    ledger: Sequence[LeftOut],
) -> dict[str, float]:
    verdicts = Counter(answer.verdict for answer in answers.values())
    quotes = sum(answer.quotes for answer in answers.values())
    struck = sum(answer.struck for answer in answers.values())
    seconds = sorted(r.seconds for r in responses if r.seconds is not None)
    figures: dict[str, float] = {
        "llm_considered": len(choices),
        "llm_read": sum(choice.read for choice in choices),
        "llm_sampled": sum(choice.sampled for choice in choices),
        "llm_requests": len({q.request.key for q in asked}),
        "llm_from_cache": len({q.request.key for q in asked}) - sum(not r.key.endswith("-again") for r in responses),
        "llm_retries": sum(r.key.endswith("-again") for r in responses),
        "llm_dead_letters": len(dead),
        "llm_prompt_tokens": sum(r.prompt_tokens for r in responses),
        "llm_cached_tokens": sum(r.cached_tokens for r in responses),
        "llm_completion_tokens": sum(r.completion_tokens for r in responses),
        "llm_quotes": quotes,
        "llm_struck_quotes": struck,
        "llm_masked_documents": sum("disease" in line.reason for line in ledger),
        "llm_sentences_to_a_model": sum("model" in line.reason for line in ledger),
        "llm_dropped_sentences": sum(question.prompt.dropped for question in asked),
    }
    sampled = {(choice.subject_id, choice.night) for choice in choices if choice.sampled}
    named = _named_in(asked, answers)
    figures |= {"llm_named": len(named), "llm_sampled_named": len(named & sampled)}
    figures |= {f"llm_verdict_{name.replace(' ', '_')}": count for name, count in verdicts.items()}
    if answers:
        figures["llm_parse_rate"] = verdicts["accepted"] / len(answers)
    if quotes:
        figures["llm_supported_quote_rate"] = 1 - struck / quotes
    if seconds:
        figures["llm_seconds_median"] = seconds[len(seconds) // 2]
    if (same := _agreement(asked, answers)) is not None:
        figures["llm_agreement_top1"], figures["llm_agreement_jaccard"] = same
    return figures


def _named_in(asked: Sequence[Asked], answers: Mapping[str, JudgedAnswer]) -> set[tuple[int, date]]:
    """The charts in which a known disease was named with a quote that stands; in the sample: what the shortlist misses.

    Repeats and single candidates do not count.
    """
    return {
        (question.request.subject_id, question.prompt.night)
        for question in asked
        if question.candidate is None
        and not question.repeat
        and any(disease.may_flag for disease in answers[question.request.key].diseases)
    }


def _agreement(asked: Sequence[Asked], answers: Mapping[str, JudgedAnswer]) -> tuple[float, float] | None:
    """Over pairs of answers to the same question: share with the same first disease, mean overlap of their diseases."""
    groups: dict[str, dict[str, JudgedAnswer]] = {}
    for question in asked:
        if question.candidate is None and answers[question.request.key].accepted:
            group = groups.setdefault(question.prompt.evidence, {})
            group[question.request.key] = answers[question.request.key]
    pairs = [pair for group in groups.values() for pair in combinations(group.values(), 2)]
    if not pairs:
        return None
    lists = [([_named(d) for d in one.diseases], [_named(d) for d in other.diseases]) for one, other in pairs]
    same = sum(one[:1] == other[:1] for one, other in lists) / len(pairs)
    overlap = sum(_jaccard(set(one), set(other)) for one, other in lists) / len(pairs)
    return same, overlap


def _named(disease: JudgedDisease) -> str:
    return disease.resolution.disease_id or disease.name.casefold()


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0
