"""Leaks that are planted in a folder that is to leave the lab."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from nssi_bayes.store import write_json, write_text
from planted import path_of


def _file_name(folder: Path, s: str, seed: int) -> None:
    shutil.move(folder / "card.md", folder / f"card_{s}.md")


def _words_in_json(folder: Path, s: str, seed: int) -> None:
    told = json.loads((folder / "verdicts.json").read_text())
    write_json(folder / "verdicts.json", {**told, "note": f"seen with {s}"})


def _column(folder: Path, s: str, seed: int) -> None:
    write_text(
        folder / "more.csv",
        f"{('participant_id', 'subject', 'record_id', 'src_subject_id')[seed % 4]},value\nx1,2\n",
    )


def _in_the_page(folder: Path, s: str, seed: int) -> None:
    page = (folder / "report.html").read_text()
    write_text(folder / "report.html", page.replace("</main>", f"<!-- {s} --></main>"))


def _path_in_the_page(folder: Path, s: str, seed: int) -> None:
    page = (folder / "report.html").read_text()
    write_text(folder / "report.html", page.replace("</main>", f"<p>{path_of(seed)}</p></main>"))


def _svg(s: str) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        f"<dc:creator>{s}</dc:creator></metadata></svg>"
    )


def _drawing(folder: Path, s: str, seed: int) -> None:
    write_text(folder / "figure.svg", _svg("Anna Example"))


def _drawing_in_the_page(folder: Path, s: str, seed: int) -> None:
    page = (folder / "report.html").read_text()
    image = (
        f'<img alt="" src="data:image/svg+xml;base64,{b64encode(_svg("Anna Example").encode()).decode()}">'
    )
    write_text(folder / "report.html", page.replace("</main>", f"{image}</main>"))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _text_in_a_picture(folder: Path, s: str, seed: int) -> None:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    kind = (b"tEXt", b"eXIf", b"iTXt", b"tIME")[seed % 4]
    body = (
        head + _chunk(kind, b"Author\0Anna") + _chunk(b"IDAT", zlib.compress(b"\0\0")) + _chunk(b"IEND", b"")
    )
    (folder / "figure.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def _behind_a_picture(folder: Path, s: str, seed: int) -> None:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    body = head + _chunk(b"IDAT", zlib.compress(b"\0\0")) + _chunk(b"IEND", b"")
    (folder / "figure.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body + bytes(range(20)))


def _attribute(folder: Path, s: str, seed: int) -> None:
    with h5py.File(folder / "draws.nc", "a") as file:
        (file, file["posterior"], file["posterior/A"])[seed % 3].attrs["history"] = "made on a Monday"


def _user_block_of_the_draws(folder: Path, s: str, seed: int) -> None:
    path = folder / "draws.nc"
    path.write_bytes(bytes(512) + path.read_bytes())


def _bytes_behind_the_draws(folder: Path, s: str, seed: int) -> None:
    with (folder / "draws.nc").open("ab") as file:
        file.write(bytes(seed % 7 + 1))


def _labels_of_the_draws(folder: Path, s: str, seed: int) -> None:
    with h5py.File(folder / "draws.nc", "a") as file:
        dim = ("function", "factor", "disorder")[seed % 3]
        labels = file[f"posterior/{dim}"]
        labels[0] = s


def _person_in_the_draws(folder: Path, s: str, seed: int) -> None:
    with h5py.File(folder / "draws.nc", "a") as file:
        file["posterior"].create_dataset("theta", data=np.zeros((2, 5, 120)))


def _data_in_the_draws(folder: Path, s: str, seed: int) -> None:
    with h5py.File(folder / "draws.nc", "a") as file:
        file.create_group(
            ("observed_data", "log_likelihood", "constant_data", "posterior_predictive")[seed % 4]
        )


def _pointwise(folder: Path, s: str, seed: int) -> None:
    write_json(folder / "elpd.json", {"elpd": list(np.random.default_rng(seed).normal(size=120))})


def _three_people(folder: Path, s: str, seed: int) -> None:
    told = json.loads((folder / "counts.json").read_text())
    told["disorders"][seed % 5]["participants"] = ("3", 3, "<11")[seed % 3]
    write_json(folder / "counts.json", told)


def _computable(folder: Path, s: str, seed: int) -> None:
    parts = [40, 50, 30 - seed % 8 - 1]
    rows = [{"group": g, "people": str(p)} for g, p in zip("abc", parts, strict=True)]
    rows += [{"group": "d", "people": "<11"}, {"group": "total", "people": "120"}]
    write_json(folder / "groups.json", {"groups": rows})


def _computable_from_two_files(folder: Path, s: str, seed: int) -> None:
    write_json(folder / "whole.json", {"rows": [{"group": "all", "people": 200 + seed}]})
    write_text(folder / "parts.csv", f"group,people\na,100\nb,{94 + seed}\nc,<11\n")


def _computable_on_the_page(folder: Path, s: str, seed: int) -> None:
    cells = (("a", "100"), ("b", "&lt;11"), ("total", str(101 + seed)))
    rows = "".join(f"<tr><th>{a}</th><td>{b}</td></tr>" for a, b in cells)
    table = f"<table><tr><th>group</th><th>people</th></tr>{rows}</table>"
    page = (folder / "report.html").read_text()
    write_text(folder / "report.html", page.replace("</main>", f"{table}</main>"))


def _missing_that_gives_away(folder: Path, s: str, seed: int) -> None:
    told = json.loads((folder / "counts.json").read_text())
    told["missing"][0] |= {"observed": str(119 - seed), "missing": "<11"}
    write_json(folder / "counts.json", told)


def _steps(folder: Path, s: str, seed: int) -> None:
    told = json.loads((folder / "counts.json").read_text())
    told["steps"] = [{"step": "a", "participants": 120}, {"step": "b", "participants": 119 - seed}]
    write_json(folder / "counts.json", told)


def _effects_that_give_away(folder: Path, s: str, seed: int) -> None:
    """One disorder is left out of effects that sum to zero, and nothing is centred again."""
    told = json.loads((folder / "counts.json").read_text())
    told["disorders"].append({"disorder": "psychosis", "participants": "<11"})
    write_json(folder / "counts.json", told)
    with h5py.File(folder / "draws.nc", "a") as file:
        file["posterior/A"][...] = file["posterior/A"][...] + 0.1


def _a_link(folder: Path, s: str, seed: int) -> None:
    (folder / "more.json").symlink_to("verdicts.json")


def _hidden(folder: Path, s: str, seed: int) -> None:
    write_text(folder / ".history", "a line")


def _unknown(folder: Path, s: str, seed: int) -> None:
    (folder / f"x.{('nii', 'pkl', 'zip', 'docx', 'sav', 'xlsx', 'npz', 'dcm')[seed]}").write_bytes(b"\0\1\2")


def _other_words(folder: Path, s: str, seed: int) -> None:
    word = (
        "anna.example@hospital.org",
        "seen on 2021-03-04",
        "03.04.2021",
        "MRN: 1234567",
        "078-05-1120",
        "+49 331 123456",
        "10.12.13.14",
        "https://portal.hospital.org/x",
    )[seed]
    write_text(folder / "notes.md", f"{word}\n")


LEFT: dict[str, Callable[[Path, str, int], None]] = {
    f.__name__: f
    for f in (
        _file_name,
        _words_in_json,
        _column,
        _in_the_page,
        _path_in_the_page,
        _drawing,
        _drawing_in_the_page,
        _text_in_a_picture,
        _behind_a_picture,
        _attribute,
        _user_block_of_the_draws,
        _bytes_behind_the_draws,
        _labels_of_the_draws,
        _person_in_the_draws,
        _data_in_the_draws,
        _pointwise,
        _three_people,
        _computable,
        _computable_from_two_files,
        _computable_on_the_page,
        _missing_that_gives_away,
        _steps,
        _effects_that_give_away,
        _a_link,
        _hidden,
        _unknown,
        _other_words,
    )
}
