//! Medians and ratios as a table in Markdown.

use crate::{Client, Measured};

/// The results of a round, by client, each with the load from others.
type Round = Vec<(Measured, f64)>;

/// Title and head.
pub fn head(rounds: usize) -> String {
    let columns = "| setting | client | messages/s | of C | producer us | of C | consumer us | of C | MiB | others |";
    let line: String = columns.matches(" |").map(|_| "---|").collect();
    format!("medians of {rounds} rounds; ratios are medians of those within a round\n\n{columns}\n|{line}")
}

/// The lines of one setting.
pub fn rows(setting: &str, clients: &[Client], rounds: &[Round]) -> String {
    let c = clients.iter().position(|client| *client == Client::C);
    let rows = clients.iter().enumerate().map(|(at, client)| {
        let all = |figure: fn(&Measured) -> f64| median(rounds.iter().map(|round| figure(&round[at].0)));
        let with_ratio = |figure: fn(&Measured) -> f64, decimals: usize| {
            let to_c = |c: usize| median(rounds.iter().map(|round| figure(&round[at].0) / figure(&round[c].0)));
            let ratio = c.map_or_else(|| "-".to_owned(), |c| format!("{:.2}", to_c(c)));
            format!("{:.decimals$} | {ratio}", all(figure))
        };
        let others = rounds.iter().map(|round| round[at].1);
        format!(
            "| {setting} | {} | {} | {} | {} | {:.0} / {:.0} | {:.2} to {:.2} |",
            name(*client),
            with_ratio(|one| one.messages_per_second, 0),
            with_ratio(|one| one.producer_us, 1),
            with_ratio(|one| one.consumer_us, 1),
            all(|one| one.producer_mib),
            all(|one| one.consumer_mib),
            others.clone().fold(f64::INFINITY, f64::min),
            others.fold(0.0, f64::max),
        )
    });
    rows.collect::<Vec<_>>().join("\n")
}

/// One round in a line: rates and the load from others.
pub fn progress(clients: &[Client], round: &Round) -> String {
    let one = |(client, (measured, others)): (&Client, &(Measured, f64))| {
        format!("{} {:.0}/s ({others:.2} CPU of others)", name(*client), measured.messages_per_second)
    };
    clients.iter().zip(round).map(one).collect::<Vec<_>>().join(", ")
}

fn name(client: Client) -> String {
    match client {
        Client::C => "C".to_owned(),
        Client::Ours { client, checks: false } => client.to_owned(),
        Client::Ours { client, checks: true } => format!("{client}, default checks"),
    }
}

fn median(of: impl Iterator<Item = f64>) -> f64 {
    let mut of: Vec<f64> = of.collect();
    of.sort_by(f64::total_cmp);
    let middle = of.len() / 2;
    if of.len().is_multiple_of(2) { f64::midpoint(of[middle - 1], of[middle]) } else { of[middle] }
}
