//! The RabbitMQ cluster: installation, configuration, start and HTTP API.

pub mod api;
pub mod cluster;
pub mod config;
pub mod extra;
pub mod install;
