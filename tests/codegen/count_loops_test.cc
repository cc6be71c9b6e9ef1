// SPDX-License-Identifier: Apache-2.0

#include "codegen/emit/EmitObject.h"

#include <gtest/gtest.h>

using namespace mlir::rt3;

TEST(CountLoops, SeesTheStackInInnermostLoopsOnly) {
  LoopCounts counts = countLoops("kernel:\n"
                                 "\tstr\tq0, [sp, #16]\n"
                                 ".LBB0_1:                                // %loop\n"
                                 "\tldr\tq1, [x0], #16\n"
                                 "\tfmla\tv0.4s, v1.4s, v2.s[0]\n"
                                 "\tsubs\tx1, x1, #1\n"
                                 "\tb.ne\t.LBB0_1\n"
                                 "\tldr\tq0, [sp, #16]\n"
                                 ".LBB0_2:\n"
                                 "\tldr\tq3, [sp, #32]                      // 16-byte Folded Reload\n"
                                 "\tsmmla\tv0.4s, v1.16b, v3.16b\n"
                                 "\tstr\tq0, [sp, #32]\n"
                                 "\tcbnz\tx1, .LBB0_2\n");
  EXPECT_EQ(counts.loops, 2);
  EXPECT_EQ(counts.loopsWithStack, 1);
  EXPECT_EQ(counts.stackAccesses, 2);
}

TEST(CountLoops, ReadsVerboseAssembly) {
  LoopCounts counts = countLoops(".LBB0_1:                                // %b3\n"
                                 "                                        // =>This Inner Loop Header: Depth=1\n"
                                 "\tfmla\tv0.4s, v1.4s, v3.s[0]\n"
                                 "\tstr\tq0, [sp, #32]\n"
                                 "\tb.ne\t.LBB0_1\n"
                                 "// %bb.2:                               // %b4\n");
  EXPECT_EQ(counts.loops, 1);
  EXPECT_EQ(counts.stackAccesses, 1);
}

TEST(CountLoops, ReadsX86) {
  LoopCounts counts = countLoops("kernel:                                 # @kernel\n"
                                 ".LBB0_1:                                # =>This Inner Loop\n"
                                 "\tvmovups\t-96(%rsp), %zmm1               # 64-byte Reload\n"
                                 "\tvfmadd231ps\t(%rax){1to16}, %zmm1, %zmm0\n"
                                 "\tdecq\t%rcx\n"
                                 "\tjne\t.LBB0_1\n"
                                 ".LBB0_2:                                # copies, multiplies nothing\n"
                                 "\tmovq\t(%rsp), %rax\n"
                                 "\tjne\t.LBB0_2\n");
  EXPECT_EQ(counts.loops, 1);
  EXPECT_EQ(counts.loopsWithStack, 1);
  EXPECT_EQ(counts.stackAccesses, 1);
}
