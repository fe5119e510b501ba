"""The drafts of one response: which source proposes, and whether that pays at the moment."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from punie.models.mlx.decoding.speculation import (
    LONGEST_DRAFT,
    Draft,
    DraftControl,
    Drafter,
    PromptLookup,
)


@dataclass(frozen=True)
class Proposal:
    """A draft and what judges it."""

    draft: Draft
    control: DraftControl


@dataclass
class Drafting:
    """Asks its sources in turn; what one learns about its gain outlives the response."""

    sources: list[tuple[Drafter, DraftControl]] = field(default_factory=list)

    def extend(self, tokens: Sequence[int]) -> None:
        """Take tokens that are certain, the prompt first."""
        for drafter, _ in self.sources:
            drafter.extend(tokens)

    def wanted(self) -> bool:
        """Tell whether some source has a guess that is worth a check."""
        for drafter, control in self.sources:
            if (evidence := drafter.evidence()) > 0:
                if control.limit(evidence) > 0:
                    return True
                control.pass_over(evidence)
        return False

    def propose(self, room: int) -> "Proposal | None":
        """Return a draft of at most `room` tokens that is worth a check, if there is one."""
        for drafter, control in self.sources:
            evidence = drafter.evidence()
            limit = min(room, LONGEST_DRAFT, control.limit(evidence) if evidence else 0)
            if limit > 0 and (draft := drafter.propose(limit)).tokens:
                return Proposal(draft, control)
        return None

    def record_plain(self, seconds: float) -> None:
        """Learn what a step without a draft takes."""
        for _, control in self.sources:
            control.record_plain(seconds)


def lookup_source(certain: Sequence[int], control: DraftControl) -> tuple[Drafter, DraftControl]:
    """Return prompt lookup in `certain` tokens as a source."""
    lookup = PromptLookup()
    lookup.extend(certain)
    return lookup, control
