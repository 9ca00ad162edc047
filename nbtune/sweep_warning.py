"""What a sweep could not do as it was meant to, and went on: a fallback, a report that was lost."""

from dataclasses import dataclass

__all__ = ["SweepWarning"]


@dataclass(frozen=True, slots=True)
class SweepWarning:
    """Something that makes a sweep's results other, or less safe, than they would have been.

    Parameters
    ----------
    time : float
        When it was noticed, in seconds since the epoch.
    code : str
        What kind it is, a short fixed name such as "searcher-fallback": for programs.
    text : str
        What happened and what follows from it, a sentence: for people.
    """

    time: float
    code: str
    text: str

    def __str__(self) -> str:
        return self.text
