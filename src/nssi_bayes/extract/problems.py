"""What can be wrong with one person's images: counted, cured, and never in the way of the others."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from nssi_bayes import names as n
from nssi_bayes.errors import DataError

__all__ = ["CURES", "AuditRow", "Problem", "Problems"]

log = logging.getLogger(__name__)

type AuditRow = tuple[str, str, str, str, int, int, int, int, int, str]

_FD: Final = "framewise_displacement"
CURES: Final = {
    "space": "a map, but none in a space under `spaces`: normalise the maps to MNI152, or add the space",
    "native": "a header in Talairach or scanner space where MNI152 is expected: normalise the images",
    "orientation": "an image without a place in space (no sform and no qform, or an affine that cannot be "
    "inverted): write it again with its affine",
    "template": "images of another template than the atlas': use an atlas of that template, or write "
    "`other_template: resample`",
    "link": "a link without content: fetch it (`datalad get`)",
    "absent": "a file named by the mapping that does not exist: mend the mapping",
    "variance": "no variance map at `variance`: write it beside the effect map, or mend the pattern",
    "t": "no t map at `t`: write it beside the effect map, or mend the pattern",
    "unreadable": "an image that cannot be read: copy or fetch it again",
    "volume": "an image without the volume that the pattern names in brackets: mend the pattern",
    "shape": "a map that is not three-dimensional: give one volume a contrast, or name it in brackets",
    "grid": "effect and variance on different grids: write both from the same first-level model",
    "outside": "a grid that leaves out a region: normalise the maps to MNI152",
    "empty": "no voxel of any region with a finite effect and a positive variance: mend the first level",
    "flat": "a map that is 0 in every region: mend the first level",
    "twice": "the same file as another person, so that it is not known whose it is: fetch the right one",
    "again": "the same file as another run or contrast of the person: fetch the right one",
    "sign": "effect and t map of different sign, so not of one contrast: name the t map that belongs to it",
    "confounds": "no confounds file beside the images or at `confounds`: add it, or mend the pattern",
    "columns": "a confounds file without the columns of the strategy: choose another `denoise.strategy`",
    "motion": f"no finite {_FD} in the confounds file: add it",
    "series": "a series that is not four-dimensional: name the `desc-preproc_bold` images",
    "length": "confounds and images of different length: preprocess the person again",
    "t_r": "no repetition time in sidecar or header: write `t_r`",
    "frames": "too few frames left (`min_frames`): the person is missing",
    "regions": "regions without enough coverage, so that no edge is left: see `min_coverage`",
    "table": "a table that cannot be read as numbers with one label a column, each once: mend it",
    "labels": "a table without the labels of the atlas' regions: mend its head, or choose its atlas",
    "correlations": "a matrix with values beyond 1 (Fisher's z?): write correlations",
    "worth": "no edge with enough effective frames (`min_effective`): the person is missing",
}


class Problem(Exception):  # noqa: N818 - not a user's error by itself, it is counted
    """One person's images cannot be used.

    Parameters
    ----------
    kind : str
        A key of `CURES`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(kind)


class Problems:
    """Counts people by problem.

    Parameters
    ----------
    where : str
        Part of the study file, for messages.
    table : str
        Name of the block in the audit.
    """

    def __init__(self, where: str, *, table: str) -> None:
        self.where = where
        self.table = table
        self.people: dict[str, set[str]] = {}

    def add(self, kind: str, participant: str) -> None:
        """Note that a person has a problem."""
        self.people.setdefault(kind, set()).add(participant)

    @property
    def counts(self) -> Counter[str]:
        """Number of people by problem."""
        return Counter({kind: len(who) for kind, who in sorted(self.people.items())})

    def sentences(self) -> list[str]:
        """Return one sentence a problem, with the number of people and the cure."""
        return [f"{count} people: {CURES[kind]}" for kind, count in self.counts.items()]

    def close(self, *, left: int) -> None:
        """Warn of everything, or refuse if nobody is left.

        Parameters
        ----------
        left : int
            People who can be used.

        Raises
        ------
        DataError
            If there are none.
        """
        told = self.sentences()
        if left == 0:
            if not told:
                raise DataError(
                    f"nobody has a file that fits the patterns of `{self.table}`", where=self.where,
                    cure="mend the patterns, or leave the block out when the study has no images",
                )  # fmt: skip
            raise DataError(told, where=self.where, cure="mend the files; nobody else is left")
        for sentence in told:
            log.warning("%s: %s; the other %d go on", self.where, sentence, left)

    def audit(self, *, read: int) -> list[AuditRow]:
        """Return one row a problem."""
        return [
            ("extract", self.table, n.PARTICIPANT, kind, read, 0, 0, 0, count, CURES[kind])
            for kind, count in self.counts.items()
        ]
