from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melink.kb.names import NameIndex, rebuild
from melink.records import Entity, Triple

PEOPLE = [
    Entity("1", "Tony Blair", ("Anthony Charles Lynton Blair", "Blair"), "British prime minister"),
    Entity("2", "Linda Blair", description="American actress"),
    Entity("3", "Cherie Blair", triples=(Triple("P26", "1"), Triple("sex", "female", True))),
    Entity("4", "Łódź", description="city in Poland"),
    Entity("5", "!!!", description="dance-punk band", extract="An American band from Sacramento."),
    Entity("6", "O'Neil", ("ONeil",), attributes="Sex: male. Spouse: Linda Blair.", triples=(Triple("P26", "1"),)),
]


@pytest.fixture(scope="module")
def index() -> NameIndex:
    return rebuild(None, PEOPLE)


def ids(hits: list[tuple[str, float]]) -> list[str]:
    return [id for id, _ in hits]


def test_exact_names_fold(index: NameIndex):
    assert index.exact("LODZ") == [("4", 1.0)]
    assert ids(index.exact("blair")) == ["1"]
    assert ids(index.exact("o’neil")) == ["6"]
    assert ids(index.exact("!!!")) == ["5"]
    assert index.exact("nobody") == index.exact("") == index.exact("'") == []
    assert index.exact_many(["LODZ", "x"]) == [[("4", 1.0)], []]


def test_tokens_some_and_all(index: NameIndex):
    assert set(ids(index.by_tokens(["tony", "blair"], 10))) == {"1", "2", "3"}
    assert ids(index.by_tokens(["tony", "blair"], 10))[0] == "1"
    assert ids(index.by_tokens(["linda", "blair"], 10, all=True)) == ["2"]
    assert index.by_tokens([], 10) == []


def test_grams_and_edits(index: NameIndex):
    assert ids(index.by_grams("Tonny Blair", 10))[0] == "1"
    assert ids(index.fuzzy("lindablair", 10)) == ["2"]
    assert index.fuzzy("linxa blaix", 10) == []
    assert ids(index.fuzzy("linxa blaix", 10, distance=2)) == ["2"]
    assert ids(index.fuzzy("onei", 5)) == ["6"]
    assert index.by_grams("", 5) == index.fuzzy("", 5) == []


def test_text_reaches_descriptions_attributes_and_extracts(index: NameIndex):
    assert ids(index.lexical("the city of Poland", 3)) == ["4"]
    assert ids(index.lexical("sacramento", 3)) == ["5"]
    assert "6" in ids(index.lexical("spouse", 3))
    assert index.lexical_many(["sacramento", ""]) == [index.lexical("sacramento"), []]


def test_search_puts_names_before_descriptions(index: NameIndex):
    assert ids(index.search("blair"))[0] == "1"
    assert ids(index.search("linda blair"))[0] == "2"
    assert ids(index.search("actress")) == ["2"]
    assert index.search("") == []


def test_frequencies(index: NameIndex):
    assert (index.doc_freq("blair"), index.text_doc_freq("blair"), index.num_docs) == (3, 4, 6)
    assert (index.tail_doc_freq("1"), index.tail_doc_freq("female"), index.tail_doc_freq("9")) == (2, 1, 0)


def test_more_homonyms_than_k_all_come_back():
    index = rebuild(None, [Entity(f"{i:03}", "John Smith") for i in range(200)])
    assert ids(index.exact("john smith", 200)) == [f"{i:03}" for i in range(200)]
    assert len(index.exact("john smith", 7)) == 7
    assert len(index.by_tokens(["smith"], 200)) == 200


def test_writing_replaces_and_deletes(tmp_path: Path):
    index = rebuild(tmp_path / "names", PEOPLE)
    index.write([Entity("2", "Lynda")], delete=["4"])
    assert (index.num_docs, index.exact("linda blair"), index.exact("lodz")) == (5, [], [])
    again = NameIndex(tmp_path / "names", make=False)
    assert ids(again.exact("lynda")) == ["2"]


def test_a_missing_index_is_not_made_silently(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        NameIndex(tmp_path / "names", make=False)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(), max_size=300))
def test_no_text_is_a_query_language(text: str):
    index = NAMES
    for search in (index.exact, index.by_grams, index.fuzzy, index.lexical, index.search):
        assert isinstance(search(text, 3), list)


@pytest.mark.parametrize("text", ['"', "a AND (", "name:blair", "*", "blair~2", "[a TO", "x" * 100_000, "a " * 50_000])
def test_query_syntax_and_long_texts_are_words(index: NameIndex, text: str):
    for search in (index.exact, index.by_grams, index.fuzzy, index.lexical, index.search):
        assert isinstance(search(text, 3), list)


NAMES = rebuild(None, PEOPLE)
