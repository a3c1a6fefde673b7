"""FFMA in the loops of the compiled products: how it is counted, and what is committed."""

from __future__ import annotations

import json

import pytest

from benchmarks.gpu import sass_share
from tinyae.kernels.cuda_ptx import nvrtc

LOOP = """\
.text.dense_forward_32x32:
        /*0000*/                   S2R R0, SR_TID.X ;
.L_x_1:
        /*0010*/                   FFMA R1, R2, R3, R1 ;
        /*0020*/                   FFMA.FTZ R1, R2, R3, R1 ;
        /*0030*/              @!P0 BRA `(.L_x_3) ;
        /*0040*/               @P1 BRA P2, `(.L_x_2) ;
        /*0050*/                   ISETP.GE.AND P3, PT, R0, UR4, PT ;
        /*0060*/                   LDGSTS.E [R9], desc[UR8][R4.64], P3 ;
        /*0070*/                   LDGSTS.E.BYPASS.128 [R9+0x40], desc[UR8][R4.64], P3 ;
        /*0080*/                   BRA `(.L_x_3) ;
.L_x_2:
        /*0090*/                   LDGSTS.E [R9], desc[UR8][R4.64] ;
        /*00a0*/                   LDGSTS.E.BYPASS.128 [R9+0x40], desc[UR8][R4.64] ;
.L_x_3:
        /*00b0*/               @P4 BRA `(.L_x_1) ;
.L_x_4:
        /*00c0*/                   IADD3 R0, R0, 0x1, RZ ;
        /*00d0*/               @P5 BRA `(.L_x_4) ;
        /*00e0*/                   EXIT ;
"""


def test_the_shortest_way_that_copies_is_counted() -> None:
    """Neither the way of edge tiles nor that of the last steps, which copies nothing."""
    ((name, code, labels),) = sass_share.kernels(LOOP)
    assert name == "dense_forward_32x32" and len(code) == 15
    way = sass_share.step(code, labels, least=16)
    opcodes = [code[i].opcode for i in way]
    assert opcodes == ["FFMA", "FFMA", "BRA", "BRA", "LDGSTS", "LDGSTS", "BRA"]
    assert [code[i].copied for i in way[4:]] == [4, 16, 0]
    assert len(sass_share.step(code, labels, least=0)) == 4
    with pytest.raises(ValueError, match="no way through the loop copies 21 bytes"):
        sass_share.step(code, labels, least=21)


def test_the_largest_tiles() -> None:
    """Nine of ten instructions in a step of their loops are FFMA."""
    rows = json.loads(sass_share.RESULTS.read_text())["rows"]
    largest = [row for row in rows if row["kernel"].endswith("128x128")]
    assert [row["instructions"]["FFMA"] for row in largest] == [1024] * 3
    assert min(map(sass_share.share, largest)) >= 90


@pytest.mark.slow
def test_shares_are_as_committed(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        sass_share.disassembler()
        version = nvrtc.compiler().version
    except (nvrtc.NvrtcMissing, sass_share.DisassemblerMissing) as missing:
        pytest.skip(str(missing))
    committed = json.loads(sass_share.RESULTS.read_text())["nvrtc"]
    if version != committed:
        pytest.skip(f"the shares are of NVRTC {committed}, this is {version}")
    assert sass_share.main([]) == 0, capsys.readouterr().out
