//! The memory of an engine before the engine begins: all of it zero, so that it can be a static.

use core::ops::Deref;

use super::Engine;
use super::deadlines::Deadlines;
use super::directory::Directory;
use super::log::Log;
use super::tasks::Tasks;
use crate::config::{Config, ConfigError};
use crate::id::Epoch;
use crate::storage::Storage;
use crate::storage::parts::Buffer;

/// Memory for one engine, made by the compiler: in a static it is zeros, so it takes no room in a program's image and no stack, however
/// large. It is as large as the engine. [`Fixed`](crate::storage::fixed::Fixed) has an example.
pub struct Memory<S: Storage>(Engine<S>);

impl<S: Storage> Memory<S> {
    /// Memory that no engine uses yet.
    #[expect(clippy::new_without_default, reason = "it is made at compile time, which a default is not")]
    pub const fn new() -> Self {
        Self(Engine::EMPTY)
    }

    /// The engine begins, where it is: nothing is moved. For the arguments see [`Engine::new`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the limits do not fit each other or the storage; [`Config::check_for`] tells that at compile time.
    pub fn begin(
        &'static mut self,
        config: Config,
        epoch: Epoch,
        hash_key: [u64; 2],
    ) -> Result<&'static mut Engine<S>, ConfigError> {
        self.0.begin(config, epoch, hash_key)?;
        Ok(&mut self.0)
    }
}

/// The configuration, once there is one.
#[derive(Debug)]
#[repr(u8)] // A tag of its own: without one, nothing would not be zeros.
pub(super) enum Settings {
    None = 0,
    Given(Config),
}

impl Deref for Settings {
    type Target = Config;

    fn deref(&self) -> &Config {
        match self {
            Self::Given(config) => config,
            Self::None => &Config::NOTHING,
        }
    }
}

impl<S: Storage> Engine<S> {
    /// An engine that has not begun: it has room for nothing.
    pub(super) const EMPTY: Self = Self {
        config: Settings::None,
        directory: Directory::EMPTY,
        log: Log::EMPTY,
        deadlines: Deadlines::EMPTY,
        tasks: Tasks::EMPTY,
        notices: S::Frame::EMPTY,
        draining: None,
    };

    /// Gives an engine that has not begun its limits, its times and its keys.
    pub(super) fn begin(&mut self, config: Config, epoch: Epoch, hash_key: [u64; 2]) -> Result<(), ConfigError> {
        config.check_for::<S>()?;
        let limits = &config.limits;
        self.directory.begin(*limits, hash_key);
        self.log.begin(epoch, limits.log_bytes as usize, limits.log_entries as usize, config.event_ids);
        self.deadlines.begin(&config);
        self.tasks.begin(limits);
        self.config = Settings::Given(config);
        Ok(())
    }
}
