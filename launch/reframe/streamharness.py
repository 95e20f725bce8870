"""A check of ReFrame: each architecture streams, every message is accounted for, and is as fast as it was.

    reframe -C launch/reframe/workstation.py -c launch/reframe -r --performance-report

For a site: its own configuration in place of workstation.py, and what the check is told by -S:

    reframe -C SITE.py -c launch/reframe -r -S StreamharnessCheck.num_tasks=64 -S StreamharnessCheck.modules=streamharness \\
        -S StreamharnessCheck.url=amqps://me@service:5671

The program has to be in the PATH, or loaded by a module. With `url` it streams through that service (its password in
STREAMHARNESS_PASSWORD_FILE), otherwise through one that it starts for each run.
"""

import json
import os

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import parameter, performance_function, run_after, run_before, sanity_function, variable


@rfm.simple_test
class StreamharnessCheck(rfm.RunOnlyRegressionTest):
    descr = "work sharing with feedback over one architecture"
    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    executable = "streamharness"
    num_tasks = 4
    time_limit = "10m"
    keep_files = ["result"]
    tags = {"network", "streaming"}

    arch = parameter(["dts-plain", "dts", "prs-haproxy", "prs-stunnel", "mss"])
    workload = variable(str, value="dstream")
    messages = variable(int, value=20000)
    #: Such as 2000/s: below what the slowest architecture carries, latency is that of the route and not of a queue.
    rate = variable(str, value="2000/s")
    url = variable(str, value="")
    #: More words for the program's command line.
    more = variable(list, value=[])

    # By system and partition: a value, by which share it may be lower, and by which it may be higher. Round trips are a site's own; with
    # those that it has seen, as here, a slower network is found.
    reference = {
        "*": {"delivered": (1, 0, 0, "share")},
        # "cluster:compute": {"round_trip_p50": (900, None, 0.2, "us"), "round_trip_p99": (4000, None, 0.5, "us")},
    }

    @run_after("init")
    def addressed_ones_only(self):
        # Only direct routes lead to an address that is given.
        self.skip_if(self.url and not self.arch.startswith("dts"), "a given address is reached directly")

    @run_before("run")
    def words(self):
        self.executable_opts = [
            f"--arch={self.arch}",
            f"--workload={self.workload}",
            f"--messages={self.messages}",
            f"--rate={self.rate}",
            "--pattern=work-sharing-feedback",
            "--out=result",
            *([f"--url={self.url}"] if self.url else []),
            *self.more,
        ]

    @run_before("performance")
    def what_is_offered_arrives(self):
        offered = self.rate.removesuffix("/s")
        if offered.isdigit():
            self.reference[f"{self.current_partition.fullname}:throughput"] = (int(offered), -0.05, 0.05, "msg/s")

    @sanity_function
    def passed(self):
        return sn.assert_found(r"^# STATUS: PASS ", self.stdout, msg="the last line of the table is not STATUS: PASS")

    def record(self):
        with open(os.path.join(self.stagedir, "result", "record.json")) as file:
            return json.load(file)

    @performance_function("msg/s")
    def throughput(self):
        return self.record()["throughput"]["messages_per_second"]

    @performance_function("share")
    def delivered(self):
        counts = self.record()["integrity"]
        return 1 - counts["lost"] / counts["expected"]

    @performance_function("us")
    def round_trip_p50(self):
        return self.record()["latency"]["rtt_from_due"]["p50_ns"] / 1000

    @performance_function("us")
    def round_trip_p99(self):
        return self.record()["latency"]["rtt_from_due"]["p99_ns"] / 1000
