//! Slots that are used again, and lists threaded through them.

use core::marker::PhantomData;
use core::num::NonZeroU32;

use super::parts::Table;

/// A slot, counted from 1, or none. No slot is all zeros, and so is a table that was not used yet: a static with one in it takes no
/// room in a program's image.
type Place = Option<NonZeroU32>;

fn place(slot: u32) -> Place {
    NonZeroU32::new(slot.wrapping_add(1))
}

fn slot(place: Place) -> Option<u32> {
    place.map(|place| place.get() - 1)
}

/// At most as many slots as can be told apart.
fn countable(limit: usize) -> usize {
    u32::try_from(limit).unwrap_or(u32::MAX) as usize
}

/// One slot of a [`Slab`].
#[derive(Debug)]
#[expect(unreachable_pub, reason = "a sealed trait's associated types name it")]
pub struct Slot<T> {
    cell: Cell<T>,
    /// How often the slot was emptied.
    generation: u32,
}

#[derive(Debug)]
enum Cell<T> {
    Used(T),
    /// And the slot that is to be used after it.
    Free(Place),
}

impl<T> Slot<T> {
    fn value(&self) -> Option<&T> {
        match &self.cell {
            Cell::Used(value) => Some(value),
            Cell::Free(_) => None,
        }
    }

    fn value_mut(&mut self) -> Option<&mut T> {
        match &mut self.cell {
            Cell::Used(value) => Some(value),
            Cell::Free(_) => None,
        }
    }
}

/// A table whose slots are used again; each use has a generation of its own.
#[derive(Debug)]
pub(crate) struct Slab<T, B> {
    slots: B,
    first_free: Place,
    len: u32,
    limit: u32,
    /// The highest generation that a slot has. Slots that are made anew begin with it: they may be given up when all are empty, and
    /// who knows a value by its slot must not find another one there.
    generation: u32,
    values: PhantomData<T>,
}

impl<T, B: Table<Slot<T>>> Slab<T, B> {
    pub(crate) const EMPTY: Self =
        Self { slots: B::EMPTY, first_free: None, len: 0, limit: 0, generation: 0, values: PhantomData };

    /// From now on at most `limit` slots are used at once, fewer where the storage itself is smaller.
    pub(crate) fn limit_to(&mut self, limit: usize) {
        self.slots.limit_to(countable(limit));
        self.limit = self.slots.limit() as u32;
    }

    /// Puts `value` into a free slot; `None` when there is none.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        let Some(slot) = slot(self.first_free) else {
            let slot = self.slots.rows().len() as u32;
            self.slots.push(Slot { cell: Cell::Used(value), generation: self.generation }).ok()?;
            self.len += 1;
            return Some(slot);
        };
        if let Cell::Free(next) = core::mem::replace(&mut self.slots.rows_mut()[slot as usize].cell, Cell::Used(value)) {
            self.first_free = next;
        }
        self.len += 1;
        Some(slot)
    }

    /// Empties `slot`, which is in use. O(1), and O(slots) when it was the last: then their memory is given back.
    #[cfg_attr(feature = "std", inline(always))]
    pub(crate) fn remove(&mut self, slot: u32) {
        let row = &mut self.slots.rows_mut()[slot as usize];
        debug_assert!(row.value().is_some(), "a listed slot is in use");
        row.cell = Cell::Free(self.first_free);
        row.generation = row.generation.wrapping_add(1);
        self.generation = self.generation.max(row.generation);
        self.first_free = place(slot);
        self.len -= 1;
        if self.len == 0 && self.slots.give_back() {
            self.first_free = None;
        }
    }

    /// The value in `slot`.
    ///
    /// # Panics
    ///
    /// When the slot is empty: lists and indexes hold used slots only.
    #[cfg_attr(feature = "std", inline(always))]
    pub(crate) fn at(&self, slot: u32) -> &T {
        self.get(slot).expect("a listed slot is in use")
    }

    /// Like [`at`](Self::at), to change.
    #[cfg_attr(feature = "std", inline(always))]
    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut T {
        self.slots.rows_mut().get_mut(slot as usize).and_then(Slot::value_mut).expect("a listed slot is in use")
    }

    /// The value in `slot`, if the slot is in use.
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.rows().get(slot as usize)?.value()
    }

    /// How many slots were ever in use: all used ones are below.
    pub(crate) fn used_slots(&self) -> u32 {
        self.slots.rows().len() as u32
    }

    /// Whether `slot` is in use in `generation`.
    pub(crate) fn holds(&self, slot: u32, generation: u32) -> bool {
        self.slots.rows().get(slot as usize).is_some_and(|row| row.generation == generation && row.value().is_some())
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
        self.slots.rows().iter().enumerate().filter_map(|(slot, row)| Some((slot as u32, row.value()?)))
    }
}

/// A row for each slot of a slab, apart from it: what is looked at together lies together, and the less of it there is, the more of it
/// a cache holds.
#[derive(Debug)]
pub(crate) struct Column<T, B> {
    rows: B,
    values: PhantomData<T>,
}

impl<T, B: Table<T>> Column<T, B> {
    pub(crate) const EMPTY: Self = Self { rows: B::EMPTY, values: PhantomData };

    /// As [`Slab::limit_to`], with the slab's limit.
    pub(crate) fn limit_to(&mut self, limit: usize) {
        self.rows.limit_to(countable(limit));
    }

    /// The slab put something into `slot`.
    pub(crate) fn put(&mut self, slot: u32, value: T) {
        match self.rows.rows_mut().get_mut(slot as usize) {
            Some(row) => *row = value,
            None => {
                let pushed = self.rows.push(value).is_ok();
                debug_assert!(pushed && self.rows.rows().len() == slot as usize + 1, "it has a row for each slot");
            }
        }
    }

    /// The slab emptied a slot: if all of them, and gave their memory back, this gives its own back.
    pub(crate) fn follow<U, C: Table<Slot<U>>>(&mut self, slab: &Slab<U, C>) {
        if slab.used_slots() == 0 {
            self.give_back();
        }
    }

    /// The slab gave its memory back.
    pub(crate) fn give_back(&mut self) {
        self.rows.give_back();
    }

    pub(crate) fn at(&self, slot: u32) -> &T {
        self.get(slot).expect("a used slot has a row")
    }

    /// What the slab last put into `slot`, if it did: it stays when the slot is emptied.
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.rows.rows().get(slot as usize)
    }

    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut T {
        self.rows.rows_mut().get_mut(slot as usize).expect("a used slot has a row")
    }
}

/// Neighbors in one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    prev: Place,
    next: Place,
}

impl Link {
    pub(crate) const OUT: Self = Self { prev: None, next: None };
}

/// Something that can stand in a list of kind `K`.
pub(crate) trait Linked<K> {
    fn link(&self) -> &Link;
    fn link_mut(&mut self) -> &mut Link;
}

/// Rows that a list of kind `K` is threaded through.
pub(crate) trait Links<K> {
    fn link(&self, slot: u32) -> &Link;
    fn link_mut(&mut self, slot: u32) -> &mut Link;
}

impl<K, T: Linked<K>, B: Table<Slot<T>>> Links<K> for Slab<T, B> {
    fn link(&self, slot: u32) -> &Link {
        self.at(slot).link()
    }

    fn link_mut(&mut self, slot: u32) -> &mut Link {
        self.at_mut(slot).link_mut()
    }
}

impl<K, T: Linked<K>, B: Table<T>> Links<K> for Column<T, B> {
    fn link(&self, slot: u32) -> &Link {
        self.at(slot).link()
    }

    fn link_mut(&mut self, slot: u32) -> &mut Link {
        self.at_mut(slot).link_mut()
    }
}

/// A doubly linked list through the slots of a slab; `K` names the link it uses. Every operation is O(1).
#[derive(Debug)]
pub(crate) struct List<K> {
    first: Place,
    last: Place,
    kind: PhantomData<K>,
}

impl<K> List<K> {
    pub(crate) const fn new() -> Self {
        Self { first: None, last: None, kind: PhantomData }
    }

    pub(crate) fn first(&self) -> Option<u32> {
        slot(self.first)
    }

    /// The last slot.
    pub(crate) fn last(&self) -> Option<u32> {
        slot(self.last)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether `this` is in this list, if it is in one by that link at all.
    pub(crate) fn holds(&self, links: &impl Links<K>, this: u32) -> bool {
        self.first == place(this) || links.link(this).prev.is_some()
    }

    pub(crate) fn push_back(&mut self, links: &mut impl Links<K>, new: u32) {
        *links.link_mut(new) = Link { prev: self.last, next: None };
        match slot(self.last) {
            Some(last) => links.link_mut(last).next = place(new),
            None => self.first = place(new),
        }
        self.last = place(new);
    }

    /// Takes `old` out of this list, if it is in one by that link at all. When it was the first, the one after it is not touched, and
    /// keeps what it thinks is before it: nobody asks the first for that.
    #[inline]
    pub(crate) fn remove(&mut self, links: &mut impl Links<K>, old: u32) {
        let link = core::mem::replace(links.link_mut(old), Link::OUT);
        self.leave_out(links, old, link);
    }

    /// As [`remove`](Self::remove), for an `old` that is gone itself and had this link: its row is not touched.
    #[cfg_attr(feature = "std", inline(always))]
    pub(crate) fn leave_out(&mut self, links: &mut impl Links<K>, old: u32, link: Link) {
        if self.first == place(old) {
            self.first = link.next;
            if link.next.is_none() {
                self.last = None;
            }
        } else if link.prev.is_some() {
            self.close_up(links, link);
        }
    }

    /// One that was not the first is left out.
    #[inline(never)]
    fn close_up(&mut self, links: &mut impl Links<K>, Link { prev, next }: Link) {
        if let Some(before) = slot(prev) {
            links.link_mut(before).next = next;
        }
        match slot(next) {
            Some(next) => links.link_mut(next).prev = prev,
            None => self.last = prev,
        }
    }
}

/// The slot after `this` in its list of kind `K`.
pub(crate) fn next<K>(links: &impl Links<K>, this: u32) -> Option<u32> {
    slot(links.link(this).next)
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
