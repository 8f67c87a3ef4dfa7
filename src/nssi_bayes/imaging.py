"""What stands where among a cohort's images, and how they are read: two parts of ``study.yaml``.

A path may carry ``{participant}``, ``{run}`` and, for contrast maps, ``{contrast}``; everything else
in it is literal.
"""

from __future__ import annotations

from string import Formatter
from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from nssi_bayes.spec import Strict

__all__ = ["ActivationSource", "Cleaned", "ConnectivitySource", "DeclaredReliability", "Denoise"]

_EXAMPLE: Final = {"participant": "sub-01", "run": "1", "contrast": "c"}

type Model = Literal["basic", "power2", "derivatives", "full"]


def _path(text: str | None, *, optional: set[str]) -> str | None:
    """Check the fields of a path."""
    if text is None:
        return None
    try:
        fields = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
        if fields <= set(_EXAMPLE):
            text.format(**_EXAMPLE)
    except ValueError as error:
        raise ValueError("the pattern is not one that Python's format understands") from error
    if not {"participant"} <= fields <= {"participant"} | optional:
        also = " and ".join(f"{{{name}}}" for name in sorted(optional))
        raise ValueError(f"the pattern needs {{participant}}, and may have {also}, but no other field")
    return text


def _ordered(high_pass_hz: float | None, low_pass_hz: float | None) -> None:
    """Check that a band holds something."""
    if high_pass_hz and low_pass_hz and high_pass_hz >= low_pass_hz:
        raise ValueError("`high_pass_hz` must be under `low_pass_hz`")


class DeclaredReliability(Strict):
    """How reliable the measures are, where people have one run or their runs are no repetitions.

    It is printed beside the effects and enters no standard error: what is unreliable in a response
    is part of the model's residual already.

    Parameters
    ----------
    icc : float or dict of str to float
        Intraclass correlation of all regions or edges, or of each that is named.
    source : str
        Where it comes from; stands in the report.
    """

    icc: float | dict[str, float]
    source: str = Field(min_length=1)

    @field_validator("icc")
    @classmethod
    def _share(cls, icc: float | dict[str, float]) -> float | dict[str, float]:
        given = list(icc.values()) if isinstance(icc, dict) else [icc]
        if not given or not all(0 <= value <= 1 for value in given):
            raise ValueError("a reliability lies between 0 and 1")
        return icc


class ActivationSource(Strict):
    """Contrast maps of the scanned people.

    A path ends in ``[k]`` or ``[label]`` for one volume of a file with several (AFNI's sub-bricks).

    Parameters
    ----------
    atlas : str
        A file of the shelf ``atlases``, or ``<name>.yaml`` beside the study file.
    effect : str, optional
        Paths of the maps; the first run and contrast of the field's name each.
    variance : str, optional
        Paths of the maps' variance.
    t : str, optional
        Instead of `variance`, paths of t maps (SPM's ``spmT``, AFNI's t sub-brick): the variance
        is the square of effect over t.
    mapping : str, optional
        Instead of paths, a table with ``participant_id``, ``effect`` and ``variance`` or ``t``, and
        optionally ``run``, ``contrast`` and ``space``; paths relative to the cohort's folder.
    statistic : {"effect", "t", "z"}
        What the map at `effect` holds. A t or z map has no variance; it enters in its own unit, with
        a standard error of 1, and a warning.
    contrasts : tuple of str
        Contrasts that are used, in this order; all that are found if left out.
    confounds : str, optional
        Path of the confounds file with ``framewise_displacement``.
    spaces : tuple of str
        Accepted ``space-`` entities, best first; a name without one is taken to be of the first.
    other_template : {"refuse", "resample"}
        What to do where the atlas is made for another template of the MNI152 family than
        the map's: the two differ by a few mm. ``resample`` puts the atlas on the map's grid.
    min_coverage : float
        A region with a smaller share of its voxels is missing.
    reliability : DeclaredReliability, optional
        Reported instead of the one of people with several runs.
    """

    atlas: str
    effect: str | None = None
    variance: str | None = None
    t: str | None = None
    mapping: str | None = None
    statistic: Literal["effect", "t", "z"] = "effect"
    contrasts: tuple[str, ...] = ()
    confounds: str | None = None
    spaces: tuple[str, ...] = Field(min_length=1)
    other_template: Literal["refuse", "resample"] = "refuse"
    min_coverage: float = Field(default=0.5, gt=0, le=1)
    reliability: DeclaredReliability | None = None

    @field_validator("effect", "variance", "t")
    @classmethod
    def _map_path(cls, path: str | None) -> str | None:
        return _path(path, optional={"run", "contrast"})

    @field_validator("confounds")
    @classmethod
    def _confounds_path(cls, path: str | None) -> str | None:
        return _path(path, optional={"run"})

    @model_validator(mode="after")
    def _one_way(self) -> ActivationSource:
        if (self.effect is None) == (self.mapping is None):
            raise ValueError("write either `effect` or `mapping`")
        errors = [self.variance, self.t]
        if self.effect and self.statistic == "effect" and errors.count(None) != 1:
            raise ValueError("an effect needs `variance` or `t`; for a t or z map write `statistic`")
        if self.statistic != "effect" and errors != [None, None]:
            raise ValueError("a t or z map has no `variance` and no `t` of its own")
        return self


class Denoise(Strict):
    """How series are cleaned; all of it is written into the data set and the report.

    The regressors are those of nilearn's ``load_confounds_strategy``, whose defaults have changed
    between versions (0.13: displacement from .2 to .5 mm, standardised DVARS from 3 to 1.5), so
    that they are pinned here.

    Parameters
    ----------
    strategy : {"simple", "scrubbing", "compcor", "ica_aroma"}
        Preset of nilearn. Each has the cosines of fMRIPrep's high-pass filter (1/128 Hz).
    motion, wm_csf, global_signal : {"basic", "power2", "derivatives", "full"}
        Expansions; `global_signal` is left out unless given.
    scrub : int
        Runs of fewer frames than this between dropped ones are dropped, too.
    fd_threshold_mm, std_dvars_threshold : float
        Frames over either are dropped (strategy ``scrubbing``).
    compcor : str
        Kind of components.
    n_compcor : int or "all"
        Number of components.
    high_pass_hz, low_pass_hz : float, optional
        Edges of the pass band; the lower edge is the cosines' own if left out.

    References
    ----------
    Ciric et al. 2017, 10.1016/j.neuroimage.2017.03.020; Wang et al. 2024,
    10.1371/journal.pcbi.1011942.
    """

    strategy: Literal["simple", "scrubbing", "compcor", "ica_aroma"] = "scrubbing"
    motion: Model = "full"
    wm_csf: Model = "basic"
    global_signal: Model | None = None
    scrub: int = Field(default=5, ge=0)
    fd_threshold_mm: float = Field(default=0.5, gt=0)
    std_dvars_threshold: float = Field(default=1.5, gt=0)
    compcor: Literal["anat_combined", "anat_separated", "temporal"] = "anat_combined"
    n_compcor: int | Literal["all"] = "all"
    high_pass_hz: float | None = Field(default=None, gt=0)
    low_pass_hz: float | None = Field(default=0.1, gt=0)

    @model_validator(mode="after")
    def _band(self) -> Denoise:
        _ordered(self.high_pass_hz, self.low_pass_hz)
        return self

    def arguments(self) -> dict[str, Any]:
        """Return what nilearn's ``load_confounds_strategy`` is called with."""
        of: dict[str, dict[str, Any]] = {
            "simple": {"motion": self.motion, "wm_csf": self.wm_csf},
            "scrubbing": {
                "motion": self.motion, "wm_csf": self.wm_csf, "scrub": self.scrub,
                "fd_threshold": self.fd_threshold_mm, "std_dvars_threshold": self.std_dvars_threshold,
            },
            "compcor": {"motion": self.motion, "compcor": self.compcor, "n_compcor": self.n_compcor},
            "ica_aroma": {"wm_csf": self.wm_csf},
        }  # fmt: skip
        chosen = of[self.strategy] | {"demean": False}
        return chosen | ({"global_signal": self.global_signal} if self.global_signal else {})

    def settings(self) -> dict[str, str]:
        """Return every setting that has an effect, by its name, for the report."""
        used = {k: str(v) for k, v in self.arguments().items() if k != "demean"}
        named = {"fd_threshold": "fd_threshold_mm", "scrub": "scrub_frames"}
        return {
            "strategy": self.strategy,
            **{named.get(k, k): v for k, v in used.items()},
            "global_signal": self.global_signal or "not regressed out",
            "high_pass_hz": f"{self.high_pass_hz:g}" if self.high_pass_hz else "1/128, by cosines",
            "low_pass_hz": f"{self.low_pass_hz:g}" if self.low_pass_hz else "none",
        }

    def told(self) -> str:
        """Return one line for the report."""
        used = ", ".join(f"{k} {v}" for k, v in self.arguments().items() if k != "demean")
        low = f"{self.high_pass_hz:g}" if self.high_pass_hz else "1/128"
        high = f"{self.low_pass_hz:g}" if self.low_pass_hz else "Nyquist"
        return f"{self.strategy} ({used}), band {low} to {high} Hz"


class Cleaned(Strict):
    """What was done to series or matrices that are read ready-made; it decides their standard error.

    Parameters
    ----------
    nuisance : int
        Regressors that were taken out.
    high_pass_hz, low_pass_hz : float, optional
        Edges of the pass band.
    """

    nuisance: int = Field(ge=0)
    high_pass_hz: float | None = Field(default=None, gt=0)
    low_pass_hz: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _band(self) -> Cleaned:
        _ordered(self.high_pass_hz, self.low_pass_hz)
        return self


class ConnectivitySource(Strict):
    """Connectivity of the scanned people, from exactly one kind of file.

    Parameters
    ----------
    atlas : str
        A file of the shelf ``atlases``, or ``<name>.yaml`` beside the study file.
    bold : str, optional
        Paths of fMRIPrep's ``desc-preproc_bold`` images; their confounds lie beside them.
    timeseries : str, optional
        Paths of cleaned ``*_timeseries.tsv`` (xcp_d), one column a region; frames that are missing
        in every column were dropped.
    relmat : str, optional
        Paths of ``*_relmat.tsv`` (xcp_d), correlations with a label a row and column.
    table : str, optional
        A wide table: ``participant_id`` and one column an edge, Fisher's z, and optionally its
        standard error as ``<edge>_se``.
    confounds : str, optional
        Paths of confounds with ``framewise_displacement`` for ready-made files.
    spaces : tuple of str
        Accepted ``space-`` entities, best first (`bold` only).
    other_template : {"refuse", "resample"}
        As for activation.
    kind : {"correlation", "partial correlation"}
        Of the series, through nilearn's ``ConnectivityMeasure``.
    estimator : str
        ``empirical``; shrunken estimators are refused, see Notes.
    edges : "default", "all" or tuple of str
        Edges ``roi_a--roi_b``; the default set is the atlas' own.
    denoise : Denoise
        How `bold` is cleaned.
    cleaned : Cleaned, optional
        What was done to `timeseries`.
    t_r : float, optional
        Seconds between frames; the sidecar's or the header's if left out.
    effective_frames : float, optional
        For `relmat` and a `table` without standard errors: independent frames behind each
        correlation.
    min_frames : int
        Who has fewer frames left is missing.
    min_effective : float
        An edge with fewer effective frames, those held constant subtracted, is missing.
    min_coverage : float
        A region with a smaller share of its voxels is missing.
    reliability : DeclaredReliability, optional
        Reported instead of the one of people with several runs.

    Notes
    -----
    Graphical lasso and Ledoit-Wolf shrink edges towards zero by an amount that depends on the
    number of frames, so on motion; the normal likelihood with Fisher's standard error is
    wrong for them, and the study is refused.
    """

    atlas: str
    bold: str | None = None
    timeseries: str | None = None
    relmat: str | None = None
    table: str | None = None
    confounds: str | None = None
    spaces: tuple[str, ...] = ()
    other_template: Literal["refuse", "resample"] = "refuse"
    kind: Literal["correlation", "partial correlation"] = "correlation"
    estimator: str = "empirical"
    edges: Literal["default", "all"] | tuple[str, ...] = "default"
    denoise: Denoise = Denoise()
    cleaned: Cleaned | None = None
    t_r: float | None = Field(default=None, gt=0)
    effective_frames: float | None = Field(default=None, gt=3)
    min_frames: int = Field(default=50, ge=10)
    min_effective: float = Field(default=10, ge=1)
    min_coverage: float = Field(default=0.5, gt=0, le=1)
    reliability: DeclaredReliability | None = None

    @field_validator("bold", "timeseries", "relmat", "confounds")
    @classmethod
    def _file_path(cls, path: str | None) -> str | None:
        return _path(path, optional={"run"})

    @field_validator("estimator")
    @classmethod
    def _unbiased(cls, estimator: str) -> str:
        if estimator != "empirical":
            raise ValueError(
                "only `empirical` can be read by a likelihood: graphical lasso, Ledoit-Wolf and other "
                "shrunken estimators are biased by design, and no standard error mends that"
            )
        return estimator

    @model_validator(mode="after")
    def _one_way(self) -> ConnectivitySource:
        given = [k for k in ("bold", "timeseries", "relmat", "table") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError("write exactly one of `bold`, `timeseries`, `relmat` and `table`")
        if self.bold and not self.spaces:
            raise ValueError("`bold` needs `spaces`")
        if self.timeseries and not (self.cleaned and self.t_r):
            raise ValueError("`timeseries` needs `cleaned` and `t_r`: standard errors follow from them")
        if self.relmat and not self.effective_frames:
            raise ValueError("`relmat` needs `effective_frames`; with `timeseries` they would be counted")
        if self.relmat and self.kind != "correlation":
            raise ValueError("`relmat` holds correlations; partial ones need `timeseries` or `bold`")
        return self

    def settings(self) -> dict[str, str]:
        """Return every setting that has an effect, by its name, for the report."""
        limits = {"min_effective_frames": f"{self.min_effective:g}", "min_coverage": f"{self.min_coverage:g}"}
        if self.source == "bold":
            told = {**self.denoise.settings(), "t_r_s": f"{self.t_r:g}" if self.t_r else "of each image"}
        elif self.cleaned is not None:
            told = {k: "none" if v is None else f"{v:g}" for k, v in self.cleaned.model_dump().items()}
        elif self.effective_frames is not None:
            told = {"effective_frames": f"{self.effective_frames:g}"}
        else:
            told = {}
        if self.source in ("bold", "timeseries"):
            told = {**told, "min_frames": str(self.min_frames), **limits}
        return told

    @property
    def source(self) -> str:
        """The kind of file: ``bold``, ``timeseries``, ``relmat`` or ``table``."""
        return next(k for k in ("bold", "timeseries", "relmat", "table") if getattr(self, k) is not None)
