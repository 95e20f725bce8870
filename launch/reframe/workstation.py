"""ReFrame's configuration for one machine without a batch system: ranks by mpirun, more of them than cores if need be."""

site_configuration = {
    "systems": [
        {
            "name": "workstation",
            "descr": "this machine",
            "hostnames": [".*"],
            "partitions": [
                {
                    "name": "default",
                    "scheduler": "local",
                    "launcher": "mpirun",
                    "environs": ["mpi"],
                    # One run at a time: they would share the cores that are measured.
                    "max_jobs": 1,
                    # As launch/mpirun does, for Open MPI 4 and 5.
                    "env_vars": [
                        ["OMPI_MCA_rmaps_base_oversubscribe", "1"],
                        ["PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"],
                    ],
                }
            ],
        }
    ],
    "environments": [{"name": "mpi", "cc": "mpicc", "cxx": "mpicxx", "ftn": "mpifort"}],
}
