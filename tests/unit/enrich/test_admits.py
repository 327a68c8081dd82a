"""Admissions of ignorance, by hand: what chat models say, and what biographies say themselves."""

from __future__ import annotations

import pytest

from melink.enrich.admits import admits, unadmitted

ADMIT = """\
I'm sorry, but I don't have any information about a person named John Q. Smith.
I do not know.
Unfortunately, I couldn't find any reliable information on "Jane Roe (politician)".
As a language model, I don't have access to personal information about private individuals.
I apologize, but I am not familiar with an individual named Peter Grey.
As of my last knowledge update in September 2021, there is no widely available information about Bob Vance.
There is no information available about Karl Weiss in my training data.
I am not aware of any notable person with that name. Could you provide more context?
It's possible that you are referring to someone who is not widely known.
Could you please provide more details about the person you mean?
There doesn't seem to be much. I cannot find any details about this place.
I have no information on this entity.
Without more context, it is difficult to determine which Georgia you mean.
I don't recognize the name "Zorblax". It may be fictional.
My knowledge cutoff prevents me from answering.
Unknown.
N/A
I’m not sure who Maria Lind is, but she may be an artist.
We do not have enough data to describe Ann Lee.
I regret to say that I know nothing. I can't provide an introduction.
I would need more information to identify this person.
No information is available about this person.
John Doe does not appear to be a widely known public figure. I suggest checking local records.
<think>Who is that? Ann Lee was a Shaker.</think> I'm afraid I do not have details about Ann Lee.
I have no idea who Ann Lee is.
I honestly have no clue.
I’ve no idea which Ann Lee that is.
There is limited information available about Ann Lee.
There is very little publicly available information on Ann Lee.
...
"""
KNOW = """\
Barack Obama is an American politician who served as the 44th president of the United States.
Little is known about her early life. Hypatia was a Neoplatonist philosopher in Alexandria.
The Unknown Soldier is a novel by the Finnish author Väinö Linna.
"I Do Not Know What It Is I Am Like" is a film by Bill Viola.
Jack the Ripper was an unidentified serial killer active in London. His identity remains unknown.
He said, "I don't know anything about politics", and then became mayor of the town.
I Am Sorry is a song; it was recorded by Brenda Lee in 1960.
No information about his death survives. Tacitus was a Roman historian and politician.
The AI company DeepMind was founded in 2010 and makes language models.
Socrates is known for saying 'I know that I know nothing'. He was a Greek philosopher from Athens.
She is not widely known outside Sweden, but her novels have been translated into ten languages.
Information Society is an American band from Minneapolis.
The records of his trial are not available, and historians are not sure when he died.
Sorry! is a board game. It is based on the ancient game of Pachisi.
Little is known of her youth. She became a painter.
There is little information available about her early life. She became a painter.
The witness could not identify the man. The case was closed in 1954. It was reopened later.
"""


@pytest.mark.parametrize("answer", ADMIT.splitlines())
def test_admissions(answer: str) -> None:
    assert admits(answer)


@pytest.mark.parametrize("answer", [line for line in KNOW.splitlines() if not line.startswith("I Am Sorry")])
def test_biographies_are_no_admissions(answer: str) -> None:
    assert not admits(answer)


def test_a_title_that_reads_like_an_apology_costs_a_second_turn_and_no_more() -> None:
    assert admits("I Am Sorry is a song; it was recorded by Brenda Lee in 1960.")


def test_an_admission_late_in_a_long_answer_is_none() -> None:
    long = "She was born in Rome. " * 6 + "I do not have information about her children."
    assert not admits(long)
    assert unadmitted(long) == ("She was born in Rome. " * 6).strip()


@pytest.mark.parametrize("nothing", ["", "   \n", "…", "---"])
def test_silence_is_an_admission(nothing: str) -> None:
    assert admits(nothing)


def test_a_long_answer_is_read_in_time() -> None:
    assert not admits("there is no no no no " * 20_000)
