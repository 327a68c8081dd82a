"""The nouns: frozen values that every stage takes and returns.

Gold is never inside a :class:`Mention`; datasets yield :class:`Labelled` pairs, so that no method can see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

NIL: Final = "NIL"
"""The answer "not in the knowledge base": as gold, as prediction."""


@dataclass(frozen=True, slots=True)
class Triple:
    """One fact about an entity, the head being the entity that holds it.

    Attributes:
        relation: Relation id (``P106``) or, for a literal fact, its name (``occupation``).
        tail: Tail entity id (``Q33999``) or, when ``literal``, its text (``actor``).
        literal: Whether ``tail`` is text rather than an entity id.
        relation_label: Name of the relation for people; empty when unknown.
        tail_label: Name of the tail for people; empty when unknown.
    """

    relation: str
    tail: str
    literal: bool = False
    relation_label: str = ""
    tail_label: str = ""

    def words(self) -> str:
        """Return ``relation: tail`` in words, as evidence and entity text show it."""
        return f"{self.relation_label or self.relation}: {self.tail_label or self.tail}"


@dataclass(frozen=True, slots=True)
class Entity:
    """One entry of a knowledge base. Every field but ``id`` and ``label`` may be empty.

    Attributes:
        id: QID or the owner's own id.
        label: Main name.
        aliases: Other names.
        description: One sentence or less.
        attributes: Property string such as ``Sex: female. Occupation: actor.``
        extract: Longer text, such as the first sentences of an encyclopaedia article.
        types: Names of the classes it belongs to.
        triples: Facts with this entity as head.
        images: Paths of its pictures.
        extra: Fields that melink carries along without reading them.
    """

    id: str
    label: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    attributes: str = ""
    extract: str = ""
    types: tuple[str, ...] = ()
    triples: tuple[Triple, ...] = ()
    images: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Label first, then aliases, without repeats."""
        return tuple(dict.fromkeys((self.label, *self.aliases)))


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a text, perhaps with a picture, to be linked.

    Attributes:
        id: Stable id; methods must not read it (some benchmarks derive it from the gold answer).
        text: The whole sentence, caption or post.
        surface: The name as written.
        start: Character offset of the name in ``text``, or None when it is not a substring.
        end: Offset after its last character, or None.
        image: Path of the picture, or None.
        triples: Facts about the mention, when a generator produced them.
        attributes: Facts as key and text, when known.
    """

    id: str
    text: str
    surface: str
    start: int | None = None
    end: int | None = None
    image: str | None = None
    triples: tuple[Triple, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A mention with its gold answer, kept apart from it.

    Attributes:
        mention: What a method sees.
        gold: Entity id, :data:`NIL`, or None when nobody said.
        extra: Fields of the source row that pass through to the output untouched.
    """

    mention: Mention
    gold: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scored:
    """One candidate of one mention, with its scores and why.

    Attributes:
        id: Entity id.
        label: Entity label.
        score: Total score; comparable within a mention.
        parts: Named part scores; a part that could not be computed (no image, say) is absent.
        evidence: Named reasons for a person, such as the alias that matched.
        sources: Which candidate generators proposed it, with their ranks (1-based).
        probability: That it is the answer, in 0–1, by the scores or by a reranker that has probabilities of its own;
            None where nobody computed it.
    """

    id: str
    label: str
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """The answer for one mention: ranked candidates, confidence, NIL.

    Attributes:
        mention: The mention that was linked.
        candidates: Best first.
        nil: Whether the answer is "not in the knowledge base".
        probability: Confidence in the answer, NIL included, in 0–1; ``evidence["calibrated"]`` says whether it was
            fitted. None where nobody computed it.
        evidence: Reasons that concern the mention as a whole, such as a picture that could not be read.
    """

    mention: Mention
    candidates: tuple[Scored, ...] = ()
    nil: bool = False
    probability: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Id of the answer: an entity id or :data:`NIL`."""
        return NIL if self.nil or not self.candidates else self.candidates[0].id
