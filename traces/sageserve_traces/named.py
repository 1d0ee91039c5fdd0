"""The named traces: what they are, where they come from, under which licence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .download import TraceFile

_AZURE = "https://raw.githubusercontent.com/Azure/AzurePublicDataset/master/data/"
_AZURE_CONV = TraceFile(
    "AzureLLMInferenceTrace_conv.csv",
    _AZURE + "AzureLLMInferenceTrace_conv.csv",
    "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8",
)
_AZURE_CODE = TraceFile(
    "AzureLLMInferenceTrace_code.csv",
    _AZURE + "AzureLLMInferenceTrace_code.csv",
    "54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6",
)
_MOONCAKE = TraceFile(
    "conversation_trace.jsonl",
    "https://raw.githubusercontent.com/kvcache-ai/Mooncake/main/FAST25-release/traces/"
    "conversation_trace.jsonl",
    "b8cbb061a85206d729d91cdc2981f43c9e0d99209dce588d3af5f7934408b9df",
)
# Large files of BurstGPT lie in Git LFS; the SHA-256 is that of its pointer.
_BURSTGPT = TraceFile(
    "BurstGPT_1.csv",
    "https://media.githubusercontent.com/media/HPMLL/BurstGPT/main/data/BurstGPT_1.csv",
    "4bb3783693d0a435686fbfc885615d2349bd067239079fa4b749f2e679e12122",
)
# Digitised from a figure (traces/SOURCES.md of the shared data), hence without an address.
_AZURE_2024 = TraceFile(
    "azure2024_code_10min_rpm_digitised.csv",
    None,
    "b88f78672a5bbd45b2ab491e7241851187e7229456e3f910fbf3d9d02ab119c3",
)


@dataclass(frozen=True)
class NamedTrace:
    """An entry of the catalogue.

    Attributes:
        name: What `make_trace` takes.
        description: One line.
        split: Split of its rows; for ``o365`` the seed decides.
        licence: Licence of the data.
        files: Files it needs; none for the synthetic trace.
        citation: What to cite.
        generated: Whether its requests are made from a seed, to any length; a file's are the same
            for every seed.
    """

    name: str
    description: str
    split: str
    licence: str
    files: tuple[TraceFile, ...] = ()
    citation: str = ""
    generated: bool = False


AZURE_WEEK: Final = "azure-2024-code-week"

TRACES: Final[dict[str, NamedTrace]] = {
    entry.name: entry
    for entry in (
        NamedTrace(
            "o365",
            "synthetic week of the SageServe paper, any length and scale; needs no file",
            "by seed",
            "MIT (this project)",
            citation="arXiv 2502.14617; docs/sources.md, Workload",
            generated=True,
        ),
        NamedTrace(
            "global",
            "synthetic traffic of three continents and four models of 2026; needs no file",
            "by seed",
            "MIT (this project)",
            generated=True,
        ),
        NamedTrace(
            "global-scheduled",
            "the same with twice as much batch work and scheduled jobs",
            "by seed",
            "MIT (this project)",
            generated=True,
        ),
        NamedTrace(
            "global-flash",
            "global with scheduled jobs and eight flash crowds a day",
            "by seed",
            "MIT (this project)",
            generated=True,
        ),
        NamedTrace(
            "pair",
            "synthetic traffic of a small service, two continents and two models; needs no file",
            "by seed",
            "MIT (this project)",
            generated=True,
        ),
        NamedTrace(
            "solo",
            "its first model alone; needs no file",
            "by seed",
            "MIT (this project)",
            generated=True,
        ),
        NamedTrace(
            "sessions",
            "conversations and coding agents turn by turn, with what their prompts share",
            "by seed",
            "MIT (this project)",
            citation="docs/sources.md, Prefixes and sessions",
            generated=True,
        ),
        NamedTrace(
            "azure-2023-conv",
            "19,366 requests of a conversation service in 58 minutes, near Poisson",
            "test",
            "CC-BY 4.0",
            (_AZURE_CONV,),
            "Patel et al., Splitwise, ISCA 2024",
        ),
        NamedTrace(
            "azure-2023-code",
            "8,819 requests of a coding service in 57 minutes, very bursty",
            "test",
            "CC-BY 4.0",
            (_AZURE_CODE,),
            "Patel et al., Splitwise, ISCA 2024",
        ),
        NamedTrace(
            "mooncake-conversation",
            "12,031 requests with long prompts in 59 minutes",
            "test",
            "Apache-2.0",
            (_MOONCAKE,),
            "Qin et al., Mooncake, FAST 2025",
        ),
        NamedTrace(
            "burstgpt",
            "two months of ChatGPT and GPT-4 requests",
            "train",
            "CC-BY 4.0",
            (_BURSTGPT,),
            "Wang et al., BurstGPT, arXiv 2401.17644",
        ),
        NamedTrace(
            AZURE_WEEK,
            "rate curve of the coding service in May 2024 (16.8M a week), token pairs of 2023",
            "test",
            "CC-BY 4.0",
            (_AZURE_2024, _AZURE_CODE),
            "Stojkovic et al., DynamoLLM, HPCA 2025",
            generated=True,
        ),
    )
}


def is_generated(name: str) -> bool:
    """Return whether a name is that of a trace whose requests are made from a seed."""
    return name in TRACES and TRACES[name].generated


def list_traces() -> list[NamedTrace]:
    """Return the named traces."""
    return list(TRACES.values())
