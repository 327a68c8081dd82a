"""Does an answer admit that the model does not know whom it was asked about?

Only the model's own ignorance counts ("I have no information about ...", "Could you provide more context?"), and only
where it begins the answer or makes up much of it. What biographies say themselves does not: "little is known about her
youth", "an unidentified author". 2,142 of the 17,391 entities of WikiMEL drew such an answer from the chat model of
DWE+ (METHODS.md §6).
"""

from __future__ import annotations

import re
from typing import Final

from melink.enrich.sentences import sentences
from melink.rerank.reading import without_thoughts

_LOOKED_AT: Final = 3
_LONGEST: Final = 4_000
_I: Final = r"\b(?:i|we)(?:['’](?:m|ve|d|ll)| am| do| have| would| could| can| was| were| will)?"
_NOT: Final = (
    r"(?:do not|don['’]t|did not|didn['’]t|cannot|can['’]t|could not|couldn['’]t|(?:am |was )?(?:unable to|not able to)"
    r"|regret to) (?:actually |currently |seem to |personally )?"
)
_DO: Final = (
    r"(?:know|have|find|provide|recogni[sz]e|identify|recall|possess|locate|confirm|verify|determine|tell|write|give"
    r"|access|offer|say)\b"
)
_FACTS: Final = r"(?:information|details|data|records?|knowledge|facts|biograph\w+|results|sources)"
_LACK: Final = r"(?:no|not enough|insufficient|not (?:much|any))"
_HELP: Final = r"(?:provide|give|share|tell|specify|clarify|offer)\b"
_ADMISSIONS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_I} {_NOT}{_DO}",
        rf"{_I} (?:unfortunately |currently )?not (?:\w+ )?(?:familiar|aware|sure|certain|able|acquainted)\b",
        rf"{_I} (?:no|little|limited|insufficient) (?:\w+ ){{0,2}}{_FACTS}",
        r"\b(?:i|we)(?:['’]ve)? (?:\w+ ){1,2}no (?:idea|clue)\b|\b(?:i|we)['’]ve no (?:idea|clue)\b",
        r"\b(?:i['’]?m|i am|we are) (?:very |so |truly |really )?sorry\b",
        r"\b(?:i|my) apologi[sz]e?s?\b|\bmy apologies\b|\bi(?:['’]d| would) (?:need|require) (?:more|additional)\b",
        r"\bas an? (?:ai|artificial intelligence|large language|language)\b",
        r"\b(?:as of|up to) my (?:last |latest )?(?:knowledge|training|update)\b",
        r"\bmy (?:knowledge|training) (?:data|cutoff|cut-off|base)\b",
        rf"\bthere(?:['’]s| is| are| seems? to be| appears? to be) (?:currently )?{_LACK} (?:\w+ ){{0,4}}{_FACTS}"
        r"(?: \w+){0,4} (?:available|about|on|regarding|for|concerning)\b",
        rf"\bthere(?:['’]s| is| are) (?:\w+ ){{0,2}}(?:limited|little) (?:\w+ ){{0,3}}"
        rf"(?:available {_FACTS}|{_FACTS}(?: \w+)? available)\b(?! (?:\w+ )?(?:his|her|its|their)\b)",
        rf"\bno (?:\w+ ){{0,3}}{_FACTS} (?:is|are|was|were|can be) (?:\w+ )?(?:available|found|known|given|provided)\b",
        rf"\b(?:could|can|would) you (?:please |kindly )?{_HELP}|\bplease {_HELP}",
        r"\bwithout (?:more|further|additional|any) (?:\w+ )?(?:context|information|details)\b",
        r"\b(?:it is|it['’]s) (?:not clear|unclear|possible that you|difficult to (?:say|determine|know))\b",
        r"\b(?:does|do) not (?:appear|seem) to be (?:an? )?(?:widely |well[- ])?(?:known|public|notable)\b",
        r"^\W*(?:unknown|n/?a|none|not known|not sure|no idea|no information(?: available)?)\W*$",
    )
)
_QUOTED: Final = re.compile(r"[\"“][^\"”]{2,300}[\"”]|(?<!\w)['‘][^'’]{8,300}['’](?!\w)")
"""What somebody else says."""


def admits(answer: str) -> bool:
    """Return whether an answer admits ignorance; an answer without a word does.

    >>> admits("I'm sorry, but I have no information about John Q. Smith."), admits("Little is known of his youth.")
    (True, False)
    """
    text = " ".join(without_thoughts(answer[: 4 * _LONGEST]).split())[:_LONGEST]
    every = sentences(text)
    if not any(letter.isalpha() for letter in text):
        return True
    found = [_admission(each) for each in every]
    return any(found[:_LOOKED_AT]) or sum(found) * 2 > len(every)


def unadmitted(text: str) -> str:
    """Return a text without the sentences that speak of the model itself."""
    return " ".join(each for each in sentences(text) if not _admission(each))


def _admission(sentence: str) -> bool:
    bare = _QUOTED.sub('""', sentence)
    return any(pattern.search(bare) for pattern in _ADMISSIONS)
