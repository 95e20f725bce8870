//! A load balancer of one process behind a control plane of another: it asks for new tables, and reports
//! its counts.

use crate::{
    balance::Balancing,
    control::{
        client::Client,
        messages::{Count, TablesRequest},
    },
    error::{Error, Result},
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// How often it asks. Epochs begin 800 ms ahead.
const EVERY: Duration = Duration::from_millis(100);

/// Follows the tables of load balancer `number` for ever. If the control plane fails, the last tables stay, as in hardware;
/// `ready` is called once it has tables, `report` gets each failure that follows a success.
///
/// # Errors
///
/// [`Error`] if the first request fails.
pub async fn follow(
    client: &Client,
    number: u32,
    balancing: &Balancing,
    ready: impl FnOnce(),
    report: impl Fn(&Error),
) -> Result<()> {
    let mut known = 0;
    let (mut ready, mut failing) = (Some(ready), false);
    loop {
        let counted = balancing.counts();
        let packets = counted.packets().map(|(name, value)| Count { name: name.to_owned(), value }).collect();
        match client.tables(TablesRequest { balancer: number, known, packets }).await {
            Ok(tables) => {
                if tables.version != known
                    && let Some(read) = tables.read()
                {
                    known = read.version;
                    balancing.replace(Arc::new(read));
                }
                failing = false;
                if let Some(ready) = ready.take() {
                    ready();
                }
            }
            Err(error) if ready.is_some() => return Err(error),
            Err(error) => {
                if !failing {
                    report(&error);
                }
                // It may be another one, which counts anew.
                known = 0;
                failing = true;
            }
        }
        sleep(EVERY).await;
    }
}
