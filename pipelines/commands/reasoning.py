"""`zebrawatch reasoning`: what a budget buys on which card, and which models and tasks there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands.options import JsonOption
from zebrawatch.errors import ConfigurationError
from zebrawatch.reasoning.budget import TYPICAL_ANSWER, TYPICAL_PROMPT, plan, read_card
from zebrawatch.reasoning.profile import profile_names, read_profile
from zebrawatch.reasoning.task import read_task, task_names

app = typer.Typer(no_args_is_help=True, help="The reasoning arm: budgets, models, tasks.")


@app.command("plan")
def plan_budget(
    profile: Annotated[str, typer.Option(help="Model profile, by name or path.")] = "radar-32b",
    card: Annotated[str, typer.Option(help="Accelerator, of zebrawatch/reasoning/cards.toml.")] = "h100-80gb",
    cards: Annotated[int, typer.Option(min=1, help="So many of them the model is spread over.")] = 1,
    prompt: Annotated[int, typer.Option(min=1, help="Tokens of a chart.")] = TYPICAL_PROMPT,
    answer: Annotated[int, typer.Option(min=1, help="Tokens of reasoning and answer.")] = TYPICAL_ANSWER,
    cached: Annotated[int, typer.Option(min=0, help="Tokens of the chart that the prefix cache serves.")] = 0,
    patients: Annotated[int | None, typer.Option(min=1, help="Patients a night.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Tokens a night, prompts and answers.")] = None,
    gpu_hours: Annotated[float | None, typer.Option(min=0.01, help="GPU-hours a night (default 8).")] = None,
    json_line: JsonOption = False,
) -> None:
    """Turn a budget of patients, tokens or GPU-hours into the other two. A plan by a roofline, not a promise."""
    if sum(each is not None for each in (patients, tokens, gpu_hours)) > 1:
        raise ConfigurationError("Give one of --patients, --tokens and --gpu-hours; the others follow from it.")
    model = read_profile(Path(profile) if profile.endswith(".toml") else profile)
    fits = plan(model, read_card(card), prompt=prompt, answer=answer, cached=min(cached, prompt), cards=cards)
    read = patients
    if read is None:
        read = tokens // (prompt + answer) if tokens is not None else fits.patients(gpu_hours or 8.0, cards)
    told: dict[str, Any] = {
        "profile": model.name, "card": card, "cards": cards, "prompt_tokens": prompt, "answer_tokens": answer,
        "cached_tokens": cached, "charts_in_flight": fits.in_flight,
        "patients_per_hour": round(fits.patients_per_hour, 1), "patients": read,
        "tokens": read * (prompt + answer), "gpu_hours": round(fits.gpu_hours(read, cards), 3),
    }  # fmt: skip
    print(f"{model.name} ({model.quantisation or 'bf16'}) on {cards} x {card}: {fits.in_flight} charts in flight, "
          f"{fits.patients_per_hour:,.0f} patients an hour")  # fmt: skip
    print(f"  {told['patients']:,} patients  =  {told['tokens']:,} tokens  =  {told['gpu_hours']:,.2f} GPU-hours")
    print("  A plan (roofline of memory and arithmetic), not a measurement: no GPU has shown it.")
    if json_line:
        print(json.dumps(told))


@app.command("models")
def models() -> None:
    """The model profiles and tasks that are shipped."""
    for name in profile_names():
        one = read_profile(name)
        use = "" if one.clinical_use else "; for trying out only, its answers are not clinically useful"
        print(
            f"{name:14} {one.size.parameters / 1e9:g} billion parameters, {one.quantisation or 'bf16'}, "
            f"context {one.context:,}, licence {one.license}{use}"
        )
    for name in task_names():
        task = read_task(name)
        print(f"task {name} {task.version}: {task.history[task.version]}")


@app.command("weights")
def weights(
    profile: Annotated[str, typer.Option(help="Model profile, by name or path.")],
    folder: Annotated[Path | None, typer.Option(help="Folder of the weights (default: the profile's).")] = None,
) -> None:
    """Print the hash of a model's weights, for `sha256` in its profile: other weights are then refused."""
    from connectors.model_weights import weights_digest

    model = read_profile(Path(profile) if profile.endswith(".toml") else profile)
    print(weights_digest(model, folder or Path(model.weights or ".")))
