//! Secrets, and the files that hold them or the configuration.

use super::*;

/// R31: whatever is wrong, and wherever a secret was put.
#[test]
fn no_secret_is_ever_shown() {
    const SECRET: &str = "hunter2";
    for text in [
        "redis_hot: {addr: h, password: hunter2}",
        "redis_hot: {addr: h, password: hunter2, ttl: 5}",
        "redis_hot: {addr: h, password: [hunter2]}",
        "redis_hot: {addr: h, password: {hunter2: hunter2}}",
        "redis_hot: {addr: h, pasword: hunter2}",
        "redis_hot: {addr: 'redis://u:hunter2@h'}",
        "redis_hot: {addr: 'redis://u:hunter2@h:port'}",
        "redis_hot: {addr: 'redis://u:hunter2@h', password: hunter2}",
        "redis_hot: {addr: hunter2!}",
        "redis_hot: {addr: [hunter2]}",
        "redis_hot: hunter2",
        "redis_hot: {addr: h, password: 'hunter2}",
        "redis_hot: {addr: h, password: *hunter2 }",
        "redis_hot: {addr: h, password: !hunter2 x}",
        "redis_hot: {addr: h, password: !!int hunter2}",
        "redis_hot: {addr: h, password: !!bool hunter2}",
        "redis_hot: {addr: h, password: !!float hunter2}",
        "redis_hot: {addr: h, password: !!binary hunter2}",
        "redis_hot: {addr: h, password: @hunter2}",
        "redis_hot: {addr: h, password: %hunter2}",
        "redis_hot:\n  addr: h\n  password: hunter2\n\tx",
        "server: {api_keys: hunter2}",
        "server: {api_keys: [hunter2]}",
        "server: {api_keys: [hunter2hunter2hunter2]}",
        "server: {api_keys: ['hunter2 hunter2 hunter2']}",
        "server: {api_keys: [[hunter2]]}",
        "server: {api_keys: {hunter2hunter2hunter2: 1}}",
        "hunter2",
    ] {
        match Config::from_yaml(text) {
            Err(e) => assert!(!format!("{e} {e:?}").contains(SECRET), "{text}: {e}"),
            Ok(config) => {
                let shown = format!("{config:?} {}", config.to_yaml());
                assert!(!shown.contains(SECRET), "{text}: {shown}");
            }
        }
    }
    // A number is a secret too where one belongs.
    for text in [
        "redis_hot: {addr: h, password: 4711}",
        "server: {api_keys: 4711}",
        "server: {api_keys: [4711]}",
    ] {
        let error = error(text);
        assert!(error.contains("expected") && !error.contains("4711"), "{error}");
    }
    let error = with(&[("ISOVEC__SERVER__API_KEYS", "hunter2")], "").unwrap_err().to_string();
    assert!(
        error.contains("server.api_keys[0]: expected a key of 16") && !error.contains(SECRET),
        "{error}"
    );
}

#[test]
fn secrets_may_lie_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let password = file("password", " with a space \n");
    let keys = file("keys", "0123456789abcdef\n\nfedcba9876543210\r\n");
    let text = format!(
        "redis_hot: {{addr: h, password_file: '{password}'}}\nserver: {{api_keys_file: '{keys}'}}"
    );
    let config = Config::from_yaml(&text).unwrap();
    assert_eq!(config.redis_hot.unwrap().password.as_deref(), Some(" with a space "));
    assert_eq!(config.server.api_keys, ["0123456789abcdef", "fedcba9876543210"]);

    let config = with(&[("ISOVEC__SERVER__API_KEYS_FILE", &keys)], "").unwrap();
    assert_eq!(config.server.api_keys.len(), 2);

    let (empty, short) = (file("empty", "\n\n"), file("short", "0123456789abcdef\nshort\n"));
    let long = file("long", &"x".repeat(70_000));
    let directory = folder.path().to_str().unwrap();
    for (text, expected) in [
        (
            format!("server: {{api_keys_file: '{empty}'}}"),
            format!("server.api_keys_file: {empty:?} has no key in it"),
        ),
        (
            format!("redis_hot: {{addr: h, password_file: '{empty}'}}"),
            format!("redis_hot.password_file: {empty:?} has no password in it"),
        ),
        (
            format!("server: {{api_keys_file: '{short}'}}"),
            "server.api_keys[1]: expected a key of 16 to 256 letters, digits and signs of ASCII, without spaces"
                .to_owned(),
        ),
        (
            format!("server: {{api_keys_file: '{long}'}}"),
            format!("server.api_keys_file: cannot read {long:?}: it is longer than 65536 bytes"),
        ),
        (
            format!("server: {{api_keys_file: '{directory}'}}"),
            format!("server.api_keys_file: cannot read {directory:?}: it is not a file"),
        ),
        (
            "server: {api_keys_file: no/such/file}".to_owned(),
            "server.api_keys_file: cannot read \"no/such/file\": No such file or directory (os error 2)".to_owned(),
        ),
        (
            format!("server: {{api_keys: [0123456789abcdef], api_keys_file: '{keys}'}}"),
            "server.api_keys_file: server.api_keys is given too, expected one of the two".to_owned(),
        ),
        ("server: {api_keys_file: [a]}".to_owned(), "server.api_keys_file: a list, expected the name of a file".to_owned()),
    ] {
        assert_eq!(error(&text), format!("configuration: line 1: {expected}"), "{text}");
    }
}

#[test]
fn files_are_read_with_their_name_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("isovec.yaml");
    let none = || std::iter::empty::<(OsString, OsString)>();

    std::fs::write(&path, "performance: {max_queue: 2000}").unwrap();
    assert_eq!(Config::load_with(Some(&path), none()).unwrap().performance.max_queue, 2000);
    let by_variable = [("ISOVEC_CONFIG".into(), path.clone().into_os_string())];
    assert_eq!(Config::load_with(None, by_variable).unwrap().performance.max_queue, 2000);
    let empty = [("ISOVEC_CONFIG".into(), OsString::new())];
    assert_eq!(Config::load_with(None, empty).unwrap(), Config::default());

    let shown = path.display();
    for (bytes, kind, expected) in [
        (
            b"server: 1".to_vec(),
            ErrorKind::InvalidConfig,
            format!("{shown}: line 1: server: a single value, expected a section of keys"),
        ),
        (vec![0xff], ErrorKind::InvalidConfig, format!("{shown}: not UTF-8")),
        (
            vec![b'#'; MAX_CONFIG_BYTES + 1],
            ErrorKind::TooLarge,
            format!("{shown}: 1048577 bytes, over the cap of 1048576"),
        ),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = Config::load_with(Some(&path), none()).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (kind, expected));
    }
    let error = Config::load_with(Some(&folder.path().join("none")), none()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
