//! Slots that are used again, and lists threaded through them.

use core::marker::PhantomData;

use super::parts::Table;

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// One slot of a [`Slab`].
#[derive(Debug)]
#[expect(unreachable_pub, reason = "a sealed trait's associated types name it")]
pub struct Slot<T> {
    value: Option<T>,
    /// How often the slot was emptied.
    generation: u32,
    next_free: u32,
}

/// A table whose slots are used again; each use has a generation of its own.
#[derive(Debug)]
pub(crate) struct Slab<T, B> {
    slots: B,
    first_free: u32,
    len: u32,
    limit: u32,
    /// The highest generation that a slot has. Slots that are made anew begin with it: they may be given up when all are empty, and
    /// who knows a value by its slot must not find another one there.
    generation: u32,
    values: PhantomData<T>,
}

impl<T, B: Table<Slot<T>>> Slab<T, B> {
    pub(crate) fn with_limit(limit: usize) -> Self {
        let slots = B::with_limit(limit.min(NONE as usize));
        let limit = slots.limit().min(NONE as usize) as u32;
        Self { slots, first_free: NONE, len: 0, limit, generation: 0, values: PhantomData }
    }

    /// Puts `value` into a free slot; `None` when there is none.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        if self.first_free == NONE {
            let slot = self.slots.rows().len() as u32;
            self.slots.push(Slot { value: Some(value), generation: self.generation, next_free: NONE }).ok()?;
            self.len += 1;
            return Some(slot);
        }
        let slot = self.first_free;
        let free = &mut self.slots.rows_mut()[slot as usize];
        self.first_free = free.next_free;
        free.value = Some(value);
        self.len += 1;
        Some(slot)
    }

    /// Empties `slot`. O(1), and O(slots) when it was the last: then their memory is given back.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let row = self.slots.rows_mut().get_mut(slot as usize)?;
        let value = row.value.take()?;
        row.generation = row.generation.wrapping_add(1);
        row.next_free = self.first_free;
        self.generation = self.generation.max(row.generation);
        self.first_free = slot;
        self.len -= 1;
        if self.len == 0 && self.slots.give_back() {
            self.first_free = NONE;
        }
        Some(value)
    }

    /// The value in `slot`.
    ///
    /// # Panics
    ///
    /// When the slot is empty: lists and indexes hold used slots only.
    pub(crate) fn at(&self, slot: u32) -> &T {
        self.slots.rows()[slot as usize].value.as_ref().expect("a listed slot is in use")
    }

    /// Like [`at`](Self::at), to change.
    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut T {
        self.slots.rows_mut()[slot as usize].value.as_mut().expect("a listed slot is in use")
    }

    /// The value in `slot`, if the slot is in use.
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.rows().get(slot as usize)?.value.as_ref()
    }

    /// How many slots were ever in use: all used ones are below.
    pub(crate) fn used_slots(&self) -> u32 {
        self.slots.rows().len() as u32
    }

    /// Whether `slot` is in use in `generation`.
    pub(crate) fn holds(&self, slot: u32, generation: u32) -> bool {
        self.slots.rows().get(slot as usize).is_some_and(|row| row.generation == generation && row.value.is_some())
    }

    /// The generation of `slot`.
    pub(crate) fn generation(&self, slot: u32) -> u32 {
        self.slots.rows().get(slot as usize).map_or(0, |row| row.generation)
    }

    /// Slots in use.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Slots that can still be put into use.
    pub(crate) fn free(&self) -> u32 {
        self.limit - self.len
    }

    /// Used slots in slot order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.rows().iter().enumerate().filter_map(|(slot, row)| Some((slot as u32, row.value.as_ref()?)))
    }
}

/// Neighbors in one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    pub(crate) const OUT: Self = Self { prev: NONE, next: NONE };
}

/// Something that can stand in a list of kind `K`.
pub(crate) trait Linked<K> {
    fn link(&self) -> &Link;
    fn link_mut(&mut self) -> &mut Link;
}

/// A doubly linked list through the slots of a slab; `K` names the link it uses. Every operation is O(1).
#[derive(Debug)]
pub(crate) struct List<K> {
    first: u32,
    last: u32,
    kind: PhantomData<K>,
}

impl<K> List<K> {
    pub(crate) const fn new() -> Self {
        Self { first: NONE, last: NONE, kind: PhantomData }
    }

    pub(crate) fn first(&self) -> Option<u32> {
        some(self.first)
    }

    /// The last slot.
    pub(crate) fn last(&self) -> Option<u32> {
        some(self.last)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    pub(crate) fn push_back<T: Linked<K>, B: Table<Slot<T>>>(&mut self, slab: &mut Slab<T, B>, slot: u32) {
        *slab.at_mut(slot).link_mut() = Link { prev: self.last, next: NONE };
        match some(self.last) {
            Some(last) => slab.at_mut(last).link_mut().next = slot,
            None => self.first = slot,
        }
        self.last = slot;
    }

    /// Takes `slot`, which is in this list, out of it.
    pub(crate) fn remove<T: Linked<K>, B: Table<Slot<T>>>(&mut self, slab: &mut Slab<T, B>, slot: u32) {
        let Link { prev, next } = core::mem::replace(slab.at_mut(slot).link_mut(), Link::OUT);
        match some(prev) {
            Some(prev) => slab.at_mut(prev).link_mut().next = next,
            None => self.first = next,
        }
        match some(next) {
            Some(next) => slab.at_mut(next).link_mut().prev = prev,
            None => self.last = prev,
        }
    }
}

/// The slot after `slot` in its list of kind `K`.
pub(crate) fn next<K, T: Linked<K>, B: Table<Slot<T>>>(slab: &Slab<T, B>, slot: u32) -> Option<u32> {
    some(slab.at(slot).link().next)
}

fn some(slot: u32) -> Option<u32> {
    (slot != NONE).then_some(slot)
}

/// Names the link field that a list of kind `$kind` uses in `$node`.
macro_rules! linked {
    ($node:ty, $kind:ty, $field:ident $(, $storage:ident)?) => {
        impl $(<$storage: crate::storage::Storage>)? crate::storage::slab::Linked<$kind> for $node {
            fn link(&self) -> &crate::storage::slab::Link {
                &self.$field
            }

            fn link_mut(&mut self) -> &mut crate::storage::slab::Link {
                &mut self.$field
            }
        }
    };
}
pub(crate) use linked;
