//! Plans of profiles that tests write.

use crate::{Layer, Origin, Plan, ProfileError, combine};

/// The plan of these lines of a profile for so many ranks; shipped files are there, others are not.
pub fn plan(text: &str, world: usize) -> Result<Plan, ProfileError> {
    let layer = Layer::parse(Origin::CommandLine, text)?;
    let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into()))?;
    Plan::resolve(&profile, world, 7)
}
