"""One night of the reasoning arm: choose, ask, judge, ask once more where an answer did not hold, join.

Plain data in, plain data out; the caller gives the doors: a token counter and a function that answers requests
(connectors.vllm_batch has both). Answers already made are given by key and cost nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import combinations

from zebrawatch.reasoning.answers import JudgedAnswer, JudgedDisease, judge
from zebrawatch.reasoning.chart import CountTokens, LeftOut, PatientChart, Prompt, build_prompts
from zebrawatch.reasoning.fusion import RULE, Joined, Listed, join
from zebrawatch.reasoning.names import Resolver
from zebrawatch.reasoning.profile import ModelProfile
from zebrawatch.reasoning.requests import Request, Response, request_key, request_of, retry_of
from zebrawatch.reasoning.shortlist import Budget, Choice, Scored, choose
from zebrawatch.reasoning.task import Task

Complete = Callable[[Sequence[Request]], Iterable[Response]]
"""Answers requests, in any order; one response a key (with `error` set where none came)."""


@dataclass(frozen=True)
class ScoredChart:
    """A patient's chart tonight and what the evidence arm says of it: P(any), and its list in order."""

    chart: PatientChart
    p_any: float
    listed: tuple[Listed, ...]
    suspected: bool = False


@dataclass(frozen=True)
class ArmSettings:
    """How the arm runs. `confirm` and `confirm_top`: the evidence arm's first so many are put to the model one by one.

    `floor`: least P(any) to be on the shortlist. `repeats` and `repeat_sample`: so many patients are asked so many
    times more, to measure agreement.
    """

    profile: ModelProfile
    differential: Task
    budget: Budget
    threshold: float
    floor: float
    confirm: Task | None = None
    confirm_top: int = 1
    repeats: int = 0
    repeat_sample: int = 0
    seed: int = 7

    def identity(self) -> dict[str, str]:
        """The arm's part of the run identity."""
        told = {
            "llm.model": self.profile.name,
            "llm.profile": self.profile.digest,
            "llm.weights": self.profile.sha256 or "not hashed",
            "llm.quantisation": self.profile.quantisation or "bf16",
            "llm.differential": f"{self.differential.version} {self.differential.digest[:16]}",
            "llm.fusion": RULE,
            "llm.clinical_use": str(self.profile.clinical_use).lower(),
        }
        if self.confirm is not None:
            told["llm.confirm"] = f"{self.confirm.version} {self.confirm.digest[:16]}"
        return told


@dataclass(frozen=True)
class Asked:
    """One question that was asked or found answered: a row of `llm_requests`."""

    request: Request
    task: str
    prompt: Prompt
    candidate: tuple[str, str] | None = None
    repeat: int = 0


@dataclass(frozen=True)
class ArmOutcome:
    """What a night of the arm gave.

    `joined` holds a list for every chart given: where nothing was read, the evidence arm's own. `responses` are those
    made tonight (retries under their own key). `dead_letters` are keys that gave no usable answer in two tries.
    `figures` are numbers for the run's record.
    """

    choices: tuple[Choice, ...]
    asked: tuple[Asked, ...]
    responses: tuple[Response, ...]
    answers: Mapping[str, JudgedAnswer]
    joined: Mapping[int, Joined]
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
    """Run the arm over tonight's scored charts (one a patient).

    `answered`: responses of earlier nights by request key; a chart that has not changed is not asked again. ValueError
    where two charts are of one patient or a chart holds rows of a later night.
    """
    if len({each.chart.subject_id for each in scored}) != len(scored):
        raise ValueError("the arm reads one chart a patient and night")
    known = {key: response for key, response in (answered or {}).items() if response.error is None}
    profile, task = settings.profile, settings.differential
    prompts = build_prompts([each.chart for each in scored], task, profile.prompt_tokens, count_tokens)
    choices = _choose(scored, prompts, settings, night, known)
    read = {choice.subject_id for choice in choices if choice.read}
    chosen = [(each, prompt) for each, prompt in zip(scored, prompts, strict=True) if each.chart.subject_id in read]
    asked = _questions(chosen, choices, settings, count_tokens)
    charts = {each.chart.subject_id: each.chart for each in scored}
    responses, answers, dead = _ask(asked, settings, charts, resolver, complete, known)
    joined = _join(scored, asked, answers, settings)
    ledger = tuple(dict.fromkeys(line for question in asked for line in question.prompt.left_out))
    unresolved = sorted(
        {d.name for answer in answers.values() for d in answer.diseases if d.resolution.disease_id is None}
    )
    figures = _figures(choices, asked, responses, answers, dead, ledger)
    return ArmOutcome(
        tuple(choices), tuple(asked), tuple(responses), answers, joined, ledger, tuple(dead), tuple(unresolved),
        figures, settings.identity(),
    )  # fmt: skip


def _choose(
    scored: Sequence[ScoredChart],
    prompts: Sequence[Prompt],
    settings: ArmSettings,
    night: date,
    known: Mapping[str, Response],
) -> list[Choice]:
    considered = [
        Scored(
            each.chart.subject_id, each.p_any, prompt.tokens, each.suspected,
            request_key(settings.profile, settings.differential, prompt.evidence) in known,
        )
        for each, prompt in zip(scored, prompts, strict=True)
    ]  # fmt: skip
    return choose(
        considered, settings.budget, night, threshold=settings.threshold, floor=settings.floor,
        answer_tokens=settings.profile.answer_tokens, seed=settings.seed,
    )  # fmt: skip


def _questions(
    chosen: Sequence[tuple[ScoredChart, Prompt]],
    choices: Sequence[Choice],
    settings: ArmSettings,
    count_tokens: CountTokens,
) -> list[Asked]:
    profile, task = settings.profile, settings.differential
    asked = [Asked(request_of(profile, task, prompt), task.name, prompt) for _, prompt in chosen]
    again = {choice.subject_id for choice in [c for c in choices if c.read][: settings.repeat_sample]}
    asked += [
        Asked(request_of(profile, task, prompt, repeat=n), task.name, prompt, repeat=n)
        for each, prompt in chosen
        if each.chart.subject_id in again
        for n in range(1, settings.repeats + 1)
    ]
    if settings.confirm is None:
        return asked
    pairs = [(each.chart, (d.disease_id, d.name)) for each, _ in chosen for d in each.listed[: settings.confirm_top]]
    prompts = build_prompts(
        [chart for chart, _ in pairs], settings.confirm, profile.prompt_tokens, count_tokens, [c for _, c in pairs]
    )
    return asked + [
        Asked(request_of(profile, settings.confirm, prompt), settings.confirm.name, prompt, candidate)
        for (_, candidate), prompt in zip(pairs, prompts, strict=True)
    ]


def _ask(
    asked: Sequence[Asked],
    settings: ArmSettings,
    charts: Mapping[int, PatientChart],
    resolver: Resolver,
    complete: Complete,
    known: Mapping[str, Response],
) -> tuple[list[Response], dict[str, JudgedAnswer], list[str]]:
    """Ask what is not known, judge all, ask the failed ones once more with their fault shown."""
    by_key = {question.request.key: question for question in asked}
    tasks = {task.name: task for task in (settings.differential, settings.confirm) if task is not None}

    def judged(question: Asked, response: Response) -> JudgedAnswer:
        findings = charts[question.request.subject_id].findings
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
    scored: Sequence[ScoredChart], asked: Sequence[Asked], answers: Mapping[str, JudgedAnswer], settings: ArmSettings
) -> dict[int, Joined]:
    differential: dict[int, JudgedAnswer] = {}
    confirmations: dict[int, list[JudgedAnswer]] = {}
    for question in asked:
        subject = question.request.subject_id
        if question.candidate is not None:
            confirmations.setdefault(subject, []).append(answers[question.request.key])
        elif not question.repeat:
            differential[subject] = answers[question.request.key]
    return {
        subject: join(
            each.p_any, each.listed, differential.get(subject), confirmations.get(subject, ()),
            threshold=settings.threshold,
        )
        for each in scored
        for subject in (each.chart.subject_id,)
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
        "llm_requests": len(asked),
        "llm_from_cache": len(asked) - sum(not r.key.endswith("-again") for r in responses),
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


def _agreement(asked: Sequence[Asked], answers: Mapping[str, JudgedAnswer]) -> tuple[float, float] | None:
    """Over pairs of answers to the same question: share with the same first disease, mean overlap of their diseases."""
    groups: dict[int, list[JudgedAnswer]] = {}
    for question in asked:
        if question.candidate is None and answers[question.request.key].accepted:
            groups.setdefault(question.request.subject_id, []).append(answers[question.request.key])
    pairs = [pair for group in groups.values() for pair in combinations(group, 2)]
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
