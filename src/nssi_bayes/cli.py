"""The command line: arguments and lazy imports, nothing else.

Every verb is a stage of the pipeline. A user's error is one readable message and exit code 2, an
interruption exit code 130; both leave no half-written file, because `store` writes beside and
renames.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from nssi_bayes.errors import NssiBayesError, SpecError, did_you_mean
from nssi_bayes.launch import INTERRUPTED, fix_environment, leave, log_to_stderr

__all__ = ["app", "main"]

app = typer.Typer(
    help="Joint hierarchical Bayesian models of the functions of non-suicidal self-injury.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[str, typer.Argument(help="An entry of the roster, `question/model`.")]
Question = Annotated[str, typer.Argument(help="A question of params.yaml.")]


def main() -> None:
    """Run the command line in the environment that makes equal seeds give equal bytes."""
    fix_environment()
    log_to_stderr()
    try:
        app()
    except SystemExit as end:
        leave(end)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except NssiBayesError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        typer.echo("Interrupted. Nothing is half-written; run the same command again.", err=True)
        raise typer.Exit(INTERRUPTED) from error


def _run(
    context: typer.Context,
    verb: str,
    *,
    model: str = "",
    question: str = "",
    work: dict[str, Any] | None = None,
    **more: str | Path,
) -> None:
    """Run one room on `params.yaml`, which must know the model or question."""
    with _readable():
        from nssi_bayes.progress import announced
        from nssi_bayes.spec import read_params
        from nssi_bayes.store import Layout

        layout = Layout(context.obj)
        params = read_params(layout.params)
        chosen = {"model": model} if model else {"question": question} if question else {}
        for (kind, name), known in zip(
            chosen.items(), [params.roster if model else params.questions], strict=False
        ):
            if name not in known:
                raise SpecError(
                    f"{kind} {name!r} is not there. {did_you_mean(name, known)}",
                    where=f"{layout.params}: {'roster' if model else 'questions'}",
                    cure="mend the name, or add it",
                )
        stage = announced(layout, params, verb=verb, name=model or question)
        with nullcontext() if verb == "share" else stage:  # share is no stage of the pipeline
            room = import_module(f"nssi_bayes.{verb}")
            extra = {} if work is None else {"work": room.Work(**work)}
            room.run(layout, params, **chosen, **extra, **more)


@app.callback()
def _root(
    context: typer.Context,
    root: Annotated[Path, typer.Option(help="The folder that holds params.yaml.")] = Path("."),
) -> None:
    context.obj = root


@app.command()
def simulate(context: typer.Context) -> None:
    """Write the synthetic cohort as a BIDS folder, its truth beside it."""
    _run(context, "simulate")


@app.command()
def ingest(context: typer.Context) -> None:
    """Read the BIDS folder into tidy tables, with an audit of every change."""
    _run(context, "ingest")


@app.command()
def score(context: typer.Context) -> None:
    """Orient the items and score the scales of every instrument."""
    _run(context, "score")


@app.command()
def extract(context: typer.Context) -> None:
    """Read regional activation, its standard error and its coverage from the images."""
    _run(context, "extract")


@app.command()
def assemble(context: typer.Context) -> None:
    """Join everything into one labelled data set that satisfies the contract."""
    _run(context, "assemble")


@app.command()
def build(
    context: typer.Context,
    model: Model,
    *,
    prior_predictive: Annotated[
        bool, typer.Option("--prior-predictive", help="Say what cohorts the priors expect; fit nothing.")
    ] = False,
) -> None:
    """Build a model from its spec and write its fingerprint."""
    _run(context, "check.prior" if prior_predictive else "build", model=model)


@app.command()
def fit(context: typer.Context, model: Model) -> None:
    """Draw from the posterior of a model."""
    _run(context, "fit", model=model)


@app.command()
def preview(context: typer.Context, model: Model) -> None:
    """Approximate a posterior in seconds, for a first look; never certified."""
    _run(context, "preview", model=model)


@app.command()
def check(context: typer.Context, model: Model) -> None:
    """Certify a posterior, score it and summarise it."""
    _run(context, "check", model=model)


@app.command()
def sensitivity(context: typer.Context, model: Model) -> None:
    """Say how far conclusions depend on priors, on each block of data and on what was assumed."""
    _run(context, "sensitivity", model=model)


@app.command()
def calibrate(
    context: typer.Context,
    model: Model,
    *,
    replications: Annotated[int, typer.Option(min=1, help="Of all shards together.")] = 100,
    shard: Annotated[str, typer.Option(help="i/n: every n-th replication from the i-th, from 0.")] = "0/1",
    workers: Annotated[str, typer.Option(help="Processes here, or the address of a Dask scheduler.")] = "1",
    posterior: Annotated[
        bool, typer.Option("--posterior", help="Parameters from the posterior, not the prior.")
    ] = False,
) -> None:
    """Fit data of known parameters over and over, to see that posteriors are what they say."""
    work = {"replications": replications, "shard": shard, "workers": workers}
    _run(context, "calibrate", model=model, work={**work, "posterior": posterior})


@app.command()
def crossvalidate(context: typer.Context, question: Question) -> None:
    """Leave people out for real and score them, as params.yaml asks."""
    _run(context, "crossvalidate", question=question)


@app.command()
def compare(context: typer.Context, question: Question) -> None:
    """Compare the models of a question on the data that they share."""
    _run(context, "compare", question=question)


@app.command()
def report(
    context: typer.Context,
    question: Question,
    *,
    audience: Annotated[str, typer.Option(help="research, or clinical: short, in plain words.")] = "research",
    against: Annotated[str, typer.Option(help="A revision of Git: show what changed since then.")] = "",
) -> None:
    """Write the report of a question as one HTML file."""
    _run(context, "report", question=question, audience=audience, against=against)


@app.command()
def share(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="An entry of the roster; none with --check.")] = "",
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A new folder.")] = None,
    check: Annotated[Path | None, typer.Option(help="Look through any folder instead.")] = None,
) -> None:
    """Write what may leave the lab of a model, or look through a folder that is to leave it."""
    if check is not None:
        _share_check(context, check)
        return
    if out is None or not model:
        typer.echo("Error: nothing to do\n  What to do: share MODEL -o DIR, or share --check DIR", err=True)
        raise typer.Exit(2)
    _run(context, "share", model=model, out=out)


def _share_check(context: typer.Context, folder: Path) -> None:
    with _readable():
        from nssi_bayes.share import check
        from nssi_bayes.spec import read_params
        from nssi_bayes.store import Layout

        layout = Layout(context.obj)
        params = read_params(layout.params) if layout.params.exists() else None
        smallest = params.min_cell if params else 11
        found = check(folder, min_cell=smallest, layout=layout, params=params)
        for finding in found:
            typer.echo(str(finding))
        if found:
            typer.echo(f"{len(found)} findings: this must not leave the lab", err=True)
            raise typer.Exit(1)
        cohort = params is not None and layout.cohort(params.study).exists()
        looked = "" if cohort else "; labels of people were not looked for, because no cohort is at hand"
        typer.echo(f"Nothing was found, which is no proof{looked}. Counts under {smallest} were looked for.")


@app.command()
def cite(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="A question; the software alone if left out.")] = "",
) -> None:
    """Print what to cite, as BibTeX."""
    with _readable():
        from nssi_bayes.report.citations import bibtex

        if not question:
            typer.echo(bibtex([]), nl=False)
            return
        from nssi_bayes.report.cite import cite as cited
        from nssi_bayes.spec import read_params
        from nssi_bayes.store import Layout

        layout = Layout(context.obj)
        typer.echo(cited(layout, read_params(layout.params), question), nl=False)


@app.command()
def profile(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A file of profiles/; none lists them.")] = "",
    *,
    overwrite: Annotated[bool, typer.Option(help="Give up changes of your own.")] = False,
) -> None:
    """Write params.yaml from one of the profiles."""
    with _readable():
        from nssi_bayes.spec import read_params
        from nssi_bayes.store import Layout, write_text

        layout = Layout(context.obj)
        known = {path.stem: path.read_text(encoding="utf-8") for path in layout.profiles()}
        if not name:
            typer.echo("\n".join(known))
            return
        if name not in known:
            raise SpecError(
                f"profile {name!r} is not there. {did_you_mean(name, known)}",
                where=str(layout.profile(name).parent),
                cure="mend the name, or write the profile",
            )
        read_params(layout.profile(name))
        current = layout.params.read_text(encoding="utf-8") if layout.params.exists() else None
        if current not in (None, *known.values()) and not overwrite:
            raise SpecError(
                "the file holds changes of your own",
                where=str(layout.params),
                cure="copy it to a profile, or add --overwrite",
            )
        write_text(layout.params, known[name])
        typer.echo(f"{layout.params} is now the profile {name}; `dvc repro` runs it")


instruments_app = typer.Typer(help="The shelf of instruments.", no_args_is_help=False, rich_markup_mode=None)
priors_app = typer.Typer(help="Priors from the literature.", no_args_is_help=True, rich_markup_mode=None)
study_app = typer.Typer(help="Draft and try a study file.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(instruments_app, name="instruments")
app.add_typer(study_app, name="study")
app.add_typer(priors_app, name="priors")


@instruments_app.callback(invoke_without_command=True)
def _instruments(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_instruments(context)


@instruments_app.command("list")
def list_instruments(context: typer.Context) -> None:
    """List the instruments of the package, and those of the studies."""
    with _readable():
        from nssi_bayes import instruments
        from nssi_bayes.store import Layout

        for name in instruments.available():
            typer.echo(instruments.listed(instruments.read_instrument(name)))
        for path in Layout(context.obj).own_instruments():
            form = instruments.check_instrument(path)
            typer.echo(instruments.listed(form, own=path.parents[1].name))


@instruments_app.command("show")
def show_instrument(
    context: typer.Context,
    name: str,
    *,
    study: Annotated[str, typer.Option(help="Look at the shelf of this study first.")] = "",
) -> None:
    """Print one instrument."""
    with _readable():
        from nssi_bayes.instruments import printed, read_instrument
        from nssi_bayes.store import Layout

        folder = Layout(context.obj).instruments(study) if study else None
        typer.echo(printed(read_instrument(name, folder)), nl=False)


@instruments_app.command("check")
def check_instrument(file: Path) -> None:
    """Validate the file of an instrument."""
    with _readable():
        from nssi_bayes import instruments

        form = instruments.check_instrument(file)
        typer.echo(f"{form.name}: {form.items} items, {len(form.scales)} scales, as the shelf asks for")


@priors_app.command("map")
def map_priors(file: Path) -> None:
    """Print the prior that published estimates foresee for a new study, robust, as YAML for a spec."""
    with _readable():
        from nssi_bayes.priors.published import as_yaml
        from nssi_bayes.priors.studies import read_published

        typer.echo(as_yaml(read_published(file)), nl=False)


@study_app.command("init")
def init_study(
    context: typer.Context,
    folder: Path,
    *,
    name: Annotated[str, typer.Option(help="Name of the study; that of the folder if left out.")] = "",
) -> None:
    """Read a folder and draft its study file, with a comment at each guess."""
    with _readable():
        from nssi_bayes.ingest.checked import begin_study
        from nssi_bayes.store import Layout

        layout = Layout(context.obj)
        study = name or folder.resolve().name
        path = begin_study(layout, folder, name=study)
        typer.echo(f"{path} is a draft: edit it, then run `nssi-bayes study check {study}`")


@study_app.command("check")
def check_study(
    context: typer.Context,
    study: Annotated[str, typer.Argument(help="A study; that of params.yaml if left out.")] = "",
) -> None:
    """Try a study file on its folder; nothing is written."""
    with _readable():
        from nssi_bayes.ingest import checked
        from nssi_bayes.spec import read_params
        from nssi_bayes.store import Layout
        from nssi_bayes.study import source_folder

        layout = Layout(context.obj)
        params = read_params(layout.profile(study) if study else layout.params)
        source = source_folder(layout, params)
        lines = checked.check_study(layout, params.study, source=source, min_cell=params.min_cell)
        typer.echo("\n".join(lines))
