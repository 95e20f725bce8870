//! The messages between user client and control server, with their field numbers and types.
//!
//! Written by hand: five small messages need neither a compiler for .proto files at every build nor generated code in
//! the repository. The numbers are the contract; `tests` holds them to bytes.

use crate::{Error, Result};
use std::fmt;

/// The side of a tunnel that a control server is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `PROD`: where the service listens; here the tunnel ends.
    Inbound,
    /// `CONS`: where applications connect to; here the tunnel begins.
    Outbound,
}

impl Role {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Inbound => "PROD",
            Self::Outbound => "CONS",
        }
    }

    /// The role of that word.
    ///
    /// # Errors
    ///
    /// [`Error::Role`] if the word is unknown.
    pub fn parse(word: &str) -> Result<Self> {
        [Self::Inbound, Self::Outbound]
            .into_iter()
            .find(|role| role.word() == word)
            .ok_or_else(|| Error::Role(word.into()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        })
    }
}

/// Requests listeners. The reply follows `Hello`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    #[prost(string, tag = "1")]
    pub uid: String,
    #[prost(string, tag = "2")]
    pub role: String,
    #[prost(int32, tag = "3")]
    pub num_conn: i32,
    #[prost(int32, tag = "4")]
    pub rate: i32,
}

/// Contains the application's addresses.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    #[prost(string, tag = "1")]
    pub uid: String,
    #[prost(string, repeated, tag = "2")]
    pub prod_listeners: Vec<String>,
    #[prost(string, tag = "3")]
    pub role: String,
}

/// Contains the targets to forward to. Starts the data server.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateTargets {
    #[prost(string, tag = "1")]
    pub uid: String,
    #[prost(string, repeated, tag = "2")]
    pub remote_listeners: Vec<String>,
    #[prost(string, tag = "3")]
    pub role: String,
}

/// Ends a request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Release {
    #[prost(string, tag = "1")]
    pub uid: String,
}

/// The listeners of a data server, and their targets.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    #[prost(string, repeated, tag = "1")]
    pub listeners: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub prod_listeners: Vec<String>,
}

/// The reply to `Hello`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AppResponse {
    #[prost(string, tag = "1")]
    pub message: String,
    #[prost(string, repeated, tag = "2")]
    pub listeners: Vec<String>,
}

/// Metadata of the reply to `release`, beside the contract: the problem that kept connections from passing, if there
/// was one.
pub const TROUBLE: &str = "x-data-server-trouble";

/// Metadata of the reply to `update`, beside the contract: the type of the started data server.
pub const KIND: &str = "x-data-server-type";

/// The four calls, each with the path it has in HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Req,
    Hello,
    Update,
    Release,
}

impl Call {
    pub fn path(self) -> &'static str {
        match self {
            Self::Req => "/scistream.Control/req",
            Self::Hello => "/scistream.Control/hello",
            Self::Update => "/scistream.Control/update",
            Self::Release => "/scistream.Control/release",
        }
    }

    pub fn name(self) -> &'static str {
        self.path().rsplit('/').next().unwrap_or_default()
    }

    pub fn of_path(path: &str) -> Option<Self> {
        [Self::Req, Self::Hello, Self::Update, Self::Release].into_iter().find(|call| call.path() == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[track_caller]
    fn check(message: impl Message, bytes: &[u8]) {
        assert_eq!(message.encode_to_vec(), bytes);
    }

    #[test]
    fn each_field_has_its_number_and_type_on_the_wire() {
        check(
            Request { uid: "u".into(), role: "PROD".into(), num_conn: 5, rate: 10_000 },
            b"\x0a\x01u\x12\x04PROD\x18\x05\x20\x90\x4e",
        );
        check(
            Hello { uid: "u".into(), prod_listeners: vec!["a:1".into(), "b:2".into()], role: "CONS".into() },
            b"\x0a\x01u\x12\x03a:1\x12\x03b:2\x1a\x04CONS",
        );
        check(
            UpdateTargets { uid: "u".into(), remote_listeners: vec!["a:1".into()], role: "PROD".into() },
            b"\x0a\x01u\x12\x03a:1\x1a\x04PROD",
        );
        check(Release { uid: "u".into() }, b"\x0a\x01u");
        check(
            Response { listeners: vec!["a:1".into()], prod_listeners: vec!["b:2".into()] },
            b"\x0a\x03a:1\x12\x03b:2",
        );
        check(AppResponse { message: "m".into(), listeners: vec!["a:1".into()] }, b"\x0a\x01m\x12\x03a:1");
    }

    #[test]
    fn the_roles_are_the_wires_words_and_no_others() {
        assert_eq!(Role::parse("PROD").unwrap(), Role::Inbound);
        assert_eq!(Role::parse("CONS").unwrap(), Role::Outbound);
        assert!(Role::parse("prod").unwrap_err().to_string().contains("PROD or CONS"));
    }
}
