"""Admissions of ignorance, by hand: what chat models say, and what biographies say themselves."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import orjson
import pytest

from melink.enrich.admits import admits, unadmitted
from melink.enrich.sentences import sentences
from melink.kb.lines import lines

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
I've never heard of Ann Lee.
I’ve never heard of anyone called Ann Lee.
I have not heard of Ann Lee.
I haven't heard of her.
I haven't come across this name before.
There isn't any information available about Ann Lee.
There isn’t enough information about Ann Lee to write an introduction.
There aren't any details available about this village.
There is not enough information about Ann Lee.
There does not seem to be any information about Ann Lee.
Information about Ann Lee is not available.
Detailed information on Ann Lee isn't available.
Unfortunately, details about Ann Lee are scarce.
No specific details on Ann Lee could be found.
No reliable information about Ann Lee was found.
Unfortunately, no further information about J. R. Lee (painter) could be found.
No records have been found.
I'm unaware of any person named Ann Lee.
I am currently unaware of a place of that name.
I'm unfamiliar with this artist.
It appears that there is no widely recognized person named Ann Lee.
It appears that there is no widely recognised public figure called Ann Lee.
There is no well-known individual by that name.
There isn't a notable person named Ann Lee that comes to mind.
Ann Lee is not a widely known figure. She may be a local artist.
Ann Lee is not a well-known person.
Ann Lee doesn't appear to be a well-known individual.
Ann Lee might be a private individual.
She could be a private person or a lesser-known artist.
As of my last update, Ann Lee was not known to me.
As of my last training data, nothing is known of a person with this name.
Up until my last update in 2023, nobody by this name stood out.
As an AI, I cannot browse the internet.
As an AI language model, I have no access to such records.
I'm just an AI and this name means nothing to me.
I couldn’t find anything on Ann Lee.
I could not find any reliable sources.
I was unable to find details about this person.
I wasn't able to locate a biography.
I haven't been able to verify who this is.
I have not been able to find Ann Lee.
I can't seem to find Ann Lee.
I cannot currently verify this.
I can find no information about Ann Lee.
I found no results for Ann Lee.
I know nothing about Ann Lee.
I know of no information on Ann Lee.
I'm afraid this name is new to me.
I am afraid that nothing comes to mind.
I'm not familiar with Ann Lee.
I am not personally familiar with this individual.
Not familiar with Ann Lee.
Never heard of Ann Lee.
My knowledge doesn't include Ann Lee.
My knowledge does not extend to this person.
My training data does not contain anything on her.
My database has no entry for Ann Lee.
Ann Lee does not appear in my training data.
That is outside my knowledge.
Without more context, several people come to mind.
Without further information, a biography would be invention.
More context is needed to say who this is.
If you could provide more details, the answer would improve.
If you can share additional context, a better answer is possible.
Are you referring to Ann Lee the Shaker or another one?
Perhaps you mean Anne Lee.
You may be thinking of somebody else.
It is unclear who this person is.
It's difficult to say without more information.
It is not clear which Ann Lee is meant. I would need additional details.
We couldn't identify this entity.
I lack sufficient information about Ann Lee.
I’m unsure who this is.
I honestly don't know.
I do not actually know who that is.
I don’t recognise this name.
I have limited information about Ann Lee.
I apologise, but this name is unknown to me.
Apologies, but this person is unknown to me.
My apologies for the confusion.
Sorry, I have nothing on Ann Lee.
The name doesn't ring a bell.
**I do not** have information about Ann Lee.
I've not come across this name.
I don't think I have any details. I do not have them.
I’d need further information to identify this person.
Please provide the full name.
No information found.
Information not available.
No idea.
I'm ready to assist. What's your name?
Hello! How can I help you today?
I do not possess any information on this individual.
I'm not able to provide an introduction for Ann Lee.
Unfortunately I have no record of Ann Lee.
There's no public information on Ann Lee.
There is no record of a person named Ann Lee.
I don't have specific information about Ann Lee.
I have no knowledge of who Ann Lee is.
I don't have enough context to identify which Ann Lee is meant.
It seems that there is not much known about Ann Lee.
It seems there may be some confusion; I'm not aware of this person.
I could not verify the existence of Ann Lee.
Ann Lee does not seem to be a public figure.
There are several people named Ann Lee. Could you specify which one?
I am sorry, but Ann Lee is not someone I recognize.
Ann Lee is not someone I am familiar with.
No widely recognized person named Ann Lee exists.
I was not able to find any credible information.
To the best of my knowledge, there is no notable person by that name.
As far as I know, there is no such person.
As far as I'm aware, Ann Lee is not a known public figure.
I cannot provide details on private individuals.
My information about Ann Lee is limited.
I only have limited data on her.
I don't have access to real-time information.
Based on the information available to me, I cannot identify her.
Given the limited information, I can't say who she is.
I must admit that I don't know who this is.
I do not know this person.
Who is Ann Lee? I do not know.
There appears to be no information available about Ann Lee.
There seems to be little information about Ann Lee online.
Regrettably, I am unable to locate information on Ann Lee.
I am not certain who Ann Lee refers to.
I'm drawing a blank on this name.
The name Ann Lee is not familiar to me.
This name is unknown to me.
I've no information about this.
It's hard to identify the person without additional context.
I would be happy to help if you provide more details.
If you can give me more information, I'd be glad to help.
Can you tell me more about Ann Lee?
You might want to check other sources for Ann Lee.
Perhaps you could provide additional context.
I wish I could help, but I don't have information on Ann Lee.
I haven't any information on her.
I hold no information about Ann Lee.
My training does not cover Ann Lee.
Ann Lee is not in my training data.
Ann Lee is beyond the scope of my knowledge.
At the time of my last update, there was no notable Ann Lee.
As of my knowledge cutoff in 2021, she was not known.
As of September 2021, I have no information about Ann Lee.
There is no Wikipedia article about Ann Lee.
There is no available information about Ann Lee.
There is insufficient information about Ann Lee.
Insufficient information.
No information about Ann Lee is available.
No record of Ann Lee exists in my data.
Details about Ann Lee are not publicly available.
Details about Ann Lee are unknown to me.
I'm unable to find Ann Lee.
I am not finding anything under that name.
I couldn't locate anyone called Ann Lee.
I can't recall who this is.
I can’t help with that.
I cannot answer that question.
I can't assist with that request.
Sorry, I can't help with identifying people.
I'm not sure who you're referring to.
It appears you may be referring to a fictional character.
Ann Lee might be a fictional character or a private person.
Ann Lee is likely a private individual.
Ann Lee appears to be a private individual with no public profile.
She isn't a widely known public figure.
Ann Lee is not a person I recognise.
...
"""
KNOW = """\
Barack Obama is an American politician who served as the 44th president of the United States.
Little is known about her early life. Hypatia was a Neoplatonist philosopher in Alexandria.
The Unknown Soldier is a novel by the Finnish author Väinö Linna.
"I Do Not Know What It Is I Am Like" is a film by Bill Viola.
Jack the Ripper was an unidentified serial killer active in London. His identity remains unknown.
He said, "I don't know anything about politics", and then became mayor of the town.
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
Charles I could not find support in Parliament. He was executed in 1649.
King Alexander I did not have children. He died in Taganrog.
World War I was not able to break the alliance. It ended in 1918.
Elizabeth I never met Mary. She reigned for 45 years.
Queen Mary I was unaware of the plot. She died in 1558.
There isn't any information about her childhood. She became a nun in Toledo.
There are not enough records about his early life. Bosch was a painter.
There is no information about the early life of the poet. He wrote in Old Norse.
Information about his death is not available. He was a Roman consul.
Information about the early history of the town is scarce. It lies on the Rhine.
Details of her life are not known until 1512. She was a printer in Basel.
No records of the trial were found in the archive. The judge left the country.
No details of the treaty were known until 1917. It divided the Ottoman lands.
It is unclear whether she ever married. She lived in Ghent.
It is unclear when the castle was built. It stands on a rock.
It is not clear if he was born in Pisa or Lucca. He was a mathematician.
It is difficult to say when the manuscript was written. It is kept in Paris.
He was never heard of again after the battle. His ship was found in 1985.
Rodriguez was unaware of his fame in South Africa. He worked in construction in Detroit.
She was not familiar with the rules of the game. She won the title at seventeen.
She was not a well-known figure outside her country. Her novels were translated after her death.
He is not widely known, yet his theorem is in every textbook.
Bob Ross became one of the most widely recognized people on American television.
The software may be provided without further notice. It is released under the MIT licence.
The Private Citizen is a novel by Tony Tulathimutte.
The couple could not have children. They adopted two boys.
They do not know who built the tower. It is 40 metres high.
The court could not determine who had fired. The case was closed.
Scholars do not know when she was born. She died in 1348.
The information desk was introduced in 1920. The library is in Leeds.
My Chemical Romance is an American rock band from New Jersey.
My Fair Lady is a musical by Lerner and Loewe.
IBM is a technology company. It does not provide consumer hardware any more.
The AI Act is a regulation of the European Union.
Deep Blue was a computer. As an AI pioneer, Hsu built it at IBM.
Claude Shannon founded information theory. He had no formal training in genetics.
Data are available for 192 countries. The index is published each year.
The Data Protection Act is a law of the United Kingdom.
Who Do You Think You Are? is a British documentary series.
The show asks its guests to provide an answer in the form of a question.
The station is not available to the public. It was closed in 1988.
Without any further training he became a surgeon. He worked in Lyon.
The sorry state of the roads led to the reform of 1815.
The Unfamiliar is a 2020 horror film.
None of the Above is an American folk rock band.
Anonymous is a 2011 film by Roland Emmerich.
Missing Persons were an American band from Los Angeles.
Afraid to Die is a Japanese film. It stars Yukio Mishima.
The Knowledge is a test for taxi drivers in London. They have to know every street.
Not familiar to most readers today, he was the best-known poet of his age.
He said that he was ready to assist the king. The war began in 1415.
Nobody knows who wrote the poem. It was found in Exeter.
A sparse biography of him survives. He was a monk at Jarrow.
There are no people called giants in the saga. It was written in Iceland.
The village has no known records from before 1300. It has 200 inhabitants.
Historians have been unable to find her grave. She was a queen of Egypt.
He was unable to find work and emigrated to Canada. There he founded a newspaper.
"""
TITLES = (
    "I Don't Know How She Does It",
    "I Am Sorry",
    "I'm Not Sure",
    "I Have No Idea",
    "I Can't Tell You Why",
    "Could You Please Tell Me",
    "Sorry, I Don't Know",
    "I'm Afraid of Americans",
    "I never met a stranger",
)


@pytest.mark.parametrize("answer", ADMIT.splitlines())
def test_admissions(answer: str) -> None:
    assert admits(answer)


@pytest.mark.parametrize("answer", KNOW.splitlines())
def test_biographies_are_no_admissions(answer: str) -> None:
    assert not admits(answer)


@pytest.mark.parametrize("name", TITLES)
def test_a_title_that_reads_like_an_admission_is_none(name: str) -> None:
    text = f"{name} is a work of 2011. It was praised."
    assert admits(text) and unadmitted(text) != text, "or it proves nothing"
    assert not admits(text, [name]) and unadmitted(text, [name]) == text
    late = f"The film was praised. {name} (2011) was sold on disc."
    assert unadmitted(late, ["The Film", name]) == late
    curly = text.replace("'", "’")
    assert not admits(curly, [name]) and unadmitted(curly, [name]) == curly


@pytest.mark.parametrize("name", ["I Do Not Know", "I don't know", "I'm sorry", "No", "I", "Sorry", "Information"])
def test_no_name_hides_an_admission(name: str) -> None:
    for said in ("I do not know.", "I don't know who that is.", "I'm sorry, but I don't have any information."):
        assert admits(said, [name]) and unadmitted(said, [name]) == ""


def test_names_are_hidden_where_sentences_end_inside_them() -> None:
    name = "Who Are You? I Have No Idea!"
    text = f"{name} is a play. I have no idea who wrote it. It ran for a year."
    assert unadmitted(text, [name]) == f"{name} is a play. It ran for a year."
    assert admits("John Q. Smith.", ["John Q. Smith"]), "a name alone says nothing"


def test_an_admission_late_in_a_long_answer_is_none() -> None:
    long = "She was born in Rome. " * 6 + "I do not have information about her children."
    assert not admits(long)
    assert unadmitted(long) == ("She was born in Rome. " * 6).strip()


@pytest.mark.parametrize("nothing", ["", "   \n", "…", "---"])
def test_silence_is_an_admission(nothing: str) -> None:
    assert admits(nothing)


def test_a_long_answer_is_read_in_time() -> None:
    assert not admits("there is no no no no " * 20_000)


@pytest.mark.data
def test_no_real_text_is_taken_for_an_admission(shared_data: Path) -> None:
    """Sentences of an encyclopaedia and of Wikidata, wherever they stand."""
    read = 0
    for line in islice(lines(shared_data / "kb" / "entities.jsonl.gz"), 20_000):
        row = orjson.loads(line.raw)
        for text in filter(None, (row.get("extract"), row.get("description"))):
            assert unadmitted(text) == " ".join(sentences(text))
            read += 1
    assert read > 10_000
