//! The style of a series, the same in every figure.

use crate::{Level, chart::Style};

/// Architectures have fixed styles; other series get one by their place.
pub(crate) fn style(level: &Level, place: usize) -> Style {
    let known = ["dts", "prs-haproxy", "prs-haproxy-4", "prs-stunnel", "mss", "dts-plain", "prs-stunnel-null"];
    Style(known.iter().position(|name| *level == Level::Text((*name).to_owned())).unwrap_or(place))
}
