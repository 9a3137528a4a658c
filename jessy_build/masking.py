"""Text that is shown to people, less the keys in it: terminals are logged, and shared on screens.

Better a word too many hidden than one key shown. A masked text is as long as it was, so that
carets stay under what they mean; masking it again changes nothing.
"""

import re

# Compiled when the first text is shown, not when a plan starts.
KEY = (
    # As the well-known issuers begin theirs; the beginning tells which key is meant, and is shown.
    r"(?P<issuer>(?<![A-Za-z0-9])(?:sk-(?:ant-)?|hf_|gh[pousr]_|github_pat_|xox[abprs]-|AKIA|AIza))"
    r"[A-Za-z0-9_*-]{3,}"
    # Or who one is to a server, in its address.
    r"|(?P<address>://)[^\s/@\"']{3,200}(?=@)"
    # Or whatever stands behind a name of that kind. `max_tokens` is none: it goes on.
    r"|(?P<name>(?i:api[_-]?key|secret|password|passwd|credentials?|token|(?P<any>key))"
    r"[\"']?[ \t]{0,8}[:=][ \t]{0,8}[\"']?)"
    r"(?(any)[^\s\"',{}\[\]]{16,}|(?:(?<=[\"'])[^\"']{4,}|[^\s\"',{}\[\]]{4,}))"
)
NAMES = r"(?i:key|token|secret|password|passwd|credentials?)$|^(?i:key|token|secret|auth)[_-]"
HINT = "keys come from the environment: set ANTHROPIC_API_KEY (or HF_TOKEN), and remove this one"


def masked(text: str) -> str:
    return re.sub(KEY, _starred, text)


def names_a_key(field: str) -> bool:
    """Whether a field of this name would be meant for a key."""
    return re.search(NAMES, field) is not None


def _starred(match: re.Match[str]) -> str:
    shown = match["issuer"] or match["address"] or match["name"]
    return shown + "*" * (len(match[0]) - len(shown))
