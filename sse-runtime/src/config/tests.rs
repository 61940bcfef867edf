//! Sources, their order of strength, and the errors that name them.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::load::setting_keys;
use super::*;

const TOKEN: &str = "0123456789abcdef";

/// A directory for files, and what the program is started with.
struct Start {
    dir: TempDir,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Start {
    fn new(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            args: args.iter().map(ToString::to_string).collect(),
            env: env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        }
    }

    fn file(mut self, text: &str) -> Self {
        let path = self.write("hub.toml", text);
        self.args.extend(["--config".to_owned(), path.display().to_string()]);
        self
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self) -> Result<Command, ConfigError> {
        let args = std::iter::once("sse-hub").chain(self.args.iter().map(String::as_str));
        let env = self.env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        load(args.map(OsString::from), env)
    }

    #[track_caller]
    fn run(&self) -> Box<Loaded> {
        match self.load() {
            Ok(Command::Run(loaded)) => loaded,
            other => panic!("{other:?}"),
        }
    }

    /// One line that contains each of `parts`.
    #[track_caller]
    fn fails(&self, parts: &[&str]) {
        let error = self.load().expect_err("it is accepted").to_string();
        assert!(!error.contains('\n'), "{error}");
        for part in parts {
            assert!(error.contains(part), "no {part:?} in: {error}");
        }
    }
}

#[test]
fn nothing_set_gives_the_defaults() {
    let loaded = Start::new(&[], &[]).run();
    assert_eq!(loaded.config, ServerConfig::default());
    assert_eq!(loaded.source("listen"), None);
}

#[test]
fn flags_beat_the_environment_beats_the_file_beats_the_defaults() {
    let file = "listen = '127.0.0.1:1'\nprefix = '/file/'\nshards = 3\n[limits]\ntopics = 7\ngroups = 9";
    let env = [("SSE_HUB_LISTEN", "127.0.0.1:2"), ("SSE_HUB_PREFIX", "/env/"), ("SSE_HUB_LIMITS_TOPICS", "8")];
    let loaded = Start::new(&["--listen", "127.0.0.1:3"], &env).file(file).run();
    let found = &loaded.config;
    assert_eq!((found.listen.port(), found.prefix.as_str(), found.shards), (3, "/env/", 3));
    assert_eq!((found.limits.topics, found.limits.groups, found.limits.clients), (8, 9, 200_000));
    assert_eq!(loaded.source("listen"), Some("--listen"));
    assert_eq!(loaded.source("prefix"), Some("SSE_HUB_PREFIX"));
    assert!(loaded.source("limits.groups").unwrap().ends_with("hub.toml"));
    assert_eq!(loaded.source("limits.clients"), None);
}

#[test]
fn every_key_is_known_to_the_environment_and_to_set() {
    let text = ServerConfig { token_file: Some("x".into()), ..ServerConfig::default() }.to_toml().unwrap();
    let mut printed = vec!["token".to_owned()];
    for (key, value) in toml::from_str::<toml::Table>(&text).unwrap() {
        match value {
            toml::Value::Table(section) => printed.extend(section.keys().map(|inner| format!("{key}.{inner}"))),
            _ => printed.push(key),
        }
    }
    let mut known: Vec<String> = setting_keys().map(str::to_owned).collect();
    printed.sort();
    known.sort();
    assert_eq!(printed, known);
}

#[test]
fn every_key_sets_its_own_field_and_no_other() {
    let print = |args: &[&str]| toml::from_str::<toml::Table>(&Start::new(args, &[]).run().config.to_toml().unwrap()).unwrap();
    let at = |table: &toml::Table, key: &str| match key.split_once('.') {
        Some((section, key)) => table[section][key].clone(),
        None => table[key].clone(),
    };
    let defaults = print(&[]);
    for key in setting_keys().filter(|key| !key.starts_with("token")) {
        let value = match at(&defaults, key) {
            toml::Value::Integer(count) => (count + 1).to_string(),
            toml::Value::Boolean(on) => (!on).to_string(),
            _ => match key {
                "listen" => "127.0.0.1:9".to_owned(),
                "prefix" => "/x/".to_owned(),
                "cors_origins" => "https://a".to_owned(),
                "allowed_hosts" => "a".to_owned(),
                "log" => "debug".to_owned(),
                "log_format" => "json".to_owned(),
                "http.max_body" | "limits.log_bytes" => "2MiB".to_owned(),
                "limits.frame_bytes" => "63KiB".to_owned(),
                "limits.detail_bytes" => "65MiB".to_owned(),
                "policy.overrun" => "skip".to_owned(),
                "policy.age" => "registration".to_owned(),
                "policy.id_form" => "compatible".to_owned(),
                "policy.payloads" => "legacy".to_owned(),
                _ => "7s".to_owned(),
            },
        };
        let changed = print(&["--set", &format!("{key}={value}")]);
        for other in setting_keys().filter(|key| !key.starts_with("token")) {
            assert_eq!(at(&changed, other) != at(&defaults, other), other == key, "--set {key}={value} and {other}");
        }
    }
}

#[test]
fn each_kind_of_value_is_read_from_the_environment_and_by_set() {
    let pairs = [
        ("cors_origins", "https://a.example, *"),
        ("allowed_hosts", "hub.example,::1"),
        ("log_format", "json"),
        ("log", "warn,sse_runtime=debug"),
        ("http.max_body", "2MiB"),
        ("shutdown.grace", "0s"),
        ("timers.heartbeat", "-1"),
        ("timers.sweep_every", "4m"),
        ("policy.overrun", "skip"),
        ("policy.age", "registration"),
        ("policy.id_form", "compatible"),
        ("policy.payloads", "legacy"),
        ("policy.end_on_disconnect", "true"),
    ];
    let variables = pairs.map(|(key, value)| (format!("SSE_HUB_{}", key.replace('.', "_").to_uppercase()), value));
    let env: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let sets = pairs.map(|(key, value)| format!("--set={key}={value}"));
    let args: Vec<&str> = sets.iter().map(String::as_str).collect();
    let by_env = Start::new(&[], &env).run().config;
    assert_eq!(by_env, Start::new(&args, &[]).run().config);
    assert!(by_env.cors_origins.has_any() && by_env.cors_origins.lists("https://a.example"));
    assert_eq!(by_env.allowed_hosts.iter().map(HostName::as_str).collect::<Vec<_>>(), ["hub.example", "[::1]"]);
    assert_eq!((by_env.log_format, by_env.http.max_body), (LogFormat::Json, 2 << 20));
    assert_eq!((by_env.timers.heartbeat, by_env.timers.sweep_every), (None, Duration::from_secs(240)));
    assert_eq!((by_env.policy.overrun, by_env.policy.age), (Overrun::Skip, Age::Registration));
    assert_eq!((by_env.policy.id_form, by_env.policy.payloads), (IdForm::Compatible, Payloads::Legacy));
    assert!(by_env.policy.end_on_disconnect);
    assert_eq!(Start::new(&["--heartbeat", "-1"], &[]).run().config.timers.heartbeat, None);
    assert_eq!(Start::new(&["--cors-origin", "none"], &[]).run().config.cors_origins, Origins::none());
    let two = Start::new(&["--cors-origin", "https://a", "--cors-origin", "https://b"], &[]).run().config;
    assert!(two.cors_origins.lists("https://a") && two.cors_origins.lists("https://b"));
}

#[test]
fn a_bad_value_names_its_key_and_source() {
    let env = |name, value, parts: &[&str]| Start::new(&[], &[(name, value)]).fails(parts);
    env("SSE_HUB_LIMITS_CLIENTS", "many", &["limits.clients (set by SSE_HUB_LIMITS_CLIENTS): \"many\" is not a whole number"]);
    env("SSE_HUB_LIMITS_CLIENTS", "0", &["limits.clients (set by SSE_HUB_LIMITS_CLIENTS): zero"]);
    env("SSE_HUB_POLICY_OVERRUN", "burst", &["policy.overrun", "burst", "close", "skip"]);
    env("SSE_HUB_CORS_ORIGINS", "", &["cors_origins (set by SSE_HUB_CORS_ORIGINS): it is empty"]);
    env("SSE_HUB_LOG", "a\nb", &["log (set by SSE_HUB_LOG)", r#""a\nb""#]);
    env("SSE_HUB_CONFIG", "/nowhere/hub.toml", &["SSE_HUB_CONFIG: /nowhere/hub.toml cannot be read"]);

    let flag = |args: &[&str], parts: &[&str]| Start::new(args, &[]).fails(parts);
    flag(&["--prefix", "sse"], &["prefix (set by --prefix): \"sse\" does not begin and end with /"]);
    flag(&["--set", "limits.topics=x"], &["limits.topics (set by --set): \"x\" is not a whole number"]);
    flag(&["--set", "limits.topics"], &["--set: \"limits.topics\" has no ="]);
    flag(&["--set", "listen=127.0.0.1:1", "--listen", "127.0.0.1:2"], &["listen (set by --set): it is set by another flag"]);
    flag(&["--config", "/nowhere/hub.toml"], &["--config: /nowhere/hub.toml cannot be read"]);
    flag(&["--listen"], &["--listen", "--help"]);

    let file = |text, parts: &[&str]| Start::new(&[], &[]).file(text).fails(parts);
    file("[limits]\n\nclients = 'many'", &["limits.clients (set by ", "hub.toml line 3): \"many\" is not a whole number"]);
    file("[limits]\nclients = -5", &["limits.clients", "line 2", "\"-5\" is not a whole number"]);
    file("[timers]\nheartbeat = 15", &["timers.heartbeat", "line 2", "15s"]);
    file("[policy]\noverrun = 'burst'", &["policy.overrun", "line 2", "burst"]);
    file("[policy]\noverrun = 1", &["policy.overrun", "line 2", "unknown variant `1`, expected `close` or `skip`"]);
    file("[policy]\nage = true", &["policy.age", "line 2", "invalid type: boolean `true`, expected a string"]);
    file("[policy]\nid_form = {}", &["policy.id_form", "line 2", "invalid type: map, expected a string"]);
    file("[policy]\npayloads = []", &["policy.payloads", "line 2", "invalid type: sequence, expected a string"]);
    file("log_format = 1", &["log_format", "line 1", "unknown variant `1`, expected `text` or `json`"]);
    file("cors_origins = ['https://a', 'b']", &["cors_origins", "line 1", "\"b\" is not an origin"]);
    file("listen = '127.0.0.1:1'\nlisten = '127.0.0.1:2'", &["hub.toml line 2", "duplicate"]);
    file("listen = [", &["hub.toml line 1"]);
    file("[limits]\nfoo\n", &["hub.toml line 2"]);
    file("[limits]\nframe_bytes = '8MiB'", &["limits.frame_bytes (set by ", "hub.toml)", "32MiB"]);
    file("[limits]\nlog_bytes = '64KiB'", &["limits.log_bytes (set by ", "hub.toml)", "256KiB"]);
    file("[[tasks]]\nname = 'a'\nurl = 'nothing'", &["tasks[0].url", "line 3", "not an http or https URL"]);
    file("[[tasks]]\nname = 'a'", &["tasks[0].url (set by ", "hub.toml)", "nobody"]);
}

#[test]
fn an_unknown_key_is_told_with_the_one_it_resembles() {
    let start = |args: &[&str], env: &[(&str, &str)]| Start::new(args, env);
    start(&["--lisen", "x"], &[]).fails(&["--lisen", "did you mean --listen?"]);
    start(&["extra"], &[]).fails(&["extra", "sse-hub --help"]);
    start(&["--set", "limits.topic=1"], &[]).fails(&["limits.topic (set by --set)", "did you mean limits.topics?"]);
    start(&[], &[("SSE_HUB_LISTN", "x")]).fails(&["SSE_HUB_LISTN", "did you mean SSE_HUB_LISTEN?"]);
    start(&[], &[("SSE_HUB_WHATEVER_IT_IS", "x")]).fails(&["SSE_HUB_WHATEVER_IT_IS", "no such variable"]);
    start(&[], &[]).file("\nlisten_on = 'x'").fails(&["listen_on (set by ", "hub.toml line 2)", "did you mean listen?"]);
    start(&[], &[]).file("[limits]\ntopic = 1").fails(&["limits.topic (", "line 2", "did you mean limits.topics?"]);
    start(&[], &[]).file("[limit]\ntopics = 1").fails(&["limit (", "line 1", "--print-config"]);
    let task = "[[tasks]]\nname = 'a'\nworker = true\ntimeot = '1s'";
    start(&[], &[]).file(task).fails(&["tasks[0].timeot (", "line 4", "did you mean tasks[0].timeout?"]);
    start(&[], &[("SSE_HUB_PORT", "tcp://10.0.0.1:80"), ("SSE_HUB_SERVICE_HOST", "x"), ("SSE_HUB_PORT_80_TCP", "x")]).run();
}

#[test]
fn the_token_comes_from_the_environment_or_a_file_and_never_from_a_flag() {
    let start = Start::new(&["--listen", "0.0.0.0:80"], &[("SSE_HUB_TOKEN", TOKEN)]);
    assert!(start.run().config.token.unwrap().matches(TOKEN));

    let mut start = Start::new(&["--listen", "0.0.0.0:80"], &[("SSE_HUB_TOKEN", "another-token-0123")]);
    let path = start.write("token", &format!("{TOKEN}\n"));
    start.args.extend(["--token-file".to_owned(), path.display().to_string()]);
    assert!(start.run().config.token.unwrap().matches(TOKEN), "a flag beats the environment");

    let path = path.display().to_string();
    let env = [("SSE_HUB_TOKEN", "another-token-0123")];
    let by_env = Start::new(&[], &env).file(&format!("token_file = '{path}'")).run();
    assert!(by_env.config.token.unwrap().matches("another-token-0123"), "the environment beats the file");

    Start::new(&["--listen", "0.0.0.0:80"], &[]).fails(&["listen (set by --listen)", "SSE_HUB_TOKEN", "--token-file"]);
    Start::new(&["--token", TOKEN], &[]).fails(&["--token"]);
    Start::new(&["--set", &format!("token={TOKEN}")], &[]).fails(&["--set", "others can read flags"]);
    Start::new(&["--token-file", "/nowhere/t"], &[]).fails(&["token_file (set by --token-file)", "/nowhere/t cannot be read"]);
    let both = [("SSE_HUB_TOKEN", TOKEN), ("SSE_HUB_TOKEN_FILE", path.as_str())];
    Start::new(&[], &both).fails(&["SSE_HUB_TOKEN_FILE is set too"]);
    Start::new(&[], &[]).file(&format!("token = '{TOKEN}'\ntoken_file = '{path}'")).fails(&["token_file", "leave out one"]);
}

#[test]
fn a_secret_is_in_no_error_and_in_no_output() {
    let short = "s3cr3t";
    for start in [
        Start::new(&[], &[("SSE_HUB_TOKEN", short)]),
        Start::new(&[], &[]).file(&format!("token = '{short}'")),
        Start::new(&[], &[]).file(&format!("token = ['{short}']")),
        Start::new(&[], &[]).file(&format!("token = '{short}")),
    ] {
        let error = start.load().unwrap_err().to_string();
        assert!(!error.contains(short) && !error.contains('\n'), "{error}");
    }
    let start = Start::new(&["--print-config"], &[("SSE_HUB_TOKEN", TOKEN)]);
    let Ok(Command::Say(text)) = start.load() else { panic!("no text") };
    assert!(!text.contains(TOKEN) && text.contains("# token: set by SSE_HUB_TOKEN, not shown"), "{text}");
    assert!(!format!("{:?}", Start::new(&[], &[("SSE_HUB_TOKEN", TOKEN)]).run()).contains(TOKEN));
}

#[test]
fn what_is_printed_reads_back_to_the_same() {
    let file = "cors_origins = ['*', 'https://a.example']\nallowed_hosts = ['hub.example']\nlog_format = 'json'\n\
        [limits]\nframe_bytes = 70001\n[timers]\nheartbeat = 0\nwrite_stall = '1m 1s 5ms'\n[policy]\npayloads = 'legacy'\n\
        listeners_changed_key = \"it's=here\"\n\
        [[tasks]]\nname = 'build'\nurl = 'https://ci.example/run?x=1'\nattempts = 5\nbackoff = '0s'\n\
        [[tasks]]\nname = 'render'\nworker = true\n";
    for start in [Start::new(&[], &[]), Start::new(&["--set", "limits.topics=5"], &[]).file(file)] {
        let first = start.run();
        let text = first.print().unwrap();
        assert_eq!(ServerConfig::from_toml(&text).unwrap(), first.config, "{text}");
        let again = Start::new(&[], &[]).file(&text).run();
        assert_eq!(again.config, first.config, "{text}");
        assert_eq!(again.config.to_toml(), first.config.to_toml());
    }
    let text = Start::new(&["--listen", "127.0.0.1:0"], &[("SSE_HUB_TIMERS_HEARTBEAT", "1s")]).run().print().unwrap();
    assert!(text.contains("\nlisten = \"127.0.0.1:0\" # --listen\n"), "{text}");
    assert!(text.contains("\nheartbeat = \"1s\" # SSE_HUB_TIMERS_HEARTBEAT\n"), "{text}");
    assert!(text.contains("\nwrite_stall = \"30s\"\n"), "{text}");
}

#[test]
fn from_toml_validates() {
    assert_eq!(ServerConfig::from_toml("").unwrap(), ServerConfig::default());
    let error = ServerConfig::from_toml("[limits]\ntopics = 0").unwrap_err();
    assert_eq!(error.key(), "limits.topics");
}
