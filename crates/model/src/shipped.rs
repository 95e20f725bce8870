//! The testbeds, the hypotheses and the sets of them that are compiled in.

/// A testbed or a hypothesis, by its name, as TOML.
type Shipped = (&'static str, &'static str);

macro_rules! shipped {
    ($folder:literal: $($name:literal)+) => {
        [$(($name, include_str!(concat!("../../../profiles/", $folder, "/", $name, ".toml")))),+]
    };
}

/// The testbeds.
pub const TESTBEDS: [Shipped; 3] = shipped!("testbeds": "facility-emulated" "olcf-ace" "olcf-100g");

/// The hypotheses.
pub const HYPOTHESES: [Shipped; 13] = shipped!("hypotheses":
    "addressed-nodes" "client-cost" "client-delay" "estimator" "ingress-cpu" "ingress-link" "ingress-routers" "ingress-threads"
    "leader" "proxy-cpu" "prs-tunnel" "run-length" "unit");

/// Sets of hypotheses.
pub const ASSUMPTIONS: [Shipped; 4] =
    shipped!("assumptions": "busy-ingress" "first-look" "short-of-cpu" "slow-clients");
