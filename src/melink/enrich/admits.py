"""Does an answer admit that the model does not know whom it was asked about?

Only the model's own ignorance counts ("I have no information about ...", "Could you provide more context?"), and only
where it begins the answer or makes up much of it. What biographies say themselves does not: "little is known about her
youth", "an unidentified author"; nor does a title of the subject that reads like an admission ("I Don't Know How She
Does It is a film"). 2,142 of the 17,391 entities of WikiMEL drew such an answer from the chat model of DWE+
(METHODS.md §6).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from melink.enrich.sentences import sentences
from melink.rerank.reading import without_thoughts

_LOOKED_AT: Final = 3
_LONGEST: Final = 4_000
_LONGEST_SENTENCE: Final = 1_000
_HIDDEN: Final = "0"
"""Stands for each letter of a name: part of a word, yet no letter."""

_I: Final = r"\b(?:i|we)(?:'(?:m|re|ve|d|ll)| am| are| do| have| would| could| can| was| were| will)?"
_NOT: Final = (
    r"(?:(?:do|did|could|would|can|have|had|was|were|am|are)(?: not|n't)(?: been)?|cannot|can't|unable|not able|failed"
    r"|regret)(?: able)?(?: to)?"
)
_HOW: Final = r"(?: (?:actually|currently|really|personally|honestly|presently|yet|also|unfortunately|still|seem to))*"
_DO: Final = (
    r"(?:know|have|find|found|provide|recogni[sz]e|identify|recall|possess|locate|confirm|verify|determine|tell|write"
    r"|give|access|offer|say|trace|uncover|think of|come across|encountered|heard|contain|answer|describe|introduce"
    r"|help|assist|be (?:sure|certain|able))\b"
)
_FACTS: Final = (
    r"(?:information|info|details?|data|records?|knowledge|facts|biograph\w+|results|sources|references?|entry|entries"
    r"|articles?)"
)
_WHO: Final = (
    r"(?:person|individual|(?:public )?figure|entity|celebrity|place|subject|organi[sz]ation|character|artist|author)"
)
_LACK: Final = r"(?:no|not enough|insufficient|not (?:much|any))"
_ISNT: Final = (
    r"there (?:(?:is|are|was|were)(?: not|n't)|(?:does|do)(?: not|n't) (?:seem|appear) to be) (?:currently |really )?"
)
_GONE: Final = (
    r"(?:\w+ )?(?:available|found|known|given|provided|accessible|located|retrieved|verified|in my)\b"
    r"(?! (?:\w+ ){0,3}until\b)"
)
_CAN: Final = r"(?:is|are|was|were|can be|could be|has been|have been)"
_THEIRS: Final = r"(?! (?:\w+ )?(?:his|her|its|their|the)\b)"
"""What follows is a side of a life: biographies say themselves that little is known of it."""
_OF: Final = rf"(?:on|about|of|for|regarding|concerning){_THEIRS}(?: [^ ;]+){{1,9}}?"
_HELP: Final = r"(?:provide|give|share|tell|specify|clarify|offer|supply|let me know|double-check)\b"
_KNOWN: Final = r"(?:widely|well|publicly|commonly|generally)[- ](?:known|recogni[sz]ed|documented)"
_ADMISSIONS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # what "I" do not know
        rf"{_I}{_HOW} {_NOT}{_HOW} {_DO}|\bi(?:'ve| have) not{_HOW} {_DO}",
        rf"{_I}{_HOW} not (?:\w+ )?(?:familiar|aware|sure|certain|able|acquainted|confident|finding)\b",
        rf"{_I} (?:\w+ )?(?:unaware|unsure|uncertain|unfamiliar|unacquainted)\b",
        rf"{_I} never (?:\w+ )?(?:heard|come across|encountered|met|seen)\b",
        rf"{_I} (?:find |found |know of |see |hold |only have )?(?:no|little|limited|insufficient|nothing)"
        rf" (?:\w+ ){{0,2}}(?:{_FACTS}|on|about)\b",
        r"\b(?:i|we) (?:(?:currently )?(?:know|found|find|have) (?:nothing|no such)|(?:haven't|have not) any)\b",
        r"\bas far as i\b.{0,80}\b(?:not|no)\b|\bnot (?:an? )?(?:someone|person|place|name) (?:that |whom? )?i\b",
        r"\b(?:familiar|known|unknown|new) to me\b|\bdrawing a blank\b",
        rf"\b(?:i|we) (?:\w+ )?lack (?:\w+ ){{0,3}}{_FACTS}",
        r"\b(?:i|we)(?:'ve)? (?:\w+ ){1,2}no (?:idea|clue)\b|\b(?:i|we)'ve no (?:idea|clue)\b",
        r"\b(?:i'?m|i am|we are|we're) (?:\w+ )?(?:sorry|afraid)\b|^\W*sorry, (?:but )?(?:i|we|there|no)\b",
        r"\b(?:i|my) apologi[sz]e?s?\b|^\W*apologies\b|\bmy apologies\b|\bring (?:a|any) bells?\b",
        r"\bi(?:'d| would|'ll| will)? (?:need|require) (?:\w+ )?(?:more|additional|further)\b",
        # what it is, and until when it read
        r"\b(?:i'?m|i am) (?:just |only )?an? (?:ai|artificial intelligence|large language|language)\b",
        r"\bas an? (?:ai(?:[ -](?:language|model|assistant|chatbot|system)\b|,| i\b)|artificial intelligence"
        r"|(?:large )?language model)",
        r"\b(?:as of|up to|up until|until|after|since|at the time of) my (?:\w+ ){0,2}"
        r"(?:knowledge|training|update|cutoff|cut-off)\b",
        r"\bmy (?:\w+ )?(?:knowledge|training|database|data ?set)"
        r" (?:data|cutoff|cut-off|base|set|(?:does|is|has)(?:n't)?|only|contains?|ends|extends|includes?)\b",
        r"\b(?:in|from|within|beyond|outside)(?: the scope)?(?: of)? my (?:\w+ )?"
        r"(?:knowledge|training|database|records|sources|data)\b",
        r"\bhow (?:can|may) i (?:help|assist)\b|\b(?:i'?m|i am) (?:ready|here|happy|glad) to (?:help|assist)\b",
        # what "there is" not
        rf"\bthere(?:'s| is| are| seems? to be| appears? to be) (?:currently )?{_LACK} (?:\w+ ){{0,4}}{_FACTS}"
        rf"(?: \w+){{0,4}}? (?:available|about|on|regarding|for|concerning)\b{_THEIRS}",
        rf"\bthere (?:seems|appears) to be (?:limited|little) {_FACTS} (?:available|about|on)\b{_THEIRS}",
        rf"\bthere(?:'s| is)(?: not|n't) (?:much|a lot|anything) known (?:about|of)\b{_THEIRS}",
        rf"\bthere(?:'s| is| are) (?:\w+ ){{0,2}}(?:limited|little) (?:\w+ ){{0,3}}"
        rf"(?:available {_FACTS}|{_FACTS}(?: \w+)? available)\b(?! (?:\w+ )?(?:his|her|its|their)\b)",
        rf"\b{_ISNT}(?:any|enough|much|sufficient) (?:\w+ ){{0,3}}{_FACTS}"
        rf"(?: \w+){{0,3}}? (?:available|about|on|regarding|for|concerning)\b{_THEIRS}",
        rf"\b(?:{_ISNT}(?:any|an?)|there(?:'s| is| are| seems to be| appears to be) no) (?:[\w-]+ ){{0,4}}{_WHO}"
        r" (?:named|called|known as|by (?:that|this|the) name|with (?:that|this|the) name|of (?:that|this) name)\b",
        rf"\bno (?:\w+ ){{0,3}}{_FACTS} {_CAN} {_GONE}",
        rf"^\W*(?:\w+, )?no (?:\w+ ){{0,3}}{_FACTS} {_OF} {_CAN} {_GONE}",
        rf"^\W*(?:\w+, )?(?:\w+ )?{_FACTS} {_OF} (?:(?:is|are|was|were)(?: not|n't) {_GONE}"
        r"|(?:could|can)(?: ?not|n't) be|(?:is|are) (?:\w+ )?(?:limited|scarce|sparse|unavailable|unknown|lacking))",
        rf"(?:\bnot?|n't) (?:an? )?{_KNOWN} (?:\w+ )?{_WHO}\b(?! (?:\w+ )?(?:outside|beyond|in|among)\b)",
        r"\b(?:does|do)(?: not|n't) (?:appear|seem) to be (?:an? )?(?:widely |well[- ])?"
        r"(?:known|public|notable|famous)\b",
        r"\b(?:may|might|could|appears? to|seems? to) (?:\w+ )?be (?:an? )?(?:\w+ character or an? )?"
        rf"(?:private (?:individual|person|citizen)|misspell(?:ed|ing)|less(?:er)?[- ]known {_WHO})\b",
        r"\bis (?:likely|probably|most likely) an? private (?:individual|person|citizen)\b",
        # what "you" are asked
        rf"\b(?:could|can|would|will) you (?:please |kindly )?{_HELP}|\bplease {_HELP}"
        rf"|\bif you (?:(?:could|can|would) )?(?:\w+ )?{_HELP}|\byou (?:could|can|might want to|may want to|should) "
        rf"(?:{_HELP}|check|try|consult|look)",
        r"\b(?:without|with no) (?:more|further|additional|any) (?:\w+ )?(?:context|information|details)\b",
        r"\bmore (?:context|information|details) (?:is|are|would be) (?:\w+ )?(?:needed|required|necessary|helpful)\b",
        r"\b(?:are you|you(?:'re| are| may be| might be| could be)) (?:\w+ )?"
        r"(?:referring|thinking of|asking|looking for)\b",
        r"\b(?:which|who|what|whom|perhaps|did|do) (?:\w+ ){0,2}you (?:\w+ )?(?:mean|meant|refer)\b",
        r"\b(?:it is|it's) (?:\w+ )?(?:not clear|unclear|difficult|hard|impossible) (?:for me )?"
        r"(?:to (?:say|determine|know|tell|identify)\b)?"
        r"(?: ?(?:(?:exactly )?(?:who|what|which|if|whether) (?:this|that|the) (?:person|name|is|refers|entity)"
        r"|to me|without)|\W*$)",
        # answers of a word or two
        r"^\W*(?:unknown|n/?a|none|not (?:known|sure|available|found|familiar)|no idea|no clue|never heard of .{1,80}"
        r"|no (?:data|information|results?|details)(?: (?:available|found))?"
        r"|information (?:not available|unavailable)|insufficient (?:information|data|context))\W*$",
        r"^\W*(?:unfortunately, )?(?:not familiar with|unfamiliar with|not sure who|unaware of|no idea who)\b",
    )
)
_QUOTED: Final = re.compile(r"[\"“][^\"”]{2,300}[\"”]|(?<!\w)'[^']{8,300}'(?!\w)")
"""What somebody else says."""
_APOSTROPHES: Final = str.maketrans(dict.fromkeys("‘’ʼ´`＇", "'"))
_MARKS: Final = re.compile(r"[*_#]+")
_OPENINGS: Final = (
    "Unfortunately|Regrettably|Sadly|Honestly|Frankly|Currently|Actually|Sorry|Apologies|However|But|And|So|Well|Yes|No"
    "|As|If|While|Although|Though|Since|Because|Who|What|Whom|That|Here|Alas|Hmm"
)
_FIRST: Final = re.compile(rf"\b(?!(?:{_OPENINGS})\b)[A-Z][\w-]* I\b(?!')")
"""A number that is no pronoun: "Charles I", "World War I"."""


def admits(answer: str, names: Sequence[str] = ()) -> bool:
    """Return whether an answer admits ignorance; an answer without a word does.

    Args:
        answer: What the model said.
        names: Of the subject: where they stand, nothing is read into their words.

    >>> admits("I'm sorry, but I have no information about John Q. Smith."), admits("Little is known of his youth.")
    (True, False)
    >>> admits("I Don't Know is a song."), admits("I Don't Know is a song.", ["I Don't Know"])
    (True, False)
    """
    text = _hidden(" ".join(without_thoughts(answer[: 4 * _LONGEST]).split())[:_LONGEST], names)
    every = sentences(text)
    if not any(letter.isalpha() for letter in text):
        return True
    found = [_admission(each) for each in every]
    return any(found[:_LOOKED_AT]) or sum(found) * 2 > len(every)


def unadmitted(text: str, names: Sequence[str] = ()) -> str:
    """Return a text without the sentences that speak of the model itself."""
    kept, start, hidden = [], 0, _hidden(text, names)
    for each in sentences(hidden):
        start = hidden.index(each, start)
        kept += [] if _admission(each) else [text[start : start + len(each)]]
        start += len(each)
    return " ".join(kept)


def _hidden(text: str, names: Sequence[str]) -> str:
    """Return a text of the same length that no longer shows names of several words.

    Only as they are written: "I do not know" admits what "I Do Not Know" does not. A name whose words have no capitals
    counts in front of a verb or a bracket.
    """
    for name in sorted(names, key=len, reverse=True):
        words = re.findall(r"[^\W_]+", name)
        if len(words) < 2:
            continue
        own = any(word[0].isupper() for word in words[1:] if word != "I")
        behind = r"(?![^\W_])" if own else r"(?=[\"'”’*_]* (?:is|was|are|were|\())"
        pattern = r"(?<![^\W_])" + r"[\W_]{1,4}".join(map(re.escape, words)) + behind
        text = re.sub(pattern, lambda match: _HIDDEN * len(match[0]), text)
    return text


def _admission(sentence: str) -> bool:
    plain = _MARKS.sub("", sentence[:_LONGEST_SENTENCE].translate(_APOSTROPHES))
    bare = _FIRST.sub("0", _QUOTED.sub('""', plain))
    return any(pattern.search(bare) for pattern in _ADMISSIONS)
