"""What a review does to the rows of a data set: some are left out, some say something else."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jessy_build import digest
from jessy_build.example import Example
from jessy_build.recipe import review
from jessy_build.recipe.review import Decision, Decisions

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.validators import Finding

RULE = "review"
"""What a rejected row is told to have broken."""


def decisions(loaded: "LoadedRecipe") -> dict[tuple[str, str], Decision]:
    """Those about categories that the recipe has: which rows they have is known only later."""
    wanted = loaded.recipe.categories
    return {about: one for about, one in loaded.review.items() if one.category in wanted}


def params(decided: Decisions) -> dict[str, str]:
    """For a step's key; nothing where nothing is decided."""
    said = sorted([*one._replace(asked="")] for one in decided.values())
    return {RULE: digest.of_value(said)} if said else {}


def about(decided: Decisions) -> dict[str, Any]:
    """By id, to tell which of them changed."""
    return {RULE: {one.id: _word(one) for one in decided.values()}} if decided else {}


def _word(decision: Decision) -> str:
    if decision.decision != "edit":
        return decision.decision
    return "edit: " + " · ".join(m.content for m in decision.messages if m.role == "assistant")


class Reviewed(NamedTuple):
    rows: list[Example]
    """Without those that were rejected, in their order."""
    rejected: list[Example]
    accepted: set[tuple[str, str]]
    """Id and origin."""

    def findings(self, found: "Iterable[Finding]", every: Sequence[Example]) -> "list[Finding]":
        """With the rejections among them, and without warnings about what was accepted."""
        from jessy_build.validators import Finding

        judged = [
            finding
            for finding in found
            if finding.severity == "error"
            or (finding.example_id, finding.where) not in self.accepted
        ]
        judged += [
            Finding(one.id, RULE, "error", "rejected in the review", one.origin.source)
            for one in self.rejected
        ]
        place = {(one.id, one.origin.source): n for n, one in enumerate(every)}
        # What is said of all rows together comes last.
        return sorted(judged, key=lambda f: place.get((f.example_id, f.where), len(place)))


def applied(examples: Sequence[Example], decided: Decisions) -> Reviewed:
    made = Reviewed([], [], set())
    ids = {id for id, _ in decided}
    for example, decision in _decided(examples, decided, ids):
        word = decision.decision if decision else ""
        if word == "reject":
            made.rejected.append(example)
            continue
        if decision and word == "edit":
            # Its id stays: that is how it is found, decided about and held out.
            example = example._replace(messages=decision.messages, edited=True)
        if word:
            made.accepted.add((example.id, example.origin.source))
        made.rows.append(example)
    return made


def is_edited(example: Example, decided: Decisions) -> bool:
    """Whether an edit stands in the place of what its origin gave."""
    ((_, decision),) = _decided([example], decided, {id for id, _ in decided})
    return decision is not None and decision.decision == "edit"


def _decided(
    examples: Iterable[Example], decided: Decisions, ids: set[str]
) -> Iterator[tuple[Example, Decision | None]]:
    for example in examples:
        if example.id not in ids:
            yield example, None
        else:
            yield example, decided.get((example.id, review.text_of(example.messages)))
