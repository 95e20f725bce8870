//! `streamharness testbed span`: a testbed over the hosts of this launch, for other launches in the same allocation.

use crate::{
    launch::world::{self, Stop, World},
    route::{
        own::brokers,
        source::unusable,
        spread::{self, Spread, Wish, named},
    },
    terminal::{
        exit::{Exit, Failure},
        stderr,
    },
};
use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    num::NonZeroU32,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    thread,
    time::Duration,
};
use testbed::{Ephemeral, PortRange, Route};
use toml::{Table, Value};

/// The file that other launches source. The testbed ends when it is removed: launchers leave ranks little time after a signal.
const ENVIRONMENT: &str = "env";
/// How often the hosts compare whether to go on.
const ROUND: Duration = Duration::from_secs(1);
/// How long a host may be late for that.
const ROUND_LIMIT: Duration = Duration::from_secs(60);
/// How long rank 0 may take to check the arguments and to write files, which may be on a slow file system.
const WRITE_LIMIT: Duration = Duration::from_secs(60);

/// Builds it, tells other launches, and holds it until it is stopped.
pub fn span(
    routes: &[String],
    service_hosts: Option<NonZeroU32>,
    interface: Option<String>,
    ports: Option<PortRange>,
    out: &Path,
) -> Result<Exit, Failure> {
    world::enter(|world| {
        let wish = world.by_rank_0(WRITE_LIMIT, || {
            let of_names = named(routes)?;
            make(out)?;
            let hosts = world.known.clone();
            let (nodes, with_workers) = (brokers(service_hosts, hosts.len())?, vec![true; hosts.len()]);
            let bases = testbed::candidate_ports(nodes, &of_names, ports).map_err(unusable)?;
            Ok(Wish { hosts, with_workers, nodes, routes: routes.to_vec(), interface: interface.clone(), bases })
        })?;
        // A signal ends the start like a failure, and all that has begun with it.
        let built = spread::build(world, &wish, &mut |line| stderr::say(line));
        let held = built.and_then(|(here, spread)| hold(world, here, spread, out));
        if world.leads()
            && let Err(error) = fs::remove_dir_all(out)
        {
            stderr::say(format_args!("cannot remove {}: {}", out.display(), shortage::explain(&error)));
        }
        held.map(|()| Exit::Pass)
    })
}

/// Made before anything starts: without it nobody could use the testbed.
fn make(out: &Path) -> Result<(), Failure> {
    DirBuilder::new().mode(0o700).create(out).map_err(|error| {
        let sentence = format!(
            "cannot make the directory {} ({error}): give a new one with --out, or remove it if its testbed has ended",
            out.display()
        );
        Failure::new(Exit::Usage, sentence)
    })
}

fn hold(world: &World, here: Option<Ephemeral>, spread: Option<Spread>, out: &Path) -> Result<(), Stop> {
    // From now on a signal is a request to end in order.
    world.signals.set_streaming(true);
    world.by_rank_0(WRITE_LIMIT, || {
        let testbed = &spread.as_ref().expect("rank 0 has joined all parts").testbed;
        let shown = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
        write(&shown, testbed).map_err(|error| {
            Failure::new(Exit::Route, format!("cannot write to {}: {}", out.display(), shortage::explain(&error)))
        })?;
        stderr::say(format_args!(
            "up until {0}/{ENVIRONMENT} is removed. In other launches: `. {0}/{ENVIRONMENT}`, then `--arch {0}/dts.toml` or \
             another file of {0}",
            shown.display()
        ));
        Ok(())
    })?;
    let mut here = here;
    loop {
        thread::sleep(ROUND);
        let stopped = world.signals.requested().is_some() || (world.leads() && !out.join(ENVIRONMENT).exists());
        let ended = here.as_mut().is_some_and(Ephemeral::has_ended);
        let state = match (stopped, ended) {
            (true, _) => Some(Ok(())),
            (false, true) => Some(Err(world.place.machine.host.clone())),
            (false, false) => None,
        };
        let over = world.decide(&state, ROUND_LIMIT, |all: Vec<Option<Result<(), String>>>| {
            let said: Vec<Result<(), String>> = all.into_iter().flatten().collect();
            match said.iter().find_map(|one| one.as_ref().err()) {
                Some(host) => {
                    let sentence = format!("the parts of the testbed on {host} have ended: the testbed is removed");
                    Err(Failure::new(Exit::Route, sentence))
                }
                None => Ok(!said.is_empty()),
            }
        })?;
        if over {
            break;
        }
    }
    if let Some(Err(error)) = here.map(Ephemeral::close) {
        stderr::say(error);
    }
    Ok(())
}

/// What other launches need: a route file for each route, and the environment with the password's file.
fn write(out: &Path, testbed: &testbed::Testbed) -> io::Result<()> {
    let copy = |from: &Path, name: &str| secret(&out.join(name), &fs::read_to_string(from)?);
    for route in &testbed.routes() {
        copy(&route.password_file, "password")?;
        if let Some(ca) = &route.ca {
            fs::copy(ca, out.join("ca.pem"))?;
        }
        if let Some(s3m) = &route.s3m {
            copy(&s3m.token_file, "s3m-token")?;
        }
        if let Some(ejfat) = &route.ejfat {
            copy(&ejfat.token_file, "ejfat-token")?;
        }
        fs::write(out.join(format!("{}.toml", route.architecture)), file_of(route, out))?;
    }
    // Last: where it is, all the others are.
    let environment = format!("export STREAMHARNESS_PASSWORD_FILE='{}'\n", out.join("password").display());
    let new = out.join("env.new");
    fs::write(&new, environment)?;
    fs::rename(new, out.join(ENVIRONMENT))
}

fn secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// A route file, as `profiles/examples` has them.
fn file_of(route: &Route, out: &Path) -> String {
    let text = |value: &str| Value::String(value.to_owned());
    let list = |all: &[String]| Value::Array(all.iter().map(|one| text(one)).collect());
    let file = |name: &str| text(&out.join(name).display().to_string());
    let mut table = Table::new();
    if route.ejfat.is_none() {
        let tls = route.s3m.is_some() || route.producer_urls.iter().all(|url| url.starts_with("amqps://"));
        table.insert("tls".to_owned(), Value::Boolean(tls));
    }
    if route.ca.is_some() {
        table.insert("ca".to_owned(), file("ca.pem"));
    }
    if !route.connect_to.is_empty() {
        table.insert("connect_to".to_owned(), list(&route.connect_to));
    }
    if let Some(s3m) = &route.s3m {
        let mut request = Table::new();
        request.insert("url".to_owned(), text(&s3m.url));
        request.insert("token_file".to_owned(), file("s3m-token"));
        request.insert("ca".to_owned(), file("ca.pem"));
        let nodes = Table::from_iter([("nodes".to_owned(), Value::Integer(s3m.nodes as i64))]);
        request.insert("resources".to_owned(), Value::Table(nodes));
        table.insert("s3m".to_owned(), Value::Table(request));
    } else if let Some(ejfat) = &route.ejfat {
        table.insert("urls".to_owned(), list(std::slice::from_ref(&ejfat.url)));
        table.insert("token_file".to_owned(), file("ejfat-token"));
        table.insert("ejfat".to_owned(), Value::Table(Table::new()));
    } else {
        table.insert("producer_urls".to_owned(), list(&route.producer_urls));
        table.insert("consumer_urls".to_owned(), list(&route.consumer_urls));
        table.insert("management".to_owned(), text(&route.management_url));
    }
    let hops = route.hops.iter().map(|hop| {
        let known = [("from", &hop.from), ("to", &hop.to), ("protocol", &hop.protocol), ("process", &hop.process)];
        let mut one = Table::from_iter(known.map(|(key, value)| (key.to_owned(), text(value))));
        if !hop.addresses.is_empty() {
            one.insert("address".to_owned(), text(&hop.addresses.join(",")));
        }
        Value::Table(one)
    });
    table.insert("hops".to_owned(), Value::Array(hops.collect()));
    Table::from_iter([("route".to_owned(), Value::Table(table))]).to_string()
}
