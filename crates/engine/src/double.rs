//! In-process doubles of the ports: a broker in memory, a transport that does nothing, plain bodies, and ranks that are
//! threads; and a retry that keeps other load on the machine out of a test's numbers.

mod memory_broker;
mod memory_faults;
mod null_transport;
mod plain_payloads;
mod thread_comm;
mod undisturbed;

pub use memory_broker::MemoryBroker;
pub use memory_faults::{Faults, Injected};
pub use null_transport::{NullPublisher, NullSubscriber};
pub use plain_payloads::PlainPayloads;
pub use thread_comm::ThreadComm;
pub use undisturbed::undisturbed;
