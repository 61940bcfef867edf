//! Publishing from the thread of a shard, which waits for nobody: what other shards do is answered later.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use sse_proto::wire;
use tokio::sync::mpsc;

use super::publish::{Publication, target_label};
use super::{Hub, HubError, single};
use crate::event::TargetRef;
use crate::shard::{Shard, Wake};

impl Hub {
    /// Publishes an event on the thread of a shard that concerns no other one: the number. `None` when something is in the way, or
    /// wrong with it: nothing was published, and what was [prepared](Self::prepare) may be, or tells what is wrong.
    pub(crate) fn publish_here(&self, shard: &mut Shard, target: TargetRef<'_>, event: &wire::Event<'_>) -> Option<u64> {
        let concerned = self.home(target).map_or(self.all_shards(), single);
        if concerned != single(shard.index) || !shard.queue_is_empty() {
            return None;
        }
        self.check(target, event).ok()?;
        // Someone else may have put something into the queue meanwhile: then the number is passed over.
        let number = self.inner.sequencer.next(1, |number| shard.queue_is_empty().then_some(number))?;
        shard.publish_one(shard.now(), number, target, event).ok()?;
        self.inner.metrics.published.of(target_label(target)).inc();
        Some(number)
    }

    /// Publishes what was prepared, on the thread of a shard, which waits for nobody: when other shards are concerned, the result
    /// comes to `answers` under `ticket`.
    pub(crate) fn publish_from(
        &self,
        shard: &mut Shard,
        batch: &Arc<[Publication]>,
        answers: &Arc<Answers>,
        ticket: u64,
    ) -> Result<Published, (usize, HubError)> {
        let concerned = self.concerned(batch);
        let concerns_own = concerned.contains(&shard.index);
        let reserve = |index: usize| match self.inner.shards[index].queue.try_reserve() {
            Ok(place) => Ok(Some(place)),
            Err(mpsc::error::TrySendError::Full(())) => Ok(None),
            Err(mpsc::error::TrySendError::Closed(())) => Err((0, self.gone())),
        };
        let mut places = Vec::new();
        for index in concerned.clone().filter(|index| *index != shard.index) {
            match reserve(index)? {
                Some(place) => places.push(place),
                None => return Ok(Published::Later),
            }
        }
        let numbered = self.inner.sequencer.next(batch.len(), |first| {
            // What has a lower number is in this shard's log: what is for it need not queue.
            let is_own = concerns_own && shard.queue_is_empty();
            if is_own && places.is_empty() {
                return Ok(Some((first, is_own, None)));
            }
            if concerns_own && !is_own {
                match reserve(shard.index)? {
                    Some(place) => places.push(place),
                    // The number is passed over.
                    None => return Ok(None),
                }
            }
            let pending = Pending::new(answers.clone(), ticket, concerned.len());
            for place in places {
                let (batch, mut part) = (batch.clone(), Part::of(&pending, first));
                place.send(Box::new(move |shard| part.done(shard.publish(first, &batch))));
            }
            Ok(Some((first, is_own, Some(pending))))
        });
        let Some((first, is_own, pending)) = numbered? else {
            return Ok(Published::Later);
        };
        concerned.filter(|index| *index != shard.index).for_each(|index| self.inner.shards[index].wake());
        match pending {
            None => return shard.publish(first, batch).map(|()| Published::Here(first)),
            Some(pending) if is_own => Part::of(&pending, first).done(shard.publish(first, batch)),
            Some(_) => {}
        }
        Ok(Published::Elsewhere)
    }
}

/// What came of publishing from a shard's thread.
pub(crate) enum Published {
    /// It is in every log concerned, from this number on.
    Here(u64),
    /// Others are at it, and answer.
    Elsewhere,
    /// The queue of another shard is full. Nothing was done.
    Later,
}

/// Where shards leave what they published for another one's publisher. No longer than there are publishers who wait.
#[derive(Debug)]
pub(crate) struct Answers {
    list: Mutex<Vec<Answer>>,
    wake: Arc<Wake>,
}

/// What came of one publication; see [`Hub::publish_from`].
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) ticket: u64,
    pub(crate) result: Result<u64, (usize, HubError)>,
}

impl Answers {
    pub(crate) fn new(wake: Arc<Wake>) -> Self {
        Self { list: Mutex::default(), wake }
    }

    pub(crate) fn take(&self) -> Vec<Answer> {
        mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// A publication that several shards are at.
struct Pending {
    answers: Arc<Answers>,
    ticket: u64,
    state: Mutex<Parts>,
}

/// How many parts are not done, and what came of those that are.
struct Parts {
    left: usize,
    result: Result<u64, (usize, HubError)>,
}

impl Pending {
    fn new(answers: Arc<Answers>, ticket: u64, parts: usize) -> Arc<Self> {
        Arc::new(Self { answers, ticket, state: Mutex::new(Parts { left: parts, result: Ok(0) }) })
    }

    /// The last part to be done answers, with the first event that could not be.
    fn done(&self, result: Result<u64, (usize, HubError)>) {
        let answer = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.left -= 1;
            let worse = match (&state.result, &result) {
                (Err((before, _)), Err((index, _))) => index < before,
                (Err(_), Ok(_)) => false,
                (Ok(_), _) => true,
            };
            if worse {
                state.result = result;
            }
            (state.left == 0).then(|| state.result.clone())
        };
        if let Some(result) = answer {
            let answer = Answer { ticket: self.ticket, result };
            self.answers.list.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            self.answers.wake.wake();
        }
    }
}

/// One shard's part of a publication. Dropped before it is done, it says that the shard broke down.
struct Part {
    pending: Arc<Pending>,
    first: u64,
    result: Result<(), (usize, HubError)>,
}

impl Part {
    fn of(pending: &Arc<Pending>, first: u64) -> Self {
        Self { pending: pending.clone(), first, result: Err((0, HubError::Broken)) }
    }

    fn done(&mut self, result: Result<(), (usize, HubError)>) {
        self.result = result;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let result = mem::replace(&mut self.result, Ok(()));
        self.pending.done(result.map(|()| self.first));
    }
}
