//! The RabbitMQ cluster: what is installed, how it is configured, started and asked.

pub mod api;
pub mod cluster;
pub mod config;
pub mod extra;
pub mod install;
