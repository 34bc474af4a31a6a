//! Oracle: tables written by hand from the module's own table, and the examples of `doc/uri.md`.

use super::*;

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp { host: host.into(), port }
}

fn unix(path: &str) -> Address {
    Address::Unix(path.into())
}

#[test]
fn every_way_to_write_an_address() {
    let table = [
        ("unix:/run/a.sock", unix("/run/a.sock"), "unix:/run/a.sock"),
        ("unix:a.sock", unix("a.sock"), "unix:a.sock"),
        ("./a.sock", unix("./a.sock"), "unix:./a.sock"),
        ("/tmp/with:colon", unix("/tmp/with:colon"), "unix:/tmp/with:colon"),
        ("tcp:example.com:7", tcp("example.com", 7), "tcp:example.com:7"),
        ("tcp:example.com", tcp("example.com", 10809), "tcp:example.com:10809"),
        ("tcp:10810", tcp("127.0.0.1", 10810), "tcp:127.0.0.1:10810"),
        ("example.com:0", tcp("example.com", 0), "tcp:example.com:0"),
        ("0.0.0.0:65535", tcp("0.0.0.0", 65535), "tcp:0.0.0.0:65535"),
        (":10810", tcp("127.0.0.1", 10810), "tcp:127.0.0.1:10810"),
        ("10810", tcp("127.0.0.1", 10810), "tcp:127.0.0.1:10810"),
        ("[::1]:10810", tcp("::1", 10810), "tcp:[::1]:10810"),
        ("[::1]", tcp("::1", 10809), "tcp:[::1]:10809"),
        ("tcp:[fe80::1%eth0]:7", tcp("fe80::1%eth0", 7), "tcp:[fe80::1%eth0]:7"),
    ];
    for (text, address, shown) in table {
        assert_eq!(text.parse(), Ok(address.clone()), "{text}");
        assert_eq!(address.to_string(), shown);
        assert_eq!(shown.parse(), Ok(address), "{shown} does not mean itself");
    }
}

#[test]
fn a_wrong_address_is_told_what_would_do() {
    let table = [
        ("", "the address is empty; try unix:PATH, HOST:PORT or a port"),
        ("unix:", "address \"unix:\" names no path; try unix:/run/disk.sock"),
        ("disk", "address \"disk\" names neither a port nor a path; try disk:10809 or unix:disk"),
        (
            "a:65536",
            "address \"a:65536\": \"65536\" is not a port; try a number from 0 to 65535, such as 10809",
        ),
        ("a:+7", "address \"a:+7\": \"+7\" is not a port; try a number from 0 to 65535, such as 10809"),
        ("a:", "address \"a:\": \"\" is not a port; try a number from 0 to 65535, such as 10809"),
        ("[::1]7", "address \"[::1]7\": \"7\" is not a port; try a number from 0 to 65535, such as 10809"),
        (
            "[::1",
            "address \"[::1\": \"[::1\" is not a host; try a name, or an address such as 127.0.0.1 or [::1]",
        ),
        (
            "[a]:7",
            "address \"[a]:7\": \"[a]\" is not a host; try a name, or an address such as 127.0.0.1 or [::1]",
        ),
        (
            "a b:7",
            "address \"a b:7\": \"a b\" is not a host; try a name, or an address such as 127.0.0.1 or [::1]",
        ),
        (
            "::1:7",
            "address \"::1:7\" has several colons; try brackets around an IPv6 address, as in [::1]:10809",
        ),
        ("nbd://a", "\"nbd://a\" is an NBD URI, it should be an address; try unix:PATH or HOST:PORT"),
    ];
    for (text, message) in table {
        assert_eq!(text.parse::<Address>().unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn a_socket_path_must_fit_the_system() {
    let path = |length| format!("/{}", "x".repeat(length - 1));
    assert!(path(MAX_SOCKET_PATH).parse::<Address>().is_ok());
    let found = path(MAX_SOCKET_PATH + 1);
    assert_eq!(found.parse::<Address>(), Err(AddressError::PathTooLong { found }));
    assert!(matches!("unix:\0a".parse::<Address>(), Err(AddressError::PathNul { .. })));
}

#[test]
fn uris_there_and_back() {
    let table = [
        (tcp("127.0.0.1", 10810), "", "nbd://127.0.0.1:10810/"),
        (tcp("example.com", 10809), "hello world", "nbd://example.com:10809/hello%20world"),
        (tcp("example.com", 10809), "/disk", "nbd://example.com:10809//disk"),
        (tcp("::1", 7), "a?b#c%d&e", "nbd://[::1]:7/a%3Fb%23c%25d%26e"),
        (tcp("fe80::1%eth0", 7), "d", "nbd://[fe80::1%25eth0]:7/d"),
        (unix("/run/a b.sock"), "disk", "nbd+unix:///disk?socket=/run/a%20b.sock"),
        (unix("a+b&c=d.sock"), "é", "nbd+unix:///%C3%A9?socket=a%2Bb%26c%3Dd.sock"),
    ];
    for (address, export, uri) in table {
        assert_eq!(address.uri(export), uri);
        assert_eq!(uri.parse(), Ok(NbdUri { address, export: export.into() }), "{uri}");
    }
}

#[test]
fn uris_of_others() {
    let table = [
        ("nbd://example.com", tcp("example.com", 10809), ""),
        ("NBD://example.com:7/disk", tcp("example.com", 7), "disk"),
        ("nbd://example.com:/disk", tcp("example.com", 10809), "disk"),
        ("nbd:///disk", tcp("127.0.0.1", 10809), "disk"),
        ("nbd://:7/disk", tcp("127.0.0.1", 7), "disk"),
        ("nbd+unix:///?socket=nbd.sock", unix("nbd.sock"), ""),
        ("nbd+unix://?socket=%2Ftmp%2Fx", unix("/tmp/x"), ""),
    ];
    for (uri, address, export) in table {
        assert_eq!(uri.parse(), Ok(NbdUri { address, export: export.into() }), "{uri}");
    }
}

#[test]
fn a_path_that_is_not_utf8_survives_a_uri() {
    use std::os::unix::ffi::OsStringExt;
    let path = std::ffi::OsString::from_vec(b"/tmp/\xff.sock".to_vec());
    let address = Address::unix(path).unwrap();
    let uri = address.uri("");
    assert_eq!(uri, "nbd+unix:///?socket=/tmp/%FF.sock");
    assert_eq!(uri.parse::<NbdUri>().unwrap().address, address);
}

#[test]
fn a_wrong_uri_is_told_what_would_do() {
    let error = |uri: &str| uri.parse::<NbdUri>().unwrap_err();
    assert!(matches!(error("http://a/"), UriError::Scheme { .. }));
    assert!(matches!(error("nbd:unix:/a"), UriError::Scheme { .. }));
    assert!(matches!(error("nbds://a/"), UriError::Tls { .. }));
    assert!(matches!(error("nbds+unix:///?socket=a"), UriError::Tls { .. }));
    assert!(matches!(error("nbd://a/%4"), UriError::Encoding { .. }));
    assert!(matches!(error("nbd://a/%+4"), UriError::Encoding { .. }));
    assert!(matches!(error("nbd://a/%ff"), UriError::Encoding { .. }));
    assert!(matches!(error("nbd://a/%00"), UriError::Export { .. }));
    assert!(matches!(error("nbd+unix:///a"), UriError::NoSocket { .. }));
    assert!(matches!(error("nbd+unix://h/a?socket=b"), UriError::HostOfUnix { .. }));
    assert!(matches!(error("nbd://a/?socket=b"), UriError::Unknown { .. }));
    assert!(matches!(error("nbd+unix:///?socket=b&tls-type=psk"), UriError::Unknown { .. }));
    assert!(matches!(error("nbd://a/x#y"), UriError::Unknown { .. }));
    assert!(matches!(error("nbd://me@a/"), UriError::Address(AddressError::Host { .. })));
    assert!(matches!(error("nbd://a:b/"), UriError::Address(AddressError::Port { .. })));
    assert!(matches!(
        error("nbd+unix:///?socket=%00/abstract"),
        UriError::Address(AddressError::PathNul { .. })
    ));
    assert_eq!(
        error("nbd+unix:///a").to_string(),
        "\"nbd+unix:///a\" names no socket; try nbd+unix:///EXPORT?socket=PATH"
    );
}
