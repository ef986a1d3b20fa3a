"""Computes with LiteLLM what a grid of usages costs with each model of its list, one JSON object per
line. The first line says what the columns are. tests/prices/main.rs compares. `.ci/prices` runs
both.

    prices.py FOLDER [CORPUS]

FOLDER receives `list.json`, a copy of the list that LiteLLM ships, and `grid.jsonl`. With the folder of
recorded responses, it also receives `corpus.jsonl`: what LiteLLM and genai-prices say of their usages.
"""

import base64
import json
import logging
import os
import pathlib
import re
import shutil
import socket
import sys
import urllib.parse
import zlib
from datetime import datetime, timezone
from importlib.metadata import version

# No network: the list in the package, and no other.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_MODE"] = "PRODUCTION"

import genai_prices
import litellm
from litellm.litellm_core_utils.llm_cost_calc import utils
from litellm.llms import get_cost_for_web_search_request
from litellm.types.utils import (
    CacheCreationTokenDetails,
    CompletionTokensDetailsWrapper,
    PromptTokensDetailsWrapper,
    ServerToolUse,
    Usage,
)

logging.disable(logging.CRITICAL)
litellm.suppress_debug_info = True


def no_network(*_):
    raise OSError("costs are computed without a network")


socket.socket.connect = no_network

MODES = {"chat", "completion", "embedding", "responses"}
TIERS = [None, "priority", "flex", "batch", "default"]
SEARCHES = 3
# LiteLLM logs in to these to compute the cost of a batch, which they do not have.
NO_BATCHES = {"chatgpt", "github_copilot"}
# A Wednesday, in the hours of the full price of every entry that has others; then other times.
BILLED_AT = datetime(2026, 11, 25, 2, 30, tzinfo=timezone.utc)
OTHER_TIMES = [
    datetime(2026, 11, 25, 5, 59, 59, tzinfo=timezone.utc),
    datetime(2026, 11, 25, 6, 0, tzinfo=timezone.utc),
    datetime(2026, 11, 25, 23, 59, 59, tzinfo=timezone.utc),
    datetime(2026, 11, 28, 2, 30, tzinfo=timezone.utc),
    datetime(2026, 11, 29, 17, 30, tzinfo=timezone.utc),
    datetime(2026, 11, 30, 2, 30, tzinfo=timezone.utc),
]


def usage(input, output, read=0, write=0, hour=0, reasoning=0):
    return {
        "input": input,
        "output": output,
        "cache_read": read,
        "cache_write": write,
        "cache_write_1h": hour,
        "reasoning": reasoning,
    }


USAGES = [
    usage(0, 0),
    usage(1, 1),
    usage(1234, 567),
    usage(10_000, 0),
    usage(12_345, 6789, reasoning=4321),
    usage(50_000, 700, read=45_000),
    usage(50_000, 700, write=30_000),
    usage(50_000, 700, read=20_000, write=25_000, hour=15_000, reasoning=300),
    usage(100_000, 10),
    usage(100_001, 10, read=1000),
    usage(128_001, 3000),
    usage(200_000, 3000, read=100_000, write=50_000),
    usage(200_001, 3000, read=100_000, write=50_000, hour=10_000),
    usage(256_001, 3000, reasoning=2000),
    usage(272_001, 3000, read=271_000, reasoning=1000),
    usage(1_000_000, 64_000, read=500_000, write=400_000, hour=300_000, reasoning=60_000),
]


def litellm_usage(of):
    written = of["cache_write"]
    details = None
    if of["cache_write_1h"]:
        details = CacheCreationTokenDetails(
            ephemeral_5m_input_tokens=written - of["cache_write_1h"],
            ephemeral_1h_input_tokens=of["cache_write_1h"],
        )
    return Usage(
        prompt_tokens=of["input"],
        completion_tokens=of["output"],
        total_tokens=of["input"] + of["output"],
        prompt_tokens_details=PromptTokensDetailsWrapper(
            cached_tokens=of["cache_read"],
            cache_creation_tokens=written,
            cache_creation_token_details=details,
        ),
        completion_tokens_details=CompletionTokensDetailsWrapper(reasoning_tokens=of["reasoning"]),
    )


def provider_of(entry):
    """The provider under which LiteLLM computes the costs of an entry."""
    provider = entry.get("litellm_provider") or ""
    if provider.startswith("vertex_ai"):
        return "vertex_ai"
    if provider == "bedrock_converse":
        return "bedrock"
    return provider.removesuffix("-embedding-models")


def cost(model, provider, tokens, tier, mode):
    batch = tier == "batch"
    if batch and provider in NO_BATCHES:
        return None
    call_type = "retrieve_batch" if batch else "embedding" if mode == "embedding" else "completion"
    parts = litellm.cost_per_token(
        model=model,
        custom_llm_provider=provider,
        usage_object=tokens,
        prompt_tokens=tokens.prompt_tokens,
        completion_tokens=tokens.completion_tokens,
        service_tier=None if batch else tier,
        call_type=call_type,
    )
    return sum(parts)


def search_cost(model, provider):
    """The cost of searches beside the tokens, or None where LiteLLM has no rule for the provider, or a
    price that is not in its list."""
    searched = Usage(
        prompt_tokens=1,
        completion_tokens=1,
        total_tokens=2,
        prompt_tokens_details=PromptTokensDetailsWrapper(web_search_requests=SEARCHES),
        server_tool_use=ServerToolUse(web_search_requests=SEARCHES),
    )
    searched.server_side_tool_usage_details = {"web_search_calls": SEARCHES}
    if provider == "perplexity":
        searched = [cost(model, provider, tokens, None, "chat") for tokens in (searched, litellm_usage(usage(1, 1)))]
        return searched[0] - searched[1]
    info = litellm.get_model_info(model=model, custom_llm_provider=provider)
    if not info.get("search_context_cost_per_query"):
        return None
    return get_cost_for_web_search_request(provider, searched, info)


# The corpus's names of providers: LiteLLM's, and those of genai-prices where they are others.
PROVIDERS = {
    "alibaba": "dashscope",
    "bedrock-agent": "bedrock",
    "bedrock-mantle": "bedrock_mantle",
    "copilot": "github_copilot",
    "hf-featherless": "featherless_ai",
    "hf-router": "huggingface",
    "ollama-cloud": "ollama",
    "together": "together_ai",
    "vertex": "vertex_ai",
}
GENAI_PROVIDERS = {
    "bedrock": "aws",
    "gemini": "google",
    "moonshot": "moonshotai",
    "together": "together",
    "vertex": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
}
# Not providers of models with prices: local servers, proxies and hosts that are not named.
LOCAL = re.compile(r"litellm-proxy|localhost|mytestingproxy|api.com|openai-compatible|portkey|mistralrs|llamacpp")
MODEL = re.compile(r'"model(?:Version|_version)?"\s*:\s*"([^"]+)"')
TIER = re.compile(r'"(?:service_?tier|trafficType)"\s*:\s*"([^"]+)"', re.IGNORECASE)


def body_of(row):
    body = base64.b64decode(row["body_b64"])
    if row.get("content_encoding") == "gzip":
        body = zlib.decompressobj(wbits=31).decompress(body)
    return body.decode("utf-8", "replace")


def names_of(row, body):
    """The names of the model in the response, its path and its request."""
    path = urllib.parse.unquote((row.get("request") or {}).get("path") or "")
    in_path = re.search(r"/models?/([^?]+?)(?:/(?:invoke|converse)|:\w+(?:\?|$))", path)
    names = [found and found[1] for found in (MODEL.search(body), in_path)]
    names.append((row.get("request") or {}).get("model"))
    return list(dict.fromkeys(name for name in names if name))


def row_usage(row):
    norm, raw = row["expected_norm"], row["expected_raw_usage"] or {}
    written = ((row.get("raw_usage") or {}).get("cache_creation") or {}) if isinstance(row.get("raw_usage"), dict) else {}
    return usage(
        norm["input"] or 0,
        norm["output"] or 0,
        raw.get("cache_read") or 0,
        raw.get("cache_write") or 0,
        written.get("ephemeral_1h_input_tokens") or 0,
        raw.get("reasoning") or 0,
    )


def litellm_cost_of(names, provider, tokens, tier):
    """What LiteLLM computes for the first name that its list knows, and the name."""
    for name in names:
        for of in ["cohere_chat", "cohere"] if provider == "cohere" else [provider]:
            try:
                if litellm.get_model_info(model=name, custom_llm_provider=of)["key"] in litellm.model_cost:
                    return cost(name, of, tokens, tier, "chat"), name
            except Exception:
                continue
    return None, None


def genai_cost_of(names, provider, of):
    for name in names:
        try:
            tokens = genai_prices.Usage(
                input_tokens=of["input"],
                output_tokens=of["output"],
                cache_read_tokens=of["cache_read"] or None,
                cache_write_tokens=of["cache_write"] or None,
            )
            price = genai_prices.calc_price(
                tokens, model_ref=name, provider_id=provider, genai_request_timestamp=BILLED_AT
            )
            return float(price.total_price)
        except Exception:
            continue
    return None


def write_corpus(corpus, output):
    with output.open("w") as lines:
        for file in sorted(corpus.glob("*.jsonl")):
            for row in map(json.loads, file.read_text().splitlines()):
                norm = row["expected_norm"]
                body = body_of(row)
                names = names_of(row, body)
                if not norm or norm["input"] is None and norm["output"] is None or not names:
                    continue
                name = row["provider"]
                provider = None if LOCAL.match(name) else PROVIDERS.get(name, name)
                tier = TIER.search(body)
                tier = tier and tier[1]
                of = row_usage(row)
                theirs, known = litellm_cost_of(names, provider, litellm_usage(of), tier)
                line = {"id": row["id"], "models": names, "provider": provider, "tier": tier, "usage": of}
                line |= {"known": known, "litellm": theirs}
                line["genai"] = genai_cost_of(names, GENAI_PROVIDERS.get(name, name), of)
                lines.write(json.dumps(line) + "\n")


def main():
    folder = pathlib.Path(sys.argv[1])
    target, output = folder / "list.json", folder / "grid.jsonl"
    # Both libraries would ask the clock, and some prices depend on the hour.
    utils.current_billing_time = lambda: BILLED_AT
    if len(sys.argv) > 2:
        write_corpus(pathlib.Path(sys.argv[2]), folder / "corpus.jsonl")
    shipped = pathlib.Path(litellm.__file__).parent / "model_prices_and_context_window_backup.json"
    shutil.copy(shipped, target)
    tokens = [litellm_usage(of) for of in USAGES]
    with output.open("w") as lines:

        def write(line):
            lines.write(json.dumps(line) + "\n")

        write({"litellm": version("litellm"), "genai": version("genai-prices"), "usages": USAGES, "tiers": TIERS, "searches": SEARCHES})
        for model, entry in json.loads(shipped.read_text()).items():
            entry = litellm.model_cost.get(model) or entry
            if entry.get("mode") not in MODES:
                continue
            provider = provider_of(entry)
            line = {"model": model, "provider": provider, "costs": [], "error": None, "search": None}
            try:
                line["costs"] = [[cost(model, provider, of, tier, entry["mode"]) for of in tokens] for tier in TIERS]
            except Exception as error:
                line["error"] = f"{type(error).__name__}: {error}"[:300]
            if entry.get("off_peak_pricing"):
                line["times"] = []
                for time in OTHER_TIMES:
                    utils.current_billing_time = lambda time=time: time
                    costs = [cost(model, provider, of, None, entry["mode"]) for of in tokens]
                    line["times"].append({"at": time.isoformat(), "costs": costs})
                utils.current_billing_time = lambda: BILLED_AT
            if entry.get("search_context_cost_per_query"):
                line["search"] = search_cost(model, provider)
            write(line)


main()
