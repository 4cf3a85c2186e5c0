//! Work that tests can count: how many bytes or records were looked at. A clock cannot tell whether the work on a long
//! input grows faster than the input, a count can, and it is the same on any machine.

/// So many bytes or records are looked at. Costs nothing but in this crate's own tests.
#[inline(always)]
pub(crate) fn looked(at: usize) {
    #[cfg(test)]
    counter::add(at);
    #[cfg(not(test))]
    let _ = at;
}

#[cfg(test)]
pub(crate) use counter::assert_linear;

#[cfg(test)]
mod counter {
    use std::cell::Cell;

    thread_local! {
        static LOOKED: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn add(at: usize) {
        LOOKED.with(|count| count.set(count.get() + at));
    }

    /// Fails where an input of `size` bytes or records takes more than `most` looks for each of them, or twice the input
    /// more than about twice the work. `run` works on an input of the size it is given.
    pub(crate) fn assert_linear(what: &str, size: usize, most: usize, mut run: impl FnMut(usize)) {
        let mut work = |size| {
            LOOKED.with(|count| count.set(0));
            run(size);
            LOOKED.with(Cell::get)
        };
        let (once, twice) = (work(size), work(2 * size));
        assert!(once > 0, "{what}: nothing is counted");
        // What is long may be capped, and still be much for each byte.
        assert!(once <= most * size, "{what}: {once} looks at an input of {size}");
        // Half as much again for logarithms and what comes in steps; each looking at each other makes it four times.
        assert!(
            twice <= 3 * once,
            "{what}: {once} looks at an input of {size}, {twice} at twice as much"
        );
    }

    #[test]
    fn only_what_grows_faster_than_the_input_fails() {
        assert_linear("linear", 100, 1, |size| (0..size).for_each(|_| add(1)));
        assert_linear("capped", 100, 1, |_| add(7));
        for slow in [
            |size| add(size * size),
            |size| (0..size).for_each(add),
            |_| add(50_000),
            |_| {},
        ] {
            assert!(std::panic::catch_unwind(|| assert_linear("slow", 100, 200, slow)).is_err());
        }
    }
}
