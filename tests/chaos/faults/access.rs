//! A user that loses its password, its permissions or itself in mid-run.

use crate::{
    api::BENCH,
    fault::{Fault, Permits, Scene, Struck, When},
    plan::{Plan, Way},
};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::fmt;

enum Access {
    Password,
    NoUser,
    /// Without this permission, or with none.
    Without(&'static str),
}

/// Another password than the run knows.
pub fn password(_: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Access::Password)
}

/// The user is deleted.
pub fn no_user(_: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Access::NoUser)
}

/// The user may do less.
pub fn revoke(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Access::Without(["configure", "configure", "write", "read", "all"].choose(rng).expect("a choice")))
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password => f.write_str("the password changes"),
            Self::NoUser => f.write_str("the user is deleted"),
            Self::Without(permission) => write!(f, "the permission `{permission}` is revoked"),
        }
    }
}

impl Fault for Access {
    fn kind(&self) -> &'static str {
        match self {
            Self::Password => "password changed",
            Self::NoUser => "user deleted",
            Self::Without(_) => "permission revoked",
        }
    }

    fn fit(&self, plan: &mut Plan) {
        // A tenant of the managed service has a user of its own.
        if plan.way == Way::Testbed("mss") {
            plan.way = Way::Testbed("dts");
        }
    }

    fn permits(&self, _: &Plan, _: When) -> Permits {
        Permits { kept: true, ..Permits::passes_or(&[3, 7]) }
    }

    fn strike(&self, _: &Plan, scene: &Scene) -> Result<Struck, String> {
        let api = &scene.stage.api;
        match self {
            Self::Password => {
                api.put(&format!("users/{BENCH}"), json!({"password": "another", "tags": "administrator"}))?;
            }
            Self::NoUser => api.delete(&format!("users/{BENCH}"))?,
            Self::Without(revoked) => {
                let of = |permission: &str| if *revoked == permission || *revoked == "all" { "" } else { ".*" };
                let permissions = json!({"configure": of("configure"), "write": of("write"), "read": of("read")});
                api.put(&format!("permissions/%2f/{BENCH}"), permissions)?;
            }
        }
        Ok(Struck::once(self.to_string()))
    }
}
