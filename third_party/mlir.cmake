# Finds MLIR, LLVM and LLD 22 and gives the flags that code using them needs:
# link rt3_compiler_flags, MLIR and LLVM (the shared libraries).
list(APPEND CMAKE_PREFIX_PATH /usr/lib/llvm-22)
# "22" alone is refused: the version file compares major and minor.
find_package(MLIR 22.1 REQUIRED CONFIG)
find_package(LLD 22.1 REQUIRED CONFIG)
list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
include(TableGen)
include(AddLLVM)
include(AddMLIR)

add_library(rt3_compiler_flags INTERFACE)
target_include_directories(rt3_compiler_flags INTERFACE
  ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
target_include_directories(rt3_compiler_flags SYSTEM INTERFACE
  ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
# Generated code names parameters that it does not use.
target_compile_options(rt3_compiler_flags INTERFACE -Wno-unused-parameter)
separate_arguments(LLVM_DEFINITIONS_LIST NATIVE_COMMAND ${LLVM_DEFINITIONS})
target_compile_definitions(rt3_compiler_flags INTERFACE ${LLVM_DEFINITIONS_LIST})
# mlir_tablegen reads the include directories of the folder, not of a target.
include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
