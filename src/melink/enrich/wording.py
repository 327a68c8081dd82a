"""Words of captions that knowledge bases spell otherwise: titles, forms of address, nationalities."""

from __future__ import annotations

from typing import Final

OCCUPATIONS: Final = {
    "actress": "actor", "poetess": "poet", "comedienne": "comedian", "footballer": "association football player",
    "striker": "association football player", "midfielder": "association football player",
    "goalkeeper": "association football player", "quarterback": "American football player",
    "pitcher": "baseball player",
    "outfielder": "baseball player", "batsman": "cricketer", "bowler": "cricketer", "professor": "university teacher",
    "filmmaker": "film director", "director": "film director", "businessman": "businessperson",
    "businesswoman": "businessperson", "industrialist": "entrepreneur", "attorney": "lawyer", "barrister": "lawyer",
    "solicitor": "lawyer", "doctor": "physician", "surgeon": "surgeon", "sportsman": "athlete",
    "sprinter": "athletics competitor", "runner": "athletics competitor", "vocalist": "singer", "frontman": "singer",
    "rapper": "rapper", "drummer": "drummer", "bassist": "bassist", "guitarist": "guitarist", "statesman": "politician",
    "senator": "politician", "sen": "politician", "congressman": "politician", "congresswoman": "politician",
    "representative": "politician", "president": "politician", "governor": "politician", "gov": "politician",
    "mayor": "politician", "minister": "politician", "premier": "politician", "chancellor": "politician",
    "mp": "politician", "ambassador": "diplomat", "envoy": "diplomat", "general": "military officer",
    "gen": "military officer", "colonel": "military officer", "col": "military officer", "major": "military officer",
    "captain": "military officer", "lieutenant": "military officer", "admiral": "military officer",
    "marshal": "military officer", "commander": "military officer", "soldier": "military personnel",
    "bishop": "Catholic priest", "cardinal": "Catholic priest", "pope": "Catholic priest",
    "archbishop": "Catholic priest",
    "king": "monarch", "queen": "monarch", "emperor": "monarch", "empress": "monarch", "tsar": "monarch",
    "sultan": "monarch", "wrestler": "professional wrestler", "boxer": "boxer", "scholar": "academic",
}  # fmt: skip
"""Word → occupation; it counts where the knowledge base knows the occupation and not the word."""

WOMAN: Final = frozenset(("she", "her", "hers", "herself"))
MAN: Final = frozenset(("he", "him", "his", "himself"))
_LADY: Final = (
    "actress poetess comedienne queen princess empress duchess baroness mrs miss dame congresswoman businesswoman"
)
_LORD: Final = "king prince emperor duke mr sir lord congressman businessman statesman pope cardinal"
LADY: Final = frozenset(_LADY.split())
"""Titles and forms for women."""
LORD: Final = frozenset(_LORD.split())
"""Titles and forms for men."""

NATIONS: Final = {
    "american": "United States of America", "british": "United Kingdom", "english": "United Kingdom", "scottish":
    "United Kingdom", "welsh": "United Kingdom", "irish": "Ireland", "french": "France", "german": "Germany",
    "austrian": "Austria", "swiss": "Switzerland", "italian": "Italy", "spanish": "Spain", "portuguese": "Portugal",
    "dutch": "Netherlands", "belgian": "Belgium", "danish": "Denmark", "swedish": "Sweden", "norwegian": "Norway",
    "finnish": "Finland", "icelandic": "Iceland", "polish": "Poland", "czech": "Czech Republic", "slovak": "Slovakia",
    "hungarian": "Hungary", "romanian": "Romania", "bulgarian": "Bulgaria", "greek": "Greece", "serbian": "Serbia",
    "croatian": "Croatia", "slovenian": "Slovenia", "bosnian": "Bosnia and Herzegovina", "albanian": "Albania",
    "macedonian": "North Macedonia", "russian": "Russia", "soviet": "Soviet Union", "ukrainian": "Ukraine",
    "belarusian": "Belarus", "estonian": "Estonia", "latvian": "Latvia", "lithuanian": "Lithuania", "georgian":
    "Georgia", "armenian": "Armenia", "azerbaijani": "Azerbaijan", "turkish": "Turkey", "iranian": "Iran", "iraqi":
    "Iraq", "israeli": "Israel", "egyptian": "Egypt", "syrian": "Syria", "lebanese": "Lebanon", "indian": "India",
    "pakistani": "Pakistan", "bangladeshi": "Bangladesh", "chinese": "People's Republic of China", "japanese": "Japan",
    "korean": "South Korea", "taiwanese": "Taiwan", "vietnamese": "Vietnam", "thai": "Thailand", "filipino":
    "Philippines", "indonesian": "Indonesia", "malaysian": "Malaysia", "australian": "Australia", "canadian": "Canada",
    "mexican": "Mexico", "cuban": "Cuba", "brazilian": "Brazil", "argentine": "Argentina", "argentinian": "Argentina",
    "chilean": "Chile", "colombian": "Colombia", "venezuelan": "Venezuela", "peruvian": "Peru", "uruguayan": "Uruguay",
    "nigerian": "Nigeria", "ghanaian": "Ghana", "kenyan": "Kenya", "algerian": "Algeria", "moroccan": "Morocco",
    "tunisian": "Tunisia", "jamaican": "Jamaica",
}  # fmt: skip
"""Word → country, as Wikidata names it."""
