"""What was answered to a request, if asking it again could give no more."""

from jessy_build.engine.answers import Answer, Answers
from jessy_build.example import Reply, Request


def known(answers: Answers, request: Request, stem: str) -> Answer | None:
    """None as well for an answer that was cut off where it would have more room today: the next one
    takes its place. `stem` is the request's own, which takes a while to make."""
    found = answers.one(stem, request.sample, request.attempt)
    if found is None or found.usable:
        return found
    return None if Reply.of(found.reply).is_cut_below(request.max_tokens) else found


def is_kept(answers: Answers, request: Request, reply: Reply) -> bool:
    """Whether there is an answer that this one cannot take the place of, or this very one: results
    may be read twice."""
    found = answers.one(request.stem, request.sample, request.attempt)
    if found is None:
        return False
    is_this = Reply.of(found.reply)._replace(limit=0) == reply._replace(limit=0)
    return is_this or known(answers, request, found.stem) is not None
