"""Which occupations and which countries are near enough to each other not to be a contradiction."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from melink.enrich.wording import NATIONS
from melink.kb.folding import fold, tokens

_TRADES: Final = {
    "sport": (
        "footballer player athlete swimmer cyclist boxer wrestler cricketer skier skater racer racing coach gymnast "
        "golfer tennis baseball basketball rower sprinter jockey olympian sportsperson sportsman sportswoman "
        "goalkeeper goaltender midfielder striker defender forward runner quarterback linebacker pitcher catcher "
        "outfielder infielder fencer judoka manager archer diver surfer snowboarder mountaineer climber hurdler "
        "jumper thrower weightlifter biathlete curler hockey rugby football soccer badminton volleyball handball "
        "referee umpire wicketkeeper batsman bowler batter karateka kickboxer equestrian sailor canoeist triathlete "
        "marathoner driver chess grandmaster esports"
    ),
    "state": (
        "politician statesman stateswoman statesperson senator governor president minister diplomat ambassador judge "
        "lawyer jurist attorney barrister solicitor prosecutor activist civil servant official monarch king queen "
        "emperor empress sovereign ruler prince princess duke duchess count countess baron baroness earl marquess "
        "lord noble nobleman noblewoman aristocrat regent consort chief chieftain sultan emir shah khan caliph "
        "pharaoh consul tribune dictator military general officer soldier admiral commander marshal colonel captain "
        "lieutenant major sergeant warrior condottiero mercenary spy revolutionary rebel guerrilla partisan terrorist "
        "suffragette suffragist abolitionist congressman congresswoman representative mayor councillor councilor "
        "chancellor premier secretary deputy member legislator mp mep leader commissioner commissar governor-general "
        "viceroy policeman police agent astronaut cosmonaut aviator pilot royal royalty courtier unionist trade- "
        "unionist lobbyist advisor adviser first lady socialite philanthropist environmentalist feminist humanitarian "
        "vizier samurai daimyo shogun shogunate wali"
    ),
    "letters": (
        "writer poet novelist author journalist playwright historian philosopher scholar academic professor teacher "
        "lecturer educator educationist pedagogue essayist biographer autobiographer translator critic editor "
        "publisher columnist librarian linguist philologist classicist orientalist archaeologist anthropologist "
        "sociologist psychologist economist theologian lexicographer dramatist screenwriter lyricist librettist "
        "correspondent reporter broadcaster blogger storyteller humorist satirist diarist memoirist chronicler "
        "literary lawyer activist politician intellectual theorist pamphleteer commentator speechwriter political "
        "scientist children's philanthropist"
    ),
    "science": (
        "scientist physicist chemist mathematician engineer inventor physician doctor surgeon biologist botanist "
        "zoologist geologist astronomer astrophysicist naturalist statistician programmer developer computer "
        "neuroscientist psychiatrist psychologist psychoanalyst pharmacist pathologist nurse midwife dentist "
        "veterinarian researcher academic professor teacher explorer geographer cartographer meteorologist biochemist "
        "geneticist entomologist ornithologist paleontologist anthropologist archaeologist economist philosopher "
        "logician cryptographer cosmologist ecologist horticulturist astronaut cosmonaut polymath scholar "
        "entrepreneur aviator immunologist virologist"
    ),
    "stage": (
        "actor actress director filmmaker producer screenwriter singer musician composer rapper songwriter dancer "
        "choreographer comedian comedienne comic model presenter host hostess television personality conductor "
        "pianist guitarist drummer bassist violinist cellist saxophonist trumpeter organist dj disc jockey magician "
        "performer entertainer celebrity vocalist soprano tenor baritone contralto mezzo-soprano bandleader "
        "playwright dramatist animator cinematographer impresario youtuber influencer stuntman stuntwoman broadcaster "
        "newsreader anchor showman showgirl puppeteer impressionist voice film radio media socialite drag wrestler "
        "pageant beauty artist costume theatre theater librettist lyricist keyboardist multi-instrumentalist "
        "instrumentalist record fashion designer photographer writer author autobiographer restaurateur chef "
        "businesswoman entrepreneur dramaturge"
    ),
    "art": (
        "painter sculptor artist architect designer photographer illustrator printmaker engraver etcher draughtsman "
        "draughtsperson drawer cartoonist calligrapher ceramicist potter goldsmith miniaturist muralist lithographer "
        "curator filmmaker comics mangaka graphic visual art animator poet urban planner landscape fashion"
    ),
    "faith": (
        "priest bishop archbishop pope cardinal saint monk nun friar abbot abbess rabbi imam missionary theologian "
        "preacher pastor minister clergyman cleric evangelist mystic prophet lama reverend deacon religious hermit "
        "martyr reformer philosopher ayatollah mullah guru swami apostle televangelist writer poet scholar teacher "
        "chaplain patriarch metropolitan presbyter prelate jesuit antipope regent hymnwriter"
    ),
    "trade": (
        "businessperson businessman businesswoman entrepreneur executive banker merchant investor industrialist "
        "financier trader tycoon magnate chef restaurateur publisher manager economist engineer inventor "
        "philanthropist hotelier brewer landowner farmer planter carpenter worker accountant consultant producer "
        "designer politician manufacturer chairman ceo founder owner president director stockbroker shipowner hostess "
        "socialite winemaker"
    ),
    "crime": (
        "criminal gangster murderer killer serial mobster outlaw robber thief pirate terrorist fraudster spy assassin "
        "drug bandit"
    ),
}
"""Family → words of occupations; a word may belong to several, which makes fewer contradictions."""
_ROLES: Final = (
    "founder cofounder member leader lady saint martyr emperor empress king queen monarch prince princess duke duchess "
    "count countess ruler sovereign shah khan sultan caliph pharaoh chief assassin author servant president chairman "
    "owner celebrity socialite figure secretary representative official first advisor officer royal lama"
)
_TITLES: Final = frozenset(_ROLES.split())
"""Words that many are called beside their occupation: they contradict nothing."""
_KIN: Final[dict[str, frozenset[str]]] = {
    word: frozenset(name for name, words in _TRADES.items() if word in words.split())
    for words in _TRADES.values()
    for word in words.split()
}

_REGIONS: Final = {
    "germany": (
        "german germany prussia bavaria saxony wurttemberg württemberg baden hesse hanover reich weimar holy rhine "
        "thuringia westphalia mecklenburg brandenburg palatinate hamburg bremen frankfurt silesia"
    ),
    "danube": (
        "austria austrian hungary hungarian czech czechoslovakia bohemia moravia slovakia slovak slovenia croatia "
        "holy habsburg transylvania"
    ),
    "balkans": (
        "yugoslavia yugoslav serbia serbian croatia slovenia bosnia bosnian macedonia montenegro kosovo albania "
        "bulgaria ottoman greece"
    ),
    "russia": (
        "russia russian soviet ussr ukraine ukrainian belarus belarusian georgia georgian armenia armenian azerbaijan "
        "kazakhstan uzbekistan estonia latvia lithuania moldova poland finland tsardom rus"
    ),
    "poland": "poland polish lithuania lithuanian galicia silesia ukraine prussia",
    "britain": "britain british england english scotland scottish wales welsh ireland irish ulster",
    "britain and canada": "canada britain british",
    "britain and australia": "australia britain british",
    "britain and zealand": "zealand britain british",
    "britain and africa": "africa britain british",
    "italy": (
        "italy italian sardinia sicily naples venice venetian florence tuscany papal vatican milan genoa savoy "
        "piedmont lombardy rome roman holy"
    ),
    "france": "france french burgundy brittany normandy alsace lorraine navarre",
    "iberia": "spain spanish castile aragon catalonia portugal portuguese leon navarre",
    "lowlands": "netherlands dutch belgium belgian flanders flemish holland burgundian luxembourg brabant",
    "nordic": "denmark danish norway norwegian sweden swedish iceland finland finnish greenland faroe",
    "china": "china chinese qing ming taiwan hong macau manchukuo tang song yuan han roc prc tibet mongolia",
    "india": "india indian raj pakistan bangladesh bengal mughal mysore nepal sri ceylon burma myanmar hyderabad",
    "japan": "japan japanese ryukyu",
    "korea": "korea korean joseon goryeo",
    "levant": "israel palestine palestinian mandatory jordan syria lebanon egypt ottoman iraq",
    "turkey": "turkey turkish ottoman greece armenia byzantine",
    "persia": "iran iranian persia persian qajar safavid afghanistan",
    "states": "states american usa america confederate hawaii texas",
    "rome": "rome roman byzantine",
    "greece": "greece greek athens sparta macedon macedonia byzantine cyprus hellenic",
    "egypt": "egypt egyptian ptolemaic",
    "maghreb": "morocco algeria tunisia libya france",
    "andes": "colombia venezuela ecuador panama gran granada spain peru bolivia",
    "mexico": "mexico mexican spain",
    "indies": "indonesia malaysia singapore philippines malaya dutch east brunei",
}
"""Region → words of countries that succeeded, ruled or contained each other."""
_AREAS: Final[dict[str, frozenset[str]]] = {
    word: frozenset(name for name, words in _REGIONS.items() if word in words.split())
    for words in _REGIONS.values()
    for word in words.split()
}
_STATES: Final = (
    "Alabama Alaska Arizona Arkansas California Colorado Connecticut Delaware Florida Hawaii Idaho Illinois Indiana "
    "Iowa Kansas Kentucky Louisiana Maine Maryland Massachusetts Michigan Minnesota Mississippi Missouri Montana "
    "Nebraska Nevada Ohio Oklahoma Oregon Pennsylvania Tennessee Texas Utah Vermont Virginia Wisconsin Wyoming"
)
LANDS: Final = {
    **{fold(country): country for country in NATIONS.values()},
    **{fold(state): "United States of America" for state in _STATES.split()},
    **{f"new {name}": "United States of America" for name in ("york", "jersey", "mexico", "hampshire", "york city")},
    **{f"{end} {name}": "United States of America" for end in ("north", "south") for name in ("carolina", "dakota")},
    **dict.fromkeys(("united states", "usa", "u s", "us", "u s a"), "United States of America"),
    **dict.fromkeys(("england", "scotland", "wales", "northern ireland", "great britain", "uk"), "United Kingdom"),
    "peoples republic of china": "People's Republic of China",
    "china": "People's Republic of China",
    "russian empire": "Russia",
    "the netherlands": "Netherlands",
}
"""Folded name of a country, or of a state of the USA that shares its name with no country → country."""
_FORMS: Final = (
    "the of and kingdom republic empire principality duchy peoples democratic federal federation socialist state "
    "states union united islamic colony dynasty commonwealth emirate sultanate"
)
_GENERIC: Final = frozenset(_FORMS.split())
_STRIPPED: Final = re.compile(r"(?:ies|s)$")


@cache
def trades(words: str) -> frozenset[str]:
    """Return the families of occupations that words belong to; empty when none of them is known."""
    found = (
        _KIN.get(word) or _KIN.get(_STRIPPED.sub("", word)) or frozenset() for word in tokens(words.replace("-", " "))
    )
    return frozenset().union(*found)


@cache
def areas(country: str) -> frozenset[str]:
    """Return the regions of a country, or its name without "kingdom of" and the like when none is listed here."""
    words = tokens(country)
    united = _AREAS["britain"] if " ".join(words).startswith("united kingdom") else frozenset[str]()
    found = united.union(*(_AREAS.get(word, frozenset()) for word in words))
    return found or frozenset(words) - _GENERIC or frozenset(words)


def titled(words: str) -> bool:
    """Return whether words name no occupation but a title or a role, such as "emperor" or "founder"."""
    own = [word for word in tokens(words.replace("-", " ")) if word in _KIN]
    return all(word in _TITLES for word in own)


def nation(word: str) -> str:
    """Return the country of a nationality ("Swedish"), empty when it is none."""
    return NATIONS.get(word.casefold(), "")
