//! Errors of EJFAT as the engine's faults.

use ejfat::Error;
use engine::ports::{Fault, FaultKind};

pub fn fault(error: Error) -> Fault {
    let kind = match error {
        Error::NoToken | Error::Token | Error::Denied { .. } => FaultKind::Login,
        Error::NoRoots | Error::NoTls { .. } | Error::Untrusted { .. } | Error::Certificate(_) => FaultKind::Tls,
        Error::Refused { .. } | Error::Behind { .. } | Error::Mtu(_) | Error::LinkMtu { .. } => FaultKind::Refused,
        Error::Short { .. } => FaultKind::Shortage,
        _ => FaultKind::Unreachable,
    };
    Fault::new(kind, error)
}

pub fn refused(sentence: &str) -> Fault {
    Fault::new(FaultKind::Refused, sentence)
}
