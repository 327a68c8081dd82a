"""Reading answers: one row of the table for each separator, bullet and quirk."""

from __future__ import annotations

import pytest

from melink.enrich.facts import Facts
from melink.enrich.lines import field, heading
from melink.enrich.parse import MOST_TRIPLES, is_nothing, parse
from melink.enrich.prompt import question
from melink.enrich.vocabulary import Vocabulary
from melink.records import Triple

VOCABULARY = Vocabulary()
CAPITAL = {("capital", "Tbilisi")}

TRIPLE_LINES = [
    ("bars", "Georgia | capital | Tbilisi"),
    ("bars without blanks", "Georgia|capital|Tbilisi"),
    ("colons", "Georgia: capital: Tbilisi"),
    ("commas", "Georgia, capital, Tbilisi"),
    ("semicolons", "Georgia; capital; Tbilisi"),
    ("tabs", "Georgia\tcapital\tTbilisi"),
    ("bar, then colon", "Georgia | capital: Tbilisi"),
    ("colon, then bar", "Georgia: capital | Tbilisi"),
    ("colon, then comma", "Georgia: capital, Tbilisi"),
    ("dashes", "Georgia - capital - Tbilisi"),
    ("long dashes", "Georgia – capital – Tbilisi"),
    ("equals", "Georgia: capital = Tbilisi"),
    ("arrows", "Georgia -> capital -> Tbilisi"),
    ("other arrows", "Georgia → capital → Tbilisi"),
    ("full-width bars", "Georgia｜capital｜Tbilisi"),
    ("box-drawing bars", "Georgia │ capital │ Tbilisi"),
    ("full-width colons", "Georgia：capital：Tbilisi"),
    ("hyphen bullet", "- Georgia | capital | Tbilisi"),
    ("star bullet", "* Georgia | capital | Tbilisi"),
    ("round bullet", "• Georgia | capital | Tbilisi"),
    ("number", "1. Georgia | capital | Tbilisi"),
    ("number and bracket", "2) Georgia | capital | Tbilisi"),
    ("number in brackets", "(3) Georgia | capital | Tbilisi"),
    ("letter in brackets", "(a) Georgia | capital | Tbilisi"),
    ("bullet and number", "- 1. Georgia | capital | Tbilisi"),
    ("quote of a mail", "> Georgia | capital | Tbilisi"),
    ("straight quotes", '"Georgia" | "capital" | "Tbilisi"'),
    ("curly quotes", "“Georgia” | “capital” | “Tbilisi”"),
    ("quotes and commas", '"Georgia", "capital", "Tbilisi"'),
    ("quotes and colons", "'Georgia': 'capital': 'Tbilisi'"),
    ("bold", "**Georgia** | capital | **Tbilisi**"),
    ("bold with colons", "- **Georgia**: capital: Tbilisi"),
    ("italics", "*Georgia* | _capital_ | *Tbilisi*"),
    ("code", "`Georgia | capital | Tbilisi`"),
    ("round brackets", "(Georgia, capital, Tbilisi)"),
    ("square brackets", "[Georgia, capital, Tbilisi]"),
    ("list of JSON", '["Georgia", "capital", "Tbilisi"],'),
    ("angle brackets", "<Georgia> | <capital> | <Tbilisi>"),
    ("bars around", "| Georgia | capital | Tbilisi |"),
    ("row number in a table", "| 1 | Georgia | capital | Tbilisi |"),
    ("full stop", "Georgia | capital | Tbilisi."),
    ("trailing comma", "Georgia | capital | Tbilisi,"),
    ("blanks", "   Georgia   |   capital |  Tbilisi   "),
    ("other case", "GEORGIA | Capital | Tbilisi"),
    ("underscores", "Georgia | has_capital | Tbilisi"),
    ("property code", "Georgia | capital (P36) | Tbilisi"),
    ("camel case", "Georgia | hasCapital | Tbilisi"),
    ("no name", "capital | Tbilisi"),
    ("no name, colon", "capital: Tbilisi"),
    ("empty name", " | capital | Tbilisi"),
    ("name inside the head", "The Republic of Georgia | capital | Tbilisi"),
    ("pronoun", "It | capital | Tbilisi"),
    ("zero-width letters", "Georgia\u200b | capital\u200b | Tbilisi\u200b"),
    ("no-break blanks", "Georgia\u00a0|\u00a0capital\u00a0|\u00a0Tbilisi"),
]


@pytest.mark.parametrize("line", [line for _, line in TRIPLE_LINES], ids=[name for name, _ in TRIPLE_LINES])
@pytest.mark.parametrize("head", ["Step 3: Triples\n", ""], ids=["heading", "no heading"])
def test_a_triple_however_it_is_written(line: str, head: str) -> None:
    assert pairs(head + line) == CAPITAL


HEADINGS = [
    "Step 3: Triples", "Step 3", "step 3 -", "Step 3 - Triples", "**Step 3: Triples**", "### Step 3: Triples",
    "STEP 3.",
    "Step three: triples", "(Step 3) Triples", "- Step 3:", "Part 3 – Facts", "Triples:", "## Triples", "**Triples**",
    "3. Triples:", "Triplets:", "Step3:", "Step 3 ) Triples", "Step 3 | Triples",
]  # fmt: skip


@pytest.mark.parametrize("line", HEADINGS)
def test_a_heading_however_it_is_written(line: str) -> None:
    """Below it, lines whose relation was not offered are dropped and counted, and not taken for descriptions."""
    parsed = parse(f"{line}\nGeorgia: population: many\nGeorgia: capital: Tbilisi", ["Georgia"], VOCABULARY)
    assert parsed.facts["Georgia"] == Facts(triples=(Triple("capital", "Tbilisi", True),))
    assert parsed.dropped == {"unknown relation": 1}


KINDS = [
    "Georgia | country", "Georgia: Country", "- **Georgia**: country", "Georgia - country", "Georgia (country)",
    "Georgia is a country", "1. Georgia = a country", '"Georgia": "country"', "country", "Georgia, country",
    "Georgia | Country (sovereign state)", "| Georgia | country |", "Georgia → country", "Georgia | type: country",
]  # fmt: skip


@pytest.mark.parametrize("line", KINDS)
def test_a_type_however_it_is_written(line: str) -> None:
    facts = parse(f"Step 1: Types\n{line}\nStep 3: Triples\n", ["Georgia"], VOCABULARY).facts["Georgia"]
    assert (facts.type, facts.triples) == ("country", (Triple("instance of", "country", True),))


TELLINGS = [
    "Georgia | A country in the Caucasus.", "Georgia: A country in the Caucasus", "- **Georgia**: A country in the "
    "Caucasus.", "Georgia - A country in the Caucasus", "A country in the Caucasus.", "1. Georgia: A country in the "
    "Caucasus.", "Georgia:\n  A country in the Caucasus.", '"Georgia" is a country in the Caucasus', "**Georgia**\n- A "
    "country in the Caucasus",
]  # fmt: skip


@pytest.mark.parametrize("lines", TELLINGS)
def test_a_description_however_it_is_written(lines: str) -> None:
    facts = parse(f"Step 2: Descriptions\n{lines}\nStep 3:\nGeorgia | capital | Tbilisi", ["Georgia"], VOCABULARY)
    told = facts.facts["Georgia"].description
    assert told.lower().removeprefix("a ") == "country in the caucasus"


PROSE = [
    ("Georgia | country, at the crossing of Europe and Asia", "country, at the crossing of Europe and Asia"),
    ("Georgia: Capital, and largest city of France", "Capital, and largest city of France"),
    ("Georgia | Continent - the second smallest", "Continent - the second smallest"),
    ("Georgia:\nCountry, in the Caucasus", "Country, in the Caucasus"),
    ("A large land, country, of wine", "A large land, country, of wine"),
]


@pytest.mark.parametrize(("lines", "told"), PROSE)
def test_a_description_that_begins_with_a_relation_is_no_triple(lines: str, told: str) -> None:
    assert parse(f"Step 2: Descriptions\n{lines}", ["Georgia"], VOCABULARY).facts["Georgia"] == Facts(description=told)


def test_a_name_that_is_a_relation_is_a_name() -> None:
    facts = parse("Step 2\nGenre | a kind of art", ["Genre"], VOCABULARY).facts["Genre"]
    assert facts == Facts(description="a kind of art")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("law professor (person)", "person"), ("state senator (person)", "person"), ("country singer", None),
        ("book publisher (company)", "company"), ("city council member; person", "person"), ("film director", None),
        ("a Person (politician)", "person"), ("Country (sovereign state)", "country"), ("Artwork by X", "work of art"),
        ("a country in the state of peace", "country"), ("member of the company", None), ("law agency", "agency"),
    ],
)  # fmt: skip
def test_the_head_of_a_few_words_is_their_type(said: str, kind: str | None) -> None:
    assert VOCABULARY.type(said) == kind


WHOLE = """\
**Step 1: Types**\r
- Georgia | country\r
- Tbilisi | city\r
\r
**Step 2 - Descriptions**\r
Georgia: A country: small, in the Caucasus.\r
Tbilisi | capital of Georgia\r
---\r
### Step 3: Triples\r
```\r
| Mention | Relation | Object |\r
|:---|---|---:|\r
| Georgia | capital | Tbilisi |\r
| Tbilisi | country | Georgia |\r
| Tbilisi | instance of | City |\r
| Tbilisi | industry | unknown |\r
```\r
Let me know if you need more!\r
"""


def test_a_whole_answer_with_tables_fences_and_crlf() -> None:
    parsed = parse(WHOLE, ["Georgia", "Tbilisi"], VOCABULARY)
    assert parsed.facts == {
        "Georgia": Facts(
            "country",
            "A country: small, in the Caucasus",
            (Triple("capital", "Tbilisi", True), Triple("instance of", "country", True)),
        ),
        "Tbilisi": Facts(
            "city", "capital of Georgia", (Triple("country", "Georgia", True), Triple("instance of", "City", True))
        ),
    }
    assert parsed.dropped == {"no object": 1}


def test_answers_without_headings_and_under_names() -> None:
    text = "Georgia\nType: country\nDescription: in the Caucasus\nTriples:\n- capital: Tbilisi\n"
    text += "Tbilisi:\n- country: Georgia"
    facts = parse(text, ["Georgia", "Tbilisi"], VOCABULARY).facts
    assert (facts["Georgia"].type, facts["Georgia"].description) == ("country", "in the Caucasus")
    assert Triple("capital", "Tbilisi", True) in facts["Georgia"].triples
    assert Triple("country", "Georgia", True) in facts["Tbilisi"].triples
    bare = parse(
        "Georgia | country\nGeorgia | a small land of mountains and wine\nGeorgia | capital | Tbilisi",
        ["Georgia"],
        VOCABULARY,
    )
    assert bare.facts["Georgia"].type == "country"
    assert bare.facts["Georgia"].description == "a small land of mountains and wine"


@pytest.mark.parametrize(
    ("head", "owner"),
    [
        ("Angela Merkel", "Angela Merkel"),
        ("angela merkel", "Angela Merkel"),
        ("Merkel", "Angela Merkel"),
        ("Chancellor Angela Merkel", "Angela Merkel"),
        ("Obama", "Barack Obama"),
        ("President B. Obama", "Barack Obama"),
        ("Angéla Merkél", "Angela Merkel"),
        ("the", None),
        ("Paris", None),
        ("Angela Merkel and Barack Obama", None),
        ("Angela Merkel's", "Angela Merkel"),
    ],
)
def test_heads_are_matched_to_names(head: str, owner: str | None) -> None:
    parsed = parse(f"Step 3\n{head} | occupation | politician", ["Angela Merkel", "Barack Obama"], VOCABULARY)
    assert [name for name, facts in parsed.facts.items() if facts] == ([owner] if owner else [])
    assert parsed.dropped["no mention"] == (owner is None)


def test_a_head_that_may_mean_several_names_means_none() -> None:
    parsed = parse("Step 3\nSmith | occupation | nurse", ["John Smith", "Jane Smith"], VOCABULARY)
    assert parsed.dropped == {"no mention": 1} and not any(parsed.facts.values())


def test_names_that_differ_in_case_only() -> None:
    text = "Apple | company\nAPPLE: product\nStep 3\nApple | industry | music\nAPPLE, industry, food"
    facts = parse(text, ["Apple", "APPLE"], VOCABULARY).facts
    assert [(each.type, each.triples[0].tail) for each in facts.values()] == [("company", "music"), ("product", "food")]


def test_the_fact_of_a_name_in_the_genitive() -> None:
    assert pairs("Georgia's capital: Tbilisi") == pairs("Step 3\nGeorgia’s capital: Tbilisi") == CAPITAL
    parsed = parse("Step 3\nGeorgia's wine: red", ["Georgia"], VOCABULARY)
    assert parsed.dropped == {"unknown relation": 1}


def test_names_with_separators_in_them() -> None:
    parsed = parse(
        "Washington, D.C., country, USA\nAC/DC: Live: genre: rock", ["Washington, D.C.", "AC/DC: Live"], VOCABULARY
    )
    assert parsed.facts["Washington, D.C."].triples == (Triple("country", "USA", True),)
    assert parsed.facts["AC/DC: Live"].triples == (Triple("genre", "rock", True),)


@pytest.mark.parametrize("name", ["AC|DC", "AC¦DC"])
def test_a_name_with_a_bar_in_it(name: str) -> None:
    """As it is, and as the prompt writes it."""
    text = f"{name} | band\nStep 3\n{name} | genre | rock\nAngus Young | member of | {name}"
    facts = parse(text, ["AC|DC", "Angus Young"], VOCABULARY, keep_unknown=True).facts
    assert facts["AC|DC"].description == "band" and Triple("genre", "rock", True) in facts["AC|DC"].triples
    assert [triple.tail for triple in facts["Angus Young"].triples if triple.relation == "member of"] == ["AC¦DC"]
    (parsed,) = parse("Step 3\nUSA|capital|Washington", ["USA", "A|c", "|"], VOCABULARY).facts["USA"].triples
    assert (parsed.relation, parsed.tail) == ("capital", "Washington")


@pytest.mark.parametrize(
    "said",
    ["unknown", "Unknown.", "None", "N/A", "n/a", "not applicable", "-", "?", "null", "not specified in the text", "",
     "Not mentioned", "(unknown)", "N/A (not available)", "object", "no information available", "Georgia"],
)  # fmt: skip
def test_objects_that_say_nothing_are_dropped(said: str) -> None:
    assert pairs(f"Step 3\nGeorgia | capital | {said}") == set()


def test_objects_that_look_like_nothing_are_kept() -> None:
    for said in (
        "Unknown Pleasures",
        "Nonesuch",
        "Nadia",
        "St. Louis",
        "Washington, D.C.",
        "Not a Love Story",
        "A",
        "N",
    ):
        assert pairs(f"Georgia | located in | {said}") == {("located in", said)}
        assert not is_nothing(said)


def test_relations_of_the_models_own_are_dropped_or_kept() -> None:
    line = "Georgia | Population Size | 3.7 million"
    assert pairs(line) == set()
    kept = parse(line, ["Georgia"], VOCABULARY, keep_unknown=True)
    assert kept.facts["Georgia"].triples == (Triple("Population Size", "3.7 million", True),)
    own = parse("Georgia | PEAK | Shkhara", ["Georgia"], Vocabulary(relations=("peak",)))
    assert own.facts["Georgia"].triples == (Triple("peak", "Shkhara", True),)


def test_repeats_count_once_and_more_than_the_most_are_left_out() -> None:
    assert pairs("Georgia | capital | Tbilisi\nGeorgia | capital | TBILISI") == CAPITAL
    many = "\n".join(f"Georgia | part of | region {n}" for n in range(100))
    parsed = parse(many, ["Georgia"], VOCABULARY)
    assert len(parsed.facts["Georgia"].triples) == MOST_TRIPLES
    assert parsed.dropped == {"too many": 100 - MOST_TRIPLES}


def test_an_answer_that_repeats_the_question_says_nothing() -> None:
    request = question("Georgia wins.", ["Georgia"], None, VOCABULARY)
    assert parse(request.system, ["Georgia"], VOCABULARY).facts == {"Georgia": Facts()}
    mixed = "Step 1: Types\nThe type is one of: person, country\nGeorgia | country\nStep 3\nname | relation | object"
    assert parse(mixed, ["Georgia"], VOCABULARY).facts["Georgia"].type == "country"


def test_thoughts_are_no_answer() -> None:
    assert pairs("<think>Georgia | capital | Atlanta</think>Georgia | capital | Tbilisi") == CAPITAL


HOSTILE = [
    "", "|" * 20_000, ":" * 20_000, "\n" * 5000, "Step " * 4000, "Georgia" * 3000, "a | b | c\n" * 1000,
    "\x00\x1b[31m" * 50,
    "Georgia | capital | " + "x" * 30_000, "(" * 9000, "Georgia: " * 2000, "\u202e" * 500, "- " * 9000,
    "\ud800 | capital | x",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_is_read_without_harm(text: str) -> None:
    facts = parse(text, ["Georgia", "Tbilisi"], VOCABULARY).facts
    for fact in facts.values():
        for said in (fact.description, *(triple.tail for triple in fact.triples)):
            assert len(said) <= 400 and said.isprintable() and not set(said) & set("<>[]|`")


def test_headings_and_fields() -> None:
    assert heading("Step 2 - Descriptions of names:") == (2, "")
    assert heading("Georgia | capital | Tbilisi") is None
    assert heading("type of government is unknown") is None
    assert [field(text) for text in ('"Tbilisi".', "(Tbilisi)", "**Inc.**", "St. Louis.", "D.C.")] == [
        "Tbilisi", "Tbilisi", "Inc.", "St. Louis", "D.C.",
    ]  # fmt: skip


def pairs(text: str) -> set[tuple[str, str]]:
    """Return relation and tail of the triples of the only name, ``Georgia``."""
    return {(each.relation, each.tail) for each in parse(text, ["Georgia"], VOCABULARY).facts["Georgia"].triples}
