"""The benchmark's table, pictures, comparison and README section, from results made by hand."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.reports import compare as bench_compare
from benchmarks.reports import plots as bench_plots
from benchmarks.reports import readme as bench_readme
from benchmarks.reports import rows as bench_rows
from benchmarks.reports import style as bench_style
from benchmarks.reports import table as bench_table

CONTESTANTS = {  # kind, device, whether it is there
    "numpy": ("backend", "cpu", True),
    "numba": ("backend", "cpu", True),
    "cupy": ("backend", "gpu", False),
    "blas": ("rival", "cpu", True),
    "torch-eager": ("rival", "cpu", True),
    "torch-compile": ("rival", "cpu", True),
    "jax": ("rival", "cpu", False),
    "sklearn": ("rival", "cpu", True),
}
PEAK, COPY = 100.0, 20.0  # the ceilings, GFLOP/s and GB/s


def row(suite: str, op: str, contestant: str, seconds: float, **facts: Any) -> dict[str, Any]:
    """Two passes, 2 % apart, whose quartiles lie 1 % below and above."""
    runs = [{"median": m, "q1": 0.99 * m, "q3": 1.01 * m, "rounds": n}
            for m, n in ((0.99 * seconds, 10), (1.01 * seconds, 20))]  # fmt: skip
    flops, moved = facts.pop("flops", 0.0), facts.pop("bytes", 0.0)
    gflops = flops / seconds / 1e9 if flops else None
    gbs = moved / seconds / 1e9 if moved else None
    shares = {"compute": (gflops or 0) / PEAK, "memory": (gbs or 0) / COPY}
    bound = max(shares, key=lambda name: shares[name])
    return {
        "suite": suite, "op": op, "case": "", "size": None, "net": None, "batch": None,
        "contestant": contestant, "device": "cpu", "dtype": "float32", "flops": flops,
        "bytes": moved, "runs": runs, "median": seconds, "spread": 0.02, "gflops": gflops,
        "gbs": gbs, "share": shares[bound] or None, "bound": bound, "error": "", **facts,
    }  # fmt: skip


def failed(broken: dict[str, Any], why: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("median", "spread", "gflops", "gbs", "share"))
    return broken | nothing | {"runs": [], "error": why}


@pytest.fixture
def results() -> dict[str, Any]:
    rows = []
    for size in (256, 512):
        for name, speed in (("numpy", 40), ("numba", 80), ("blas", 64), ("torch-eager", 50)):
            flops = 2.0 * size**3
            of = {"size": size, "case": f"{size}x{size}x{size}", "bytes": 12.0 * size**2}
            seconds = flops / speed / 1e9
            rows.append(row("kernel", "dense_forward", name, seconds, flops=flops, **of))
    for name, speed in (("numpy", 4), ("numba", 16), ("torch-eager", 8)):
        rows.append(row("kernel", "adam", name, 8e7 / speed / 1e9, case="2841784", flops=3.7e7,
                        bytes=8e7))  # fmt: skip
    rows.append(row("kernel", "random_bits", "numba", 1e-3, case="1000000", bytes=4e6))
    wrong = row("kernel", "huber", "numba", 1e-3, case="512x784", flops=1e6, bytes=1e6)
    rows.append(failed(wrong, "dx is off by 1.2e-1, at most 3e-5 is allowed"))
    for rung, name, speed in (("naive", "numba", 1), ("tiles", "numba", 70), ("BLAS", "blas", 90)):
        rows.append(row("ladder", rung, name, 8e8 / speed / 1e9, case="512x784x1000", flops=8e8,
                        bytes=7e6))  # fmt: skip
    for net, scale in (("deep", 1e-4), ("small", 1e-5)):
        for batch in (32, 128):
            of = {"net": net, "batch": batch, "case": f"B={batch}"}
            times = {"numpy": 3, "numba": 1, "torch-eager": 2.5, "torch-compile": 2}
            for name, factor in times.items():
                rows.append(row("step", "step", name, batch * scale * factor, **of))
                epoch = of | {"case": f"4096 samples, B={batch}"}
                rows.append(row("epoch", "epoch", name, 4096 * scale * factor, **epoch))
            for part, share in (("dense_forward", 0.6), ("adam", 0.3)):
                rows.append(row("step", f"step/{part}", "numba", batch * scale * share, **of))
            rows.append(row("step", "step/dense_forward", "blas", batch * scale * 0.7, **of))
            for name, factor in (("numba", 1), ("sklearn", 7)):
                rows.append(row("epoch", "epoch_mse", name, 9e9 * scale * factor, **epoch))
    return {
        "date": "2026-11-25T10:00:00+00:00", "command": "tinyae bench --out DIR", "quick": False,
        "machine": {"cpu": "Test CPU", "cores": 2, "clock_mhz": 2600.0, "memory_gib": 15.6,
                    "os": "Linux", "gpu": None},
        "versions": {"tinyae": "1.0", "numpy": "2.4.6", "torch": "2.13.0"},
        "contestants": {
            name: {"kind": kind, "device": device, "available": there,
                   "reason": "" if there else f"{name} is not installed",
                   "threads": 2 if there else None, "note": ""}
            for name, (kind, device, there) in CONTESTANTS.items()
        },
        "ceilings": {"cpu": {"gflops": {"float32": PEAK}, "gbs": COPY, "note": "GEMM 4096"}},
        "rows": rows,
    }  # fmt: skip


def scaled(results: dict[str, Any], factor: float, op: str, contestant: str) -> dict[str, Any]:
    """The results with some rows slower."""
    new = copy.deepcopy(results)
    for each in new["rows"]:
        if (each["op"], each["contestant"]) == (op, contestant) and each["median"]:
            each["median"] *= factor
            for run in each["runs"]:
                run.update({key: run[key] * factor for key in ("median", "q1", "q3")})
    return new


def on_gpu(results: dict[str, Any]) -> dict[str, Any]:
    """The same as if numba were cupy on a GPU."""
    new = copy.deepcopy(results)
    for each in new["rows"]:
        each["device"] = "gpu"
        each["contestant"] = each["contestant"].replace("numba", "cupy")
    new["ceilings"] = {"gpu": new["ceilings"]["cpu"]}
    new["machine"]["gpu"] = "Test GPU"
    new["contestants"]["cupy"].update(available=True, reason="", note="TF32 off")
    return new


def line_of(text: str, *words: str) -> list[str]:
    """The words of the one line that starts with these."""
    lines = [line.split() for line in text.splitlines()]
    found = [line for line in lines if line[: len(words)] == list(words)]
    assert len(found) == 1, (words, text)
    return found[0]


# ---- numbers as text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (1.2345, "1.23"), (9.999, "10.0"), (123.4, "123"), (12345, "12345"),
     (0, "0"), (float("nan"), "nan")],
)  # fmt: skip
def test_significant(value: float, text: str) -> None:
    assert bench_rows.significant(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.50 s"), (1e-3, "1.00 ms"), (4.2e-5, "42.0 us"), (3e-8, "30.0 ns"), (0.0, "0 ns")],
)
def test_time_text(seconds: float, text: str) -> None:
    assert bench_rows.time_text(seconds) == text


def test_load_refuses_other_files(results: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(results))
    assert bench_rows.load(path) == results
    path.write_text('{"date": "2026-11-25"}')
    with pytest.raises(ValueError, match="holds no results of 'tinyae bench'"):
        bench_rows.load(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="is no JSON"):
        bench_rows.load(path)


# ---- the table


def test_table_has_the_numbers_in_their_cells(results: dict[str, Any]) -> None:
    text = bench_table.render(results)
    # 2 * 512^3 flops at 40, 80, 64 and 50 GFLOP/s; blas is the best rival; ceiling 100 GFLOP/s
    assert line_of(text, "dense_forward", "512x512x512") == [
        "dense_forward", "512x512x512", "ms", "GFLOP/s",
        "6.71", "2.0", "40.0", "40", "0.62",
        "3.36", "2.0", "80.0", "80", "1.25",
        "4.19", "2.0", "64.0", "64",
        "5.37", "2.0", "50.0", "50",
    ]  # fmt: skip
    # memory-bound: GB/s, and blas has no such row
    assert line_of(text, "adam", "2841784") == [
        "adam", "2841784", "ms", "GB/s",
        "20.0", "2.0", "4.00", "20", "0.50",
        "5.00", "2.0", "16.0", "80", "2.00",
        "10.0", "2.0", "8.00", "40",
    ]  # fmt: skip
    # numba alone: no ratio
    assert line_of(text, "random_bits")[-5:] == ["1.00", "2.0", "4.00", "20", "-"]


def test_table_columns_stand_under_their_contestants(results: dict[str, Any]) -> None:
    lines = bench_table.render(results).splitlines()
    at = lines.index("Kernels (CPU)")
    names, adam = lines[at + 2], next(line for line in lines if line.startswith("adam "))
    for name, rate in (("numpy", "4.00"), ("numba", "16.0"), ("torch-eager", "8.00")):
        cell = re.search(rf"-+{name}-+", names)
        assert cell is not None
        assert rate in adam[cell.start() : cell.end()]
    blas = re.search("-+blas-+", names)
    assert blas is not None
    assert adam[blas.start() : blas.end()].strip() == ""


def test_table_gives_no_time_to_what_failed_and_lists_who_is_absent(
    results: dict[str, Any],
) -> None:
    text = bench_table.render(results)
    assert line_of(text, "huber") == ["huber", "512x784", "error"]
    reason = "numba: huber, 512x784: dx is off by 1.2e-1, at most 3e-5 is allowed"
    assert reason in text.partition("Without a time:")[2]
    absent = text.partition("Absent:")[2]
    assert "jax: jax is not installed" in absent
    assert "cupy: cupy is not installed" in absent
    assert "numba:" not in absent


def test_table_says_how_the_figures_were_made(results: dict[str, Any]) -> None:
    results["rows"][0]["spread"] = 0.5
    head = bench_table.render(results).partition("\n\n")[0]
    for part in (
        "2026-11-25", "tinyae bench --out DIR", "Test CPU, 2 cores", "torch 2.13.0",
        "numba (2 threads)", "float32 100 GFLOP/s, 20.0 GB/s (GEMM 4096)",
        "median of 10 to 20 rounds, two passes",
        "2.0 % between the passes in the median, more than 10 % in 1 of",
    ):  # fmt: skip
        assert part in head
    assert "jax" not in head


def test_table_of_nothing(results: dict[str, Any]) -> None:
    text = bench_table.render(results | {"rows": [], "ceilings": {}})
    assert "nothing was timed" in text
    assert "Kernels" not in text


def with_tf32(results: dict[str, Any]) -> dict[str, Any]:
    """A GPU's run with a fast TF32 rival and a backend that multiplies so."""
    new = on_gpu(results)
    for name, kind in (("cupy-tf32", "backend"), ("cublas-tf32", "rival")):
        new["contestants"][name] = {
            "kind": kind, "device": "gpu", "matmul": "tf32", "available": True, "reason": "",
            "threads": None, "note": "TF32",
        }  # fmt: skip
        flops = 2.0 * 512**3
        of = {"size": 512, "case": "512x512x512", "bytes": 12.0 * 512**2, "device": "gpu"}
        speed = 320 if kind == "rival" else 160
        new["rows"].append(row("kernel", "dense_forward", name, flops / speed / 1e9, flops=flops,
                               matmul="tf32", rms_error=1.5e-4, **of))  # fmt: skip
    new["ceilings"]["gpu"]["gflops"]["tf32"] = 400.0
    return new


def test_tf32_is_no_rival_of_float32(results: dict[str, Any], tmp_path: Path) -> None:
    """Beside cupy stands the fastest that multiplies in float32, beside cupy-tf32 any."""
    new = with_tf32(results)
    text = bench_table.render(new)
    cells = line_of(text, "dense_forward", "512x512x512")
    assert cells[13] == "1.25"  # cupy: blas at 64 against its 80
    assert cells[-9:-4] == ["1678", "2.0", "160", "160", "0.50"]
    assert "  dense_forward, 512x512x512: cupy-tf32 0.00015, cublas-tf32 0.00015" in text
    assert "tf32 400 GFLOP/s" in text
    made = bench_plots.draw_all(new, tmp_path)
    assert shows(look(made[0]), bench_style.KNOWN["cublas-tf32"]) > 10
    for path in made:
        look(path)


# ---- the comparison


def test_an_identical_rerun_shows_no_change(results: dict[str, Any]) -> None:
    text = bench_compare.render(results, copy.deepcopy(results))
    timed = sum(each["median"] is not None for each in results["rows"])
    assert f"{timed} of {timed} rows timed in both runs agree within the noise" in text
    assert "Slower beyond the noise: 0\n" in text
    assert "Faster beyond the noise: 0\n" in text
    for word in ("WARNING", "Vanished", "New:", " times  "):
        assert word not in text
    assert "do not overlap" in text  # what noise is, is said


def test_a_planted_slowdown_is_found_and_nothing_else(results: dict[str, Any]) -> None:
    text = bench_compare.render(results, scaled(results, 2, "adam", "numba"))
    assert [line.strip() for line in text.splitlines() if " times " in line] == [
        "2.00 times  numba, kernel adam, 2841784: 5.00 ms -> 10.0 ms"
    ]
    slower = text.partition("Slower beyond the noise: 1")[2].partition("Faster")[0]
    assert "numba, kernel adam" in slower
    faster = bench_compare.render(scaled(results, 2, "adam", "numba"), results)
    assert "numba, kernel adam" in faster.partition("Faster beyond the noise: 1")[2]


def test_what_lies_within_the_noise_is_no_change(results: dict[str, Any]) -> None:
    """Medians within 1 %, quartiles 2 % apart: intervals of about 6 % in all."""
    assert " times " not in bench_compare.render(results, scaled(results, 1.05, "adam", "numba"))
    assert " times " in bench_compare.render(results, scaled(results, 1.08, "adam", "numba"))


def test_rows_too_noisy_to_tell_are_counted(results: dict[str, Any]) -> None:
    assert "so noisy" not in bench_compare.render(results, results)
    noisy = copy.deepcopy(results)
    for each in noisy["rows"][:3]:
        each["runs"][0]["q3"] *= 3
    text = bench_compare.render(noisy, scaled(noisy, 2, noisy["rows"][0]["op"], "numpy"))
    assert "!!! 3 of these" in text
    assert " times " in bench_compare.render(results, scaled(results, 2, "dense_forward", "numpy"))


def test_changes_are_sorted(results: dict[str, Any]) -> None:
    new = scaled(scaled(results, 2, "adam", "numba"), 4, "adam", "numpy")
    found = re.findall(r"([\d.]+) times", bench_compare.render(results, new))
    assert found == ["4.00", "2.00"]


def test_compare_names_what_vanished_is_new_or_failed(results: dict[str, Any]) -> None:
    new = copy.deepcopy(results)
    gone = next(each for each in new["rows"] if each["op"] == "random_bits")
    gone["op"] = "random_uniform"
    at = next(i for i, each in enumerate(new["rows"]) if each["op"] == "adam")
    new["rows"][at] = failed(new["rows"][at], "w is off by 1")
    text = bench_compare.render(results, new)
    assert "Vanished: 1\n  numba, kernel random_bits, 1000000" in text
    assert "New: 1\n  numba, kernel random_uniform, 1000000" in text
    assert "Had a time and has none now: 1\n  numpy, kernel adam, 2841784: w is off by 1" in text
    back = bench_compare.render(new, results)
    assert "Had no time and has one now: 1\n  numpy, kernel adam" in back


def test_compare_warns_where_the_runs_were_not_made_alike(results: dict[str, Any]) -> None:
    new = copy.deepcopy(results)
    new["machine"].update(cpu="Other CPU", clock_mhz=1.0)
    new["versions"]["numpy"] = "2.5.0"
    new["contestants"]["numba"]["threads"] = 1
    new["quick"] = True
    text = bench_compare.render(results, new)
    assert "!!! WARNING" in text
    for line in (
        "machine cpu: Test CPU -> Other CPU", "version of numpy: 2.4.6 -> 2.5.0",
        "threads of numba: 2 -> 1", "the old run is full, the new one quick",
    ):  # fmt: skip
        assert f"!!!   {line}\n" in text
    assert "clock_mhz" not in text  # differs between any two runs


# ---- pictures

NAMES = ("roofline", "sizes", "ladder", "split", "step", "epoch")


def look(path: Path) -> np.ndarray:
    """The picture as uint8 (height, width, 3): not blank, and nothing cut off at its edges."""
    from matplotlib.image import imread

    pixels = (np.asarray(imread(path))[:, :, :3] * 255 + 0.5).astype(np.uint8)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all()
    return pixels


def shows(pixels: np.ndarray, colour: str) -> int:
    """How many pixels have just this colour."""
    rgb = np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)
    return int((pixels == rgb).all(axis=2).sum())


def test_all_pictures_are_drawn_and_show_the_contestants(
    results: dict[str, Any], tmp_path: Path
) -> None:
    said: list[str] = []
    made = bench_plots.draw_all(results, tmp_path, said.append)
    assert [path.name for path in made] == [f"bench-{name}-cpu.png" for name in NAMES]
    assert sorted(tmp_path.iterdir()) == sorted(made)
    assert said == []
    colours = bench_style.colours(results)
    for path in made:
        drawn = "#56b4e9" if "split" in path.name else colours["numba"]
        assert shows(look(path), drawn) > 50, path


def test_bars_are_as_long_as_their_values(results: dict[str, Any], tmp_path: Path) -> None:
    """90 GFLOP/s of BLAS beside 70 of numba, from zero on."""
    bench_plots.draw_selection(only(results, "ladder"), tmp_path / "bars.png")
    pixels, colours = look(tmp_path / "bars.png"), bench_style.colours(results)
    numba, blas = (max(shows(line[None], colours[name]) for line in pixels)
                   for name in ("numba", "blas"))  # fmt: skip
    assert numba / blas == pytest.approx(70 / 90, rel=0.01)


def test_what_cannot_be_drawn_is_left_out_and_said(results: dict[str, Any], tmp_path: Path) -> None:
    results["rows"] = [each for each in results["rows"] if each["op"] in ("random_bits", "naive")]
    said: list[str] = []
    made = bench_plots.draw_all(results, tmp_path, said.append)
    assert [path.name for path in made] == ["bench-ladder-cpu.png"]
    assert len(said) == 5
    assert "no picture bench-split-cpu.png: no step was split by op" in said
    with pytest.raises(ValueError, match="nothing to draw: no row of the results has a time"):
        bench_plots.draw_selection(results | {"rows": []}, tmp_path / "none.png")
    assert [path.name for path in tmp_path.iterdir()] == ["bench-ladder-cpu.png"]


def only(results: dict[str, Any], *suites: str) -> dict[str, Any]:
    return results | {"rows": [each for each in results["rows"] if each["suite"] in suites]}


def test_the_picture_fits_the_selection(results: dict[str, Any], tmp_path: Path) -> None:
    """A selection's picture is the one of the same rows among all pictures."""
    bench_plots.draw_all(results, tmp_path)
    one_size = results | {
        "rows": [each for each in results["rows"] if each["size"] == 512 or each["op"] == "adam"]
    }
    for name, selection in (
        ("sizes", only(results, "kernel")), ("ladder", only(results, "ladder")),
        ("split", only(results, "step")), ("times", one_size),
    ):  # fmt: skip
        path = tmp_path / f"{name}.png"
        bench_plots.draw_selection(selection, path)
        pixels = look(path)
        assert shows(pixels, "#56b4e9" if name == "split" else "#0072b2") > 50
        if name != "times":
            expected = look(tmp_path / f"bench-{name}-cpu.png")
            np.testing.assert_array_equal(pixels, expected)


def test_a_gpu_has_pictures_of_its_own(results: dict[str, Any], tmp_path: Path) -> None:
    made = bench_plots.draw_all(on_gpu(results), tmp_path)
    assert {path.name[-8:] for path in made} == {"-gpu.png"}
    assert shows(look(made[1]), bench_style.KNOWN["cupy"]) > 50


# ---- README


@pytest.fixture
def page(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Path]:
    """A README with marks, a folder with results, one for pictures, which are not drawn here."""

    def touch_all(results: dict[str, Any], folder: Path) -> list[Path]:
        devices = {each["device"] for each in results["rows"]}
        made = [folder / f"bench-{name}-{device}.png" for name in NAMES for device in devices]
        for path in made:
            path.touch()
        return made

    monkeypatch.setattr(bench_readme, "draw_all", touch_all)
    places = {
        "readme": tmp_path / "README.md",
        "pictures": tmp_path / "p",
        "folder": tmp_path / "r",
    }
    places["pictures"].mkdir()
    places["folder"].mkdir()
    (places["folder"] / "test-cpu.json").write_text(json.dumps(results))
    (places["folder"] / "other.json").write_text("[1, 2]")  # of another command
    marks = f"above\n{bench_readme.BEGIN}\nold\n{bench_readme.END}\nbelow\n"
    places["readme"].write_text(marks)
    return places


def test_readme_is_written_once_and_then_fresh(
    results: dict[str, Any], page: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench_readme.main([], **page) == 1
    assert "README is stale" in capsys.readouterr().err
    assert "\nold\n" in page["readme"].read_text()
    assert bench_readme.main(["--write"], **page) == 0
    text = page["readme"].read_text()
    assert bench_readme.main([], **page) == 0
    assert bench_readme.main(["--write"], **page) == 0
    assert page["readme"].read_text() == text
    assert text.startswith("above\n<!-- bench:begin -->\n## Benchmarks\n")
    assert text.endswith("\n\n<!-- bench:end -->\nbelow\n")
    assert "\nold\n" not in text
    newer = scaled(results, 2, "adam", "numba") | {"date": "2026-11-26T10:00:00+00:00"}
    (page["folder"] / "b.json").write_text(json.dumps(newer))
    assert bench_readme.main([], **page) == 1


def test_readme_holds_the_figures(page: dict[str, Path]) -> None:
    assert bench_readme.main(["--write"], **page) == 0
    lines = page["readme"].read_text().splitlines()
    # 4096 samples at 1e-4 and 1e-5 s; PyTorch's faster mode takes twice as long
    assert "| | B = 32 | B = 128 |" in lines
    assert "| deep net: numba, ms | 410 | 410 |" in lines
    assert "| small net: numba, ms | 41.0 | 41.0 |" in lines
    assert lines.count("| PyTorch / numba | 2.00 | 2.00 |") == 2
    assert "Geometric mean of the ratios: 2.00." in "\n".join(lines)
    assert "so many times as long as numba's: 7 (deep, B = 32), 7 (deep" in " ".join(lines)
    assert "| operation | case | unit | numba | numpy | blas | torch-eager |" in lines
    assert (
        "| `dense_forward` | 512x512x512 | GFLOP/s | 80.0 (80 %) | 40.0 (40 %) | 64.0 (64 %) "
        "| 50.0 (50 %) |"
    ) in lines
    assert "| `adam` | 2841784 | GB/s | 16.0 (80 %) | 4.00 (20 %) | - | 8.00 (40 %) |" in lines
    assert not any("huber" in line for line in lines if line[:1] == "|")
    text = " ".join(lines)
    for part in (
        "Test CPU, 2 cores", "2026-11-25; median of 10 to 20 rounds, two passes",
        "Without a time, as they failed: numba huber.", "100 GFLOP/s in float32, 20.0 GB/s",
        "Absent: jax (jax is not installed)",
        bench_readme.NO_GPU,
    ):  # fmt: skip
        assert part in text
    assert max(len(line) for line in lines if line[:1] not in "|!") <= bench_readme.WIDTH


def test_readme_shows_the_pictures_that_are_there(
    page: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_readme, "draw_all", bench_plots.draw_all)
    stale = page["pictures"] / "bench-gone-cpu.png"
    stale.write_bytes(b"")
    assert bench_readme.main(["--write"], **page) == 0
    assert not stale.exists()
    shown = re.findall(r"\]\(benchmarks/pictures/(.+?)\)", page["readme"].read_text())
    assert sorted(shown) == sorted(path.name for path in page["pictures"].iterdir())
    assert len(shown) == 6
    (page["pictures"] / shown[0]).unlink()
    assert bench_readme.main([], **page) == 1


def test_readme_with_a_gpu(results: dict[str, Any], page: dict[str, Path]) -> None:
    (page["folder"] / "gpu.json").write_text(json.dumps(on_gpu(results)))
    assert bench_readme.main(["--write"], **page) == 0
    text = page["readme"].read_text()
    assert bench_readme.NO_GPU not in text
    cpu, _, gpu = text.partition("### Test GPU")
    assert "| PyTorch / numba | 2.00 | 2.00 |" in cpu
    assert "| PyTorch / cupy | 2.00 | 2.00 |" in gpu
    assert "cupy: 2 threads" not in gpu
    assert "bench-roofline-gpu.png" in gpu
    (page["folder"] / "gpu.json").write_text(json.dumps(with_tf32(results)))
    assert bench_readme.main(["--write"], **page) == 0
    _, _, gpu = page["readme"].read_text().partition("### Test GPU")
    assert "400 GFLOP/s in tf32" in gpu and "| cupy-tf32 | cublas-tf32 |" in gpu
    assert "| PyTorch / cupy | 2.00 | 2.00 |" in gpu


def test_readme_without_marks_or_results(
    page: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    page["readme"].write_text("no marks")
    with pytest.raises(ValueError, match="README must hold <!-- bench:begin -->"):
        bench_readme.main([], **page)
    assert bench_readme.main([], **page | {"folder": page["pictures"]}) == 1
    assert "run tinyae bench" in capsys.readouterr().err


def test_the_readme_of_the_project_is_fresh() -> None:
    """Once results are committed, its section is theirs, to the letter."""
    bench_readme.replaced(bench_readme.README.read_text(encoding="utf-8"), "")
    if bench_readme.newest(bench_readme.RESULTS):
        assert bench_readme.main([]) == 0
