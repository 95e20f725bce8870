//! UDP in batches: many packets for each system call, buffers read back, and what the kernel dropped.

mod bound;
mod drops;
mod inbox;
mod outbox;
mod path;

pub use bound::{Bound, bind};
pub use drops::kernel_drops;
pub use inbox::Inbox;
pub use outbox::{Outbox, Patience, Sent};
pub use path::check_mtu;
