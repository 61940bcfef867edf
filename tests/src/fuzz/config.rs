//! Any text as a configuration file: it is refused with a key or a line to blame, or it is valid and reads back the same.

use sse_runtime::HubConfig;
use sse_runtime::config::ServerConfig;

/// The file.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match ServerConfig::from_toml(&text) {
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && !said.contains('\n'), "an error is one line: {said:?}");
        }
        Ok(config) => {
            let written = config.to_toml().expect("what was text can be written");
            let again = ServerConfig::from_toml(&written);
            // The token is not written.
            let config = ServerConfig { token: None, ..config };
            assert_eq!(again.as_ref(), Ok(&config), "{written}");
            HubConfig::from(&config).engine.check().expect("what is valid fits the engine");
        }
    }
}
