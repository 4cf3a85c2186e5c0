//! Where the parents of the spans of a range are looked for: close to the range first.

use engine::aggregate::Margin;
use engine::window::Window;

/// Most parents started in the seconds before their child: distances before the range at which a step ends.
const STEPS_US: [i64; 2] = [10_000_000, 60_000_000];

/// What to read, step by step, for parents outside `range`: step one is everything behind it (clock skew) and the last
/// ten seconds before it, then up to a minute before it, then the rest before it. Adjacent, without overlap, no empty
/// range and no empty step.
pub fn steps(range: Window, margin: Margin) -> Vec<Vec<Window>> {
    let Margin { before, after } = margin;
    let mut steps = Vec::new();
    let mut first = vec![Window::new(range.to, range.to.saturating_add(after.max(0)))];
    let mut done = 0;
    for edge in STEPS_US.into_iter().chain([i64::MAX]) {
        let edge = edge.min(before);
        let mut step = std::mem::take(&mut first);
        if edge > done {
            step.push(Window::new(
                range.from.saturating_sub(edge),
                range.from.saturating_sub(done),
            ));
            done = edge;
        }
        step.retain(|w| !w.is_empty());
        if !step.is_empty() {
            steps.push(step);
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn of(range: Window, before: i64, after: i64) -> Vec<Vec<Window>> {
        steps(range, Margin { before, after })
    }

    #[test]
    fn close_first_then_far() {
        let got = of(Window::new(600 * S, 660 * S), 300 * S, 5 * S);
        let w = |from: i64, to: i64| Window::new(from * S, to * S);
        assert_eq!(
            got,
            [vec![w(660, 665), w(590, 600)], vec![w(540, 590)], vec![w(300, 540)]]
        );
    }

    #[test]
    fn short_margins_have_fewer_steps() {
        let w = Window::new(0, 60 * S);
        assert_eq!(of(w, 7 * S, 0), [vec![Window::new(-7 * S, 0)]]);
        assert_eq!(of(w, 0, 5 * S), [vec![Window::new(60 * S, 65 * S)]]);
        assert!(of(w, 0, 0).is_empty());
        assert_eq!(of(w, 60 * S, 0).len(), 2);
    }
}
