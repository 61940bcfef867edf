//! `sse-hub` as a person starts it: what it prints, where, and how it exits.

use std::process::{Command, Output};

fn hub(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sse-hub"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .expect("sse-hub starts")
}

#[test]
fn a_mistake_is_one_line_on_stderr_and_code_2() {
    let check = |args: &[&str], env: &[(&str, &str)], says: &str| {
        let output = hub(args, env);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!(output.stdout, b"", "{args:?}");
        assert!(stderr.starts_with("sse-hub: ") && stderr.contains(says), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    };
    check(&["--lisen", "x"], &[], "--listen");
    check(&["--log-format", "xml"], &[], "log_format (set by --log-format)");
    check(&[], &[("SSE_HUB_SHARDS", "0")], "shards (set by SSE_HUB_SHARDS)");
    check(&["--config", "/nowhere/hub.toml"], &[], "/nowhere/hub.toml");
    check(&["--listen", "0.0.0.0:0"], &[], "SSE_HUB_TOKEN");
    check(&["--set"], &[], "--set");
    check(&["--print-config=yes"], &[], "--print-config");
}

#[test]
fn help_is_grouped_and_on_stdout() {
    for flag in ["--help", "-h"] {
        let output = hub(&[flag], &[]);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
        for heading in ["Listening:", "Security:", "Streams:", "Logging:", "Configuration:", "Examples:"] {
            assert!(stdout.lines().any(|line| line == heading), "no {heading} in\n{stdout}");
        }
        assert!(stdout.lines().all(|line| line.chars().count() <= 100), "{stdout}");
    }
    let version = String::from_utf8(hub(&["--version"], &[]).stdout).unwrap();
    assert_eq!(version, format!("sse-hub {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn print_config_is_on_stdout_and_reads_back() {
    let output = hub(&["--print-config", "--prefix", "/x/y/"], &[("SSE_HUB_TOKEN", "0123456789abcdef")]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
    assert!(!stdout.contains("0123456789abcdef"), "{stdout}");
    let config = sse_runtime::config::ServerConfig::from_toml(&stdout).unwrap();
    assert_eq!(config.prefix.as_str(), "/x/y/");
}
