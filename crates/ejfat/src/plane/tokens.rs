//! Who may do what: tokens, each made by another one, and ended with it.

use rand::{TryRng, rngs::SysRng};
use std::collections::HashMap;
use tonic::Status;

/// What a permission is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Everything.
    All,
    /// A reservation, and its sessions.
    Reservation(u64),
    /// A session.
    Session(u64),
}

/// What may be done. `Update` implies all; the others imply only `Read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    Read,
    Register,
    Reserve,
    Update,
}

impl Permission {
    fn implies(self, other: Self) -> bool {
        self == Self::Update || self == other || other == Self::Read
    }
}

struct Token {
    parent: Option<String>,
    on: Resource,
    may: Permission,
}

/// All tokens.
pub struct Tokens {
    known: HashMap<String, Token>,
}

impl Tokens {
    /// With a first one that may do everything.
    pub fn new(root: String) -> Self {
        let token = Token { parent: None, on: Resource::All, may: Permission::Update };
        Self { known: HashMap::from([(root, token)]) }
    }

    /// Whether `token` may do this on one of these resources: the one that is meant, and those that contain it.
    pub fn check(&self, token: &str, need: Permission, on: &[Resource]) -> Result<(), Status> {
        let Some(known) = self.known.get(token) else {
            return Err(Status::permission_denied(
                "the token is not known; it may have ended with its reservation or session, so reserve or register again",
            ));
        };
        if known.may.implies(need) && (known.on == Resource::All || on.contains(&known.on)) {
            return Ok(());
        }
        Err(Status::permission_denied(
            "the token does not permit this; use the one that the call's resource was made with",
        ))
    }

    /// Whether the token is known at all.
    pub fn check_known(&self, token: &str) -> Result<(), Status> {
        let on = self.known.get(token).map_or(Resource::All, |known| known.on);
        self.check(token, Permission::Read, &[on])
    }

    /// A new token below `parent`, which may do everything on one resource.
    pub fn create(&mut self, parent: &str, on: Resource) -> Result<String, Status> {
        let mut bytes = [0; 16];
        SysRng
            .try_fill_bytes(&mut bytes)
            .map_err(|_| Status::internal("the system has no random numbers; try again"))?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.known.insert(token.clone(), Token { parent: Some(parent.to_owned()), on, may: Permission::Update });
        Ok(token)
    }

    /// Ends a token and all that it made.
    pub fn revoke(&mut self, token: &str) {
        let mut ended = vec![token.to_owned()];
        while let Some(token) = ended.pop() {
            self.known.remove(&token);
            let below = self.known.iter().filter(|(_, known)| known.parent.as_deref() == Some(token.as_str()));
            ended.extend(below.map(|(text, _)| text.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_resource_and_ends_with_the_one_that_made_it() {
        let mut tokens = Tokens::new("root".to_owned());
        let reservation = tokens.create("root", Resource::Reservation(1)).unwrap();
        let session = tokens.create(&reservation, Resource::Session(2)).unwrap();
        let chain = [Resource::Reservation(1), Resource::Session(2)];
        assert!(tokens.check(&session, Permission::Update, &chain).is_ok());
        assert!(tokens.check(&session, Permission::Read, &chain[..1]).is_err(), "a session is not its reservation");
        assert!(tokens.check(&reservation, Permission::Update, &chain).is_ok());
        assert!(tokens.check(&reservation, Permission::Read, &[Resource::Reservation(3)]).is_err());
        assert!(tokens.check("root", Permission::Reserve, &[]).is_ok());
        tokens.revoke(&reservation);
        assert!(tokens.check_known(&session).is_err() && tokens.check_known("root").is_ok());
        assert_eq!(session.len(), 32);
    }

    #[test]
    fn only_update_implies_more_than_reading() {
        use Permission::{Read, Register, Reserve, Update};
        assert!([Read, Register, Reserve, Update].iter().all(|other| Update.implies(*other) && other.implies(Read)));
        assert!(!Reserve.implies(Register) && !Register.implies(Reserve) && !Reserve.implies(Update));
    }
}
