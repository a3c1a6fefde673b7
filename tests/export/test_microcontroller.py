"""The header on a Cortex-M4, executed by QEMU: its size, and the same codes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.export.test_c_file import expected
from tinyae import Autoencoder
from tinyae import export as export_room
from tinyae.export.chain import chain_of, quantized

COMPILER, BOARD = "arm-none-eabi-gcc", "qemu-system-arm"
FLASH, STACK = 64 * 1024, 16 * 1024
CPU = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]

NET = """
#include "net.h"
void encode(const float *x, float *z, float *scratch);
float score(const float *x, float *scratch);
void encode(const float *x, float *z, float *scratch) { net_encode(x, z, scratch); }
float score(const float *x, float *scratch) { return net_score(x, scratch); }
"""

# No operating system: a table of vectors, the sample, and numbers as hexadecimal bits by
# semihosting (Arm: "Semihosting for AArch32 and AArch64", calls 4 and 0x18).
MAIN = """
#include <stdint.h>
#include "net.h"
void encode(const float *x, float *z, float *scratch);
float score(const float *x, float *scratch);
static const float x[NET_FEATURES] = {SAMPLE};

static void host(int call, const void *what) {
    register int r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = what;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void start(void) {
    float z[NET_CODE + 1], scratch[NET_SCRATCH / sizeof(float)];
    int i, j;
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: floats are for all */
    __asm__ volatile("dsb\\nisb");
    encode(x, z, scratch);
    z[NET_CODE] = score(x, scratch);
    for (i = 0; i <= NET_CODE; i++) {
        union { float number; uint32_t bits; } of;
        char text[10] = "00000000\\n";
        of.number = z[i];
        for (j = 7; j >= 0; j--, of.bits >>= 4) text[j] = "0123456789abcdef"[of.bits & 15u];
        host(4, text);
    }
    host(0x18, (const void *)0x20026);
}

__attribute__((section(".vectors"), used))
static const struct { uint32_t stack; void (*reset)(void); } vectors = {0x20000000 + STACK, start};
"""


ARDUINO = """
#pragma once
enum { A0 = 14 };
int analogRead(int pin);
struct Port {
    void begin(unsigned long rate);
    void println(double number, int digits);
};
extern Port Serial;
void setup();
void loop();
"""


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


@pytest.fixture(scope="module")
def ae() -> Autoencoder:
    X = np.random.default_rng(0).random((200, 784))
    return Autoencoder(hidden=(32,), code=8, epochs=1, random_state=0, backend="numpy").fit(X)


def compiled(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}.c").write_text(text)
    command = [COMPILER, *CPU, *STRICT, "-Os", "-c", f"{name}.c", "-o", f"{name}.o"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / f"{name}.o"


def section_sizes(file: Path) -> list[int]:
    """Bytes of code and constants, of variables with a value, of others."""
    found = subprocess.run(["arm-none-eabi-size", file], capture_output=True, text=True, check=True)
    return [int(number) for number in found.stdout.splitlines()[1].split()[:3]]


@needs(COMPILER, BOARD)
def test_it_fits_into_flash_and_gives_the_same_codes(ae: Autoencoder, tmp_path: Path) -> None:
    """784-32-8 and back in int8: 50,688 weights, and what is around them; with the program that
    runs it, its sample and exp of the C library."""
    ae.export(tmp_path / "net.h", quantize="int8")
    sample = np.random.default_rng(1).random(784).astype(np.float32)
    numbers = ", ".join(f"{value!r}f" for value in sample.tolist())
    main = MAIN.replace("SAMPLE", numbers).replace("STACK", str(STACK))
    objects = [compiled(tmp_path, "net", NET), compiled(tmp_path, "main", main)]
    text, *others = section_sizes(objects[0])
    assert 50_688 < text <= FLASH and others == [0, 0]
    link = ["-nostartfiles", "-Wl,--section-start=.vectors=0", "-Wl,-Ttext=0x400", "-lm", "-e0"]
    subprocess.run([COMPILER, *CPU, *objects, *link, "-o", "net.elf"], cwd=tmp_path, check=True)
    assert sum(section_sizes(tmp_path / "net.elf")[:2]) <= FLASH
    command = [BOARD, "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none",
               "-semihosting-config", "enable=on,target=native", "-kernel", "net.elf"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    words = (done.stdout + done.stderr).split()
    *codes, scored = np.array([int(word, 16) for word in words], np.uint32).view(np.float32)
    chain = quantized(chain_of(ae), "int8")
    z, _, score, z_off, _ = expected(chain, sample[None])
    assert len(codes) == 8
    assert (np.abs(codes - z[0]) <= z_off[0]).all()
    np.testing.assert_allclose(scored, score[0], rtol=1e-3)


@needs("arm-none-eabi-g++")
def test_the_sketch_of_the_readme(ae: Autoencoder, tmp_path: Path) -> None:
    """It compiles, as C++ and without a warning, with what Arduino.h declares of what it calls."""
    ae.export(tmp_path / "net.h", quantize="int8")
    readme = (Path(export_room.__file__).parent / "README.md").read_text(encoding="utf-8")
    (tmp_path / "sketch.cpp").write_text(readme.partition("```cpp\n")[2].partition("```")[0])
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    flags = [*CPU, "-std=gnu++11", *STRICT[1:], "-Os", "-fno-exceptions", "-I."]
    subprocess.run(["arm-none-eabi-g++", *flags, "-c", "sketch.cpp"], cwd=tmp_path, check=True)
    found = subprocess.run(["arm-none-eabi-nm", "sketch.o"], cwd=tmp_path, capture_output=True,
                           text=True, check=True).stdout  # fmt: skip
    assert "T _Z4loopv" in found and "net_encoder_0_weight" in found
