# SPDX-License-Identifier: Apache-2.0
"""Instructions and estimated cycles of what count_blocks.cc counted.

Each hot block is run through llvm-mca as a loop; cycles are the sum over blocks
of times run x cycles per iteration. The model has no caches and no wrong
branches, so this is an estimate, and a lower bound where data do not fit L1.

LLVM has no model of Cortex-A76, and that of Neoverse N1, its twin, dispatches three
micro-operations per cycle where the core decodes four instructions. So there is a
second estimate, "a76-ports": the largest of what a block asks of two vector pipes, two
load/store pipes and the decoder (Arm Cortex-A76 Software Optimization Guide). It leaves
out latencies: a lower bound.
"""

import functools
import re
import subprocess

# Blocks that make up this share of the instructions go through llvm-mca; the
# rest is charged at their mean.
COVERAGE = 0.995
ITERATIONS = 100
PORTS = "a76-ports"
ATTRIBUTES = "+v8.6a,+dotprod,+fullfp16,+i8mm,+bf16"


def is_branch(word):
    """The last instruction of a block that QEMU did not split."""
    return word & 0x1C000000 == 0x14000000


def read_blocks(path):
    """[(times, [word, ...])] with the parts of blocks that QEMU split (at page
    ends and after 512 instructions) joined again."""
    blocks = []
    with open(path, encoding="ascii") as file:
        for line in file:
            times, address, *words = line.split()
            blocks.append((int(address, 16), int(times), [int(word, 16) for word in words]))
    joined, ends = [], {}  # Where a part ends that ran so often: its place in `joined`.
    for address, times, words in sorted(blocks, key=lambda block: block[0]):
        place = ends.pop((address, times), None)
        if place is None or is_branch(joined[place][1][-1]):
            place = len(joined)
            joined.append((times, []))
        joined[place][1].extend(words)
        ends[address + 4 * len(words), times] = place
    return joined


def disassemble(words):
    text = "\n".join(" ".join(f"0x{byte:02x}" for byte in word.to_bytes(4, "little")) for word in words)
    output = subprocess.run(["llvm-mc-22", "--disassemble", "-triple=aarch64", "-mattr=" + ATTRIBUTES],
                            input=text, capture_output=True, text=True, check=False).stdout
    return [line.strip() for line in output.splitlines() if line.strip() and not line.strip().startswith(".text")]


@functools.lru_cache(None)
def assembly(word):
    """One instruction; None for what the disassembler does not know."""
    lines = disassemble([word])
    return lines[0] if len(lines) == 1 else None


def port_cycles(words):
    """The bound of a block by Cortex-A76's pipes."""
    vector = memory = 0
    for line in filter(None, map(assembly, words)):
        name, _, operands = line.partition("\t")
        if name.startswith(("ld", "st", "prfm")):
            # Pairs take two; so do structures of several registers.
            memory += 2 if name[2:3] == "p" else max(1, operands.partition("}")[0].count("v"))
        elif re.match(r"[vqdsh]\d|{?\s*v\d", operands):
            vector += 1
    return max(vector / 2, memory / 2, len(words) / 4)


def block_cycles(blocks, cpu):
    """Cycles per iteration of each block, in one run of llvm-mca."""
    if cpu == PORTS:
        return [port_cycles(words) for words in blocks]
    text = []
    for index, words in enumerate(blocks):
        lines = [assembly(word) for word in words]
        text += [f"// LLVM-MCA-BEGIN {index}", *[line for line in lines if line and not line.startswith("udf")], "// LLVM-MCA-END\n"]
    result = subprocess.run(["llvm-mca-22", "-mtriple=aarch64", "-mcpu=" + cpu, "-mattr=" + ATTRIBUTES, f"-iterations={ITERATIONS}",
                             "-instruction-info=0", "-resource-pressure=0"],
                            input="\n".join(text), capture_output=True, text=True, check=False)
    found = {int(region): int(cycles) / ITERATIONS for region, cycles in
             re.findall(r"Code Region - (\d+)\s.*?Total Cycles:\s+(\d+)", result.stdout, re.S)}
    if len(found) != len(blocks):
        raise RuntimeError(f"llvm-mca estimated {len(found)} of {len(blocks)} blocks:\n{result.stderr}")
    return [found[index] for index in range(len(blocks))]


def estimate(path, cpus):
    """(instructions, {cpu: cycles}) of a file that count_blocks.cc wrote."""
    blocks = sorted(read_blocks(path), key=lambda block: -block[0] * len(block[1]))
    instructions = sum(times * len(words) for times, words in blocks)
    covered, hot = 0, 0
    while covered < COVERAGE * instructions:
        covered += blocks[hot][0] * len(blocks[hot][1])
        hot += 1
    cycles = {}
    for cpu in cpus:
        per_iteration = block_cycles([words for _, words in blocks[:hot]], cpu)
        found = sum(times * each for (times, _), each in zip(blocks, per_iteration))
        cycles[cpu] = found * instructions / covered
    return instructions, cycles
