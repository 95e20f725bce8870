//! `streamharness s3m`: the S3M streaming API by hand, and the compatible local service.

use crate::terminal::{
    exit::{Exit, Failure},
    stdout,
};
use clap::{Args, Subcommand};
use s3m::{Client, Error, Identity, PREFIX, Provision, Service, Settings, Tenancy};
use serde_json::{Value, json};
use std::{
    env,
    fs::{self, OpenOptions},
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Commands for managed services.
#[derive(Debug, Clone, Subcommand)]
pub enum S3m {
    /// List what can be provisioned, as JSON.
    Backends(Api),
    /// Provision a cluster; prints it without its password.
    Provision {
        /// The service.
        #[command(flatten)]
        api: Api,
        /// At most 40 small letters, digits and dashes.
        name: String,
        /// Its kind.
        #[arg(long, default_value = "general")]
        kind: String,
        /// A resource, such as cpus=12. Repeatable.
        #[arg(long, value_name = "KEY=N")]
        set: Vec<String>,
        /// New file (mode 0600) for the reply with the password.
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
    },
    /// List all clusters of the project, as JSON.
    List(Api),
    /// Print one cluster, as JSON without its password.
    Get(Named),
    /// Restart the lifetime of a cluster.
    Extend(Named),
    /// Delete a cluster.
    Delete(Named),
    /// Run a compatible service in front of a running RabbitMQ and HAProxy, until it is stopped.
    Serve(Serve),
}

/// The address of the service.
#[derive(Debug, Clone, Args)]
pub struct Api {
    /// The service.
    #[arg(long, value_name = "URL", env = "S3M_URL")]
    url: String,
    /// Path before each call.
    #[arg(long, default_value = PREFIX)]
    prefix: String,
    /// File with the token [default: the value of S3M_TOKEN, or the file in S3M_TOKEN_FILE].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates of the authorities to trust (PEM) [default: those that browsers trust].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// One cluster.
#[derive(Debug, Clone, Args)]
pub struct Named {
    #[command(flatten)]
    api: Api,
    /// Its name.
    name: String,
}

/// The local service.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Address for requests, in plain HTTP without --cert.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Its certificate chain (PEM), for HTTPS.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Tokens of permitted callers, one per line.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// RabbitMQ's management interface, http://HOST:PORT or https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    management: String,
    /// Certificates of the authorities to trust for it (PEM) [default: those that browsers trust].
    #[arg(long, value_name = "FILE")]
    management_ca: Option<PathBuf>,
    /// Its administrator.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// File with the administrator's password.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// HAProxy's stats socket, level admin.
    #[arg(long, value_name = "FILE")]
    ingress_socket: PathBuf,
    /// HAProxy's map from names to backends.
    #[arg(long, value_name = "FILE")]
    ingress_map: PathBuf,
    /// HAProxy's backend for the cluster.
    #[arg(long, value_name = "NAME")]
    backend: String,
    /// Envoy's file with the names that a gateway leads on. Repeatable.
    #[arg(long, value_name = "FILE")]
    gateway_names: Vec<PathBuf>,
    /// Nodes of the cluster.
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: u32,
    /// Suffix of public names.
    #[arg(long, default_value = "mss.test")]
    domain: String,
    /// The balancer's port for clients.
    #[arg(long, default_value_t = 443)]
    port: u16,
    /// Lifetime of a cluster in seconds.
    #[arg(long, value_name = "S", default_value_t = 604_800)]
    lifetime_s: u64,
    /// Milliseconds before a new cluster is healthy.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    ready_after_ms: u64,
    /// Number of first calls that fail with 503.
    #[arg(long, value_name = "N", default_value_t = 0)]
    fail_first: u32,
    /// Number of first clusters whose provisioning reply is lost.
    #[arg(long, value_name = "N", default_value_t = 0)]
    lose_first: u32,
}

/// Carries out the command.
pub fn s3m(command: S3m) -> Result<Exit, Failure> {
    let reply = match command {
        S3m::Backends(api) => json!(client(&api)?.backends().map_err(failure)?),
        S3m::List(api) => {
            let clusters = client(&api)?.list().map_err(failure)?;
            Value::Array(clusters.into_iter().map(|cluster| without_secret(json!(cluster))).collect())
        }
        S3m::Get(Named { api, name }) => without_secret(json!(client(&api)?.get(&name).map_err(failure)?)),
        S3m::Extend(Named { api, name }) => json!(client(&api)?.extend(&name).map_err(failure)?),
        S3m::Delete(Named { api, name }) => {
            client(&api)?.delete(&name).map_err(failure)?;
            json!({"success": true})
        }
        S3m::Provision { api, name, kind, set, secret_file } => {
            let resource_settings = set.iter().map(|text| setting(text)).collect::<Result<_, _>>()?;
            let client = client(&api)?;
            // Made first: a cluster whose password cannot be kept is of no use.
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&secret_file);
            let file = file.as_mut().map_err(|error| unusable("write a new --secret-file", &secret_file, error))?;
            let request = Provision { kind, name, resource_settings, ..Provision::default() };
            let access = client.provision(&request, false).map_err(|error| {
                let _ = fs::remove_file(&secret_file);
                failure(error)
            })?;
            let access = json!(access);
            writeln!(file, "{access}").map_err(|error| unusable("write --secret-file", &secret_file, &error))?;
            without_secret(access)
        }
        S3m::Serve(options) => return serve(options),
    };
    stdout::print(&format!("{reply:#}\n"))?;
    Ok(Exit::Pass)
}

fn serve(options: Serve) -> Result<Exit, Failure> {
    let tokens: Vec<String> =
        read(&options.token_file)?.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if tokens.is_empty() {
        let sentence = format!("{} holds no token: write one a line", options.token_file.display());
        return Err(Failure::new(Exit::Usage, sentence));
    }
    let settings = Settings {
        tokens,
        domain: options.domain,
        port: options.port,
        management: options.management.clone(),
        project: "bench".to_owned(),
        lifetime: Duration::from_secs(options.lifetime_s),
        ready_after: Duration::from_millis(options.ready_after_ms),
        fail_first: options.fail_first,
        lose_first: options.lose_first,
        nodes: options.nodes,
    };
    let tenancy = Tenancy {
        management: options.management,
        ca_pem: options.management_ca.as_deref().map(read).transpose()?,
        administrator: options.user,
        password: read(&options.password_file)?.trim().to_owned(),
        socket: options.ingress_socket,
        map: options.ingress_map,
        backend: options.backend,
        gateways: options.gateway_names,
    };
    let identity = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => Some(Identity { certificate: read(cert)?, key: read(key)? }),
        _ => None,
    };
    let scheme = if identity.is_some() { "https" } else { "http" };
    let up = |address| crate::terminal::stderr::say(format_args!("S3M service listens on {scheme}://{address}"));
    s3m::serve(Service::new(settings, Box::new(tenancy)), options.listen, identity.as_ref(), up).map_err(failure)?;
    Ok(Exit::Pass)
}

fn client(api: &Api) -> Result<Client, Failure> {
    let ca = api.ca.as_deref().map(read).transpose()?;
    Client::new(&api.url, &api.prefix, &token(api.token_file.as_deref())?, ca.as_deref()).map_err(failure)
}

/// The token: from `file`, otherwise from the environment.
pub fn token(file: Option<&Path>) -> Result<String, Failure> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let token = match (file, variable("S3M_TOKEN"), variable("S3M_TOKEN_FILE")) {
        (Some(file), ..) => read(file)?,
        (None, Some(token), _) => token.to_string_lossy().into_owned(),
        (None, None, Some(file)) => read(Path::new(&file))?,
        (None, None, None) => String::new(),
    };
    if token.trim().is_empty() {
        let sentence = "no token for the S3M service: set S3M_TOKEN, or S3M_TOKEN_FILE to a file that holds it";
        return Err(Failure::new(Exit::Route, sentence));
    }
    Ok(token)
}

/// A failure of the service, with its exit code.
pub fn failure(error: Error) -> Failure {
    Failure::new(if matches!(error, Error::Refused(_)) { Exit::Usage } else { Exit::Route }, error)
}

fn unusable(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("cannot {action} `{}`: {error}", path.display()))
}

/// Reads a file with a credential.
pub fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::new(Exit::Route, format!("cannot read `{}`: {error}", path.display()));
    fs::read_to_string(path).map_err(failed)
}

fn setting(text: &str) -> Result<(String, i64), Failure> {
    let pair = text.split_once('=').and_then(|(key, value)| Some((key.to_owned(), value.parse().ok()?)));
    pair.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("`{text}` is not a valid setting: write KEY=N, such as cpus=12"))
    })
}

/// The URL contains the password too.
fn without_secret(mut reply: Value) -> Value {
    if let Some(fields) = reply.as_object_mut() {
        fields.remove("password");
        fields.remove("amqpsUrl");
    }
    reply
}
