//! All kinds of faults, each with the weight by which it is drawn.

mod access;
mod files;
mod line;
mod messages;
mod nodes;
mod objects;
mod process;
mod proxies;
mod start;

use crate::fault::Fault;
use rand_chacha::ChaCha8Rng;

type Draw = fn(&mut ChaCha8Rng) -> Box<dyn Fault>;

/// How a fault of each kind is drawn. Those after which a service is built anew cost the most time, and are drawn less.
pub const KINDS: [(Draw, u32); 34] = [
    (process::kill, 6),
    (process::ask, 6),
    (process::suspend, 6),
    (process::hang, 1),
    (nodes::kill, 2),
    (nodes::freeze, 3),
    (nodes::stop_app, 1),
    (nodes::memory_alarm, 3),
    (access::password, 3),
    (access::no_user, 2),
    (access::revoke, 4),
    (objects::delete_queue, 4),
    (objects::purge, 3),
    (objects::delete_exchange, 3),
    (objects::close_connections, 4),
    (objects::policy, 3),
    (objects::small_messages, 2),
    (objects::delete_cluster, 3),
    (messages::foreign, 5),
    (messages::deep_headers, 3),
    (messages::large_header, 2),
    (messages::forged, 8),
    (line::damage, 5),
    (line::delay, 3),
    (line::narrow, 4),
    (line::reset, 4),
    (line::swallow, 3),
    (proxies::kill, 1),
    (proxies::freeze, 2),
    (start::wrong_address, 4),
    (start::short_timeout, 2),
    (start::few_files, 3),
    (files::no_room, 4),
    (files::no_reader, 3),
];
