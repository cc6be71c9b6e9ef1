// SPDX-License-Identifier: Apache-2.0

#include "compiler/search/Communicator.h"

#include <cstdint>
#include <cstdlib>

#ifdef RT3_HAS_MPI
#include <mpi.h>
#endif

using namespace mlir::rt3;

#ifdef RT3_HAS_MPI

// What mpirun, or a batch system in its place, tells those it starts. Without it MPI_Init
// would start services that one process alone has no need of.
static bool isStartedByMpi() {
  for (const char *name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"})
    if (getenv(name))
      return true;
  return false;
}

Communicator::Communicator() {
  if (!isStartedByMpi())
    return;
  MPI_Init(nullptr, nullptr);
  MPI_Comm_rank(MPI_COMM_WORLD, &own);
  MPI_Comm_size(MPI_COMM_WORLD, &count);
}

Communicator::~Communicator() {
  int isInitialized = 0;
  MPI_Initialized(&isInitialized);
  if (isInitialized)
    MPI_Finalize();
}

std::string Communicator::broadcast(std::string text) const {
  if (count == 1)
    return text;
  uint64_t size = text.size();
  MPI_Bcast(&size, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
  text.resize(size);
  MPI_Bcast(text.data(), int(size), MPI_CHAR, 0, MPI_COMM_WORLD);
  return text;
}

std::vector<std::string> Communicator::gather(const std::string &text) const {
  if (count == 1)
    return {text};
  std::vector<int> sizes(count), places(count);
  int size = text.size(), all = 0;
  MPI_Allgather(&size, 1, MPI_INT, sizes.data(), 1, MPI_INT, MPI_COMM_WORLD);
  for (int i = 0; i < count; ++i) {
    places[i] = all;
    all += sizes[i];
  }
  std::string joined(all, '\0');
  MPI_Allgatherv(text.data(), size, MPI_CHAR, joined.data(), sizes.data(), places.data(), MPI_CHAR, MPI_COMM_WORLD);
  std::vector<std::string> result;
  for (int i = 0; i < count; ++i)
    result.push_back(joined.substr(places[i], sizes[i]));
  return result;
}

void Communicator::abort(int code) const {
  if (count > 1)
    MPI_Abort(MPI_COMM_WORLD, code);
  exit(code);
}

#else

Communicator::Communicator() = default;
Communicator::~Communicator() = default;
std::string Communicator::broadcast(std::string text) const { return text; }
std::vector<std::string> Communicator::gather(const std::string &text) const { return {text}; }
void Communicator::abort(int code) const { exit(code); }

#endif
