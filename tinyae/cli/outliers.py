"""``tinyae outliers``: the rows of a table that are unlike the others, and why."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._version import __version__
from ..arguments import seed_from
from ..data.missing import filled
from ..data.pca import plane
from ..data.rows import Array, Rows
from ..data.scaling import scaled
from ..data.tables.schema import Schema
from ..model_file import as_json
from ..outliers.detector import OutlierDetector
from ..outliers.explain import Reason
from ..outliers.members import PIECE
from ..outliers.options import OPTIONS
from ..outliers.threshold import p_values
from ..plot.outliers import plot_outliers
from ..storage.locks import held
from ..storage.untrusted import errors_of, read_json
from ..train.progress import Waiting
from .options import DEFAULTS, RANK, UsageError, command, data_given, model_given
from .output import can_draw, expect_own, is_own, table, write_csv, write_json
from .run import together
from .run.data import DATA_DEFAULTS, check_data, open_new

MARK = "outliers.json"
REASONS = 3  # of a row
EPILOG = """\
examples:
  tinyae outliers --data sales.csv --out runs/sales
  tinyae outliers --data sales.csv --label kind --contamination 0.01 --out runs/sales
  tinyae outliers runs/sales --new sales-of-may.csv

A score is a squared distance from the most similar rows, in spreads of the columns; what each
column adds to it is a reason. "expected" is what the most similar rows have in that column. A
missing value counts as the mean of its column, which is a reason where another is expected. A
p-value of 0.01 says: of rows like those learnt from, 1 % are at least as unlike the others.

RUN gets outliers.csv (row, score, rank, outlier, p_value and reasons; row 0 is the first row of the
data; reasons of outliers and of the rows shown), outliers.png, outliers.npz (the detector: in
Python OutlierDetector.load) and outliers.json (settings). With --new FILE the same of its rows in
outliers-FILE.csv and .png. Columns that have moved (another mean, another range) are named first:
where one has, most rows may be outliers, and the table is another one.
"""


class Judged(NamedTuple):
    """Rows with their scores (n,), strongest first in ``order``, and why some are what they are."""

    name: str
    scores: Array
    p_values: Array
    is_outlier: Array
    order: Array
    reasons: dict[int, list[Reason]]
    moved: list[str]


def add_commands(commands: Any) -> None:
    parser = command(
        commands, "outliers", _outliers, "rows of a table that are unlike the others, with reasons",
        EPILOG,
    )  # fmt: skip
    parser.set_defaults(alike=True)
    parser.add_argument("run", metavar="RUN", nargs="?", help="a folder that --out made: judge the "
                        "rows of --new by what was learnt there")  # fmt: skip
    parser.add_argument("--new", metavar="FILE", help="rows to judge, with the columns of --data")
    parser.add_argument("--out", metavar="RUN", help="the folder to be written, with --data")
    parser.count("--top", 10, "outliers to show")
    parser.force_option()
    parser.json_option()
    parser.data_options("none", leave_out=("test_fraction",))
    parser.model_options(arguments=OPTIONS)


def _outliers(given: argparse.Namespace) -> None:
    data, options = data_given(given), model_given(given, OPTIONS)
    if given.run is None:
        if "source" not in data or given.out is None:
            raise UsageError("--data DATA --out RUN learns from a table, RUN --new FILE uses that")
        folder = Path(given.out)
        together.once(lambda: _expect_free(folder, given.force))
        judged = _learn(given, folder, {**DATA_DEFAULTS, **data}, {**DEFAULTS, **options})
    else:
        if given.new is None or given.out is not None or "source" in data or options:
            raise UsageError(
                "RUN takes --new FILE, and how to read it; --data, --out and settings are for "
                "another RUN"
            )
        folder = Path(given.run)
        detector, read_as, schema = together.once(lambda: _learnt(folder))
        with ExitStack() as stack:
            together.once(lambda: _hold(stack, folder))
            judged = [_new(given, folder, detector, {**read_as, **data}, schema)]
    if given.json:
        print(json.dumps({"run": str(folder), "judged": [_summary(j, given.top) for j in judged]}))


def _expect_free(folder: Path, force: bool) -> None:
    expect_own(folder, MARK)
    if (folder / "outliers.npz").exists() and not force:
        raise UsageError(
            f"{folder} holds outliers already: 'tinyae outliers {folder} --new FILE' uses what "
            "was learnt, another --out keeps it, --force replaces it"
        )


def _hold(stack: ExitStack, folder: Path) -> None:
    stack.enter_context(held(folder))


def _learn(
    given: argparse.Namespace, folder: Path, data: dict[str, Any], options: dict[str, Any]
) -> list[Judged]:
    detector = OutlierDetector(**options)
    try:
        detector._check()
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    rows = together.by_all(lambda: _rows(data))
    local = together.is_local(data)
    detector.random_state = together.once(lambda: seed_from(detector.random_state))
    with errors_of(data["source"], "cannot be learnt from"), Waiting("learning"):
        detector = together.of_all(rows, detector.fit, local)
    with ExitStack() as stack:

        def take() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            _hold(stack, folder)

        def keep() -> None:
            source = str(Path(data["source"]).resolve())
            write_json(folder / MARK, {
                "tinyae": __version__, "data": {**data, "source": source},
                "outliers": as_json(detector.get_params()), "threshold": -detector.offset_,
                "schema": rows.schema and rows.schema.to_json(),
            })  # fmt: skip
            detector.save(folder / "outliers.npz")  # last: it says that all is there

        together.once(take)
        judged = [_judge(given, folder, detector, rows, data["source"], "outliers")]
        together.once(keep)
        if given.new is not None:
            judged.append(_new(given, folder, detector, data, rows.schema))
    return judged


def _learnt(folder: Path) -> tuple[OutlierDetector, dict[str, Any], Schema | None]:
    """The detector of a folder, how its data were read, and what their columns are."""
    if not is_own(folder / MARK) or not (folder / "outliers.npz").exists():
        raise UsageError(
            f"{folder} holds no outliers.npz: 'tinyae outliers --data DATA --out {folder}' makes it"
        )
    with errors_of(folder / MARK, "broken"):
        found = read_json(folder / MARK, "broken")
        data = {**DATA_DEFAULTS, **found["data"]}
        check_data(data)
        kept = found.get("schema")
        schema = None if kept is None else Schema.from_json(kept)
    return OutlierDetector.load(folder / "outliers.npz"), data, schema


def _new(
    given: argparse.Namespace, folder: Path, detector: OutlierDetector, data: dict[str, Any],
    schema: Schema | None,
) -> Judged:  # fmt: skip
    names = getattr(detector, "feature_names_in_", np.array([])).tolist()
    trained = {**DATA_DEFAULTS, **data}
    if isinstance(data.get("label"), str):  # by its name it may be there or not, as what is dropped
        data = {**data, "label": None}
    places = [place for place in data.get("drop") or () if isinstance(place, int)]
    data = {**data, "drop": places or None, "source": given.new}
    rows = together.by_all(lambda: _rows(data, schema, names, trained))
    stem = f"outliers-{Path(given.new).name.split('.')[0].replace(RANK, 'all')}"
    with errors_of(given.new, "cannot be judged"):
        return _judge(given, folder, detector, rows, given.new, stem)


def _rows(
    data: dict[str, Any], schema: Schema | None = None, names: Sequence[str] | None = None,
    trained: dict[str, Any] | None = None,
) -> Rows:  # fmt: skip
    """All samples, under the names of their columns."""
    dataset = open_new({**data, "test_fraction": 0.0}, schema, names, trained or data)
    rows = dataset.train
    return Rows(rows.array, rows.indices, dataset.columns, dataset.schema)


def _judge(
    given: argparse.Namespace, folder: Path, detector: OutlierDetector, rows: Rows, source: str,
    stem: str,
) -> Judged:  # fmt: skip
    """Writes the table and the picture, and says what is in them."""
    file, local = folder / f"{stem}.csv", together.is_local({"source": source})
    if file.exists() and Path(source).exists() and file.samefile(source) and not given.force:
        raise UsageError(f"{source} is the file that is read: --force replaces it all the same")
    with Waiting(f"judging {Path(source).name}"):
        part = together.divided(rows, detector._logs, local, PIECE)
        logs = together.once(lambda: part) if local else part
    return together.of_all(
        rows, lambda rows: _judged(given, file, detector, rows, logs, source), local
    )


def _judged(
    given: argparse.Namespace, file: Path, detector: OutlierDetector, rows: Rows, logs: Array,
    source: str,
) -> Judged:  # fmt: skip
    """Of ``rows`` with these logarithmic scores (n,), by all processes where they share the rows:
    the first one writes and prints, last."""
    with Waiting(f"explaining {Path(source).name}"):
        moved = [m.text for m in detector.moved(rows)] if file.stem != "outliers" else []
        scores, is_outlier = np.exp(logs), -np.exp(logs) < detector.offset_
        order = np.argsort(-scores, kind="stable")
        explained = order[: max(given.top, int(is_outlier.sum()))]
        why = detector.explain(rows.select(explained))
        reasons = {int(row): why.reasons(i, REASONS) for i, row in enumerate(explained)}
    judged = Judged(Path(source).name, scores, p_values(detector._held_out, logs), is_outlier,
                    order, reasons, moved)  # fmt: skip
    drawn = can_draw()
    points, titles = _points(detector, rows) if drawn else (rows, [])
    if not together.first():
        return judged
    if not given.json:
        print(_text(judged, detector, given.top))
    header = ["row", "score", "rank", "outlier", "p_value"]
    write_csv(file, [*header, *(f"reason_{i + 1}" for i in range(REASONS))], _cells(judged))
    files = [file.name]
    if file.stem == "outliers":  # what was learnt is kept beside it
        files += [MARK, "outliers.npz"]
    if drawn:
        with Waiting("drawing"):
            picture = file.with_suffix(".png")
            plot_outliers(judged.scores, -detector.offset_, points, titles, picture)
        files.append(picture.name)
    if not given.json:
        print(f"\n{file.parent}: {', '.join(sorted(files))}")
    return judged


def _cells(judged: Judged) -> Iterator[list[Any]]:
    rank = np.empty(len(judged.order), np.int64)
    rank[judged.order] = np.arange(1, len(rank) + 1)
    for row, score in enumerate(judged.scores.tolist()):
        reasons = [str(reason) for reason in judged.reasons.get(row, [])]
        yield [
            row, f"{score:.6g}", rank[row], int(judged.is_outlier[row]),
            f"{judged.p_values[row]:.6g}", *reasons, *[""] * (REASONS - len(reasons)),
        ]  # fmt: skip


def _text(judged: Judged, detector: OutlierDetector, top: int) -> str:
    lines = [f"moved: {text}" for text in judged.moved]
    found = int(judged.is_outlier.sum())
    lines.append(
        f"{judged.name}: {found:,} outlier{'s' * (found != 1)} in {len(judged.scores):,} rows, "
        f"with a score above {-detector.offset_:.4g} (contamination {detector.contamination})"
    )
    cells: list[list[object]] = []
    for row in judged.order[:top].tolist():
        mark = "outlier" if judged.is_outlier[row] else ""
        first, *others = [str(reason) for reason in judged.reasons[row]]
        cells.append(
            [f"{row}", f"{judged.scores[row]:.4g}", f"{judged.p_values[row]:.2g}", mark, first]
        )
        cells += [["", "", "", "", other] for other in others]
    return "\n".join([*lines, "", table(("row", "score", "p-value", "", "reasons"), cells)])


def _summary(judged: Judged, top: int) -> dict[str, Any]:
    shown = [
        {"row": row, "score": float(judged.scores[row]), "p_value": float(judged.p_values[row]),
         "outlier": bool(judged.is_outlier[row]),
         "reasons": [{**r._asdict(), "value": None if np.isnan(r.value) else r.value}
                     for r in judged.reasons[row]]}
        for row in judged.order[:top].tolist()
    ]  # fmt: skip
    return {"data": judged.name, "rows": len(judged.scores), "moved": judged.moved,
            "outliers": int(judged.is_outlier.sum()), "top": shown}  # fmt: skip


def _points(detector: OutlierDetector, rows: Rows) -> tuple[Array, list[str]]:
    """Where a picture has the rows, (n, 1 or 2), and what its coordinates are."""
    rows = filled(rows, detector.columns_.mean)
    points, titles = plane(scaled(rows, detector.columns_.scaling()))
    titles = [title.replace(" of the code", "") for title in titles]
    if rows.shape[1] <= 2:
        titles = [f"{name}, in spreads" for name in detector._column_names()]
    return np.asarray(points), titles
