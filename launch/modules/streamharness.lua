-- streamharness for Lmod. `cargo xtask install --prefix PREFIX` puts this file at PREFIX/share/modulefiles/streamharness/VERSION.lua:
--     module use PREFIX/share/modulefiles
--     module load streamharness
-- It finds its prefix by its own place, so the whole prefix can be moved.

local prefix, version = myFileName():match("^(.*)/share/modulefiles/[^/]+/(.*)%.lua$")
if not prefix then
    LmodError("this file belongs to PREFIX/share/modulefiles/streamharness/VERSION.lua; install it with `cargo xtask install --prefix PREFIX`")
end

whatis("Name: streamharness")
whatis("Version: " .. version)
whatis("Description: measures what it costs to stream experiment data into an HPC centre")
help([[
    mpirun -n 4 streamharness             one run, with a local service that ends with it
    streamharness doctor                  what this machine has and lacks for a run
    man streamharness
]])

-- The MPI that the program is built for (`streamharness --version`). Write the name that it has at this site:
-- depends_on("openmpi/4.1.4")

prepend_path("PATH", pathJoin(prefix, "bin"))
prepend_path("MANPATH", pathJoin(prefix, "share/man"))
prepend_path("FPATH", pathJoin(prefix, "share/zsh/site-functions"))

-- Programs of a service for nodes that have none: launch/containers/service-trees PREFIX/service
local service = pathJoin(prefix, "service")
if isDir(service) then
    setenv("STREAMHARNESS_RABBITMQ", pathJoin(service, "rabbitmq"))
    setenv("STREAMHARNESS_ERLANG", pathJoin(service, "erlang"))
    setenv("STREAMHARNESS_HAPROXY", pathJoin(service, "haproxy"))
    setenv("STREAMHARNESS_STUNNEL", pathJoin(service, "stunnel"))
end
