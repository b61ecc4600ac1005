"""The answers on top of the page, made of nothing but the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .text import safe


@dataclass(frozen=True)
class Answer:
    """One question with its answer.

    Attributes:
        question: plain text.
        word: the answer in a few words.
        mark: "good", "bad", "open" (nothing can be said), "even" (no difference shown) or "told" (figures to weigh).
        text: the figures behind it, plain sentences.
        anchor: identifier of the section where they stand.
        table: HTML behind the sentences.
    """

    question: str
    word: str
    mark: str
    text: Sequence[str] = ()
    anchor: str = ""
    table: str = ""


_SIGNS = {"good": "\N{CHECK MARK}", "bad": "!", "open": "?", "even": "=", "told": "i"}


def verdict_box(answers: Sequence[Answer]) -> str:
    """The answers as a list."""
    return f'<dl class="verdict">{"".join(_answer(answer) for answer in answers)}</dl>'


def _answer(answer: Answer) -> str:
    lines = "".join(f"<p>{safe(line)}</p>" for line in answer.text)
    link = f'<a href="#{answer.anchor}">{safe(answer.question)}</a>' if answer.anchor else safe(answer.question)
    sign = f'<span class="sign" aria-hidden="true">{_SIGNS[answer.mark]}</span>'
    said = f"{sign}<b>{safe(answer.word)}</b>{lines}{answer.table}"
    return f'<div class="answer {answer.mark}"><dt>{link}</dt><dd>{said}</dd></div>'
