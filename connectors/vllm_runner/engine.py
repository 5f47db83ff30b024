"""vLLM behind three verbs: add a request, take a step, tell the figures. Only vLLM's environment imports this."""

from __future__ import annotations

from typing import Any

from vllm import EngineArgs, LLMEngine, SamplingParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

_SAMPLING = frozenset(
    ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
) | {"seed", "stop", "stop_token_ids"}


class Engine:
    """An engine in this process; `add` and `step` speak OpenAI chat completion bodies."""

    def __init__(self, arguments: dict[str, Any], reasoning_parser: str) -> None:
        structured = dict(arguments.get("structured_outputs_config") or {}, reasoning_parser=reasoning_parser)
        settings = dict(
            arguments, disable_log_stats=False, enable_prefix_caching=True, structured_outputs_config=structured
        )
        self._engine = LLMEngine.from_engine_args(EngineArgs(**settings))
        self._tokenizer = self._engine.get_tokenizer()
        self._parser = self._parser_of(reasoning_parser)
        self._name = str(arguments.get("served_model_name") or arguments["model"])

    def add(self, key: str, body: dict[str, Any]) -> None:
        """Put a chat completion request into the engine; ValueError where its prompt does not fit."""
        options = body.get("chat_template_kwargs") or {}
        ids = self._tokenizer.apply_chat_template(
            body["messages"], add_generation_prompt=True, tokenize=True, return_dict=False, **options
        )
        self._engine.add_request(key, {"prompt_token_ids": list(ids)}, self._sampling(body))

    def step(self) -> list[tuple[str, dict[str, Any]]]:
        """One step of the engine: the requests that ended in it, as response bodies."""
        ended = [output for output in self._engine.step() if output.finished]
        return [(output.request_id, self._body(output)) for output in ended]

    def busy(self) -> bool:
        """Whether requests are in the engine."""
        return bool(self._engine.has_unfinished_requests())

    def figures(self) -> dict[str, float]:
        """vLLM's own counters since the start: preemptions, prefix cache queries and hits (tokens)."""
        wanted = {"vllm:num_preemptions": 0.0, "vllm:prefix_cache_queries": 0.0, "vllm:prefix_cache_hits": 0.0}
        for metric in self._engine.get_metrics():
            if metric.name in wanted:
                wanted[metric.name] += float(metric.value)
        return {name.removeprefix("vllm:").removeprefix("num_"): value for name, value in wanted.items()}

    def _parser_of(self, name: str) -> Any:
        if not name:
            return None
        from vllm.reasoning import ReasoningParserManager

        return ReasoningParserManager.get_reasoning_parser(name)(self._tokenizer)

    def _sampling(self, body: dict[str, Any]) -> SamplingParams:
        given = {key: body[key] for key in _SAMPLING if body.get(key) is not None}
        shape = body.get("response_format") or {}
        if shape.get("type") == "json_schema":
            schema = shape["json_schema"]["schema"]
            given["structured_outputs"] = StructuredOutputsParams(json=schema)
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        return SamplingParams(max_tokens=most, output_kind=RequestOutputKind.FINAL_ONLY, **given)

    def _body(self, output: Any) -> dict[str, Any]:
        told = output.outputs[0]
        reasoning, content = self._split(told.text)
        prompt = len(output.prompt_token_ids or ())
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": len(told.token_ids),
            "total_tokens": prompt + len(told.token_ids),
            "prompt_tokens_details": {"cached_tokens": int(output.num_cached_tokens or 0)},
        }
        message = {"role": "assistant", "content": content, "reasoning": reasoning}
        choice = {"index": 0, "message": message, "finish_reason": told.finish_reason}
        return {"object": "chat.completion", "model": self._name, "choices": [choice], "usage": usage}

    def _split(self, text: str) -> tuple[str | None, str | None]:
        if self._parser is None:
            return None, text
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

        reasoning, content = self._parser.extract_reasoning(text, ChatCompletionRequest(messages=[], model=self._name))
        return reasoning, content


def versions() -> dict[str, str]:
    """Versions and device that the run identity holds."""
    import torch
    import vllm

    card = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    return {"vllm": vllm.__version__, "torch": torch.__version__, "device": card}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, at the start (no room for the cache) or while running."""
    text = f"{type(error).__name__} {error}".lower()
    return any(words in text for words in ("out of memory", "outofmemory", "no available memory", "kv cache is needed"))
