# Copyright streamharness contributors.
#
# SPDX-License-Identifier: (Apache-2.0 OR MIT)

from pathlib import Path

from spack_repo.builtin.build_systems.generic import Package

from spack.package import *


class Streamharness(Package):
    """Measures what it costs to stream experiment data into an HPC centre: an
    MPI program whose ranks stream messages like those of real instruments
    through a RabbitMQ service, and account for every one of them."""

    # The checkout that this recipe is part of: what it builds is what lies beside it.
    git = f"file://{Path(__file__).resolve().parents[6]}"

    license("MIT OR Apache-2.0")

    version("main", branch="main")

    variant("proxies", default=False, description="HAProxy, for the routes prs-haproxy and mss of a testbed")
    variant("network", default=False, description="iproute2, for the facility network of a testbed")

    depends_on("c", type="build")
    depends_on("rust@1.90:", type="build")
    # bindgen reads mpi.h with libclang.
    depends_on("llvm+clang", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi")
    # Each rank writes files of its own, in memory.
    depends_on("hdf5@1.8:~mpi")
    depends_on("haproxy", type="run", when="+proxies")
    depends_on("iproute2", type="run", when="+network")

    def setup_build_environment(self, env):
        env.set("MPICC", self.spec["mpi"].mpicc)
        env.set("HDF5_DIR", self.spec["hdf5"].prefix)
        env.set("LIBCLANG_PATH", self.spec["llvm"].prefix.lib)
        env.set("CARGO_HOME", join_path(self.stage.path, "cargo"))

    def install(self, spec, prefix):
        cargo = which("cargo", required=True)
        cargo("xtask", "install", "--prefix", prefix)
