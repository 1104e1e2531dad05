//! Which properties pass, under which names, and what an error tells.

use weir_core::Fault;

use super::*;

fn properties(given: &[(&str, &str)]) -> Result<Properties, Error> {
    Properties::new(&given.iter().map(|(key, value)| ((*key).to_owned(), Secret::new(*value))).collect())
}

/// Everything that an error shows to anybody.
fn shown(error: &Error) -> String {
    let mut shown = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        shown.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    shown
}

#[test]
fn a_property_that_is_wrong_is_named_and_its_value_never_shown() {
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"hunter2\";";
    let cases = [
        ("sasl.jaas.config", jaas, "sasl.username and sasl.password"),
        ("ssl.truststore.password", "hunter2", "ssl.ca.location"),
        ("sasl.passwort", "hunter2", "did you mean \"sasl.password\"?"),
        ("security.protocol", "hunter2", "security.protocol"),
        ("security.protocol", jaas, "its value"),
        ("debug", "broker,hunter2", "its value is not one that it takes"),
        ("fetch.wait.max.ms", "hunter2", "fetch.wait.max.ms"),
        ("sasl.password", "hunter2\0", "its value is not text"),
        ("gibberish.altogether", "hunter2", "CONFIGURATION.md"),
        ("plugin.library.paths", "/tmp/hunter2.so", "code"),
        ("ssl.engine.location", "/tmp/hunter2.so", "code"),
        ("ssl.providers", "/tmp/hunter2", "code"),
        ("sasl.kerberos.kinit.cmd", "hunter2", "code"),
        ("error_cb", "hunter2", "for programs"),
        ("request.required.acks", "hunter2", "(acks)"),
        ("sasl.mechanism", "OAUTHBEARER", "needs a token"),
    ];
    for (key, value, wanted) in cases {
        let error = properties(&[(key, value)]).unwrap_err();
        let shown = shown(&error);
        assert!(shown.contains(key) && shown.contains(wanted), "{shown} should say {wanted}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(error.fault(), Fault::Config);
    }
    for (key, _) in refused_properties() {
        assert!(shown(&properties(&[(key, "x")]).unwrap_err()).contains(key));
        let canonical = canonical(key);
        let error = properties(&[(canonical, "x")]).unwrap_err();
        assert!(shown(&error).contains(key), "{canonical}, as the command line calls {key}: {error}");
    }
}

#[test]
fn what_is_no_name_is_not_shown() {
    for key in ["sasl.password hunter2", "sasl.password:hunter2", "hunter2=", "hunter2\n", ""] {
        let error = properties(&[(key, "=")]).unwrap_err();
        let shown = shown(&error);
        assert!(!shown.contains("hunter2") && shown.contains("a name has only"), "{shown}");
    }
    assert!(table().keys().all(|name| is_name(name)));
}

#[test]
fn a_property_has_one_value_under_all_of_its_names() {
    let one = properties(&[("linger.ms", "7")]).unwrap();
    assert_eq!(one, properties(&[("queue.buffering.max.ms", "7")]).unwrap());
    assert_eq!((one.get("linger.ms"), one.get("queue.buffering.max.ms")), (Some("7"), Some("7")));
    properties(&[("linger.ms", "7"), ("queue.buffering.max.ms", "7")]).unwrap();
    let error = properties(&[("linger.ms", "7"), ("queue.buffering.max.ms", "8")]).unwrap_err();
    assert!(error.to_string().contains("another name of"), "{error}");
    assert_eq!(canonical("compression.type"), "compression.codec");
    assert_eq!(canonical("no.such.thing"), "no.such.thing");
}

#[test]
fn what_is_good_passes() {
    let good = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "u"),
        ("sasl.password", "p"),
        ("ssl.ca.location", "/etc/ca.pem"),
        ("ssl.endpoint.identification.algorithm", "https"),
        ("compression.type", "zstd"),
        ("ssl.providers", "fips,base"),
        ("socket.timeout.ms", "4000"),
    ];
    let given = properties(&good).unwrap();
    assert!(good.iter().all(|(key, value)| given.get(key) == Some(*value)));
    assert!(!format!("{given:?}").contains("/etc/ca.pem"));
}

#[test]
fn what_a_client_repeats_is_hidden() {
    let given =
        properties(&[("sasl.password", "pw"), ("ssl.ca.location", "/a/long/file.pem"), ("debug", "broker")]).unwrap();
    let hidden = given.hide_in("pw: broker says no to /a/long/file.pem");
    assert_eq!(hidden, "(hidden): broker says no to (hidden)");
}

#[test]
fn the_list_is_the_clients_own() {
    assert!(table().len() > 150, "{} properties", table().len());
    assert!(table().values().filter(|kind| matches!(kind, Kind::Alias(_))).count() > 10);
    assert_eq!(distance("passwort", "password"), 1);
    assert_eq!((distance("", "abc"), distance("abc", "abc"), distance("kitten", "sitting")), (3, 0, 3));
}
