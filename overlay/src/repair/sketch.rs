//! Sketches of sets of message ids: what two sets differ in, at a size that follows from the difference and not from the sets.
//!
//! An invertible Bloom lookup table (Goodrich and Mitzenmacher, 2011; the use for set reconciliation: Eppstein et al., SIGCOMM 2011)
//! with three cells for each id, one in each third of the table. Ids go in as 8-byte short ids under the session's key, so that
//! an author cannot choose ids that share their cells: it would have to know a key that is drawn after they are signed.

use std::collections::BTreeSet;

use crate::wire::Cell;

/// Sizes, smallest first, each with the most differences that it is used for. At those about 1 in 50 sketches fails
/// (measured by the test below); a failure costs a round trip and is answered with the next size.
pub(super) const SIZES: [(usize, u32); 3] = [(72, 24), (288, 180), (1152, 800)];

/// A short id under the session's key: the first 8 bytes of the id's keyed hash, as a little-endian number.
pub(super) type Short = u64;

/// A cell with its fields as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    count: u32,
    sum: Short,
    check: u32,
}

impl Slot {
    const fn of(cell: Cell) -> Self {
        Self {
            count: cell.count,
            sum: u64::from_le_bytes(cell.sum),
            check: u32::from_le_bytes(cell.check),
        }
    }

    const fn to_cell(self) -> Cell {
        Cell {
            count: self.count,
            sum: self.sum.to_le_bytes(),
            check: self.check.to_le_bytes(),
        }
    }
}

/// A table of cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sketch {
    cells: Vec<Slot>,
}

/// What two sets differ in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// In the other end's set only.
    pub(super) theirs: BTreeSet<Short>,
    /// In ours only.
    pub(super) mine: BTreeSet<Short>,
}

impl Sketch {
    /// Of no id; the size is one of [`SIZES`].
    pub(super) fn new(size: usize) -> Self {
        Self {
            cells: vec![Slot::default(); size],
        }
    }

    /// The smallest size for this many differences; `None` = too many.
    pub(super) fn size_for(differences: u32) -> Option<usize> {
        let fits = SIZES.iter().find(|(_, most)| differences <= *most);
        fits.map(|(size, _)| *size)
    }

    /// The size to try when this one was too small; `None` = none.
    pub(super) fn larger(size: usize) -> Option<usize> {
        SIZES
            .iter()
            .map(|(other, _)| *other)
            .find(|other| *other > size)
    }

    /// Whether the other end may send a sketch of this size.
    pub(super) fn is_size(size: usize) -> bool {
        SIZES.iter().any(|(other, _)| *other == size)
    }

    pub(super) fn add(&mut self, short: Short) {
        for at in places(short, self.cells.len()) {
            self.cells[at].count = self.cells[at].count.wrapping_add(1);
            self.toggle(at, short);
        }
    }

    fn toggle(&mut self, at: usize, short: Short) {
        let cell = &mut self.cells[at];
        cell.sum ^= short;
        cell.check ^= check(short);
    }

    /// How many cells it has.
    pub(super) fn size(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn to_cells(&self) -> Vec<Cell> {
        self.cells.iter().map(|slot| slot.to_cell()).collect()
    }

    /// What `theirs`, of the same size, has that we lack, and the other way round; `None` = the sketches are too small for it, or
    /// theirs is of no set.
    pub(super) fn difference(&self, theirs: &[Cell]) -> Option<Difference> {
        if theirs.len() != self.cells.len() {
            return None;
        }
        let mut rest = Self {
            cells: theirs.iter().map(|cell| Slot::of(*cell)).collect(),
        };
        for (cell, mine) in rest.cells.iter_mut().zip(&self.cells) {
            cell.count = cell.count.wrapping_sub(mine.count);
            cell.sum ^= mine.sum;
            cell.check ^= mine.check;
        }
        let mut found = Difference::default();
        let mut look: Vec<usize> = (0..rest.cells.len()).collect();
        while let Some(at) = look.pop() {
            let cell = rest.cells[at];
            let one = cell.count == 1 || cell.count == u32::MAX;
            if !one || cell.check != check(cell.sum) {
                continue;
            }
            let short = cell.sum;
            let places = places(short, rest.cells.len());
            let side = if cell.count == 1 {
                &mut found.theirs
            } else {
                &mut found.mine
            };
            // An honest sketch gives each id once; another one must not keep us at it.
            if !places.contains(&at) || !side.insert(short) {
                return None;
            }
            for at in places {
                let count = &mut rest.cells[at].count;
                *count = count.wrapping_sub(cell.count);
                rest.toggle(at, short);
                look.push(at);
            }
        }
        let empty = rest.cells.iter().all(|cell| *cell == Slot::default());
        empty.then_some(found)
    }
}

/// The three cells of an id, one in each third.
fn places(short: Short, size: usize) -> [usize; 3] {
    let third = size / 3;
    [1, 2, 3].map(|n| {
        let hash = mix(short ^ mix(n));
        // Below `third`, since it is the high half of a product with it.
        let within = (u128::from(hash) * third as u128) >> 64;
        (n as usize - 1) * third + usize::try_from(within).unwrap_or(0)
    })
}

/// Tells a cell with one id from one with an odd number of them.
fn check(short: Short) -> u32 {
    let bytes = mix(short ^ mix(4)).to_le_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The finalizer of SplitMix64 (Steele et al., 2014). Its input is a keyed hash already: this need not keep anybody out.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(size: usize, shorts: impl IntoIterator<Item = Short>) -> Sketch {
        let mut sketch = Sketch::new(size);
        shorts.into_iter().for_each(|short| sketch.add(short));
        sketch
    }

    #[test]
    fn differences_are_found_and_rarely_not() {
        for (size, most) in SIZES {
            let mut failed = 0;
            for run in 0..200u64 {
                let id = |n: u64| mix(run << 32 | n);
                let (most, half) = (u64::from(most), u64::from(most) / 2);
                let mine = of(size, (0..5000).map(id));
                let theirs = of(size, (half..5000 + most - half).map(id));
                let Some(found) = mine.difference(&theirs.to_cells()) else {
                    failed += 1;
                    continue;
                };
                assert_eq!(found.mine, (0..half).map(id).collect());
                assert_eq!(found.theirs, (5000..5000 + most - half).map(id).collect());
            }
            println!("{failed} of 200 sketches of {size} cells fail at {most} differences");
            assert!(failed <= 4, "{failed} of 200 at {size} cells");
        }
    }

    #[test]
    fn too_many_differences_are_noticed() {
        for (size, _) in SIZES {
            let (mine, theirs) = (
                of(size, (0..2000).map(mix)),
                of(size, (2000..4000).map(mix)),
            );
            assert_eq!(mine.difference(&theirs.to_cells()), None);
        }
        let other = of(288, []).to_cells();
        assert_eq!(of(72, []).difference(&other), None, "another size");
    }

    #[test]
    fn sizes_grow_with_what_is_expected() {
        let sizes = [0, 24, 25, 180, 181, 800, 801].map(Sketch::size_for);
        let expected = [72, 72, 288, 288, 1152, 1152].map(Some);
        assert_eq!((&sizes[..6], sizes[6]), (&expected[..], None));
        let larger = [72, 288, 1152].map(Sketch::larger);
        assert_eq!(larger, [Some(288), Some(1152), None]);
        assert!(
            SIZES
                .iter()
                .all(|(size, _)| size % 3 == 0 && Sketch::is_size(*size))
        );
        assert!(!Sketch::is_size(0) && !Sketch::is_size(73));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Cells of no set bring about an end and a bounded answer.
        #[test]
        fn any_cells_come_to_an_end(
            cells in prop::collection::vec((0u32..3, 0u64..4, any::<bool>()), 72),
            signs in prop::collection::vec(any::<bool>(), 72),
        ) {
            let cells: Vec<Cell> = cells.into_iter().zip(signs).map(|((count, sum, right), minus)| Slot {
                count: if minus { count.wrapping_neg() } else { count },
                sum,
                check: if right { check(sum) } else { 7 },
            }.to_cell()).collect();
            if let Some(found) = of(72, [1, 2, 3]).difference(&cells) {
                prop_assert!(found.mine.len() + found.theirs.len() <= 72);
            }
        }
    }
}
