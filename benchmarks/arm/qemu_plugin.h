// SPDX-License-Identifier: Apache-2.0
//
// What count_blocks.cc uses of QEMU's interface for TCG plugins, version 1
// (https://qemu.readthedocs.io/en/v7.2.0/devel/tcg-plugins.html): Debian's
// qemu-user has the interface, but no package of Debian 12 has its header.
#ifndef RT3_BENCHMARKS_ARM_QEMU_PLUGIN_H
#define RT3_BENCHMARKS_ARM_QEMU_PLUGIN_H

#include <cstddef>
#include <cstdint>

extern "C" {
using qemu_plugin_id_t = uint64_t;
struct qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS = 0 };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(qemu_plugin_tb *, qemu_plugin_op, void *, uint64_t);
void qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_insn *, void (*)(unsigned, void *), qemu_plugin_cb_flags,
                                            void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb *);
qemu_plugin_insn *qemu_plugin_tb_get_insn(const qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const qemu_plugin_insn *);
}

#endif
