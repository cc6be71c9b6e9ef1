# What lit runs: every .mlir file below this folder, with rt3-opt and FileCheck.
import os

import lit.formats
import lit.llvm

lit.llvm.initialize(lit_config, config)
from lit.llvm import llvm_config

config.name = "rt3"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = config.rt3_obj_root
llvm_config.with_environment("PATH", [config.rt3_tools_dir, config.llvm_tools_dir], append_path=True)
llvm_config.add_tool_substitutions(["rt3-opt", "FileCheck", "not"], [config.rt3_tools_dir, config.llvm_tools_dir])
