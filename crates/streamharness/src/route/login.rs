//! The login of a run at given addresses: a password, a client's certificate or a token.

use crate::{
    route::secrets,
    terminal::exit::{Exit, Failure},
};
use profile::{Auth, RouteProfile};
use std::{
    env,
    path::{Path, PathBuf},
};
use transport_amqp::{AmqpRoute, Endpoint, Scheme, Secret, Token};

const TOKEN_FILE: &str = "STREAMHARNESS_TOKEN_FILE";

/// Sets it for every address of `route`, which has its addresses and certificates. `testbeds` is the password file of a
/// testbed, which does not use the environment's passwords and tokens.
pub fn settle(written: &RouteProfile, route: &mut AmqpRoute, testbeds: Option<&Path>) -> Result<(), Failure> {
    let usage = |sentence: &str| Err(Failure::new(Exit::Usage, sentence));
    if let Some(auth) = written.auth {
        endpoints(route).for_each(|endpoint| endpoint.external = auth == Auth::External);
    }
    if endpoints(route).any(|endpoint| endpoint.external) {
        if written.token_file.is_some() {
            return usage("--token-file and a login by certificate exclude each other: give one of them");
        }
        if route.client_cert.is_none() {
            return usage("a login by certificate needs one: give it with --cert FILE and --key FILE");
        }
        if endpoints(route).any(|endpoint| endpoint.external && endpoint.scheme == Scheme::Amqp) {
            return usage(
                "a login by certificate needs TLS: the URL begins with amqps://, and --arch is not dts-plain",
            );
        }
    }
    let token = written.token_file.clone().map(PathBuf::from).or_else(|| {
        let variable = env::var_os(TOKEN_FILE).filter(|path| testbeds.is_none() && !path.is_empty());
        variable.map(PathBuf::from)
    });
    if let Some(path) = token {
        for endpoint in endpoints(route).filter(|endpoint| !endpoint.external) {
            match (&endpoint.user, &endpoint.password) {
                (None, _) => endpoint.password = None,
                (Some(_), Some(_)) if written.token_file.is_some() => {
                    return usage("the URL has a password, and --token-file takes its place: give one of them");
                }
                _ => {}
            }
        }
        if endpoints(route).any(|endpoint| needs_password(endpoint)) {
            let path = std::path::absolute(&path).unwrap_or(path);
            route.password = token_of(&path)?;
            route.token_file = Some(path);
        }
        return Ok(());
    }
    let Some(user) = endpoints(route).find(|endpoint| needs_password(endpoint)).map(|one| one.user().to_owned()) else {
        return Ok(());
    };
    let password = match testbeds {
        Some(path) => Some(secrets::of_file(path, "password")?),
        None => secrets::of_variable("STREAMHARNESS_PASSWORD")?,
    };
    route.password = password.ok_or_else(|| {
        let sentence = format!(
            "no password for user `{user}`: set STREAMHARNESS_PASSWORD, or STREAMHARNESS_PASSWORD_FILE to a file that \
            holds it ({TOKEN_FILE} to one that holds an OAuth 2 token)"
        );
        Failure::new(Exit::Route, sentence)
    })?;
    Ok(())
}

fn endpoints(route: &mut AmqpRoute) -> impl Iterator<Item = &mut Endpoint> {
    route.producer.iter_mut().chain(&mut route.consumer)
}

fn needs_password(endpoint: &Endpoint) -> bool {
    !endpoint.external && endpoint.password.is_none()
}

/// The token in a file; an expired one is rejected here, because the service would reject it.
fn token_of(path: &Path) -> Result<Secret, Failure> {
    let token = Token::read(path).map_err(|error| Failure::new(Exit::Route, error))?;
    match token.expired_for() {
        Some(past) => Err(Failure::new(
            Exit::Route,
            format!("the token in `{}` expired {} s ago: renew it in that file", path.display(), past.as_secs()),
        )),
        None => Ok(token.secret()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(urls: &[&str], cert: bool) -> AmqpRoute {
        let endpoints: Vec<Endpoint> = urls.iter().map(|url| Endpoint::parse(url).unwrap()).collect();
        let client_cert = cert.then(|| ("cert".to_owned(), Secret::new("key")));
        AmqpRoute { producer: endpoints.clone(), consumer: endpoints, client_cert, ..AmqpRoute::default() }
    }

    fn written(auth: Option<Auth>, token_file: Option<&Path>) -> RouteProfile {
        let token_file = token_file.map(|path| path.display().to_string());
        RouteProfile { auth, token_file, ..RouteProfile::default() }
    }

    #[test]
    fn the_flag_or_the_url_selects_the_login_by_certificate() {
        for (url, auth) in [("amqps://h", Some(Auth::External)), ("amqps://u@h?auth_mechanism=external", None)] {
            let mut route = route(&[url], true);
            settle(&written(auth, None), &mut route, None).unwrap();
            assert!(route.producer[0].external && route.consumer[0].external);
            assert_eq!(route.password, Secret::default());
        }
    }

    #[test]
    fn a_contradictory_login_is_rejected_with_the_flags_to_give() {
        let token = Some(Path::new("token"));
        for (url, cert, auth, token_file, part) in [
            ("amqps://h", false, Some(Auth::External), None, "--cert FILE"),
            ("amqp://h", true, Some(Auth::External), None, "amqps://"),
            ("amqps://h", true, Some(Auth::External), token, "exclude"),
            ("amqps://u:hunter2@h", false, None, token, "--token-file takes its place"),
            ("amqps://h", false, None, Some(Path::new("/none")), "cannot read the token file `/none`"),
        ] {
            let mut route = route(&[url], cert);
            let failure = settle(&written(auth, token_file), &mut route, None).unwrap_err();
            assert!(failure.sentence.contains(part), "{failure:?}");
            assert!(!failure.sentence.contains("hunter2"), "{failure:?}");
        }
    }

    #[test]
    fn a_token_takes_the_place_of_every_password_that_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "opaque\n").unwrap();
        let mut route = route(&["amqps://h", "amqps://u@h"], false);
        settle(&written(None, Some(&path)), &mut route, None).unwrap();
        assert!(route.producer.iter().all(|endpoint| endpoint.password.is_none()));
        assert_eq!((route.password.expose(), route.token_file), ("opaque", Some(path)));
    }
}
