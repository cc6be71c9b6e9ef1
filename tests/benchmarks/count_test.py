#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The counts of benchmarks/arm on a program whose counts are known.

  count_test.py LIBCOUNT_BLOCKS SCRATCH_FOLDER
"""

import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks/arm"))
import cycles  # noqa: E402

PLUGIN, SCRATCH = None, None
TIMES = 1000
# Four dependent multiply-adds and two instructions around them; 600 more that
# QEMU splits into blocks; a loop outside the marks that must not count.
PROGRAM = f"""
.globl _start
.macro loop
  mov x0, #{TIMES}
1: .rept 4
  fmla v0.4s, v1.4s, v2.4s
  .endr
  subs x0, x0, #1
  b.ne 1b
.endm
_start:
  loop
  hint #120
  loop
  .rept 600
  add x1, x1, #1
  .endr
  hint #121
  loop
  mov x8, #93
  mov x0, #0
  svc #0
"""


class CountTest(unittest.TestCase):
    LAST_BLOCK = 600 + 1 + 1 + 6  # the additions, the mark, the next loop's start

    @classmethod
    def setUpClass(cls):
        SCRATCH.mkdir(parents=True, exist_ok=True)
        (SCRATCH / "loop.s").write_text(PROGRAM)
        subprocess.run(["aarch64-linux-gnu-gcc", "-nostdlib", "-static", SCRATCH / "loop.s", "-o", SCRATCH / "loop"], check=True)
        subprocess.run(["qemu-aarch64", "-plugin", f"{PLUGIN},out={SCRATCH}/blocks", SCRATCH / "loop"], check=True)

    def test_instructions(self):
        instructions, _ = cycles.estimate(SCRATCH / "blocks", ["neoverse-n1"])
        # Whole blocks count: not the one that the first mark is in (with it, the
        # first iteration), all of the one that the second is in.
        self.assertEqual(instructions, 6 * (TIMES - 1) + self.LAST_BLOCK)

    def test_split_blocks_are_joined(self):
        self.assertEqual(max(len(words) for _, words in cycles.read_blocks(SCRATCH / "blocks")), self.LAST_BLOCK)

    def test_parts_are_joined_across_others(self):
        """The first trip of a loop comes in by another block, whose parts lie between the loop's."""
        (SCRATCH / "parts").write_text("900 1000 4e22cc20 4e22cc20 4e22cc20\n" "7 1004 4e22cc20 4e22cc20\n" "900 100c 4e22cc20 54ffff81\n"
                                       "900 1014 4e22cc20\n" "7 100c 4e22cc20\n", encoding="ascii")
        found = sorted((times, len(words)) for times, words in cycles.read_blocks(SCRATCH / "parts"))
        # Behind a branch another block begins.
        self.assertEqual(found, [(7, 3), (900, 1), (900, 5)])

    def test_cycles(self):
        """llvm-mca gives dependent multiply-adds 4 cycles each on both models,
        dependent additions 1."""
        _, found = cycles.estimate(SCRATCH / "blocks", ["neoverse-n1", "cortex-a55"])
        for cpu in found:
            self.assertAlmostEqual(found[cpu], 16 * TIMES + 600, delta=0.03 * 16 * TIMES, msg=cpu)

    def test_ports(self):
        """Four multiply-adds take two pipes two cycles; 600 additions are decoded four at a time."""
        _, found = cycles.estimate(SCRATCH / "blocks", ["a76-ports"])
        self.assertAlmostEqual(found["a76-ports"], 2 * TIMES + 150, delta=20)

    def test_port_kinds(self):
        def bound(*lines):
            text = subprocess.run(["llvm-mc-22", "-triple=aarch64", "-filetype=obj"], input="\n".join(lines).encode(),
                                  capture_output=True, check=True).stdout
            path = SCRATCH / "lines.o"
            path.write_bytes(text)
            raw = subprocess.run(["llvm-objcopy-22", "-O", "binary", "--only-section=.text", path, "-"], capture_output=True, check=True).stdout
            return cycles.port_cycles([int.from_bytes(raw[i:i + 4], "little") for i in range(0, len(raw), 4)])

        self.assertEqual(bound("ldp q0, q1, [x0]", "ldp q2, q3, [x0]", "ldr q4, [x0]"), 2.5)
        self.assertEqual(bound("ld1 {v0.4s, v1.4s, v2.4s}, [x0]"), 1.5)
        self.assertEqual(bound("ldrh w1, [x0]", "prfm pldl1keep, [x0]", "add x0, x0, #1", "cmp x0, x1"), 1)
        self.assertEqual(bound("fmla v0.4s, v1.4s, v2.s[0]", "dup v0.4s, w1", "mov v1.16b, v0.16b"), 1.5)



if __name__ == "__main__":
    PLUGIN, SCRATCH = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    unittest.main(argv=sys.argv[:1])
