"""`Sessions`: the law of conversations and of agents at work, as tables of constants.

Agents: the parameters that AIPerf publishes for sessions of a coding agent (docs/sources.md,
"Prefixes and sessions"): what all sessions begin with, what the sessions of a group begin with
(groups drawn by a power law), what a session begins with, new tokens and answers of a turn, gaps of
tools and of people, and restarts. Chat is ours (A): a system prompt that all share, short turns,
gaps of people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Lognormal:
    """A lognormal variable by mean and median, cut at ``most``."""

    median: float
    mean: float
    most: float = math.inf

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm."""
        return math.sqrt(2.0 * math.log(self.mean / self.median))


@dataclass(frozen=True)
class Sessions:
    """The law of the sessions of one kind.

    Attributes:
        name: Kind.
        model: Model that serves it.
        tier: Tier of its requests.
        sessions_per_s: New sessions a second on a weekday at scale 1, before the hours of the day.
        shared_tokens: What all prompts of the kind begin with.
        groups: Groups of sessions.
        group_power: Group ``g`` (from 1) has a chance in proportion to ``g ** -group_power``.
        group_tokens: What the prompts of a group begin with after that.
        own_tokens: What the prompts of a session begin with after that; None: nothing.
        new_tokens: Tokens that a turn adds to the context.
        output_tokens: Tokens of an answer; they join the context.
        tool_share: Share of gaps between answer and next turn that are a tool's.
        tool_s: Such a gap.
        human_s: Another.
        end_chance: Chance that a turn is the last one, with an empty context.
        end_growth: With a full context the chance is 1 + this times as large.
        restart_share: Share of sessions that begin their context anew once.
        restart_turns: First and last turn at which they do.
        most_tokens: Longest prompt; a session ends before one that is longer.
    """

    name: str
    model: str
    tier: str
    sessions_per_s: float
    shared_tokens: int
    groups: int
    group_power: float
    group_tokens: int
    own_tokens: Lognormal | None
    new_tokens: Lognormal
    output_tokens: Lognormal
    tool_share: float
    tool_s: Lognormal
    human_s: Lognormal
    end_chance: float
    end_growth: float
    restart_share: float
    restart_turns: tuple[int, int]
    most_tokens: int


#: Longest prompt: 200,000 in the published parameters; the catalogue's models hold 131,072 (A).
_MOST_AGENT_TOKENS: Final = 120_000

AGENT: Final = Sessions(
    name="agent",
    model="gpt-oss-120b",
    tier="IW-N",
    sessions_per_s=0.25,  # (A)
    shared_tokens=32_000,
    groups=100,
    group_power=0.6,
    group_tokens=10_000,
    own_tokens=Lognormal(5_000.0, 15_000.0, 50_000.0),
    new_tokens=Lognormal(4_000.0, 6_000.0, 50_000.0),
    output_tokens=Lognormal(800.0, 1_000.0, 10_000.0),
    tool_share=0.7,
    tool_s=Lognormal(2.0, 5.0),
    human_s=Lognormal(15.0, 30.0),
    end_chance=0.05,
    end_growth=1.5,
    restart_share=0.3,
    restart_turns=(5, 15),
    most_tokens=_MOST_AGENT_TOKENS,
)

CHAT: Final = Sessions(  # all of it ours (A)
    name="chat",
    model="llama-3.1-8b",
    tier="IW-F",
    sessions_per_s=0.27,
    shared_tokens=2_048,
    groups=20,
    group_power=1.0,
    group_tokens=1_024,
    own_tokens=None,
    new_tokens=Lognormal(200.0, 500.0, 16_000.0),
    output_tokens=Lognormal(200.0, 300.0, 4_096.0),
    tool_share=0.0,
    tool_s=Lognormal(1.0, 2.0),
    human_s=Lognormal(15.0, 30.0),
    end_chance=0.18,
    end_growth=0.0,
    restart_share=0.0,
    restart_turns=(1, 1),
    most_tokens=32_000,
)

KINDS: Final = (CHAT, AGENT)
"""At these rates half of the requests are turns of agents, and nine prompt tokens in ten."""
